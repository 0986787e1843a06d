"""A batch on the Batch page: its progress, its results, and downloads."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import Literal

import streamlit as st

from img2prompt.batch import Item
from img2prompt.batch.formats import FORMATS
from img2prompt.batch.runs import Progress, Run
from img2prompt.captions.edits import choose, keep
from img2prompt.captions.filters import Filter
from img2prompt.captions.table import Change, Entry, token_counts, words
from img2prompt.errors import ImageError, Img2PromptError
from img2prompt.images import Limits, open_image
from img2prompt.posts.limits import cut, tidy
from img2prompt.prompts import CONTEXT
from img2prompt.settings import Settings
from img2prompt.web import components
from img2prompt.web.batch import earlier, editing, sources, wishes
from img2prompt.web.caption.reading import copyable
from img2prompt.web.shared import dates, lists, pipelines, session
from img2prompt.web.shared.frame import as_it_is, delete_button, show_error
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.photo import as_jpeg
from img2prompt.web.shared.sentences import say

PAGE = 20  # pictures shown at a time
SHOWN = ("all", "described", "failed", "edited", "long", "stored")
LARGE_PIXELS = 1200
THUMBNAIL_PIXELS = 224  # twice the shown size, for sharp screens
MOST_THUMBNAILS = 2000
MOST_TOLD = 160  # characters of an instruction that are shown
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
    if "instruction" in run.told:
        st.caption(t("batch.told", instruction=as_it_is(cut(tidy(run.told["instruction"]), MOST_TOLD))))
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
        entries = run.entries(text)
        if not pipelines.gives_stored():
            entries = [replace(entry, stored="") for entry in entries]
        entries = _filter(shown, text, editing.word(run)).of(entries)
        notes = editing.compared(run)
        if notes is not None:
            found = {entry.name: entry for entry in entries}
            entries = [found[name] for name in notes if name in found]
        editing.pressed_word(run)
        editing.tools(run, entries)
    except Img2PromptError as error:  # the batch was removed meanwhile
        show_error(error)
        return
    st.caption(t("batch.count", count=len(entries)) if entries else t("batch.none"))
    # Above the pictures, so that it does not move when more pictures come.
    page = lists.page_of(entries, PAGE, f"batch-page-{shown}-{text}{editing.word(run)}")
    try:
        posts = run.posts([entry.name for entry in page])
    except Img2PromptError as error:  # a tone that is gone
        show_error(error)
        posts = {}
    names = [entry.name for entry in entries if not entry.problem]
    with st.container(key="results", gap="small"):
        for entry, tokens in zip(page, token_counts([entry.caption for entry in page]), strict=True):
            _line(run, entry, tokens, posts.get(entry.name, ""), (notes or {}).get(entry.name, ""), names)


def _filter(shown: str, text: str, word: str) -> Filter:
    """What the visitor wants to see: one of `SHOWN`, with a text and a word in it."""
    if shown == "edited":
        return Filter(text=text, word=word, edited=True)
    if shown == "long":
        return Filter(text=text, word=word, failed=False, min_tokens=CONTEXT + 1)
    if shown == "stored":
        return Filter(text=text, word=word, stored=True)
    return Filter(text=text, word=word, failed={"described": False, "failed": True}.get(shown))


def _line(run: Run, entry: Entry, tokens: int, post: str, note: str, names: list[str]) -> None:
    """Show a picture and its caption, with a note; `names` are those to turn to where it is shown large."""
    key = _key(run, entry.name)
    with st.container(horizontal=True, gap="small", key=f"row-{key}"):
        if entry.problem:
            with st.container(key=f"broken-{key}", width=112):
                st.markdown(":material/broken_image:", width="content")
        else:
            item = run.item(entry.name)
            st.image(_thumbnail(run.id, entry.name, item.stamp, item), width=112, alt=entry.caption)
        with st.container(gap="xsmall" if post or entry.stored else None, width="stretch"):
            st.text(f"{entry.name} · {note}" if note else entry.name)
            if entry.problem:
                show_error(entry.problem)
            else:
                _caption(run, entry, "caption")
                with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                    st.caption(_length(entry, tokens), width="content")
                    if st.button(
                        t("captions.large"),
                        icon=":material/open_in_full:",
                        type="tertiary",
                        key=f"large-{key}",
                    ):
                        st.session_state[session.LARGE] = entry.name
                        st.dialog(t("captions.large"), width="large", on_dismiss="rerun")(_large)(run, names)
            if post:
                copyable(t("batch.post"), post, f"batch-{key}")
            if entry.stored:
                copyable(t("batch.stored"), entry.stored, f"batch-stored-{key}")


def _length(entry: Entry, tokens: int) -> str:
    parts = [t("captions.words", count=len(words(entry.caption)))]
    if tokens <= CONTEXT:
        parts.append(t("captions.tokens", count=tokens, most=CONTEXT))
    else:
        parts.append(t("captions.too_long", count=tokens, most=CONTEXT))
    if entry.kept:
        parts.append(t("captions.others", count=len(entry.kept)))
    return " · ".join(parts)


def _large(run: Run, names: list[str]) -> None:
    """A picture large beside its caption, its other captions, and the way to its neighbours."""
    entries = {entry.name: entry for entry in run.entries()}
    entry = entries.get(st.session_state[session.LARGE])
    if entry is None or entry.problem:  # the batch is described anew
        return
    place = names.index(entry.name)
    before, after = place - 1, place + 1

    def turn(number: int) -> None:
        st.session_state[session.LARGE] = names[number]

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            t("captions.before"),
            icon=":material/arrow_back:",
            disabled=before < 0,
            on_click=turn,
            args=(before,),
            key="large-before",
        )
        st.button(
            t("captions.next"),
            icon=":material/arrow_forward:",
            disabled=after == len(names),
            on_click=turn,
            args=(after,),
            key="large-next",
        )
        st.caption(f"{place + 1} / {len(names)}", width="content")
    left, right = st.columns([3, 2], gap="medium")
    item = run.item(entry.name)
    with left:
        st.image(_thumbnail(run.id, entry.name, item.stamp, item, LARGE_PIXELS), alt=entry.caption)
    with right, st.container(key=f"row-large-{_key(run, entry.name)}"):
        st.text(entry.name)
        _caption(run, entry, "large-caption")
        st.caption(_length(entry, *token_counts([entry.caption])))
        st.button(
            t("captions.keep"),
            icon=":material/library_add:",
            help=t("captions.keep.help"),
            disabled=entry.caption in entry.kept,
            on_click=_change,
            args=(run, "keep", entry.name, keep(entry)),
            key="captions-keep",
        )
        for number, text in enumerate(entry.kept, 1):
            if text != entry.caption:
                st.button(
                    as_it_is(text),
                    icon=":material/swap_horiz:",
                    help=t("captions.choose.help"),
                    on_click=_change,
                    args=(run, "choose", entry.name, choose(entry, number)),
                    key=f"captions-choose-{number}",
                )


def _change(run: Run, kind: str, name: str, changes: list[Change]) -> None:
    try:
        run.change(kind, [name], changes)
    except Img2PromptError as error:
        editing.complain(run, error)


def _caption(run: Run, entry: Entry, widget: str) -> None:
    key = f"{widget}-{_key(run, entry.name)}"
    saved_drafts = st.session_state.setdefault(session.KEPT_DRAFTS, {})

    def keep_draft() -> None:
        draft = st.session_state[key].text
        try:
            run.edit(entry.name, str(draft["text"]))
        except Img2PromptError as error:
            editing.complain(run, error)
        saved_drafts[key] = draft["number"]

    _EDIT(
        key=key,
        data={
            "id": key,
            "text": entry.caption,
            "name": t("batch.caption", name=entry.name),
            "kept": saved_drafts.get(key),
        },
        on_text_change=keep_draft,
    )


def _key(run: Run, name: str) -> str:
    return hashlib.sha256(f"{run.id}\n{name}".encode()).hexdigest()[:12]


@st.cache_data(show_spinner=False, max_entries=MOST_THUMBNAILS)
def _thumbnail(
    run_id: str, name: str, stamp: str, _item: Item, pixels: int = THUMBNAIL_PIXELS
) -> bytes | str:
    """A JPEG copy of a picture with at most `pixels` a side, or an empty SVG if it can no longer be read."""
    settings = Settings.load()
    try:
        data = _item.read(int(settings.max_megabytes * 2**20) + 1)
        return as_jpeg(open_image(data, Limits.from_settings(settings)), pixels)
    except ImageError:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="224" height="150"/>'
