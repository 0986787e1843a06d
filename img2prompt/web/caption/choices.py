"""Ask in the sidebar what the visitor wants of a post."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode

import streamlit as st

from img2prompt.posts import Choices, tones
from img2prompt.posts.platforms import platforms
from img2prompt.posts.post import EMOJI, GOALS, LENGTHS
from img2prompt.web.caption import voice
from img2prompt.web.shared import cookies, i18n, note
from img2prompt.web.shared.i18n import t

COOKIE = "choices"
MOST_VARIANTS = 10  # nobody reads more on one page


def ask(hint: str = "") -> Choices:
    """Show the choices in the sidebar; they outlast a visit to another page.

    The browser remembers them for the next visit, except the detail: a year later or on a shared machine, nobody
    should find whom somebody was with. The posts are in the page's language.

    Parameters
    ----------
    hint : an example of a detail, for the empty field
    """
    default = as_choices(cookies.remembered(COOKIE) or "")
    with st.sidebar:
        detail = note.ask(
            t("note"),
            "note",
            help=t("note.help"),
            persist="session",
            placeholder=hint or t("note.placeholder"),
        )
        tone = _one_of(st.pills, "tone", tones(), default.tone)
        goal = _one_of(st.pills, "goal", GOALS, default.goal)
        length = _one_of(st.segmented_control, "length", LENGTHS, default.length)
        emoji = _one_of(st.segmented_control, "emoji", EMOJI, default.emoji)
        platform = st.selectbox(
            t("platform"),
            list(platforms()),
            index=list(platforms()).index(default.platform),
            format_func=lambda key: platforms()[key].name,
            key="platform",
            persist_state="session",
        )
        place = platforms()[platform]
        hashtags = st.slider(
            t("hashtags"),
            0,
            place.hashtags,
            default.most_hashtags if platform == default.platform else place.usual,
            help=t("hashtags.help", platform=place.name, most=place.hashtags),
            key=hashtags_key(platform),  # of its own, as a slider's range cannot change
            persist_state="session",
        )
        variants = st.slider(
            t("variants"), 1, MOST_VARIANTS, default.variants, key="variants", persist_state="session"
        )
        own = voice.ask()
        choices = Choices(
            tone,
            goal,
            emoji,
            length,
            hashtags,
            variants,
            detail,
            language=i18n.language(),
            platform=platform,
            voice=own,
        )
        cookies.remember(COOKIE, as_cookie(choices))
    return choices


def hashtags_key(platform: str) -> str:
    """The key of the slider for the number of hashtags on a platform."""
    return f"hashtags-{platform}"


def as_cookie(choices: Choices) -> str:
    """The choices that a browser remembers, as the value of a cookie."""
    names = ("tone", "goal", "length", "emoji", "platform", "hashtags", "variants")
    return urlencode({name: getattr(choices, name) for name in names})


def as_choices(cookie: str) -> Choices:
    """The choices that a browser remembers; what it lacks, or no form here could have sent, is the default's."""
    try:
        said = parse_qs(cookie, max_num_fields=20)
    except ValueError:  # too many fields
        said = {}

    def one_of(name: str, values: Iterable) -> Any:
        return {str(value): value for value in values}.get(said.get(name, [""])[0])

    known = {
        "tone": one_of("tone", tones()),
        "goal": one_of("goal", GOALS),
        "length": one_of("length", LENGTHS),
        "emoji": one_of("emoji", EMOJI),
        "platform": one_of("platform", platforms()),
        "variants": one_of("variants", range(1, MOST_VARIANTS + 1)),
    }
    place = platforms()[known["platform"] or Choices.platform]
    known["hashtags"] = one_of("hashtags", range(place.hashtags + 1))
    return Choices(**{name: value for name, value in known.items() if value is not None})


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
