"""Let the engine describe the photos, and show its caption, prompt and labels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.posts import caption_of
from img2prompt.posts.facts import see
from img2prompt.prompts import SHOWN
from img2prompt.web import components
from img2prompt.web.caption import work
from img2prompt.web.shared import pipelines, session
from img2prompt.web.shared.frame import show_error
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.photo import Photo
from img2prompt.web.shared.sentences import say

if TYPE_CHECKING:
    from img2prompt import Result

_COPYABLE = components.register("copyable")
_BARS = components.register("bars")
_ANNOUNCEMENT = components.register("announcement")


def explain() -> None:
    """Explain the results to a visitor who has not chosen a photo yet."""
    st.space("small")
    for column, part in zip(st.columns(3, gap="medium"), ("posts", "prompt", "labels"), strict=True):
        column.markdown(f"**{t(f'explain.{part}')}**  \n:small[{t(f'explain.{part}.meaning')}]")


def show(photos: list[Photo], alts: Sequence[str] = ()) -> None:
    """Show the words of each photo, in tabs if there are several.

    With `alts`, the alt text of each, they stand beside the posts: prompt and labels are folded.
    """
    described = [(photo, photo.result) for photo in photos if photo.result]
    containers = (
        st.tabs([t("photo", number=number) for number, _ in enumerate(described, 1)])
        if len(described) > 1
        else [st.container()]
    )
    for number, (container, (photo, result)) in enumerate(zip(containers, described, strict=True), 1):
        with container:
            copyable(t("caption"), caption_of(result), f"caption-{number}", large=True)
            if alts:
                title = t("alt") if len(alts) == 1 else t("alt.number", number=number)
                copyable(title, alts[number - 1], f"alt-{number}")
                st.caption(t("alt.help"))
            with st.expander(t("words.more")) if alts else nullcontext():
                _show_prompt_and_labels(photo.prompt, result, number)


def _show_prompt_and_labels(prompt: str, result: Result, number: int) -> None:
    copyable(t("prompt"), prompt, f"prompt-{number}")
    # A full bar is a score (cosine) of 1.
    _BARS(
        key=f"labels-{number}",
        data=[
            {"title": t(f"labels.{table}"), "rows": [m._asdict() for m in result.labels[table][:count]]}
            for table, count in SHOWN.items()
        ],
    )
    st.caption(t("read_by", engine=t(f"models.{result.engine}"), seconds=f"{result.seconds:.2f}"))


def copyable(title: str, text: str, key: str, large: bool = False) -> None:
    """Show a text under a title, with a button that copies it."""
    _COPYABLE(
        key=f"copy-{key}",
        data={"title": title, "text": text, "large": large, "strings": copy_strings(title)},
    )


def copy_strings(what: str) -> dict[str, str]:
    """The strings of a copy button for `what`, the name of the copied text."""
    return {
        "copy": t("copy"),
        "copy_name": t("copy.name", what=what.lower()),
        "copied": t("copy.copied"),
        "copied_name": t("copy.copied.name", what=what.lower()),
        "copied_message": t("copy.copied.message", what=what),
        "not_copied": t("copy.not_copied"),
        "not_copied_message": t("copy.not_copied.message"),
    }


def announce(photos: Sequence[Photo]) -> None:
    """Say to a screen reader what was read, once; without photos, nothing. Call this in every run, at one place."""
    with st.container(key="announcement"):
        _ANNOUNCEMENT(
            key="announcement-words",
            data={
                "caption": " ".join(caption_of(photo.result) for photo in photos if photo.result),
                "posts": t("posts.ready") if photos else "",
            },
        )


def ask_for(photos: list[Photo]) -> None:
    """Note that the visitor wants these photos described.

    Another click ends Streamlit's run of the script, and the state of the button is lost. The note
    lasts until the wish is `answered`, with posts or an error.
    """
    for photo in photos:
        photo.asked = True


def is_asked_for() -> bool:
    """Whether the visitor waits for any photo to be described."""
    opened = st.session_state.get(session.OPENED, {}).values()
    return any(isinstance(photo, Photo) and photo.asked for photo in opened)


def answered(photos: list[Photo]) -> None:
    """Note that the visitor has what they asked for, or knows why not."""
    for photo in photos:
        photo.asked = False


def is_up_to_date() -> bool:
    """Whether the model that this visitor chose is the one that described the photos."""
    return bool(st.session_state.get(session.READ_WITH) == pipelines.settings())


def read(photos: list[Photo]) -> None:
    """Describe each photo that this pipeline has not described yet, and store the result in it.

    If the chosen engine lacks something, shows an error and uses lite instead.

    Raises
    ------
    Img2PromptError
        When the pipeline cannot be loaded.
    """
    try:
        _read(photos)
    except Exception:  # not BaseException: after the end of a run, the photos are still asked for
        answered(photos)
        raise


def _read(photos: list[Photo]) -> None:
    if error := pipelines.missing(pipelines.settings()):
        show_error(f"{say(error)} {t('models.instead')}")
    pipeline = pipelines.shared()
    is_other_model = st.session_state.get(session.READ_WITH) != pipeline.settings
    unseen = [photo for photo in photos if is_other_model or photo.result is None]
    if not unseen:
        return
    with st.spinner(t("reading", count=len(unseen))):
        while unseen:
            under_way = work.current(pipeline, unseen)
            try:
                results = under_way.watch()
            except Exception:  # not BaseException: after the end of a run, the next one goes on with it
                work.forget()
                raise
            work.forget()
            # Inside the spinner, as the run may end when the spinner does.
            for photo, result in zip(under_way.photos, results, strict=True):
                photo.seen = see(result, photo.picture)
                photo.result = result
                photo.post = None
            st.session_state[session.READ_WITH] = pipeline.settings
            unseen = [photo for photo in unseen if photo not in under_way.photos]
