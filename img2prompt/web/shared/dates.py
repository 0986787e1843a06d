"""Dates and times in the visitor's time zone and language, and how long something still takes."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import streamlit as st

from img2prompt.web.shared.i18n import language, t


def day(moment: datetime) -> str:
    """The day of a moment, which is in UTC: "Nov 26, 2026", or "2026. 11. 26." in Korean."""
    there = _of_visitor(moment)
    if language() == "ko":
        return f"{there.year}. {there.month}. {there.day}."
    return f"{there:%b} {there.day}, {there.year}"


def words(day: date) -> str:
    """A day as one writes it in a text: "November 26, 2026", or "2026년 11월 26일" in Korean."""
    if language() == "ko":
        return f"{day.year}년 {day.month}월 {day.day}일"
    return f"{day:%B} {day.day}, {day.year}"


def minute(moment: datetime) -> str:
    """The day of a moment and its time, to the minute: "Nov 26, 2026, 14:05"."""
    comma = "" if language() == "ko" else ","
    return f"{day(moment)}{comma} {_of_visitor(moment):%H:%M}"


def time_left(seconds: float) -> str:
    """The remaining time in words, not more exact than an estimate can be.

    In steps of 10 s below a minute and a half, of minutes below an hour and a half, then of half hours.
    """
    if seconds < 10:
        return t("time_left.moment")
    if seconds < 90:
        return t("time_left.seconds", count=round(seconds / 10) * 10)
    if seconds < 5400:
        return t("time_left.minutes", count=round(seconds / 60))
    return t("time_left.hours", count=f"{round(seconds / 1800) / 2:g}")


def _of_visitor(moment: datetime) -> datetime:
    minutes = st.context.timezone_offset or 0  # that UTC is ahead of the visitor, as in JavaScript
    return moment - timedelta(minutes=minutes)
