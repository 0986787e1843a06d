"""How words are shown: text with a copy button, and labels as bars.

Both are Streamlit components without a frame, so they follow the theme and may use
the clipboard. Text goes in as text, never as HTML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.prompts import SHOWN

if TYPE_CHECKING:
    from img2prompt.labels import Match

_MEANINGS = {
    "Caption": "What the picture shows, in a sentence to post.",
    "Prompt": "The words that could have made it, for an image generator.",
    "Labels": "The nearest medium, movement and flavors, with how near they are.",
}

_COPYABLE = st.components.v2.component(
    "img2prompt_copyable",
    html="""
        <header>
            <h2></h2>
            <button type="button">Copy</button>
            <span class="hidden" role="status" aria-live="polite"></span>
        </header>
        <p></p>
    """,
    css="""
        header, p { font-family: var(--st-font); color: var(--st-text-color); }
        header { display: flex; align-items: center; justify-content: space-between; gap: 1rem; }
        h2 { margin: 0; font-size: 0.875rem; font-weight: 600; opacity: 0.7; }
        p { margin: 0.25rem 0 0; line-height: 1.5; overflow-wrap: anywhere; }
        p.large { font-size: 1.375rem; line-height: 1.35; font-weight: 600; }
        button {
            min-width: 5.5rem; min-height: 2.25rem; padding: 0 0.875rem; cursor: pointer;
            font: inherit; font-size: 0.875rem; color: inherit;
            background: var(--st-background-color);
            border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
        }
        @media (pointer: coarse) { button { min-height: 2.75rem; } }
        button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
        button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
        button.done {
            color: #fff; background: var(--st-primary-color); border-color: var(--st-primary-color);
        }
        .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
    """,
    js="""
        export default function ({ data, parentElement }) {
            const find = (selector) => parentElement.querySelector(selector);
            const button = find("button"), status = find("[role=status]"), text = find("p");
            find("h2").textContent = data.title;
            text.textContent = data.text;
            text.classList.toggle("large", data.large);

            const show = (label, message, done) => {
                button.textContent = label;
                button.classList.toggle("done", done);
                button.setAttribute("aria-label", `${label} ${data.title.toLowerCase()}`);
                status.textContent = message;
            };
            show("Copy", "", false);

            let timer;
            button.onclick = async () => {
                const copied = await copy(data.text);
                if (copied) show("Copied", `${data.title} copied`, true);
                else show("Not copied", "Copying is not allowed here. Select the text instead.", false);
                button.focus();
                clearTimeout(timer);
                timer = setTimeout(() => show("Copy", "", false), 2500);
            };
            return () => clearTimeout(timer);
        }

        async function copy(text) {
            try {
                await navigator.clipboard.writeText(text);
                return true;
            } catch {
                // No clipboard API without https, unless on localhost: the old way still works.
                const area = document.createElement("textarea");
                area.value = text;
                area.style.cssText = "position: fixed; opacity: 0";
                document.body.append(area);
                area.select();
                const copied = document.execCommand("copy");
                area.remove();
                return copied;
            }
        }
    """,
)

_BARS = st.components.v2.component(
    "img2prompt_bars",
    html="<section></section>",
    css="""
        section { font-family: var(--st-font); color: var(--st-text-color); }
        h2 { margin: 0 0 0.25rem; font-size: 0.875rem; font-weight: 600; opacity: 0.7; }
        ul { margin: 0 0 0.625rem; padding: 0; list-style: none; }
        li {
            display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 4fr) 2.5rem;
            align-items: center; gap: 0.75rem; padding: 0.1rem 0; font-size: 0.9375rem;
        }
        .track { height: 0.5rem; border-radius: 0.25rem; background: var(--st-secondary-background-color); }
        .bar { display: block; height: 100%; border-radius: inherit; background: var(--st-primary-color); }
        .score { text-align: right; font-variant-numeric: tabular-nums; opacity: 0.7; }
    """,
    js="""
        export default function ({ data, parentElement }) {
            const make = (tag, name, text = "") =>
                Object.assign(document.createElement(tag), { className: name, textContent: text });
            const sections = data.map(({ title, rows }) => {
                const list = make("ul", "");
                for (const { label, score } of rows) {
                    const row = make("li", ""), track = make("span", "track"), bar = make("span", "bar");
                    bar.style.width = `${100 * Math.min(1, Math.max(0, score))}%`;
                    track.append(bar);
                    row.append(make("span", "", label), track, make("span", "score", score.toFixed(2)));
                    list.append(row);
                }
                return [make("h2", "", title), list];
            });
            parentElement.querySelector("section").replaceChildren(...sections.flat());
        }
    """,
)


def explain() -> None:
    """What comes out, for those who have not chosen a photo yet."""
    st.space("small")
    for column, (title, meaning) in zip(st.columns(3, gap="medium"), _MEANINGS.items(), strict=True):
        column.markdown(f"**{title}**  \n:small[{meaning}]")


def copyable(title: str, text: str, large: bool = False) -> None:
    """Text under a title, with a button that copies it."""
    _COPYABLE(key=f"copy-{title}", data={"title": title, "text": text, "large": large})


def bars(labels: dict[str, list[Match]]) -> None:
    """The best labels of the tables people know, as bars; a bar is full at a score (cosine) of 1."""
    _BARS(
        key="labels",
        data=[
            {"title": table.capitalize(), "rows": [match._asdict() for match in labels[table][:count]]}
            for table, count in SHOWN.items()
        ],
    )
