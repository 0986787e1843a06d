"""The Caption page: photos in, posts out."""

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.web import choices, frame, model, photos, posts, words
from img2prompt.web.translate import t

frame.begin(t("title"))
st.markdown(t("intro"))
wanted = choices.ask()
frame.end(t("privacy"))

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
    start = st.button(t("start"), type="primary", width="stretch")
with right:
    if start:
        try:
            model.look_at(chosen)
        except Img2PromptError as error:
            frame.show_error(error)
    if looked_at := all(photo.result for photo in chosen):
        words.show(chosen)
if looked_at:
    posts.show(chosen, wanted)
