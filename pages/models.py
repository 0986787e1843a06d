"""The Models page: the engine that reads the photos, its words for people, prompts in files, and what is installed for it."""

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.web import getting, models
from img2prompt.web.shared import frame, privacy
from img2prompt.web.shared.i18n import t

frame.begin(t("models.title"))
st.markdown(t("models.intro"))

try:
    with getting.at_one_moment():
        models.choose()
        models.choose_people()
        models.choose_text()
        models.choose_stored()
        models.show_machine()
        models.show_weights()
except Img2PromptError as error:
    frame.show_error(error)
frame.end(privacy.of_photos())  # as it is with what was chosen
