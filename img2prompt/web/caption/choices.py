"""Ask in the sidebar what the visitor wants of a post."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from img2prompt.posts import Choices, tones
from img2prompt.posts.limits import cut, size, tidy
from img2prompt.posts.post import EMOJI, GOALS, LENGTHS, MAX_HASHTAGS, MAX_NOTE
from img2prompt.web.shared.i18n import t

MOST_VARIANTS = 10  # nobody reads more on one page


def ask() -> Choices:
    """Show the choices in the sidebar, with sensible defaults; they outlast a visit to another page."""
    default = Choices()
    with st.sidebar:
        tone = _one_of(st.pills, "tone", tones(), default.tone)
        goal = _one_of(st.pills, "goal", GOALS, default.goal)
        length = _one_of(st.segmented_control, "length", LENGTHS, default.length)
        emoji = _one_of(st.segmented_control, "emoji", EMOJI, default.emoji)
        hashtags = st.slider(
            t("hashtags"),
            0,
            MAX_HASHTAGS,
            default.hashtags,
            help=t("hashtags.help"),
            key="hashtags",
            persist_state="session",
        )
        variants = st.slider(
            t("variants"), 1, MOST_VARIANTS, default.variants, key="variants", persist_state="session"
        )
        note = st.text_input(
            t("note"),
            placeholder=t("note.placeholder"),
            help=t("note.help"),
            key="note",
            persist_state="session",
            live=True,
        )
        # Not `max_chars`, with which the browser drops a longer text that is pasted, without a word.
        if size(note := tidy(note)) > MAX_NOTE:
            note = cut(note, MAX_NOTE, mark="")
            st.warning(t("note.cut", most=MAX_NOTE))
    return Choices(tone, goal, emoji, length, hashtags, variants, note)


def _one_of(control: Callable, name: str, options: Sequence[str], default: str) -> str:
    names = {option: t(f"{name}.{option}") for option in options}
    return control(
        t(name),
        options,
        default=default,
        required=True,
        format_func=names.__getitem__,
        key=name,
        persist_state="session",
        width="stretch",
    )
