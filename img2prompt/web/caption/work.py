"""Photos that the engine describes in a thread of its own, while the page shows how far it is.

Engines tell of words from any thread, and only the one that Streamlit runs the page in may draw. Another click
ends that run, and the next one goes on with the same work: nobody waits, or pays a model server, twice.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.posts.gender import neutral_people
from img2prompt.web.shared import session
from img2prompt.web.shared.frame import as_it_is
from img2prompt.web.shared.i18n import t

if TYPE_CHECKING:
    from img2prompt import Pipeline, Result
    from img2prompt.web.shared.photo import Photo

INTERVAL = 0.2  # seconds from one look at the work to the next


class _Left(Exception):
    """The visitor left the line."""


class Work:
    """The work on some photos, which begins at once."""

    def __init__(self, pipeline: Pipeline, photos: Sequence[Photo]) -> None:
        self.photos = list(photos)
        self.settings = pipeline.settings
        self._heard = [""] * len(photos)
        self._ahead = 0  # others in the line, when it was looked at last
        self._turn = threading.Lock()  # of the next two
        self._is_watched, self._is_out = True, False
        hear = [partial(self._heard.__setitem__, place) for place in range(len(photos))]
        requests = [
            replace(pipeline.request(PurePath(photo.name).stem), hear=each)
            for photo, each in zip(photos, hear, strict=True)
        ]
        pictures = [photo.picture for photo in photos]
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read")
        self._done = pool.submit(pipeline.describe, pictures, waiting=self._wait, requests=requests)
        pool.shutdown(wait=False)

    def stay(self) -> bool:
        """Stay in the line, as somebody watches again; False where it has left already."""
        with self._turn:
            self._is_watched = True
            return not self._is_out

    def watch(self) -> list[Result]:
        """Show the place in the line, then the words as they come; return the results.

        When the visitor has gone, or has changed something, Streamlit ends the run in here. Then work that
        has not begun leaves the line, unless it is watched again at once.
        """
        neutral = self.settings.people == "neutral"
        try:
            line = st.empty()
            while wait([self._done], INTERVAL).not_done:
                if said := [text for text in self._heard if text]:
                    shown = [as_it_is(neutral_people(text) if neutral else text) for text in said]
                    line.markdown("  \n".join(shown))
                elif self._ahead:
                    line.caption(t("reading.line", count=self._ahead))
                else:
                    line.empty()
        finally:
            with self._turn:
                self._is_watched = False
        line.empty()
        return self._done.result()

    def _wait(self, others: int) -> None:
        with self._turn:
            if not self._is_watched:
                self._is_out = True
                raise _Left
        self._ahead = others


def current(pipeline: Pipeline, photos: Sequence[Photo]) -> Work:
    """The work of this visit that is under way with this pipeline, on whichever photos; else new work on these."""
    work: Work | None = st.session_state.get(session.WORK)
    if work is None or work.settings != pipeline.settings or not work.stay():
        work = st.session_state[session.WORK] = Work(pipeline, photos)
    return work


def forget() -> None:
    """The work is over."""
    st.session_state.pop(session.WORK, None)
