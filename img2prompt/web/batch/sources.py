"""Get a batch: from uploads, from a folder on the server, or an earlier one by its address."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import streamlit as st

from img2prompt.batch.runs import Run, Runs, runs_folder
from img2prompt.batch.sources import ARCHIVE
from img2prompt.errors import Img2PromptError
from img2prompt.images import SUFFIXES
from img2prompt.posts import Choices
from img2prompt.settings import SERVER_FOLDERS, Settings, switch
from img2prompt.web.batch import wishes
from img2prompt.web.shared import account, instruction, keeping, pipelines, privacy, session, visitor
from img2prompt.web.shared.frame import show_error
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.registry import Registry
from img2prompt.web.shared.uploader import Words, ask_for_files

START = "batch-start"  # key of the button

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


def own() -> list[str]:
    """The ids of this session's batches."""
    return st.session_state.get(session.RUNS, [])


def leave() -> None:
    """Go back to the start page; the batch itself is kept."""
    st.session_state.pop(session.RUN, None)
    st.query_params.clear()


def start(run: Run) -> None:
    """Start or continue the work on a batch; pictures are kept in the history of who began it, if they do this."""

    def save(*described: Any) -> None:
        # The choices of now: the visitor may change them while the batch works.
        keeping.save(run.owner, run.choices or Choices(variants=1), *described)

    keeps = bool(run.owner) and run.owner == account.owner()  # not by all who know the batch's address
    runs().start(
        run, pipelines.loader(run.told), own(), save if keeps else None, privacy.destination(run.told)
    )


def destinations(shown: Run | None) -> list[str]:
    """The model servers that pictures go to: those of this session's batches, and of what is begun next.

    What is begun next does not count while a batch is shown that is at work, possibly with other settings.
    """
    hosts = [run.goes_to for run in runs().working(own())]
    if shown is None or not shown.working:
        hosts.append(privacy.destination())
    return [host for host in dict.fromkeys(hosts) if host]


def ask() -> None:
    """Ask for pictures and what to do with them, and start a batch."""
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


def may_name_folders() -> bool:
    """Whether this visitor may name a folder on the server: by the setting, else if they sit at it."""
    chosen = switch(SERVER_FOLDERS)
    return visitor.sits_here() if chosen is None else chosen


def _ask_for_uploads(whole_folder: bool) -> None:
    settings = Settings.load()
    limit = st.get_option("server.maxUploadSize")
    each = min(settings.max_megabytes, limit)
    if whole_folder:
        words = Words(
            label=t("batch.upload"),
            button=t("batch.upload.folder"),
            limits=t("batch.limits.folder", megabytes=f"{each:g}"),
            unsupported=t("upload.unsupported"),
            too_large=t("upload.too_large", megabytes=f"{each:g}"),
        )
    else:
        words = Words(
            label=t("batch.upload"),
            button=t("batch.upload.files"),
            limits=t("batch.limits.files", zip=limit),
            unsupported=t("batch.unsupported"),
            too_large=t("batch.too_large", megabytes=limit),
        )
    files = ask_for_files(
        words,
        # A new key after each start gives a new, empty uploader.
        key=f"batch-{'folder' if whole_folder else 'files'}-{st.session_state.get(session.BEGUN, 0)}",
        suffixes=SUFFIXES if whole_folder else (*SUFFIXES, ARCHIVE),
        megabytes=each if whole_folder else limit,
        several="directory" if whole_folder else True,
        shows_label=False,
    )
    if files:
        _begin_button(len(files), files=[(file.name, file) for file in files])


def _ask_for_folder() -> None:
    folder = st.text_input(
        t("batch.server"),
        placeholder=t("batch.server.placeholder"),
        help=t("batch.server.help"),
        key="folder",
        live=True,
    )
    if folder := folder.strip():  # pasted with a space or a line break beside it
        _begin_button(None, folder=Path(os.path.expanduser(folder)))


def _begin_button(count: int | None, **source: Any) -> None:
    """Ask what is wanted of the pictures, and begin; `source` is what `Runs.add` takes."""
    posts, owner = wishes.posts("batch"), wishes.owner()
    begins = bool(st.session_state.get(START))
    told = instruction.ask("batch-instruction", posts.note if posts else "", waits=begins)
    label = t("batch.start.count", count=count) if count else t("batch.start")
    if not st.button(label, type="primary", width="stretch", key=START):
        return
    try:
        with st.spinner(t("batch.saving")):
            run = runs().add(**source, own=own(), posts=posts, owner=owner, told=told)
            # Inside the spinner, as another click may end this run of the script when the spinner ends.
            st.session_state[session.BEGUN] = st.session_state.get(session.BEGUN, 0) + 1
            _go_to(run)
            start(run)
    except Img2PromptError as error:
        show_error(error)
        return
    st.rerun()


def _go_to(run: Run) -> None:
    """Put the batch's id into the address, so that reloading the page or a bookmark finds it."""
    st.session_state[session.RUN] = run.id
    own_ids = st.session_state.setdefault(session.RUNS, [])
    if run.id not in own_ids:
        own_ids.append(run.id)
    st.query_params["run"] = run.id
