const PAUSE = 1000; // milliseconds without a key before Python hears of an edit

// A text to change in place. What was typed goes out as a trigger: unlike the value of a text field of
// Streamlit's, it also arrives when the person leaves the page while the server is busy.
export default function ({ data, parentElement, setTriggerValue }) {
    const area = parentElement.querySelector("textarea");
    // The text is the person's until the server has answered: runs that began earlier must not overwrite it.
    if (area.answers !== data.answers && (area.sent === undefined || area.value === area.sent)) {
        area.value = area.sent = data.text;
    }
    area.answers = data.answers;
    area.setAttribute("aria-label", data.name);

    const send = () => {
        clearTimeout(area.timer);
        if (area.value === area.sent) return;
        area.sent = area.value;
        setTriggerValue("text", area.value);
    };
    area.oninput = () => {
        clearTimeout(area.timer);
        if (area.value.trim()) area.timer = setTimeout(send, PAUSE); // an empty one is filled again: when they leave
    };
    area.onblur = send;
    area.onkeydown = (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
    };
    // A press on a link or a button may take the page away before the focus is lost.
    area.listening?.abort();
    area.listening = new AbortController();
    document.addEventListener("pointerdown", send, { capture: true, signal: area.listening.signal });
    return () => area.listening.abort();
}
