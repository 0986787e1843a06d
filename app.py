"""The first page: one photo in, words out."""

import streamlit as st

from img2prompt.captions import as_sentence
from img2prompt.errors import Img2PromptError
from img2prompt.settings import Settings
from img2prompt.web import frame, model, photo, words

frame.begin("Captioning for Instagram")
st.markdown("Choose a photo, press the button, copy the words.")

try:
    settings = Settings.load()
except Img2PromptError as error:
    frame.show_error(error)
    st.stop()
model.start_loading()

left, right = st.columns(2, gap="medium")
with left:
    photo.uploader(settings)
with right:
    photo.samples(settings)

chosen = photo.current_photo()
if chosen is None:
    words.explain()
    st.stop()

st.space("xxsmall")
left, right = st.columns(2, gap="medium")
with left, st.container(key="picture"):
    st.image(chosen.preview)
    start = st.button("Start Captioning", type="primary", width="stretch")

with right:
    if start:
        try:
            pipeline = model.shared_pipeline()
            with st.spinner("Reading the picture…"):
                chosen.result = pipeline(chosen.picture)[0]
        except Img2PromptError as error:
            frame.show_error(error)
    if chosen.result:
        words.copyable("Caption", as_sentence(chosen.result.caption), large=True)
        words.copyable("Prompt", chosen.result.prompt)
        words.bars(chosen.result.labels)
with left:
    if chosen.result:
        st.caption(f"Read by the {chosen.result.engine} engine in {chosen.result.seconds:.2f} s.")
