"""What surrounds every page: title, logo, sidebar and a few lines of style."""

from __future__ import annotations

import streamlit as st

from img2prompt.errors import ConfigError
from img2prompt.files import resource
from img2prompt.settings import HISTORY, switch
from img2prompt.web import components, translate

ASSETS = resource("assets")

_LANGUAGE = components.register("language")

_STYLE = """<style>
    .stApp:lang(ko) * { word-break: keep-all; }
    .stMainBlockContainer { max-width: 66rem; }
    /* The words are replaced in photos.py. */
    [data-testid="stFileUploaderDropzone"] > span button p,
    [data-testid="stFileUploaderDropzoneInstructions"] span {
        white-space: normal; font-size: 0;
    }
    [data-testid="stFileUploaderDropzone"] > span button p::after,
    [data-testid="stFileUploaderDropzoneInstructions"] span::after {
        font-size: 0.875rem;
    }
    .stApp :focus-visible { outline: 2px solid light-dark(#0b5f58, #8fdcd3) !important; outline-offset: 2px; }
    [data-testid="stSliderThumbValue"] { color: inherit; }
    /* What Streamlit's own colors leave too pale to read. */
    [data-testid="stCaptionContainer"] { opacity: 0.8; }
    input::placeholder { color: light-dark(#566160, #b3b5b1); }
    [data-selected="true"] p { color: light-dark(#0b5f58, #8fdcd3); }
    .st-key-picture img { width: auto !important; max-height: min(26rem, 55vh); }
    [class*="st-key-picture"] [data-testid="stElementToolbar"] { display: none; }
    [class*="st-key-sample-"] button {
        width: 7rem; height: 4.375rem; align-items: end; color: #fff; border: 0;
    }
    [class*="st-key-sample-"] button:is(:hover, :focus, :active) { color: #fff; }
    [class*="st-key-sample-"] button:is(:hover, :focus-visible) {
        outline: 3px solid var(--st-primary-color, #138076);
    }
    .st-key-pictures img { height: 6.5rem; object-fit: cover; }
    .st-key-pictures [data-testid="stImageContainer"] { margin: 0 0.5rem 0.5rem 0; }
    .stColumn:has(.st-key-preview) { position: sticky; top: 4.5rem; align-self: flex-start; }
    .st-key-results img { width: 7rem !important; height: 5.25rem; object-fit: cover; }
    .st-key-results [data-testid="stElementToolbar"] { display: none; }
    .st-key-results [class*="st-key-broken-"] {
        min-height: 5.25rem; align-items: center; justify-content: center; border-radius: 0.75rem;
        background: light-dark(#f3f0ea, #1f2728);
    }
    .st-key-results .stHorizontalBlock { flex-wrap: nowrap; }
    :is(.st-key-history-grid, .st-key-history-alike) {
        display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1.25rem 1rem;
    }
    :is(.st-key-history-variants, .st-key-history-folded) {
        display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); gap: 1rem;
    }
    :is(.st-key-history-grid, .st-key-history-alike) > * { min-width: 0; }
    [class*="st-key-history-"] img { aspect-ratio: 1; object-fit: cover; border-radius: 0.75rem; }
    [class*="st-key-history-"] [data-testid="stElementToolbar"] { display: none; }
    [class*="st-key-open-"] button {
        justify-content: start; align-items: start; text-align: start; padding: 0; min-height: 2.75rem;
    }
    [class*="st-key-open-"] button p {
        display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
    }
    /* It would flicker at every look at a batch that is at work. */
    .stApp:has(.st-key-batch-work) [data-testid="stStatusWidget"] { display: none; }
    .st-key-post { padding: 0; overflow: hidden; }
    @media (min-width: 48.0625rem) { .st-key-where-choices-are { display: none; } }
    @media (max-width: 40rem) { .stMain h1 { font-size: 1.75rem; } }
    @media (max-width: 40rem) or (max-height: 50rem) { .stColumn:has(.st-key-preview) { position: static; } }
</style>"""


def begin(title: str) -> None:
    """Start a page: call this first. It ends there if nobody can tell whether the server keeps a history."""
    st.set_page_config(page_title=title, page_icon=str(ASSETS / "favicon.png"), layout="wide")
    st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=str(ASSETS / "mark.svg"))
    st.html(_STYLE)
    with st.sidebar:
        translate.switch()
    st.title(title, anchor=False)
    try:
        switch(HISTORY)
    except ConfigError as error:
        show_error(error)
        st.stop()


def end(privacy: str) -> None:
    """What every page's sidebar closes with; `privacy` says where pictures stay."""
    with st.sidebar:
        st.caption(privacy)
        _LANGUAGE(key="page-language", data=translate.language())


def as_it_is(text: str) -> str:
    """Markdown that shows a text as it is, whatever Markdown would make of it."""
    return "".join("\\" + char if char in "\\`*[]$<~:" else char for char in text)


def show_error(error: Exception | str) -> None:
    """Show a message as it is."""
    st.error(as_it_is(str(error)))
