// A download whose text Python makes when it hears of the click, after all that was typed and pressed before.
export default function ({ data, parentElement, setTriggerValue }) {
    const button = parentElement.querySelector("button");
    parentElement.querySelector("span").textContent = data.label;
    button.onclick = () => setTriggerValue("wanted", (button.wish = Math.random()));
    if (data.answer && data.answer.id === button.wish) {
        button.wish = undefined;
        const address = URL.createObjectURL(new Blob([data.answer.text], { type: "text/plain" }));
        Object.assign(document.createElement("a"), { href: address, download: data.file }).click();
        setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser may still read it
    }
}
