"""The Caption page: photos in, posts out."""

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.web.caption import cards, choices, photos, reading
from img2prompt.web.history import reopening
from img2prompt.web.shared import account, frame, keeping, pipelines
from img2prompt.web.shared.i18n import t

frame.begin(t("title"))
st.markdown(t("intro"))
post_choices = choices.ask()
frame.end(t("privacy.history") if account.keeps() else t("privacy"))

try:
    settings = pipelines.settings()
except Img2PromptError as error:
    frame.show_error(error)
    st.stop()
pipelines.start_loading()

left, right = st.columns(2, gap="medium")
with left:
    photos.sources(settings)
with right:
    photos.samples()

chosen = photos.chosen(settings)
if not chosen:
    reopening.offer()
    reading.explain()
    st.page_link("pages/batch.py", label=t("batch.hint"), icon=":material/photo_library:")
    st.stop()

st.space("xxsmall")
left, right = st.columns(2, gap="medium")
with left:
    photos.show(chosen)
    if reopened := any(photo.reopened for photo in chosen):
        st.caption(t("history.reopened"))
    else:
        st.button(t("start"), type="primary", width="stretch", on_click=reading.ask_for, args=(chosen,))
with right:
    if any(photo.asked for photo in chosen):
        try:
            reading.read(chosen)
        except Img2PromptError as error:
            keeping.failed("caption", pipelines.settings().engine, error)
            frame.show_error(error)
    if described := all(photo.result for photo in chosen):
        reading.show(chosen)
if described:
    cards.show(chosen, post_choices)
