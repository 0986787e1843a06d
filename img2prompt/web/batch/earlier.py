"""The earlier batches on the Batch page: what each is, when it came and how far it is."""

from __future__ import annotations

import streamlit as st

from img2prompt.batch.runs import DAYS, Run, Summary
from img2prompt.web.batch import sources
from img2prompt.web.shared import dates, lists, session, visitor
from img2prompt.web.shared.frame import as_it_is
from img2prompt.web.shared.i18n import t

PAGE = 10  # batches shown at a time


def show() -> None:
    """Offer earlier batches: all of them to a visitor who sits at this machine, else those of this session."""
    found = sources.runs().summaries(None if visitor.sits_here() else sources.own())
    if not found:
        return
    st.space("small")
    st.header(t("batch.earlier"), anchor=False)
    st.caption(t("batch.earlier.help", days=DAYS))
    asked = ""
    if len(found) > 1:
        asked = lists.search(t("batch.earlier.search"), "earlier-search")
    entries = [(summary.id, _line(summary)) for summary in found]
    entries = [(id, line) for id, line in entries if asked.casefold().strip() in line.casefold()]
    if not entries:
        st.caption(t("batch.earlier.none"))
    shown = lists.page_of(entries, PAGE, f"earlier-page-{asked}")
    with st.container(key="earlier", gap="xxsmall"):
        for id, line in shown:
            st.button(
                as_it_is(line),
                icon=":material/history:",
                type="tertiary",
                key=f"earlier-{id}",
                on_click=_come_back,
                args=(id,),
            )


def title(batch: Run | Summary) -> str:
    """What a batch is called: a folder, an archive, or a first picture and how many more."""
    return t("batch.title", name=batch.title, count=batch.others) if batch.others else batch.title


def _line(summary: Summary) -> str:
    """A batch in one line: name, time, number of pictures, and how far it is."""
    parts = [title(summary) or t("batch"), dates.minute(summary.made)]
    if state := summary.state:
        parts.append(t("batch.pictures", count=state.total))
    return " · ".join([*parts, *_how_far(summary)])


def _how_far(summary: Summary) -> list[str]:
    state = summary.state
    if summary.working:
        return [t("batch.earlier.working")]
    if state is None:
        return []
    if state.done < state.total:
        kind = "failed" if state.error else "stopped"
        return [t(f"batch.earlier.{kind}", done=state.done, total=state.total)]
    failed = [t("batch.failed", count=state.failed)] if state.failed else []
    return [t("batch.earlier.done"), *failed]


def _come_back(id: str) -> None:
    st.session_state[session.RUN] = id
