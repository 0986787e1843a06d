export default function ({ data, parentElement }) {
    const sections = data.map(({ title, rows }) => {
        const heading = make("h2", "", title), list = make("ul");
        for (const { label, score } of rows) {
            const row = make("li"), track = make("span", "track"), bar = make("span", "bar");
            bar.style.width = `${100 * Math.min(1, Math.max(0, score))}%`;
            track.append(bar);
            row.append(make("span", "", label), track, make("span", "score", score.toFixed(2)));
            list.append(row);
        }
        heading.lang = document.documentElement.lang;
        return [heading, list];
    });
    parentElement.querySelector("section").replaceChildren(...sections.flat());
}
