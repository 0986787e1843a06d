"""The finished posts: a card for each, a preview of one, alt text, all as a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from img2prompt.errors import HistoryError
from img2prompt.posts import Choices, Variant, alt_text, compose
from img2prompt.posts.post import HOOK_LIMIT, POST_LIMIT
from img2prompt.web import components
from img2prompt.web.caption import preview
from img2prompt.web.caption.reading import copy_strings, copyable
from img2prompt.web.shared import account, keeping, session
from img2prompt.web.shared.frame import as_it_is
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.photo import Photo

_CARD = components.register("card")


@dataclass
class Desk:
    """What the visitor did with the posts about some photos. Posts are known by their first text."""

    photos: list[Photo]
    edits: dict[str, str] = field(default_factory=dict)  # first text → text now
    starred: list[str] = field(default_factory=list)
    shown: str | None = None  # the one in the preview
    seed: int = 0
    kept: tuple | None = None  # what was saved last
    problem: str = ""  # why it could not be

    def shuffle(self) -> None:
        self.seed += 1

    def now(self, text: str) -> str:
        """A post as it reads now."""
        return self.edits.get(text, text)

    def keep(self, choices: Choices, variants: Sequence[Variant]) -> None:
        """Save the posts in the history, once; without success, only the reason is kept."""
        now = ([photo.result for photo in self.photos], choices, account.keeps())
        if self.kept == now:
            return
        self.kept = now  # tried once: a database that is busy would hold up every click
        try:
            keeping.keep(self.photos, choices, variants)
            self.problem = ""
        except HistoryError as error:
            self.problem = str(error)

    def mark(self, text: str, **marks: Any) -> None:
        """Note in the history what was done with a post."""
        try:
            keeping.mark(self.photos, text, **marks)
        except HistoryError as error:
            self.problem = str(error)


@st.fragment  # what happens here draws only this part again
def show(photos: list[Photo], choices: Choices) -> None:
    """Write posts about photos that the model has looked at, and let the visitor work on them."""
    desk = _desk(photos)
    seen = [photo.seen for photo in photos if photo.seen]
    choices = replace(choices, seed=desk.seed)
    variants = compose(seen, choices)
    written = [variant.text for variant in variants]
    # Starred posts stay, whatever was changed or shuffled since.
    posts = [text for text in desk.starred if text not in written] + written
    alts = [alt_text(one) for one in seen]

    st.header(t("posts"), anchor=False)
    st.caption(t("posts.help"))
    problem = st.empty()
    with st.container(key="where-choices-are"):
        st.caption(t("posts.choices"))
    left, right = st.columns([2, 3], gap="medium")
    with right:
        with st.container(horizontal=True):
            st.button(t("shuffle"), icon=":material/shuffle:", on_click=desk.shuffle)
            st.download_button(
                t("download"),
                as_text([desk.now(text) for text in posts], alts),
                file_name="posts.txt",
                mime="text/plain",
                icon=":material/download:",
                on_click="ignore",
            )
        shown = _shown(desk, posts)
        for number, text in enumerate(posts, 1):
            _card(number, text, text == shown, desk)
    with left, st.container(key="preview"):
        preview.show(photos, alts, desk.now(shown))

    st.space("xxsmall")
    for number, alt in enumerate(alts, 1):
        title = t("alt") if len(alts) == 1 else t("alt.number", number=number)
        copyable(title, alt, f"alt-{number}")
    st.caption(t("alt.help"))
    desk.keep(choices, variants)  # last, as everything is on the page by now
    if desk.problem:
        problem.warning(t("history.not_saved", reason=as_it_is(desk.problem)))


def as_text(posts: list[str], alts: list[str]) -> str:
    """Posts and alt texts as a file for people to read."""
    parts = [(t("post", number=number), text) for number, text in enumerate(posts, 1)]
    parts += [(t("alt.number", number=number), text) for number, text in enumerate(alts, 1)]
    return "\n\n\n".join(f"— {title} —\n\n{text}" for title, text in parts) + "\n"


def _desk(photos: list[Photo]) -> Desk:
    """The desk of these photos; other photos get a new one."""
    desk = st.session_state.get(session.DESK)
    if desk is None or desk.photos != photos:
        desk = st.session_state[session.DESK] = Desk(photos)
    return desk


def _shown(desk: Desk, posts: list[str]) -> str:
    """The post that was asked for, else the first starred one, else the first."""
    candidates = [desk.shown, *desk.starred, *posts]
    return next(text for text in candidates if text in posts)


def _card(number: int, text: str, shown: bool, desk: Desk) -> None:
    key = f"card-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def edit() -> None:
        desk.edits[text] = st.session_state[key].text
        desk.shown = text
        desk.mark(text, edited=desk.edits[text])

    def star() -> None:
        desk.starred = [other for other in desk.starred if other != text]
        if st.session_state[key].star:
            desk.starred.append(text)
            desk.shown = text
        desk.mark(text, starred=text in desk.starred)

    def choose() -> None:
        desk.shown = text

    def copy() -> None:
        desk.mark(text, copied=True)

    title = t("post", number=number)
    _CARD(
        key=key,
        data={
            "text": desk.now(text),
            "starred": text in desk.starred,
            "shown": shown,
            "limits": {"first": HOOK_LIMIT, "all": POST_LIMIT},
            "strings": copy_strings(title)
            | {
                "title": title,
                "text_name": t("post.text", number=number),
                "star_name": t("post.star", number=number),
                "show": t("post.show"),
                "show_name": t("post.show.name", number=number),
                "first": t("post.first"),
                "first_over": t("post.first.over", most=HOOK_LIMIT),
                "all": t("post.all"),
                "all_over": t("post.all.over", most=POST_LIMIT),
            },
        },
        on_text_change=edit,
        on_star_change=star,
        on_show_change=choose,
        on_copied_change=copy,
    )
