"""Sentences that say where the pictures go: nowhere, or to the model server that was chosen."""

from __future__ import annotations

import streamlit as st

from img2prompt.engines.endpoint.address import parse
from img2prompt.errors import Img2PromptError
from img2prompt.web.shared import pipelines
from img2prompt.web.shared.frame import as_it_is
from img2prompt.web.shared.i18n import t


def destination() -> str:
    """The host that this visitor's pictures are sent to, for Markdown; empty where they are sent nowhere."""
    try:
        chosen = pipelines.settings()
        if chosen.engine != "endpoint" or pipelines.missing(chosen):
            return ""
        return as_it_is(parse(chosen.endpoint_url).host)
    except Img2PromptError:  # no picture is read with such settings
        return ""


def of_photos(history: bool = False) -> str:
    """For the sidebar of a page where photos are read one by one.

    Parameters
    ----------
    history : whether a history is kept
    """
    if host := destination():
        return t("privacy.endpoint.history", host=host) if history else t("privacy.endpoint", host=host)
    return t("privacy.history") if history else t("privacy")


def of_batches(days: int) -> str:
    """For the sidebar of the Batch page."""
    if host := destination():
        return t("batch.privacy.endpoint", days=days, host=host)
    return t("batch.privacy", days=days)


def note() -> None:
    """Say above the photos where they go, if they go anywhere."""
    if host := destination():
        st.caption(f":material/send: {t('endpoint.goes', host=host)}")
