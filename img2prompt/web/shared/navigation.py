"""The pages of the app, in the order of the navigation: ``pages/NAME.py``, with a title in the locales."""

from __future__ import annotations

import streamlit as st

from img2prompt.files import resource
from img2prompt.web.shared import session
from img2prompt.web.shared.i18n import t

PAGES = ("caption", "batch", "history", "dashboard", "models", "explore")  # the first is where one arrives


def run() -> None:
    """Tell Streamlit of the pages and run the one that was asked for."""
    st.session_state[session.NAVIGATION] = True
    # Without icons: the browser would fetch them from elsewhere, for its tab.
    st.navigation(
        [
            st.Page(
                resource(f"pages/{name}.py"), title=t(f"nav.{name}"), url_path=name, default=name == PAGES[0]
            )
            for name in PAGES
        ],
        position="top",
    ).run()


def ensure() -> None:
    """Do so from a page that Streamlit runs by itself.

    A folder named ``pages`` is one that Streamlit knows: on a new server whose first request is for
    ``/batch`` it runs ``pages/batch.py`` before ``app.py`` has ever said what the pages are.
    """
    if session.NAVIGATION not in st.session_state:
        run()
        st.stop()
