"""A batch on the Batch page: its progress, its results, and downloads."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Literal

import streamlit as st

from img2prompt.batch import Item, Line
from img2prompt.batch.formats import FORMATS
from img2prompt.batch.runs import Progress, Run
from img2prompt.errors import ImageError, Img2PromptError
from img2prompt.images import Limits, open_image
from img2prompt.settings import Settings
from img2prompt.web import components
from img2prompt.web.batch import earlier, sources, wishes
from img2prompt.web.caption.reading import copyable
from img2prompt.web.shared import dates, lists, pipelines, session
from img2prompt.web.shared.frame import as_it_is, delete_button, show_error
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.photo import as_jpeg
from img2prompt.web.shared.sentences import say

PAGE = 20  # pictures shown at a time
SHOWN = ("all", "described", "failed", "stored")
THUMBNAIL_PIXELS = 224  # twice the shown size, for sharp screens
MOST_THUMBNAILS = 2000
EVERY, EVERY_RESULTS = 1.0, 3.0  # seconds between updates of the progress, and of the results

_EDIT = components.register("edit")


def show(run: Run) -> None:
    """Show a batch; its progress and results update themselves while it works."""
    working = run.working
    with st.container(key="batch-work"):
        st.fragment(_work, run_every=EVERY if working else None)(run, _stage(run))
    if run.progress().done:
        _posts(run)
        _downloads(run)
        # A fragment only while the batch works: a click in a fragment waits for the page to be drawn, and is
        # lost if the visitor leaves meanwhile.
        st.fragment(_results, run_every=EVERY_RESULTS)(run) if working else _results(run)


def _stage(run: Run) -> tuple[bool, bool, bool]:
    """The state that the rest of the page depends on: working, has results, has failures."""
    progress = run.progress()
    return run.working, progress.done > 0, progress.failed > 0


def _work(run: Run, drawn: tuple[bool, bool, bool]) -> None:
    """Show the progress and the buttons; draw the whole page again when the stage has changed."""
    if _stage(run) != drawn:
        st.rerun()
    progress = run.progress()
    finished = progress.done == progress.total
    st.text(earlier.title(run))
    st.progress(progress.done / max(progress.total, 1))
    st.markdown(_how_far(run, progress))
    if run.error:
        show_error(run.error)
    if run.kept and run.kept.lost:
        st.warning(t("batch.not_kept", count=run.kept.lost, reason=as_it_is(say(run.kept.problem))))
    with st.container(horizontal=True):
        if run.working:
            st.button(t("batch.stop"), icon=":material/stop:", on_click=run.stop, disabled=run.stopping)
        elif not finished and st.button(t("batch.go_on"), icon=":material/play_arrow:", type="primary"):
            try:
                sources.start(run)
            except Img2PromptError as error:  # too many others wait
                show_error(error)
            else:
                st.rerun()
        if not run.working:
            if st.button(t("batch.new"), icon=":material/add:"):
                sources.leave()
                st.rerun()
            with st.popover(t("batch.delete"), icon=":material/delete:"):
                st.markdown(t("batch.delete.sure"))
                if delete_button(t("batch.delete.yes"), "batch"):
                    sources.leave()
                    sources.runs().remove(run.id)
                    st.rerun()


def _how_far(run: Run, progress: Progress) -> str:
    parts = [f"**{t('batch.done', done=progress.done, total=progress.total)}**"]
    if progress.failed:
        parts.append(t("batch.failed", count=progress.failed))
    if run.stopping:
        parts.append(t("batch.stopping"))
    elif run.waiting:
        parts.append(t("batch.waiting"))
    elif run.working and progress.rate and progress.seconds_left is not None:
        parts.append(t("batch.rate", rate=f"{progress.rate:.1f}"))
        parts.append(dates.time_left(progress.seconds_left))
    elif run.working:
        parts.append(t("batch.estimating"))
    elif progress.done < progress.total:
        parts.append(t("batch.stopped"))
    return " · ".join(parts)


def _posts(run: Run) -> None:
    """Let the visitor choose the posts: they derive from the results, so nothing is described again.

    Only a change counts: who has the batch open elsewhere must not undo what was chosen here.
    """
    asked = st.session_state.setdefault(session.POSTS_ASKED, {})
    wanted = wishes.posts(f"posts-{run.id}", run.choices)
    if wanted != asked.setdefault(run.id, run.choices):
        asked[run.id] = wanted
        run.choose(wanted)


def _downloads(run: Run) -> None:
    progress = run.progress()
    st.header(t("batch.downloads"), anchor=False)
    st.caption(t("batch.downloads.help"))
    with st.container(horizontal=True, gap="small"):
        for kind, format in FORMATS.items():
            main = kind == "csv" and progress.done == progress.total
            _download(run, kind, format.file, format.mime, "primary" if main else "secondary")
        if progress.failed:
            _download(run, "errors", "errors.csv", "text/csv", "secondary")


def _download(run: Run, kind: str, file: str, mime: str, type: Literal["primary", "secondary"]) -> None:
    problem = run.problem(kind)
    st.download_button(
        t(f"batch.format.{kind}"),
        # Called when the visitor clicks.
        partial(run.export, kind, pipelines.loader(), pipelines.gives_stored()),
        file_name=file,
        mime=mime,
        icon=":material/error:" if kind == "errors" else ":material/download:",
        type=type,
        help=as_it_is(say(problem)) or t(f"batch.format.{kind}.help"),
        disabled=bool(problem),
        on_click="ignore",
        key=f"download-{kind}",
    )


def _results(run: Run) -> None:
    """Show the pictures with their captions, one page at a time."""
    st.header(t("batch.results"), anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = st.segmented_control(
            t("batch.show"),
            SHOWN,
            default="all",
            required=True,
            format_func=lambda which: t(f"batch.show.{which}"),
            key="batch-shown",
            label_visibility="collapsed",
        )
        text = lists.search(t("batch.search"), "batch-search")
    try:
        gives = pipelines.gives_stored()
        lines = [line if gives else line._replace(stored="") for line in run.lines()]
        lines = [line for line in lines if _matches(line, shown, text)]
    except Img2PromptError as error:  # the batch was removed meanwhile
        show_error(error)
        return
    st.caption(t("batch.count", count=len(lines)) if lines else t("batch.none"))
    # Above the pictures, so that it does not move when more pictures come.
    lines = lists.page_of(lines, PAGE, f"batch-page-{shown}-{text}")
    try:
        posts = run.posts([line.name for line in lines])
    except Img2PromptError as error:  # a tone that is gone
        show_error(error)
        posts = {}
    with st.container(key="results", gap="small"):
        for line in lines:
            _line(run, line, posts.get(line.name, ""))


def _matches(line: Line, shown: str, text: str) -> bool:
    """Whether a line passes the filter (one of `SHOWN`) and contains the text."""
    passes = {"all": True, "described": not line.error, "failed": line.error, "stored": line.stored}
    words = f"{line.name}\n{line.caption}\n{line.error}\n{line.stored}"
    return bool(passes[shown]) and text.casefold() in words.casefold()


def _line(run: Run, line: Line, post: str) -> None:
    with st.container(horizontal=True, gap="small"):
        if line.error:
            with st.container(key=f"broken-{_key(run, line)}", width=112):
                st.markdown(":material/broken_image:", width="content")
        else:
            item = run.item(line.name)
            st.image(_thumbnail(run.id, line.name, item.stamp, item), width=112, alt=line.caption)
        with st.container(gap="xsmall" if post or line.stored else None, width="stretch"):
            st.text(line.name)
            if line.error:
                show_error(line.error)
            else:
                _caption(run, line)
            if post:
                copyable(t("batch.post"), post, f"batch-{_key(run, line)}")
            if line.stored:
                copyable(t("batch.stored"), line.stored, f"batch-stored-{_key(run, line)}")


def _caption(run: Run, line: Line) -> None:
    key = f"caption-{_key(run, line)}"
    saved_drafts = st.session_state.setdefault(session.KEPT_DRAFTS, {})

    def keep() -> None:
        draft = st.session_state[key].text
        run.edit(line.name, str(draft["text"]))
        saved_drafts[key] = draft["number"]

    _EDIT(
        key=key,
        data={
            "id": key,
            "text": line.caption,
            "name": t("batch.caption", name=line.name),
            "kept": saved_drafts.get(key),
        },
        on_text_change=keep,
    )


def _key(run: Run, line: Line) -> str:
    return hashlib.sha256(f"{run.id}\n{line.name}".encode()).hexdigest()[:12]


@st.cache_data(show_spinner=False, max_entries=MOST_THUMBNAILS)
def _thumbnail(run_id: str, name: str, stamp: str, _item: Item) -> bytes | str:
    """A small JPEG copy of a picture, or an empty SVG if it can no longer be read."""
    settings = Settings.load()
    try:
        data = _item.read(int(settings.max_megabytes * 2**20) + 1)
        return as_jpeg(open_image(data, Limits.from_settings(settings)), THUMBNAIL_PIXELS)
    except ImageError:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="224" height="150"/>'
