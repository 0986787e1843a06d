const PAUSE = 1000; // milliseconds without a key before Python hears of an edit
const PATIENCE = 5000; // milliseconds without an answer before it is told again

// A text to change in place. What was typed goes out as a trigger, as a text field's value would not arrive
// when the person leaves the page. A trigger can be dropped too, by what is pressed while the server is
// busy: so the typed text is kept as a draft until Python says that it has it, and goes out again.
export default function ({ data, parentElement, setTriggerValue }) {
    const area = parentElement.querySelector("textarea");
    const place = `img2prompt-draft-${data.id}`;
    let draft = JSON.parse(sessionStorage.getItem(place));
    if (draft && draft.number === data.kept) {
        sessionStorage.removeItem(place);
        draft = null;
    }
    // The text is the person's: runs that began before they typed must not overwrite it.
    const untouched = area.sent === undefined || area.value === area.sent;
    if (untouched && !draft) area.value = area.sent = data.text;
    area.setAttribute("aria-label", data.name);

    const keep = () => sessionStorage.setItem(place, JSON.stringify({ text: area.value, number: Math.random() }));
    const tell = () => {
        clearTimeout(area.timer);
        const draft = JSON.parse(sessionStorage.getItem(place));
        if (!draft || !area.isConnected) return;
        area.sent = area.value;
        setTriggerValue("text", draft);
        area.timer = setTimeout(tell, PATIENCE);
    };
    const send = () => {
        if (area.value !== area.sent) tell();
    };
    area.oninput = () => {
        keep();
        clearTimeout(area.timer);
        if (area.value.trim()) area.timer = setTimeout(send, PAUSE); // an empty one is filled again: when they leave
    };
    area.onblur = send;
    area.onkeydown = (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
    };
    if (draft && area.sent === undefined) {
        area.value = draft.text;
        area.timer = setTimeout(tell);
    }
    // A press on a link or a button may take the page away before the focus is lost.
    area.listening?.abort();
    area.listening = new AbortController();
    document.addEventListener("pointerdown", send, { capture: true, signal: area.listening.signal });
    return () => area.listening.abort();
}
