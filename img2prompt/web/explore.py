"""The Explore page: read uploaded data sets, survey them, and show plots."""

from __future__ import annotations

import streamlit as st

from img2prompt.datasets import report
from img2prompt.datasets import survey as exploring
from img2prompt.errors import Img2PromptError
from img2prompt.minilm import SentenceEncoder
from img2prompt.web.shared import session
from img2prompt.web.shared.frame import as_it_is, show_error
from img2prompt.web.shared.i18n import t

FILE_TYPES = ("csv", "txt")
_ENCODER = SentenceEncoder()  # loaded when the first visitor explores
MOST_PROMPTS = 50_000  # of a set; larger ones are sampled, so that a visitor does not wait for minutes


def ask() -> tuple[list[exploring.PromptSet], tuple[str, ...]]:
    """The uploaded sets, and the ids of their files, which identify this choice."""
    st.markdown(t("explore.intro"))
    columns = st.columns(2)
    files = [
        columns[0].file_uploader(t("explore.first"), type=FILE_TYPES, key="explore-first"),
        columns[1].file_uploader(t("explore.other"), type=FILE_TYPES, key="explore-other"),
    ]
    groups: list[exploring.PromptSet] = []
    chosen = [file for file in files if file is not None]
    for file in chosen:
        try:
            sets = exploring.load_sets(file.name, file.getvalue())
        except Img2PromptError as error:
            show_error(error)
            return [], ()
        groups += [group.draw(MOST_PROMPTS) for group in sets]
    return groups, tuple(file.file_id for file in chosen)


def show(groups: list[exploring.PromptSet], choice: tuple[str, ...]) -> None:
    """Survey the sets when the visitor asks for it, and show the plots and a download of the report."""
    if st.button(t("explore.start"), type="primary"):
        bar = st.progress(0.0)

        def progress(what: str, done: int, total: int) -> None:
            bar.progress(done / max(1, total), what)

        survey = exploring.survey(groups, _ENCODER, progress)
        st.session_state[session.EXPLORED] = (choice, survey)
        bar.empty()
    surveyed_choice, survey = st.session_state.get(session.EXPLORED, ((), None))
    if survey is None or surveyed_choice != choice:
        return
    page = report.report(survey, groups[0].name)
    st.download_button(t("explore.download"), page, "report.html", "text/html", on_click="ignore")
    for name, plot in report.figures(survey).items():
        st.subheader(as_it_is(name), anchor=False)
        st.plotly_chart(plot, key=f"explore-{name}")
