const MOST_NAMED = 5;
const PATIENCE = 8000; // milliseconds; a busy server takes a while, and what is handed over twice is there twice
const TRIES = 3;

// Takes out of an uploader the files that it would refuse, and says what is wrong with them: the uploader says
// it in English, under a mouse only.
//
// The others are handed to it again where it shows no new one. It asks the server where to put them first, and
// Streamlit drops the answer if a run of the script begins meanwhile (`ForwardMsgQueue.clear`): such an upload
// falls silent, without a word to anybody.
export default function ({ data, parentElement }) {
    const { uploader, suffixes, bytes, reasons } = data;
    const place = () => document.querySelector(`.st-key-${uploader}`);
    let handed;

    const show = () => {
        const boxes = Object.entries(parentElement.refused ?? {}).map(([problem, names]) => {
            const more = names.length - MOST_NAMED;
            const named = names.slice(0, MOST_NAMED).join(", ") + (more > 0 ? ` … (+${more})` : "");
            return Object.assign(make("p", "", `${named}: ${reasons[problem]}`), { role: "alert" });
        });
        parentElement.querySelector("section").replaceChildren(...boxes);
    };
    const problem = ({ name, size, unreadable }) => {
        if (unreadable) return "unreadable";
        if (!suffixes.some((suffix) => name.toLowerCase().endsWith(suffix))) return "unsupported";
        return size > bytes ? "too_large" : "";
    };
    const sort = (files, { multiple }) => {
        const taken = [], refused = {};
        for (const file of files) {
            const what = problem(file) || (taken.length && !multiple ? "surplus" : "");
            if (what) (refused[what] ??= []).push(file.name);
            else taken.push(file);
        }
        parentElement.refused = refused;
        show();
        return taken;
    };
    const hand = (files, tries = TRIES) => {
        const input = place()?.querySelector("input[type=file]");
        if (!input) return;
        const transfer = new DataTransfer();
        for (const file of files) transfer.items.add(file);
        input.files = transfer.files;
        if (!files.length) return;
        watch(files, tries - 1);
        handed = new Event("change", { bubbles: true });
        input.dispatchEvent(handed);
    };
    const chips = () => [...(place()?.querySelectorAll("[data-testid=stFileChip]") ?? [])];
    const forget = () => {
        parentElement.observer?.disconnect();
        clearTimeout(parentElement.clock);
    };
    const watch = (files, tries = TRIES - 1) => {
        forget();
        if (!tries) return;
        const before = new Set(chips());
        const arrived = () => chips().some((chip) => !before.has(chip));
        parentElement.observer = new MutationObserver(() => arrived() && forget());
        parentElement.observer.observe(place(), { childList: true, subtree: true });
        parentElement.clock = setTimeout(hand, PATIENCE, files, tries);
    };

    show(); // again, as the language may have changed

    // The listeners are the document's, to be heard before the uploader: replace them when this runs again.
    parentElement.listening?.abort();
    parentElement.listening = new AbortController();
    const options = { capture: true, signal: parentElement.listening.signal };
    const zoneOf = (event) =>
        event.target.closest(`.st-key-${uploader} [data-testid=stFileUploaderDropzone]`);
    document.addEventListener(
        "change",
        (event) => {
            if (event === handed || !zoneOf(event)) return;
            const input = event.target;
            const files = [...input.files], taken = sort(files, input);
            if (taken.length === files.length) return watch(taken);
            event.stopImmediatePropagation();
            hand(taken);
        },
        options,
    );
    document.addEventListener(
        "drop",
        async (event) => {
            const zone = zoneOf(event), input = zone?.querySelector("input[type=file]");
            if (!input || !event.dataTransfer?.files.length) return;
            event.preventDefault();
            event.stopImmediatePropagation();
            const dropped = filesIn(event.dataTransfer); // what is dropped can be asked for in this moment only
            zone.dispatchEvent(new DragEvent("drop", { bubbles: true })); // so that it stops waiting for one
            hand(sort(await dropped, input));
        },
        options,
    );
    return () => parentElement.listening.abort();
}

// What was dropped, with what is in its folders; in place of what cannot be read its name, marked so.
async function filesIn({ items, files }) {
    const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    return entries.length ? (await Promise.all(entries.map(within))).flat() : [...files];
}

async function within(entry) {
    const found = [];
    try {
        if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
        const reader = entry.createReader();
        for (;;) {
            const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at most
            if (!some.length) return found;
            found.push(...(await Promise.all(some.map(within))).flat());
        }
    } catch {
        return [...found, { name: entry.name, size: 0, unreadable: true }];
    }
}
