"""Components that Streamlit does not have, with HTML, CSS and JavaScript files for each.

They are part of the page itself, without a frame, so they follow the theme and may use the
clipboard. They insert all data as text, never as HTML.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

_FOLDER = Path(__file__).parent


def register(name: str) -> ComponentRenderer:
    """Register the component made of ``name.js`` and, if they exist, ``name.html`` and ``name.css``."""
    return st.components.v2.component(
        f"img2prompt_{name}",
        html=_read(f"{name}.html"),
        css=_read("shared.css") + _read(f"{name}.css"),
        js=(_FOLDER / f"{name}.js").read_text("utf-8") + _read("shared.js"),
    )


def _read(file: str) -> str:
    path = _FOLDER / file
    return path.read_text("utf-8") if path.exists() else ""
