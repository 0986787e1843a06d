"""The Explore page: read uploaded data sets, survey them, and show plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.datasets import report
from img2prompt.datasets import survey as exploring
from img2prompt.datasets.table import TOO_MUCH, Limits
from img2prompt.errors import ConfigError, DataError, Img2PromptError
from img2prompt.minilm import SentenceEncoder
from img2prompt.web.shared import session
from img2prompt.web.shared.frame import as_it_is, show_error
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.sentences import say
from img2prompt.web.shared.uploader import MEGABYTE, Words, ask_for_files

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

SUFFIXES = (".csv", ".txt")
_ENCODER = SentenceEncoder()  # loaded when the first visitor explores
MOST_MEGABYTES = 5  # of a file
LIMITS = Limits(rows=200_000, characters=5_000)
MOST_PROMPTS = 50_000  # of a set; larger ones are sampled, so that a visitor does not wait for minutes


def ask() -> tuple[list[exploring.PromptSet], tuple[str, ...]]:
    """The uploaded sets, and the ids of their files, which identify this choice."""
    try:
        exploring.check_libraries()
    except ConfigError as error:
        show_error(error)
        return [], ()
    st.markdown(t("explore.intro"))
    chosen: list[UploadedFile] = []
    for column, name in zip(st.columns(2), ("first", "other"), strict=True):
        words = Words(
            label=t(f"explore.{name}"),
            button=t("explore.button"),
            limits=t("explore.limits", megabytes=MOST_MEGABYTES),
            unsupported=t("explore.unsupported"),
            too_large=t("explore.too_large", megabytes=MOST_MEGABYTES),
        )
        with column:
            chosen += ask_for_files(words, key=f"explore-{name}", suffixes=SUFFIXES, megabytes=MOST_MEGABYTES)
    known = st.session_state.get(session.PROMPT_SETS, {})
    opened = {file.file_id: known.get(file.file_id) or _open(file) for file in chosen}
    st.session_state[session.PROMPT_SETS] = opened
    groups: list[exploring.PromptSet] = []
    for sets in opened.values():
        if isinstance(sets, Img2PromptError):
            show_error(sets)
            return [], ()
        groups += sets
    return groups, tuple(opened)


def _open(file: UploadedFile) -> list[exploring.PromptSet] | Img2PromptError:
    """The sets in a file, or why it cannot be used."""
    if file.size > MOST_MEGABYTES * MEGABYTE:  # the browser was asked to refuse it
        return DataError(f"{file.name} is larger than {MOST_MEGABYTES} MB. {TOO_MUCH}")
    try:
        sets = exploring.load_sets(file.name, file.getvalue(), LIMITS)
    except Img2PromptError as error:
        return error
    return [group.draw(MOST_PROMPTS) for group in sets]


def show(groups: list[exploring.PromptSet], choice: tuple[str, ...]) -> None:
    """Survey the sets when the visitor asks for it, and show the plots and a download of the report."""
    if st.button(t("explore.start"), type="primary"):
        bar = st.progress(0.0)

        def progress(what: str, done: int, total: int) -> None:
            bar.progress(done / max(1, total), say(what))

        survey = exploring.survey(groups, _ENCODER, progress)
        st.session_state[session.EXPLORED] = (choice, survey)
        bar.empty()
    surveyed_choice, survey = st.session_state.get(session.EXPLORED, ((), None))
    if survey is None or surveyed_choice != choice:
        return
    page = report.report(survey, groups[0].name)
    st.download_button(t("explore.download"), page, "report.html", "text/html", on_click="ignore")
    for name, plot in report.figures(survey).items():
        st.subheader(as_it_is(say(name)), anchor=False)
        for axis in (plot.layout.xaxis, plot.layout.yaxis):
            axis.title.text = say(axis.title.text or "")
        plot.update_layout(template="streamlit")  # with the colours of the theme, as on the Dashboard
        st.plotly_chart(plot, key=f"explore-{name}")
