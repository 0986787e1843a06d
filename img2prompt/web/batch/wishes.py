"""What a visitor wants of a batch besides captions: posts, and a place in their history."""

from __future__ import annotations

import streamlit as st

from img2prompt.posts import Choices, tones
from img2prompt.posts.post import LENGTHS
from img2prompt.web.shared import account, i18n, note
from img2prompt.web.shared.i18n import t


def posts(key: str, chosen: Choices | None = None) -> Choices | None:
    """Ask whether to write a post about each picture, and in what way; None for no posts.

    Parameters
    ----------
    key : begins the keys of the widgets
    chosen : what was chosen before
    """
    with st.container(key=f"{key}-wishes"):
        if not st.toggle(
            t("batch.posts"), chosen is not None, key=f"{key}-posts", help=t("batch.posts.help")
        ):
            return None
        now = chosen or Choices()
        known = tones()
        tone = st.pills(
            t("tone"),
            known,
            default=now.tone if now.tone in known else Choices.tone,
            required=True,
            format_func=lambda name: t(f"tone.{name}"),
            key=f"{key}-tone",
        )
        length = st.segmented_control(
            t("length"),
            LENGTHS,
            default=now.length,
            required=True,
            format_func=lambda name: t(f"length.{name}"),
            key=f"{key}-length",
        )
        language = chosen.language if chosen else i18n.language()
        own_words = note.ask(t("batch.note"), f"{key}-note", now.note)
        return Choices(tone=tone, length=length, note=own_words, language=language, variants=1)


def owner() -> str:
    """Ask whether to keep the pictures in the visitor's history too; its owner, or nobody ("")."""
    own = account.owner()
    keep = st.toggle(
        t("batch.keep"),
        key="batch-keep",
        disabled=own is None,
        help=t("batch.keep.help") if own else t("batch.keep.none"),
    )
    return own if own and keep else ""
