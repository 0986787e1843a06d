"""The app and its pages: streamlit run app.py"""

import streamlit as st

from img2prompt.web.translate import t

st.navigation(
    [
        st.Page("pages/caption.py", title=t("nav.caption"), icon=":material/photo_camera:", default=True),
        st.Page("pages/batch.py", title=t("nav.batch"), icon=":material/photo_library:", url_path="batch"),
        st.Page("pages/models.py", title=t("nav.models"), icon=":material/memory:", url_path="models"),
    ],
    position="top",
).run()
