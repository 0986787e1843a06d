// The keyboard of a list of captions. It presses the buttons that are there for everybody, so whatever a key does
// can be done without it. Its own place is the row that has the focus; a row that is drawn anew keeps it.
let current = "";

export default function ({ parentElement }) {
    const listening = new AbortController();
    document.addEventListener("keydown", (event) => press(event), { capture: true, signal: listening.signal });
    parentElement.hidden = true;
    return () => listening.abort();
}

function press(event) {
    const target = event.composedPath()[0];
    if (event.isComposing || event.altKey || !(target instanceof Element)) return;
    const command = event.ctrlKey || event.metaKey;
    if (target.matches("input, textarea, select, [contenteditable=true]")) {
        if (target.tagName === "TEXTAREA" && !command && !event.shiftKey && row(event)) leave(event, target);
        return;
    }
    const done = command ? take(event) : go(event, target);
    if (done) event.preventDefault();
}

// In a caption: Enter saves and goes to the next, Escape saves and stays.
function leave(event, area) {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    current = name(row(event));
    area.blur();
    if (event.key === "Escape") focus(rows().find((each) => name(each) === current));
    else if (!click("large-next")) move(1);
}

function take(event) {
    const key = event.key.toLowerCase();
    if (key === "z") return click(event.shiftKey ? "captions-redo" : "captions-undo");
    return key === "y" && click("captions-redo");
}

function go(event, target) {
    const onRow = target === document.body || Boolean(name(target));
    switch (event.key) {
        case "j": return click("large-next") || move(1);
        case "k": return click("large-before") || move(-1);
        case "e": return edit();
        case "Enter": return onRow && here() && click("large-", here());
        case "?": return click("captions-keys");
    }
    return false;
}

const rows = () => {
    const large = document.querySelector('[role=dialog] [class*="st-key-row-"]');
    return large ? [large] : [...document.querySelectorAll('[class*="st-key-row-"]')];
};
const name = (element) => element?.getAttribute?.("class")?.match(/st-key-(row-\S+)/)?.[1] ?? "";
const row = (event) => event.composedPath().find((element) => name(element));
const here = () => rows().find((each) => name(each) === current);

function move(step) {
    const all = rows(), place = all.indexOf(here());
    const next = all[place < 0 ? 0 : Math.min(Math.max(place + step, 0), all.length - 1)];
    focus(next);
    return Boolean(next);
}

function focus(element) {
    if (!element) return;
    current = name(element);
    element.tabIndex = -1;
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest" });
}

function edit() {
    const element = here() ?? rows()[0];
    const hosts = element ? [element, ...[...element.querySelectorAll("*")].map((each) => each.shadowRoot)] : [];
    const area = hosts.map((host) => host?.querySelector("textarea")).find(Boolean);
    if (!area) return false;
    current = name(element);
    area.focus();
    area.scrollIntoView({ block: "nearest" });
    return true;
}

function click(key, within = document) {
    const button = within.querySelector(`[class*="st-key-${key}"] button:not(:disabled)`);
    button?.click();
    return Boolean(button);
}
