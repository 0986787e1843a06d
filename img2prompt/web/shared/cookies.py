"""What a browser remembers between visits. Whoever sends a cookie may have written it by hand."""

from __future__ import annotations

import streamlit as st

from img2prompt.web import components

_REMEMBER = components.register("remember")


def remembered(name: str) -> str | None:
    """The value of a cookie as this visit began."""
    return st.context.cookies.get(f"img2prompt-{name}")


def remember(name: str, value: str) -> None:
    """Have the browser keep a value for a year. Call this in each run: the last one's may not have been drawn."""
    _REMEMBER(key=f"remember-{name}", data={"name": f"img2prompt-{name}", "value": value})
