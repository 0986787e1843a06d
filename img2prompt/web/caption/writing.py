"""Posts that the engine's model writes when the visitor asks for them, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.posts.post import PHRASEBOOK
from img2prompt.web.shared import pipelines
from img2prompt.web.shared.frame import as_it_is, show_error
from img2prompt.web.shared.i18n import t

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from img2prompt import Pipeline
    from img2prompt.posts import Choices, Variant

LOOK = 0.2  # seconds after which it is looked whether another post is there


class Writing:
    """A model at work, in a thread of its own: a click ends Streamlit's run of the page, but not this.

    Parameters
    ----------
    variants : as `img2prompt.posts.composing` gives them
    model : its name
    choices : for which it writes
    """

    def __init__(self, variants: Generator[Variant, None, None], model: str, choices: Choices):
        self.model, self.choices, self.number = model, choices, choices.variants
        self.arrived: list[Variant] = []
        self.shown = 0  # how many of `posts` are on the page
        self._left = False
        worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write-posts")
        self._work = worker.submit(self._take_all, variants)
        worker.shutdown(wait=False)

    @property
    def posts(self) -> list[Variant]:
        """What the model has written so far, without what the phrasebook put in; its posts are on the page anyway."""
        return [variant for variant in self.arrived if variant.writer != PHRASEBOOK]

    @property
    def done(self) -> bool:
        """Whether no more posts will come."""
        return self._work.done()

    @property
    def error(self) -> BaseException | None:
        """What ended the work before its time; None before it is done."""
        return self._work.exception() if self.done else None

    def leave(self) -> None:
        """Nobody waits for these posts any more: the model is stopped after the next one."""
        self._left = True

    def _take_all(self, variants: Generator[Variant, None, None]) -> None:
        for variant in variants:
            self.arrived.append(variant)
            if self._left:
                variants.close()


def offer(write: Callable[[Pipeline], None], is_writing: bool) -> None:
    """A button that has the model write, where the visitor's engine can."""
    pipeline = pipelines.writer()
    if pipeline:
        st.button(
            t("write", model=as_it_is(pipeline.engine.captioner or pipeline.engine.name)),
            icon=":material/edit_note:",
            help=t("write.help"),
            disabled=is_writing,
            key="write",
            on_click=write,
            args=(pipeline,),
        )


def tell(last: Writing | None) -> DeltaGenerator:
    """Say what became of the last wish; returns the place where the next one's progress is shown."""
    if last and isinstance(last.error, Img2PromptError):
        show_error(last.error)
    elif last and len(last.posts) < last.number:
        st.caption(t("write.refused", model=as_it_is(last.model), count=len(last.posts), all=last.number))
    return st.empty()


def follow(writing: Writing, place: DeltaGenerator) -> None:
    """Wait for the next post, then draw the page again. Another click ends the wait, which the next run takes up."""
    while len(writing.posts) == writing.shown and not writing.done:
        number = min(len(writing.arrived) + 1, writing.number)
        place.caption(t("writing", model=as_it_is(writing.model), number=number, all=writing.number))
        time.sleep(LOOK)
    st.rerun()
