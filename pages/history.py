"""The History page: earlier posts."""

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.web.history import page
from img2prompt.web.shared import account, frame, keeping
from img2prompt.web.shared.i18n import t

frame.begin(t("history.title"))
account.show()
frame.end(t("history.privacy"))

try:
    if own_history := keeping.own_history():
        if not account.keeps():
            st.info(t("history.paused"), icon=":material/pause:")
        page.show(own_history)
    else:
        page.explain_absence()
except Img2PromptError as error:
    frame.show_error(error)
