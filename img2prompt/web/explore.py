"""What the page about data sets does: read what was uploaded, survey it, show it."""

from __future__ import annotations

import streamlit as st

from img2prompt.datasets import report
from img2prompt.datasets import survey as exploring
from img2prompt.errors import Img2PromptError
from img2prompt.minilm import SentenceEncoder
from img2prompt.web.shared import session
from img2prompt.web.shared.frame import show_error
from img2prompt.web.shared.i18n import t

FILE_TYPES = ("csv", "txt")
MOST_PROMPTS = 50_000  # of a file; more are sampled, so that a visitor does not wait for minutes


def ask() -> tuple[list[exploring.PromptSet], tuple[str, ...]]:
    """The sets that the visitor chose, and what tells this choice from others."""
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
    """Survey the sets when the visitor asks for it, and show the plots, with the whole report to keep."""
    if st.button(t("explore.start"), type="primary"):
        bar = st.progress(0.0)

        def progress(what: str, done: int, total: int) -> None:
            bar.progress(done / max(1, total), what)

        found = exploring.survey(groups, _encoder(), progress)
        st.session_state[session.EXPLORED] = (choice, found)
        bar.empty()
    kept, found = st.session_state.get(session.EXPLORED, ((), None))
    if found is None or kept != choice:
        return
    page = report.report(found, groups[0].name)
    st.download_button(t("explore.download"), page, "report.html", "text/html", on_click="ignore")
    for name, plot in report.figures(found).items():
        st.subheader(name, anchor=False)
        st.plotly_chart(plot, key=f"explore-{name}")


@st.cache_resource(show_spinner=False)
def _encoder() -> SentenceEncoder:
    return SentenceEncoder()
