// A caption as the feed shows it: folded after `fold` characters, until someone asks for more.
export default function ({ data, parentElement }) {
    const find = (selector) => parentElement.querySelector(selector);
    const { strings } = data;
    const button = find("button"), folds = data.text.length > data.fold;
    const folded = data.text.slice(0, data.fold).toWellFormed().replace(/\uFFFD$/, "").trimEnd();

    const draw = () => {
        const open = button.getAttribute("aria-expanded") === "true";
        const shown = folds && !open ? folded : data.text;
        find("b").textContent = strings.account;
        find("p").lang = data.language;
        find("b").lang = button.lang = document.documentElement.lang;
        find(".text").replaceChildren(
            ...shown.split(/(#[\p{L}\p{N}_]+)/u).map((part, at) => make("span", at % 2 ? "hashtag" : "", part)),
        );
        find(".dots").hidden = !folds || open;
        button.hidden = !folds;
        button.textContent = open ? strings.less : strings.more;
    };
    if (!button.hasAttribute("aria-expanded")) button.setAttribute("aria-expanded", false);
    button.onclick = () => {
        button.setAttribute("aria-expanded", button.getAttribute("aria-expanded") !== "true");
        draw();
    };
    draw();
}
