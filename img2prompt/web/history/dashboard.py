"""The Dashboard page: numbers and charts for a period, and questions in SQL."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import altair as alt
import streamlit as st

from img2prompt.history import History, sandbox, sql
from img2prompt.history.statistics import Count, Dashboard, Length
from img2prompt.posts.platforms import platforms
from img2prompt.posts.post import INSTAGRAM
from img2prompt.spreadsheet import write_table
from img2prompt.web.history import period
from img2prompt.web.shared import session
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.sentences import say

ROW_PIXELS = 26  # of a bar chart
BAR_PIXELS = 40  # of the widest bar of a chart with few
EXAMPLE = """SELECT tone, count(DISTINCT post_id) AS posts, round(avg(length(text))) AS characters
FROM posts JOIN variants ON variants.post_id = posts.id
GROUP BY tone ORDER BY posts DESC"""


def show(history: History) -> None:
    """Show the statistics about the visitor's posts."""
    if not any(Dashboard(history.engine, history.owner).totals()):
        st.info(t("dashboard.empty"), icon=":material/bar_chart:")
        st.page_link("pages/caption.py", label=t("nav.caption"), icon=":material/arrow_forward:")
        return
    since = period.ask("dashboard-period", label_visibility="collapsed")
    board = Dashboard(history.engine, history.owner, since)
    totals = board.totals()
    with st.container(horizontal=True, gap="large"):
        for name, value in totals._asdict().items():
            st.metric(t(f"dashboard.{name}"), value, width="content")
    if totals.posts:
        _charts(board)
    else:
        st.info(t("dashboard.none"))
    if totals.failures:
        _failures(board)
    _questions(history)


def _charts(board: Dashboard) -> None:
    st.header(t("dashboard.over_time"), anchor=False)
    _draw(_over_time(board.days()))
    left, right = st.columns(2, gap="medium")
    with left:
        _ranking("tones", board.tones(), lambda name: t(f"tone.{name}"))
        _ranking("objects", board.objects())
        _ranking("hashtags", board.hashtags())
    with right:
        _ranking("goals", board.goals(), lambda name: t(f"goal.{name}"))
        _ranking("styles", board.styles())
        _lengths(board.lengths())
    durations = board.durations()
    if durations:
        st.header(t("dashboard.seconds"), anchor=False)
        st.dataframe(
            {
                t("dashboard.engine"): [t(f"models.{duration.engine}") for duration in durations],
                t("dashboard.step"): [t(f"dashboard.step.{duration.step}") for duration in durations],
                t("dashboard.median"): [round(duration.median, 3) for duration in durations],
                t("dashboard.p95"): [round(duration.p95, 3) for duration in durations],
                t("dashboard.photos"): [duration.pictures for duration in durations],
            },
            hide_index=True,
        )


def _over_time(days: Sequence[tuple[date, int]]) -> alt.Chart:
    """A chart with a bar for each day, or for each week or month of a long period."""
    first, last = days[0][0], days[-1][0]
    span = (last - first).days

    def start(day: date) -> date:
        if span > 366:
            return day.replace(day=1)
        return day - timedelta(days=day.weekday()) if span > 62 else day

    # What has no posts has its place too.
    counts = {start(first + timedelta(days=number)): 0 for number in range(span + 1)}
    for day, count in days:
        counts[start(day)] += count
    rows = [{"day": day.isoformat(), "posts": count} for day, count in counts.items()]
    return (
        alt.Chart(alt.Data(values=rows), height=200)
        .mark_bar(width=alt.expr(f"min({BAR_PIXELS}, 0.8 * bandwidth('x'))"))
        .encode(
            # Not as points in time: between two days, an axis of time has hours, all with the same label.
            x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True, labelSeparation=8)),
            y=alt.Y("posts:Q", title=None, axis=alt.Axis(tickMinStep=1, format="d")),
            tooltip=[
                alt.Tooltip("day:O", title=t("history.period")),
                alt.Tooltip("posts:Q", title=t("dashboard.posts")),
            ],
        )
    )


