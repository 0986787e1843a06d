"""The Models page: the engine that reads the photos, its words for people, prompts in files, and what is installed for it."""

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.web import models
from img2prompt.web.shared import frame
from img2prompt.web.shared.i18n import t

frame.begin(t("models.title"))
frame.end(t("privacy"))
st.markdown(t("models.intro"))

try:
    models.choose()
    models.choose_people()
    models.choose_text()
    models.choose_stored()
    models.show_machine()
    models.show_weights()
except Img2PromptError as error:
    frame.show_error(error)
