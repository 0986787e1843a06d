"""The Batch page: many pictures in, one file out."""

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.web import batch_results, batch_sources, frame, model
from img2prompt.web.batch_run import DAYS
from img2prompt.web.translate import t

frame.begin(t("batch"))
frame.end(t("batch.privacy", days=DAYS))
model.start_loading()

try:
    if run := batch_sources.current():
        batch_results.show(run)
    else:
        st.markdown(t("batch.intro"))
        batch_sources.ask()
        batch_sources.explain()
        batch_sources.earlier()
except Img2PromptError as error:
    frame.show_error(error)
    st.button(t("batch.new"), on_click=batch_sources.leave)
