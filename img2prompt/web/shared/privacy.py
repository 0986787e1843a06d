"""Sentences that say where the pictures go: nowhere, or to the model server that was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from img2prompt.engines.endpoint.address import parse
from img2prompt.errors import Img2PromptError
from img2prompt.web.shared import pipelines
from img2prompt.web.shared.frame import as_it_is
from img2prompt.web.shared.i18n import t


def destination(told: Mapping[str, str] | None = None) -> str:
    """The host that this visitor's pictures are sent to; empty where they are sent nowhere.

    Parameters
    ----------
    told : as for `pipelines.settings`
    """
    try:
        chosen = pipelines.settings(told)
        if chosen.engine != "endpoint" or pipelines.missing(chosen):
            return ""
        return parse(chosen.endpoint_url).host
    except Img2PromptError:  # no picture is read with such settings
        return ""


def of_photos(history: bool = False) -> str:
    """For the sidebar of a page where photos are read one by one.

    Parameters
    ----------
    history : whether a history is kept
    """
    if host := as_it_is(destination()):
        return t("privacy.endpoint.history", host=host) if history else t("privacy.endpoint", host=host)
    return t("privacy.history") if history else t("privacy")


def of_batches(days: int, hosts: Sequence[str]) -> str:
    """For the sidebar of the Batch page.

    Parameters
    ----------
    days : for which a batch is kept
    hosts : of the model servers that pictures are sent to
    """
    if hosts:
        return t("batch.privacy.endpoint", days=days, host=", ".join(map(as_it_is, hosts)))
    return t("batch.privacy", days=days)


def note() -> None:
    """Say above the photos where they go, if they go anywhere."""
    if host := as_it_is(destination()):
        st.caption(f":material/send: {t('endpoint.goes', host=host)}")
