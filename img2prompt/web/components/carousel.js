export default function ({ data, parentElement }) {
    const find = (selector) => parentElement.querySelector(selector);
    const { pictures, ratio, strings } = data;
    const strip = find(".strip"), several = pictures.length > 1;

    find("b").textContent = strings.account;
    strip.setAttribute("aria-label", strings.name);
    strip.replaceChildren(
        ...pictures.map(({ source, alt }) => {
            const image = Object.assign(new Image(), { src: source, alt });
            image.style.aspectRatio = ratio;
            return image;
        }),
    );
    find(".dots").replaceChildren(...pictures.map(() => make("span")));
    find(".dots").hidden = find(".place").hidden = !several;
    find(".previous").setAttribute("aria-label", strings.previous);
    find(".next").setAttribute("aria-label", strings.next);

    const here = () => Math.round(strip.scrollLeft / Math.max(1, strip.clientWidth));
    const mark = (index) => {
        [...find(".dots").children].forEach((dot, at) => dot.classList.toggle("here", at === index));
        find(".place").textContent = `${index + 1}/${pictures.length}`;
        find(".previous").hidden = index === 0;
        find(".next").hidden = index === pictures.length - 1;
    };
    const go = (index) => {
        if (index < 0 || index >= pictures.length) return;
        const [from, to] = index < here() ? [".previous", ".next"] : [".next", ".previous"];
        const focused = parentElement.activeElement === find(from);
        strip.scrollTo({ left: index * strip.clientWidth });
        mark(index);
        find("[role=status]").textContent = strings.place
            .replace("{number}", index + 1)
            .replace("{count}", pictures.length);
        if (focused && find(from).hidden) find(to).focus(); // a hidden button would drop the focus
    };
    find(".previous").onclick = () => go(here() - 1);
    find(".next").onclick = () => go(here() + 1);
    strip.onkeydown = (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step) return;
        event.preventDefault();
        go(here() + step);
    };
    strip.onscrollend = () => mark(here());
    mark(Math.min(here(), pictures.length - 1));
}
