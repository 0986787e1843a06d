"""The Caption page: photos in, posts out."""

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.web import account, choices, frame, history, model, photos, posts, words
from img2prompt.web.translate import t

frame.begin(t("title"))
st.markdown(t("intro"))
wanted = choices.ask()
frame.end(t("privacy.history") if account.keeps() else t("privacy"))

try:
    settings = model.settings()
except Img2PromptError as error:
    frame.show_error(error)
    st.stop()
model.start_loading()

left, right = st.columns(2, gap="medium")
with left:
    photos.sources(settings)
with right:
    photos.samples()

chosen = photos.chosen(settings)
if not chosen:
    words.explain()
    st.page_link("views/batch.py", label=t("batch.hint"), icon=":material/photo_library:")
    st.stop()

st.space("xxsmall")
left, right = st.columns(2, gap="medium")
with left:
    photos.show(chosen)
    if reopened := any(photo.reopened for photo in chosen):
        st.caption(t("history.reopened"))
    else:
        st.button(t("start"), type="primary", width="stretch", on_click=model.ask, args=(chosen,))
with right:
    if any(photo.asked for photo in chosen):
        try:
            model.look_at(chosen)
        except Img2PromptError as error:
            history.failed("caption", model.settings().engine, error)
            frame.show_error(error)
    if looked_at := all(photo.result for photo in chosen):
        words.show(chosen)
if looked_at:
    posts.show(chosen, wanted)
