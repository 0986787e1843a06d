"""The Batch page: many pictures in, one file out."""

import streamlit as st

from img2prompt.batch.runs import DAYS
from img2prompt.errors import Img2PromptError
from img2prompt.web.batch import earlier, results, sources
from img2prompt.web.shared import frame, pipelines, privacy
from img2prompt.web.shared.i18n import t

frame.begin(t("batch"))
run, problem, hosts = None, None, []
try:
    run = sources.current()
    hosts = sources.destinations(run)
except Img2PromptError as error:  # which is told below, where its page would be
    problem = error
frame.end(privacy.of_batches(DAYS, hosts))
pipelines.start_loading()

try:
    if problem:
        raise problem
    if run:
        results.show(run)
    else:
        st.markdown(t("batch.intro"))
        sources.ask()
        sources.explain()
        earlier.show()
except Img2PromptError as error:
    frame.show_error(error)
    st.button(t("batch.new"), on_click=sources.leave)
