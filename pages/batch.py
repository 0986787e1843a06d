"""The Batch page: many pictures in, one file out."""

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.web import batch_results, batch_sources, frame, model
from img2prompt.web.translate import t

frame.begin(t("batch"))
frame.end(t("batch.privacy", days=batch_sources.DAYS))
model.start_loading()

try:
    run = batch_sources.current()
except Img2PromptError as error:
    frame.show_error(error)
    st.button(t("batch.new"), on_click=batch_sources.leave)
    st.stop()

if run is None:
    st.markdown(t("batch.intro"))
    batch_sources.ask()
    batch_sources.explain()
    batch_sources.earlier()
else:
    batch_results.show(run)
