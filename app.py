"""The app and its pages: streamlit run app.py"""

import streamlit as st

from img2prompt.web.translate import t

# Not in a folder named pages: until somebody has run this file, Streamlit would serve that one as it is.
# And without icons: the browser would fetch them from elsewhere, for its tab.
st.navigation(
    [
        st.Page("views/caption.py", title=t("nav.caption"), default=True),
        st.Page("views/batch.py", title=t("nav.batch"), url_path="batch"),
        st.Page("views/history.py", title=t("nav.history"), url_path="history"),
        st.Page("views/dashboard.py", title=t("nav.dashboard"), url_path="dashboard"),
        st.Page("views/models.py", title=t("nav.models"), url_path="models"),
        st.Page("views/explore.py", title=t("nav.explore"), url_path="explore"),
    ],
    position="top",
).run()
