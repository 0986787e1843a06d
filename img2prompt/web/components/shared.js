

// A button that copies what `text()` returns and says so, to eyes and ears; then it calls `done`.
function setUpCopying(button, status, strings, text, done = () => {}) {
    const show = (label, name, message, done) => {
        button.textContent = label;
        button.classList.toggle("done", done);
        button.setAttribute("aria-label", name);
        status.textContent = message;
    };
    button.rest = () => show(strings.copy, strings.copy_name, "", false);
    button.say = (copied) => {
        if (copied) show(strings.copied, strings.copied_name, strings.copied_message, true);
        else show(strings.not_copied, strings.not_copied, strings.not_copied_message, false);
        // The old way to copy drops the focus, and a card may be new. Who is elsewhere by now stays there.
        if (document.activeElement === document.body) button.focus();
        clearTimeout(button.timer);
        button.timer = setTimeout(() => {
            button.timer = undefined;
            button.rest();
        }, 2500);
    };
    if (!button.timer) button.rest();
    button.onclick = async () => {
        const copied = await copy(text());
        button.say(copied);
        if (copied) done();
    };
}

// Copies a text, or one that is promised: browsers let a page write in the moment of a click only, but then wait.
async function copy(text) {
    try {
        if (text instanceof Promise) {
            const type = "text/plain";
            const content = text.then((text) => new Blob([text], { type }));
            await navigator.clipboard.write([new ClipboardItem({ [type]: content })]);
        } else await navigator.clipboard.writeText(text);
        return true;
    } catch {
        // No clipboard API without https, unless on localhost: the old way still works.
        const area = document.createElement("textarea");
        area.value = await text;
        area.style.cssText = "position: fixed; opacity: 0";
        document.body.append(area);
        area.select();
        const copied = document.execCommand("copy");
        area.remove();
        return copied;
    }
}

function make(tag, name = "", text = "") {
    return Object.assign(document.createElement(tag), { className: name, textContent: text });
}
