"""Get a batch: from uploads, from a folder on the server, or an earlier one by its address."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import ceil
from pathlib import Path

import streamlit as st

from img2prompt.batch.runs import DAYS, Run, Runs, runs_folder
from img2prompt.errors import Img2PromptError
from img2prompt.images import SUFFIXES
from img2prompt.settings import SERVER_FOLDERS, Settings, switch
from img2prompt.web.shared import pipelines, session, visitor
from img2prompt.web.shared.frame import as_it_is, show_error
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.photo import uploader_style
from img2prompt.web.shared.registry import Registry

MOST_EARLIER = 5  # batches offered to come back to


_RUNS = Registry(Runs)


def runs() -> Runs:
    """The batches of this server."""
    return _RUNS(runs_folder())


def current() -> Run | None:
    """The batch that the address names, else the last one of this session; None without any.

    Raises
    ------
    DataError
        When the batch cannot be opened.
    """
    runs().clean()
    id = st.query_params.get("run") or st.session_state.get(session.RUN)
    if not id:
        return None
    run = runs().get(id)
    if run is None:
        leave()
        st.info(t("batch.gone"))
        return None
    _go_to(run)
    return run


def _own() -> list[str]:
    """The ids of this session's batches."""
    return st.session_state.get(session.RUNS, [])


def leave() -> None:
    """Go back to the start page; the batch itself is kept."""
    st.session_state.pop(session.RUN, None)
    st.query_params.clear()


def start(run: Run) -> None:
    """Start or continue the work on a batch."""
    runs().start(run, pipelines.loader(), _own())


def ask() -> None:
    """Ask for pictures, and start a batch with them."""
    origins = ["files", "folder", "server"] if may_name_folders() else ["files", "folder"]
    origin = st.segmented_control(
        t("batch.from"),
        origins,
        default=origins[0],
        required=True,
        format_func=lambda origin: t(f"batch.from.{origin}"),
        key="batch-from",
        label_visibility="collapsed",
        width="stretch",
    )
    if origin == "server":
        _ask_for_folder()
    else:
        _ask_for_uploads(whole_folder=origin == "folder")


def explain() -> None:
    """Explain what a batch does, for first-time visitors."""
    st.space("small")
    for column, part in zip(st.columns(3, gap="medium"), ("work", "edit", "download"), strict=True):
        column.markdown(f"**{t(f'batch.explain.{part}')}**  \n:small[{t(f'batch.explain.{part}.meaning')}]")


def earlier() -> None:
    """Offer earlier batches: all of them to a visitor who sits at this machine, else those of this session."""
    own_ids = _own()
    sees_all = visitor.sits_here()
    titles = {id: title for id, title in runs().titles().items() if id in own_ids or sees_all}
    if titles:
        st.space("small")
        st.caption(t("batch.earlier", days=DAYS))
        row = st.container(horizontal=True, gap="small")
        for id, title in list(titles.items())[:MOST_EARLIER]:
            row.button(
                as_it_is(title) or t("batch"),
                icon=":material/history:",
                key=f"earlier-{id}",
                on_click=_come_back,
                args=(id,),
            )


def may_name_folders() -> bool:
    """Whether this visitor may name a folder on the server: by the setting, else if they sit at it."""
    chosen = switch(SERVER_FOLDERS)
    return visitor.sits_here() if chosen is None else chosen


def _ask_for_uploads(whole_folder: bool) -> None:
    settings = Settings.load()
    limit = st.get_option("server.maxUploadSize")
    each = min(ceil(settings.max_megabytes), limit)
    files = st.file_uploader(
        t("batch.upload"),
        type=SUFFIXES if whole_folder else (*SUFFIXES, ".zip"),
        accept_multiple_files="directory" if whole_folder else True,
        max_upload_size=each if whole_folder else limit,
        # A new key after each start gives a new, empty uploader.
        key=f"batch-{'folder' if whole_folder else 'files'}-{st.session_state.get(session.BEGUN, 0)}",
        label_visibility="collapsed",
    )
    button, limits = ("upload.folder", "limits.folder") if whole_folder else ("upload.files", "limits.files")
    st.html(uploader_style(t(f"batch.{button}"), t(f"batch.{limits}", megabytes=each, zip=limit)))
    if files:
        _begin_button(len(files), lambda: runs().add([(file.name, file) for file in files], own=_own()))


def _ask_for_folder() -> None:
    folder = st.text_input(
        t("batch.server"),
        placeholder=t("batch.server.placeholder"),
        help=t("batch.server.help"),
        key="folder",
        live=True,
    )
    if folder:
        _begin_button(None, lambda: runs().add(folder=Path(os.path.expanduser(folder)), own=_own()))


def _begin_button(count: int | None, make: Callable[[], Run]) -> None:
    label = t("batch.start.count", count=count) if count else t("batch.start")
    if not st.button(label, type="primary", width="stretch", key="batch-start"):
        return
    try:
        with st.spinner(t("batch.saving")):
            run = make()
            # Inside the spinner, as another click may end this run of the script when the spinner ends.
            st.session_state[session.BEGUN] = st.session_state.get(session.BEGUN, 0) + 1
            _go_to(run)
            start(run)
    except Img2PromptError as error:
        show_error(error)
        return
    st.rerun()


def _come_back(id: str) -> None:
    st.session_state[session.RUN] = id


def _go_to(run: Run) -> None:
    """Put the batch's id into the address, so that reloading the page or a bookmark finds it."""
    st.session_state[session.RUN] = run.id
    own_ids = st.session_state.setdefault(session.RUNS, [])
    if run.id not in own_ids:
        own_ids.append(run.id)
    st.query_params["run"] = run.id
