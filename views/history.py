"""The History page: what was captioned before."""

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.web import account, frame, history, history_page
from img2prompt.web.translate import t

frame.begin(t("history.title"))
account.show()
frame.end(t("history.privacy"))

try:
    if mine := history.mine():
        if not account.keeps():
            st.info(t("history.paused"), icon=":material/pause:")
        history_page.show(mine)
    else:
        history_page.explain_absence()
except Img2PromptError as error:
    frame.show_error(error)
