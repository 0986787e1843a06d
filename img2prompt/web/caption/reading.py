"""The photos read by the engine, and what it saw: a caption and a prompt to copy, and labels as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.posts import as_sentence
from img2prompt.posts.facts import see
from img2prompt.prompts import SHOWN
from img2prompt.web import components
from img2prompt.web.shared import pipelines, session
from img2prompt.web.shared.frame import show_error
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.photo import Photo

if TYPE_CHECKING:
    from img2prompt import Result

_COPYABLE = components.register("copyable")
_BARS = components.register("bars")


def explain() -> None:
    """What comes out, for those who have not chosen a photo yet."""
    st.space("small")
    for column, part in zip(st.columns(3, gap="medium"), ("posts", "prompt", "labels"), strict=True):
        column.markdown(f"**{t(f'explain.{part}')}**  \n:small[{t(f'explain.{part}.meaning')}]")


def show(photos: list[Photo]) -> None:
    """What the engine saw in each photo; one tab a photo if there are several."""
    results = [photo.result for photo in photos if photo.result]
    places = (
        st.tabs([t("photo", number=number) for number, _ in enumerate(results, 1)])
        if len(results) > 1
        else [st.container()]
    )
    for number, (place, result) in enumerate(zip(places, results, strict=True), 1):
        with place:
            _show_one(result, number)


def _show_one(result: Result, number: int) -> None:
    copyable(t("caption"), as_sentence(result.caption), f"caption-{number}", large=True)
    copyable(t("prompt"), result.prompt, f"prompt-{number}")
    # A bar is full at a score (cosine) of 1.
    _BARS(
        key=f"labels-{number}",
        data=[
            {"title": t(f"labels.{table}"), "rows": [m._asdict() for m in result.labels[table][:count]]}
            for table, count in SHOWN.items()
        ],
    )
    st.caption(t("read_by", engine=result.engine, seconds=f"{result.seconds:.2f}"))


def copyable(title: str, text: str, key: str, large: bool = False) -> None:
    """Text under a title, with a button that copies it."""
    _COPYABLE(
        key=f"copy-{key}",
        data={"title": title, "text": text, "large": large, "strings": copy_strings(title)},
    )


def copy_strings(what: str) -> dict[str, str]:
    """What a copy button says; `what` names the thing it copies."""
    return {
        "copy": t("copy"),
        "copy_name": t("copy.name", what=what.lower()),
        "copied": t("copy.copied"),
        "copied_name": t("copy.copied.name", what=what.lower()),
        "copied_message": t("copy.copied.message", what=what),
        "not_copied": t("copy.not_copied"),
        "not_copied_message": t("copy.not_copied.message"),
    }


def ask_for(photos: list[Photo]) -> None:
    """Note that the model shall look at these photos.

    Streamlit ends a run when the next click comes, and its button with it; the note lasts until there is an answer.
    """
    for photo in photos:
        photo.asked = True


def read(photos: list[Photo]) -> None:
    """Let the model look at each photo that it has not seen yet, and keep what it says there.

    Says so where parts of the full engine are missing and lite looks instead.

    Raises
    ------
    Img2PromptError
        When the pipeline cannot be loaded.
    """
    try:
        _read(photos)
    except Exception:  # an answer too, unlike the end of a run, which is a BaseException
        _answered(photos)
        raise


def _answered(photos: list[Photo]) -> None:
    for photo in photos:
        photo.asked = False


def _read(photos: list[Photo]) -> None:
    if error := pipelines.missing(pipelines.settings()):
        show_error(f"{error} {t('models.instead')}")
    pipeline = pipelines.shared()
    others = st.session_state.get(session.READ_WITH) != pipeline.settings  # they were seen by another model
    unseen = [photo for photo in photos if others or photo.result is None]
    with st.spinner(t("reading", count=len(unseen))):
        results = pipeline.describe([photo.picture for photo in unseen])
        # Before the spinner stops, where this run may end.
        for photo, result in zip(unseen, results, strict=True):
            photo.seen = see(result, photo.picture)
            photo.result = result
            photo.post = None
        st.session_state[session.READ_WITH] = pipeline.settings
        _answered(photos)
