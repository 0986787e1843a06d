"""The pages of the app, in the order of the navigation: ``pages/NAME.py``, with a title in the locales."""

from __future__ import annotations

import streamlit as st

from img2prompt.files import resource
from img2prompt.web.shared import garbage, session
from img2prompt.web.shared.i18n import t

PAGES = ("caption", "batch", "history", "dashboard", "models", "explore")  # the first is the start page


def run() -> None:
    """Register the pages with Streamlit and run the requested one."""
    st.session_state[session.NAVIGATION] = True
    # Without icons, which the browser would fetch from another server for its tab.
    page = st.navigation(
        [
            st.Page(
                resource(f"pages/{name}.py"), title=t(f"nav.{name}"), url_path=name, default=name == PAGES[0]
            )
            for name in PAGES
        ],
        position="top",
    )
    try:
        page.run()
    finally:  # also where the page was stopped
        garbage.collect()


def ensure() -> None:
    """Register the pages if a page runs before ``app.py`` has done so.

    Streamlit treats a folder named ``pages`` specially: on a new server whose first request is for
    ``/batch``, it runs ``pages/batch.py`` before ``app.py``.
    """
    if session.NAVIGATION not in st.session_state:
        run()
        st.stop()
