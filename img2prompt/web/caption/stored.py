"""What the photos' files say of themselves: the prompt that made them, and what people wrote about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import streamlit as st

from img2prompt.metadata import UNNAMED, Notes
from img2prompt.posts.limits import cut, size, tidy
from img2prompt.posts.post import MAX_NOTE
from img2prompt.web.caption.reading import copyable
from img2prompt.web.shared import dates, pipelines
from img2prompt.web.shared.frame import as_it_is
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.photo import Photo

MOST_SUGGESTIONS = 10
MOST_KEYWORDS = 5  # of a photo
LABEL = 60  # characters of a suggestion that its button shows
NOTE = "note"  # key of the field for what only the visitor knows


def show(photos: Sequence[Photo]) -> None:
    """Show the prompts in the photos' files."""
    gives = pipelines.gives_stored()
    for number, photo in enumerate(photos, 1):
        if not gives:
            photo.uses_stored = False
        elif photo.metadata.stored:
            title = t("stored") if len(photos) == 1 else t("stored.number", number=number)
            with st.container(border=True, key=f"stored-{number}"):
                _prompt(photo, title, number)


def _prompt(photo: Photo, title: str, number: int) -> None:
    stored = photo.metadata.stored
    assert stored is not None
    if not stored.prompt:
        tool = stored.tool or UNNAMED
        st.markdown(t("stored.made.unnamed") if tool == UNNAMED else t("stored.made", tool=as_it_is(tool)))
        return
    copyable(title, stored.prompt, f"stored-{number}")
    if stored.negative:
        copyable(t("stored.negative"), stored.negative, f"stored-negative-{number}")
    st.caption(as_it_is(stored.settings_line()))
    if photo.result:

        def choose() -> None:
            photo.uses_stored = st.session_state[key]

        key = f"use-stored-{photo.key}"
        st.toggle(t("stored.use"), photo.uses_stored, key=key, help=t("stored.use.help"), on_change=choose)


def suggest(photos: Sequence[Photo]) -> None:
    """Offer what people wrote as buttons that put it into the note; nothing of it is used unasked."""
    texts = [text for photo in photos if photo.metadata.notes for text in _offered(photo.metadata.notes)]
    note = st.session_state.get(NOTE, "")
    texts = [text for text in dict.fromkeys(texts) if text not in note][:MOST_SUGGESTIONS]
    if not texts:
        return
    with st.container(key="suggestions", gap="xsmall"):
        st.caption(t("suggest", note=t("note")))
        with st.container(horizontal=True, gap="xsmall"):
            for text in texts:
                label = text if len(text) <= LABEL else f"{text[: LABEL - 1].rstrip()}…"
                st.button(
                    as_it_is(label),
                    key=f"suggest-{text}",
                    icon=":material/add:",
                    help=None if _with(text) else t("suggest.full", note=t("note"), most=MAX_NOTE),
                    disabled=not _with(text),
                    on_click=_use,
                    args=(text,),
                )


def _offered(notes: Notes) -> Iterator[str]:
    """What of it may stand in a note, the most telling first."""
    day = dates.words(date.fromisoformat(notes.date)) if notes.date else ""
    for text in (notes.title, notes.place, day, notes.description, *notes.keywords[:MOST_KEYWORDS]):
        if text:
            yield cut(tidy(text), MAX_NOTE, mark="")


def _with(text: str) -> str:
    """The note with a text after what is there; "" where there is no room for it."""
    note = tidy(st.session_state.get(NOTE, ""))
    longer = f"{note}, {text}" if note else text
    return longer if size(longer) <= MAX_NOTE else ""


def _use(text: str) -> None:
    if longer := _with(text):  # more may have been typed since the button was drawn
        st.session_state[NOTE] = longer
