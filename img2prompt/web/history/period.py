"""The control with which the History and the Dashboard page ask for a period."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Literal

import streamlit as st

from img2prompt.web.shared.i18n import t

PERIODS = {"all": None, "week": 7, "month": 30, "year": 365}  # days


def ask(key: str, label_visibility: Literal["visible", "collapsed"] = "visible") -> datetime | None:
    """Ask for a period; return its beginning, an aware time, or None for all time.

    Parameters
    ----------
    key : of the widget
    label_visibility : of the widget's label
    """
    period = st.segmented_control(
        t("history.period"),
        list(PERIODS),
        default="all",
        required=True,
        format_func=lambda name: t(f"history.period.{name}"),
        key=key,
        persist_state="session",
        label_visibility=label_visibility,
    )
    days = PERIODS[period]
    # Whole days, so that filters stay the same while the visitor turns pages.
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    return None if days is None else today - timedelta(days=days)
