"""What surrounds every page: title, logo, sidebar and a few lines of style."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

ASSETS = Path(__file__).parents[2] / "assets"

_STYLE = """<style>
    .stMainBlockContainer { max-width: 66rem; }
    [data-testid="stFileUploaderDropzoneInstructions"] span { white-space: normal; }
    .st-key-picture img { width: auto !important; max-height: min(26rem, 55vh); }
    [class*="st-key-sample-"] button {
        width: 7rem; height: 4.375rem; align-items: end; color: #fff; border: 0;
    }
    [class*="st-key-sample-"] button:is(:hover, :focus, :active) { color: #fff; }
    [class*="st-key-sample-"] button:is(:hover, :focus-visible) {
        outline: 3px solid var(--st-primary-color, #15857b);
    }
    @media (max-width: 40rem) { .stMain h1 { font-size: 1.75rem; } }
</style>"""


def begin(title: str) -> None:
    """Start a page: call this first."""
    st.set_page_config(page_title=title, page_icon=str(ASSETS / "favicon.png"), layout="wide")
    st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=str(ASSETS / "mark.svg"))
    st.html(_STYLE)
    with st.sidebar:
        st.caption("Photos stay in the memory of the machine that runs this app: never saved, sent nowhere.")
    st.title(title, anchor=False)


def show_error(error: Exception | str) -> None:
    """Show a message as it is, whatever Markdown would make of it."""
    st.error("".join("\\" + char if char in "\\`*[]$<~" else char for char in str(error)))
