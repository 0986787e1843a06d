// Said by screen readers when it changes, so this must be on the page before there is anything to say.
export default function ({ data, parentElement }) {
    for (const [name, text] of Object.entries(data)) {
        const part = parentElement.querySelector(`.${name}`);
        if (part.textContent !== text) part.textContent = text;
    }
}
