"""The one uploader of all pages: Streamlit's, which says everything in English, with words in place of its own.

What cannot be used is taken out in the browser, before it travels, and named in an error box. That spares
visitors an upload for nothing. It protects nobody, as a browser may send what it likes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Literal

import streamlit as st

from img2prompt.web import components
from img2prompt.web.shared.i18n import t

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

MEGABYTE = 2**20

_REFUSE = components.register("refuse")


@dataclass(frozen=True)
class Words:
    """What an uploader says, in the visitor's language."""

    label: str
    button: str
    limits: str  # what it takes, and how much of it
    unsupported: str  # what is wrong with a file of another kind, and what to do
    too_large: str  # the same, of a file of too many bytes


def ask_for_files(
    words: Words,
    *,
    key: str,
    suffixes: Sequence[str],
    megabytes: float,
    several: bool | Literal["directory"] = False,
    shows_label: bool = True,
    on_change: Callable[[], None] | None = None,
) -> list[UploadedFile]:
    """Show an uploader and, below it, what it refused and why; return the files that it holds.

    Parameters
    ----------
    key : of the widget, of letters, digits, ``-`` and ``_``
    suffixes : of the files that are taken, in lower case, with their dots
    megabytes : the largest file that is taken, in 2**20 bytes
    several : whether it takes several files; "directory" for all files of a folder
    on_change : called before the next run when the files have changed
    """
    reasons = {
        "unsupported": words.unsupported,
        "too_large": words.too_large,
        "surplus": t("upload.surplus"),
        "unreadable": t("upload.unreadable"),
    }
    limit = int(megabytes * MEGABYTE)
    data = {"uploader": key, "suffixes": suffixes, "bytes": limit, "reasons": reasons}
    st.html(_style(key, words))
    with st.container(gap=None):
        place = st.container()
        _REFUSE(key=f"{key}-refused", data=data)  # sent first, so that no file comes before it
    held = place.file_uploader(
        words.label,
        type=suffixes,
        accept_multiple_files=several,
        # A megabyte of Streamlit has 10**6 bytes in some browsers; the limit is `_REFUSE`'s to keep.
        max_upload_size=ceil(megabytes * MEGABYTE / 10**6),
        key=key,
        on_change=on_change,
        label_visibility="visible" if shows_label else "collapsed",
    )
    return held if isinstance(held, list) else [held] if held else []


def _style(key: str, words: Words) -> str:
    """A style sheet that puts the words in the place of Streamlit's."""
    button, limits = (json.dumps(text, ensure_ascii=False) for text in (words.button, words.limits))
    zone = f'.st-key-{key} [data-testid="stFileUploaderDropzone"]'
    instructions = f'{zone} [data-testid="stFileUploaderDropzoneInstructions"] span'
    return f"""<style>
        {zone} > span button p, {instructions} {{ white-space: normal; font-size: 0; }}
        {zone} > span button p::after {{ content: {button}; font-size: 0.875rem; }}
        {instructions}::after {{ content: {limits}; font-size: 0.875rem; }}
    </style>"""
