// A pasted picture goes into the page's uploader, as if its file had been chosen there:
// the same limits, the same way through memory.
export default function ({ data, parentElement }) {
    const find = (selector) => parentElement.querySelector(selector);
    const { strings } = data;
    const say = (message) => (find("[role=status]").textContent = message);
    const hand = (pictures) => {
        const input = document.querySelector("[data-testid=stFileUploader] input[type=file]");
        const files = new DataTransfer();
        for (const picture of pictures) {
            files.items.add(new File([picture], `${strings.file}.${picture.type.split("/")[1]}`, picture));
        }
        input.files = files.files;
        input.dispatchEvent(new Event("change", { bubbles: true }));
        say("");
    };

    find(".label").textContent = strings.button;
    find("button").onclick = async () => {
        if (!navigator.clipboard?.read) return say(strings.keys); // no https, or an older browser
        try {
            const items = await navigator.clipboard.read();
            const pictures = [];
            for (const item of items) {
                const type = item.types.find((name) => name.startsWith("image/"));
                if (type) pictures.push(await item.getType(type));
            }
            if (pictures.length) hand(pictures);
            else say(strings.nothing);
        } catch {
            say(strings.keys);
        }
    };

    // The listener is the document's: replace it when this runs again, remove it in the end.
    parentElement.listening?.abort();
    parentElement.listening = new AbortController();
    const { signal } = parentElement.listening;
    document.addEventListener(
        "paste",
        (event) => {
            const pictures = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
            if (!pictures.length) return;
            event.preventDefault();
            hand(pictures);
        },
        { signal },
    );
    return () => parentElement.listening.abort();
}
