const PAUSE = 400; // milliseconds without a key before Python hears of an edit

export default function ({ data, parentElement, setTriggerValue }) {
    const find = (selector) => parentElement.querySelector(selector);
    const { strings, limits } = data;
    const area = find("textarea"), star = find(".star"), show = find(".show");

    // The text is the person's from the first moment on: later runs must not overwrite their typing.
    if (area.sent === undefined) area.value = area.sent = data.text;
    area.setAttribute("aria-label", strings.text_name);
    find("h3").textContent = strings.title;

    const count = () => {
        // In UTF-16 units, as Instagram counts and the composer does.
        const first = area.value.split("\n", 1)[0].length, all = area.value.length;
        fill(".first", strings.first, first, limits.first);
        fill(".all", strings.all, all, limits.all);
        area.setAttribute("aria-invalid", all > limits.all);
        const over = [];
        if (first > limits.first) over.push(strings.first_over);
        if (all > limits.all) over.push(strings.all_over);
        if (find(".counting").textContent !== over.join(" ")) find(".counting").textContent = over.join(" ");
    };
    const fill = (selector, label, value, limit) => {
        const format = (number) => number.toLocaleString(document.documentElement.lang);
        find(selector).textContent = `${label} ${format(value)} / ${format(limit)}`;
        find(selector).classList.toggle("over", value > limit);
    };
    const send = () => {
        clearTimeout(area.timer);
        if (area.value === area.sent) return;
        area.sent = area.value;
        setTriggerValue("text", area.value); // a state would be lost to someone who leaves the page while it is busy
    };
    area.oninput = () => {
        count();
        clearTimeout(area.timer);
        area.timer = setTimeout(send, PAUSE);
    };
    area.onblur = send;
    count();

    star.setAttribute("aria-label", strings.star_name);
    star.title = strings.star_name;
    star.setAttribute("aria-pressed", data.starred);
    star.onclick = () => {
        const starred = star.getAttribute("aria-pressed") !== "true";
        star.setAttribute("aria-pressed", starred);
        setTriggerValue("star", starred);
    };

    show.textContent = strings.show;
    show.setAttribute("aria-label", strings.show_name);
    show.setAttribute("aria-pressed", data.shown);
    show.onclick = () => {
        setTriggerValue("show", true);
        document.querySelector(".st-key-preview")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
    };

    setUpCopying(find(".copy"), find(".copying"), strings, () => area.value, () => setTriggerValue("copied", true));
}
