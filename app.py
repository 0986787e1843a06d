"""The app and its pages: streamlit run app.py"""

import streamlit as st

from img2prompt.web.translate import t

# Without icons: Streamlit would fetch them from the network, to show them in the browser's tab.
st.navigation(
    [
        st.Page("pages/caption.py", title=t("nav.caption"), default=True),
        st.Page("pages/batch.py", title=t("nav.batch"), url_path="batch"),
        st.Page("pages/models.py", title=t("nav.models"), url_path="models"),
    ],
    position="top",
).run()