def _ranking(name: str, counts: Sequence[Count], label: Callable[[str], str] = str) -> None:
    if not counts:
        return
    rows = [{"name": label(count.name), "posts": count.posts} for count in counts]
    st.header(t(f"dashboard.{name}"), anchor=False)
    chart = alt.Chart(alt.Data(values=rows), height=alt.Step(ROW_PIXELS))
    _draw(
        chart.mark_bar().encode(
            x=alt.X("posts:Q", title=None, axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=140, labelOverlap=False)),
            tooltip=[
                alt.Tooltip("name:N", title=t(f"dashboard.{name}")),
                alt.Tooltip("posts:Q", title=t("dashboard.posts")),
            ],
        )
    )


def _lengths(lengths: Sequence[Length]) -> None:
    place = platforms()[INSTAGRAM]
    longest = max(length.all for length in lengths)
    step = 25 if longest <= 500 else 100
    counts = Counter(length.all // step * step for length in lengths)
    colour = alt.Color("kind:N", scale=alt.Scale(domain=["posts", "limit"]), legend=None)
    rows = [
        {"from": low, "to": low + step, "posts": count, "kind": "posts"}
        for low, count in sorted(counts.items())
    ]
    bars = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar()
        .encode(
            x=alt.X("from:Q", title=None, bin="binned"),
            x2="to:Q",
            y=alt.Y("posts:Q", title=None, axis=alt.Axis(tickMinStep=1, format="d")),
            color=colour,
            tooltip=[alt.Tooltip("from:Q"), alt.Tooltip("posts:Q", title=t("dashboard.posts"))],
        )
    )
    layers = [bars]
    if longest + step >= place.post:
        line = alt.Chart(alt.Data(values=[{"at": place.post, "kind": "limit"}])).mark_rule(strokeWidth=2)
        layers.append(line.encode(x="at:Q", color=colour))
    st.header(t("dashboard.lengths"), anchor=False)
    _draw(alt.layer(*layers, height=180))
    st.caption(
        t(
            "dashboard.lengths.help",
            first=place.fold,
            all=f"{place.post:,}",
            count=len(lengths),
            over=sum(length.first > place.fold for length in lengths),
            too_long=sum(length.all > place.post for length in lengths),
        )
    )


def _failures(board: Dashboard) -> None:
    failures = board.failures()
    st.header(t("dashboard.what_failed"), anchor=False)
    st.dataframe(
        {
            t("dashboard.step"): [t(f"dashboard.step.{failure.step}") for failure in failures],
            t("dashboard.engine"): [t(f"models.{failure.engine}") for failure in failures],
            t("dashboard.times"): [failure.times for failure in failures],
            t("dashboard.latest"): [failure.latest for failure in failures],
            # Last, as only its end is cut off where there is no room.
            t("dashboard.message"): [say(failure.message) for failure in failures],
        },
        hide_index=True,
        # In the visitor's time, and without "+00:00", for which the column is too narrow.
        column_config={
            t("dashboard.latest"): st.column_config.DatetimeColumn(
                format="YYYY-MM-DD HH:mm", timezone=st.context.timezone
            )
        },
    )


def _questions(history: History) -> None:
    with st.expander(t("dashboard.sql"), icon=":material/terminal:"), st.form("dashboard-sql", border=False):
        st.caption(t("dashboard.sql.help", rows=sandbox.MOST_ROWS, seconds=sandbox.MOST_SECONDS))
        question = st.text_area(t("dashboard.sql.question"), EXAMPLE, height=120)
        tables = sql.columns().items()
        st.code(
            "\n".join(f"{table}({', '.join(names)})" for table, names in tables),
            language=None,
            wrap_lines=True,
        )
        if st.form_submit_button(t("dashboard.sql.ask")):
            st.session_state[session.DASHBOARD_ANSWER] = sql.ask(history.engine, history.owner, question)
    if answer := st.session_state.get(session.DASHBOARD_ANSWER):
        _show_answer(answer)


def _show_answer(answer: sql.Answer) -> None:
    names = [
        f"{name} {number}" if name in answer.columns[: number - 1] else name
        for number, name in enumerate(answer.columns, 1)
    ]
    st.dataframe([dict(zip(names, row, strict=True)) for row in answer.rows], hide_index=True)
    if answer.cut:
        st.caption(t("dashboard.sql.cut", rows=len(answer.rows)))
    file = io.BytesIO()
    write_table(file, names, answer.rows)
    st.download_button(
        t("dashboard.sql.download"),
        file.getvalue(),
        file_name="answer.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _draw(chart: Any) -> None:
    st.altair_chart(chart, width="stretch")
