const PAUSE = 400; // milliseconds without a key before Python hears of an edit
const SETTLING = 10_000; // milliseconds in which what was pressed beside the posts may still change them

// When anything beside the posts was last touched, for all cards, which come and go.
if (document.img2promptTouched === undefined) {
    document.img2promptTouched = -Infinity;
    const note = ({ target }) => {
        if (!target.closest?.("[class*='st-key-card-']")) document.img2promptTouched = performance.now();
    };
    for (const kind of ["pointerdown", "keydown", "input"]) document.addEventListener(kind, note, { capture: true });
}

// As `img2prompt.posts.limits.weight`: X counts an emoji, a Hangul syllable and the like twice, an address as 23.
const ADDRESS = /https?:\/\/\S+/gu, PICTOGRAPH = /[\p{Extended_Pictographic}\p{Regional_Indicator}]/u;
const LIGHT = [[0, 4351], [8192, 8205], [8208, 8223], [8242, 8247]];
function weight(text) {
    const isLight = (code) => LIGHT.some(([first, last]) => first <= code && code <= last);
    let all = 23 * (text.match(ADDRESS) ?? []).length;
    for (const { segment } of new Intl.Segmenter().segment(text.replace(ADDRESS, ""))) {
        if (PICTOGRAPH.test(segment)) all += 2;
        else for (const character of segment) all += isLight(character.codePointAt(0)) ? 1 : 2;
    }
    return all;
}

export default function ({ data, parentElement, setTriggerValue }) {
    const find = (selector) => parentElement.querySelector(selector);
    const { strings, limits } = data;
    const area = find("textarea"), star = find(".star"), show = find(".show"), undo = find(".undo");

    // The text is the person's from the first moment on: later runs must not overwrite their typing, not even
    // where the page puts a new card in the place of this one.
    const drafts = (document.img2promptDrafts ??= new Map()); // post → its text, until Python has that
    if (drafts.get(data.post) === data.text) drafts.delete(data.post);
    const isNew = area.sent === undefined;
    if (isNew) {
        area.sent = data.text;
        area.value = drafts.get(data.post) ?? data.text;
    }
    area.lang = data.language;
    area.setAttribute("aria-label", strings.text_name);
    find("h3").textContent = strings.title;
    find(".writer").textContent = data.writer;

    const count = () => {
        // In UTF-16 units or X's weights, as the composer does.
        const size = limits.weighted ? weight : (text) => text.length;
        const first = size(area.value.split("\n", 1)[0]), all = size(area.value);
        fill(".first", strings.first, first, limits.first);
        fill(".all", strings.all, all, limits.all);
        area.setAttribute("aria-invalid", all > limits.all);
        undo.hidden = area.value === data.post;
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
    const draft = () => {
        drafts.set(data.post, area.value);
        count();
        clearTimeout(area.timer);
        area.timer = setTimeout(send, PAUSE);
    };
    area.oninput = draft;
    area.onblur = send;
    count();
    if (isNew && area.value !== area.sent) draft();

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

    undo.setAttribute("aria-label", strings.undo_name);
    undo.title = strings.undo_name;
    undo.onclick = () => {
        area.value = data.post;
        area.focus(); // the button goes
        draft();
        send();
    };

    const button = find(".copy");
    setUpCopying(button, find(".copying"), strings, () => area.value, () => setTriggerValue("copied", true));
    const copyNow = button.onclick;
    button.onclick = () => {
        const isSettled = performance.now() - document.img2promptTouched > SETTLING;
        if (isSettled || area.value !== data.post) return copyNow(); // what was edited stays as it is
        const detail = { post: data.post, number: data.number, shown: area.value, say: button.say };
        const isFree = document.dispatchEvent(new CustomEvent("img2prompt-copy", { detail, cancelable: true }));
        if (isFree) copyNow(); // nobody listens yet
    };
    if (data.outcome && data.outcome.id === document.img2promptWish?.id) {
        document.img2promptWish = undefined; // said once
        button.say(data.outcome.copied);
    }
}
