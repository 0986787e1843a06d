export default function ({ data, parentElement }) {
    const find = (selector) => parentElement.querySelector(selector);
    const text = find("p");
    find("h2").textContent = data.title;
    text.textContent = data.text;
    text.lang = "en";
    text.classList.toggle("large", data.large);
    setUpCopying(find("button"), find("[role=status]"), data.strings, () => data.text);
}
