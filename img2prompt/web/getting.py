"""Get weights on the Models page: a button, and then how far the download is, on every page that is open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import streamlit as st

from img2prompt import weights
from img2prompt.errors import Img2PromptError
from img2prompt.web.shared import account
from img2prompt.web.shared.dates import time_left
from img2prompt.web.shared.frame import delete_button, show_error
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.pipelines import pipelines
from img2prompt.weights import Part, fetch
from img2prompt.weights.downloads import Downloads, Status

COMMAND = "img2prompt models pull"
EVERY = 1.0  # seconds between updates while something is fetched

# Of all visitors of this server. What was loaded while the parts were missing may be another engine than the
# same settings name now.
downloads = Downloads(on_installed=pipelines.clear)


@contextmanager
def at_one_moment() -> Iterator[None]:
    """Draw the page again if a download changed what is installed, or began or ended, while it was drawn.

    Else one line of it says *Not installed*, the next one knows that the part is, and nothing draws them anew.
    """
    drawn = _stage(downloads.status())
    yield
    if _stage(downloads.status()) != drawn:
        st.rerun()


def facts(names: Iterable[str]) -> str:
    """Size and licences of presets or parts: what to know before one gets them."""
    parts = weights.expand(names)
    size = weights.readable(sum(part.bytes or 0 for part in parts))
    return " · ".join([size, ", ".join(dict.fromkeys(part.license for part in parts))])


def offer(names: Sequence[str], place: str, command: bool = True) -> None:
    """Let a visitor get presets or parts that are not installed, and show how far that is.

    Parameters
    ----------
    names : of presets or parts
    place : a name for where on the page; each place has another one
    command : show the command to those who may not get them here
    """
    if not account.is_administrator():
        if command:
            st.code(f"{COMMAND} {' '.join(names)}", language="bash", wrap_lines=True)
        return
    parts, status = weights.expand(names), downloads.status()
    if status.working and _shows(parts, status):
        _work(place, status)
    else:
        _ask(_lacking(parts), place, status)


def show_elsewhere(places: Iterable[Sequence[str]]) -> None:
    """Show how far a download is that none of these places on the page shows; each is some names of parts."""
    status = downloads.status()
    if not status.working or not account.is_administrator():
        return
    if not any(_shows(weights.expand(names), status) for names in places):
        with st.container(border=True):
            st.markdown(f"**{' + '.join(status.names)}**")
            _work("elsewhere", status)


class _Stage(NamedTuple):
    """What the rest of the page depends on."""

    working: bool
    names: tuple[str, ...]
    installed: tuple[str, ...]


def _stage(status: Status) -> _Stage:
    return _Stage(status.working, status.names, status.installed)


def _lacking(parts: Iterable[Part]) -> list[Part]:
    return [part for part in parts if not weights.locate(part)]


def _shows(parts: Sequence[Part], status: Status) -> bool:
    """Whether a place for these parts is where to show a download: it fetches what they lack and no others."""
    lacking = {part.name for part in _lacking(parts)}
    return lacking <= set(status.names) <= {part.name for part in parts}


def _work(place: str, status: Status) -> None:
    # A fragment only while something is fetched: a click in a fragment waits for the page to be drawn, and is
    # lost if the visitor leaves meanwhile.
    with st.container(key=f"getting-{place}", gap="xsmall"):
        st.fragment(_how_far, run_every=EVERY)(place, _stage(status))


def _how_far(place: str, drawn: _Stage) -> None:
    """Show how far the download is; draw the whole page again when it ends or a part is installed."""
    status = downloads.status()
    if _stage(status) != drawn:
        st.rerun()
    step = status.step
    st.progress(step.done / step.total if step and step.total else 0.0)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":small[{_in_words(status)}]")
        st.button(
            t("getting.pause"),
            icon=":material/pause:",
            on_click=downloads.pause,
            disabled=status.pausing,
            key=f"pause-{place}",
        )


def _in_words(status: Status) -> str:
    step = status.step
    if not step or not step.total:
        return t("getting.pausing") if status.pausing else t("getting.asking")
    done, total = weights.readable(step.done), weights.readable(step.total)
    words = [f"**{t('getting.done', done=done, total=total)}**"]
    if status.pausing:
        words.append(t("getting.pausing"))
    elif step.stage == "waiting":
        words.append(t("getting.waiting"))
    elif step.stage == "checking":
        words.append(t("getting.checking"))
    elif status.rate and status.seconds_left is not None:
        words += [t("getting.rate", rate=f"{status.rate / 1e6:.1f}"), time_left(status.seconds_left)]
    return " · ".join(words)


def _ask(parts: Sequence[Part], place: str, status: Status) -> None:
    """Show a button that begins the download or goes on with it, and why it ended if it failed."""
    names = {part.name for part in parts}
    if status.working and names <= set(status.names):
        st.markdown(f":blue-badge[:material/downloading: {t('getting.working')}]", width="content")
        return
    begun = sum(map(fetch.begun, parts))
    failed = status.error if names == set(status.names) else ""
    with st.container(
        key=f"getting-{place}", gap="xsmall", width="stretch" if begun or failed else "content"
    ):
        if failed:
            show_error(failed)
        if begun:
            total = max(begun, sum(part.bytes or 0 for part in parts))
            st.progress(begun / total)
            words = t("getting.begun", done=weights.readable(begun), total=weights.readable(total))
            st.markdown(f":small[{words}]")
        with st.container(horizontal=True):
            pressed = st.button(
                t("getting.go_on") if begun else t("getting.get"),
                icon=":material/play_arrow:" if begun else ":material/download:",
                disabled=status.working,
                help=t("getting.other", names=", ".join(status.names)) if status.working else None,
                key=f"get-{place}",
            )
            discarded = bool(begun) and not status.working and _discard(place, begun)
        try:
            if pressed:
                downloads.start(parts)
                st.rerun()
            if discarded:
                downloads.discard(parts)
                st.rerun()
        except Img2PromptError as error:  # another visitor was faster
            show_error(error)


def _discard(place: str, begun: int) -> bool:
    """Ask whether what has come is to be deleted, so many bytes; whether it is."""
    with st.popover(t("getting.discard"), icon=":material/delete:"):
        st.markdown(t("getting.discard.sure", size=weights.readable(begun)))
        return delete_button(t("getting.discard.yes"), f"weights-{place}")
