"""Ask in the sidebar what the visitor wants of a post."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode

import streamlit as st

from img2prompt.posts import Choices, tones
from img2prompt.posts.post import EMOJI, GOALS, LENGTHS, MAX_HASHTAGS
from img2prompt.web.shared import cookies, note
from img2prompt.web.shared.i18n import t

COOKIE = "choices"
MOST_VARIANTS = 10  # nobody reads more on one page


def ask() -> Choices:
    """Show the choices in the sidebar; they outlast a visit to another page.

    The browser remembers all of them for the next visit, except the note: a year later or on a shared machine,
    nobody should find whom somebody was with.
    """
    default = as_choices(cookies.remembered(COOKIE) or "")
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
        own_words = note.ask(t("note"), "note", help=t("note.help"), persist="session")
        choices = Choices(tone, goal, emoji, length, hashtags, variants, own_words)
        cookies.remember(COOKIE, as_cookie(choices))
    return choices


def as_cookie(choices: Choices) -> str:
    """The choices without note and seed, as the value of a cookie."""
    names = ("tone", "goal", "length", "emoji", "hashtags", "variants")
    return urlencode({name: getattr(choices, name) for name in names})


def as_choices(cookie: str) -> Choices:
    """The choices that a browser remembers; what it lacks, or no form here could have sent, is the default's."""
    try:
        said = parse_qs(cookie, max_num_fields=20)
    except ValueError:  # too many fields
        said = {}
    options: dict[str, Iterable] = {
        "tone": tones(),
        "goal": GOALS,
        "length": LENGTHS,
        "emoji": EMOJI,
        "hashtags": range(MAX_HASHTAGS + 1),
        "variants": range(1, MOST_VARIANTS + 1),
    }
    known: dict[str, Any] = {}
    for name, values in options.items():
        by_text = {str(value): value for value in values}
        if (text := said.get(name, [""])[0]) in by_text:
            known[name] = by_text[text]
    return Choices(**known)


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
