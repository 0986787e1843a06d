"""The Models page: choose the engine, and show the machine and the installed weights."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import streamlit as st

from img2prompt import doctor, ocr, weights
from img2prompt.engines import registry
from img2prompt.errors import ConfigError
from img2prompt.settings import AUTO, ENGINES, LITE, NONE, PEOPLE, Settings
from img2prompt.web import endpoint, getting
from img2prompt.web.shared import account, pipelines, session
from img2prompt.web.shared.frame import as_it_is, show_error
from img2prompt.web.shared.i18n import language, t
from img2prompt.web.shared.sentences import say


def choose() -> None:
    """Let the visitor choose the engine and its parts; only installed ones take effect."""
    server, current = Settings.load(), pipelines.wished()
    # Where `auto` stands for something else, as after a download, the widgets are new ones: else they would keep
    # what they showed, and so choose it for a visitor who chose nothing.
    stands, resolved = _resolved(server), _resolved(current)
    st.header(t("models.engine"), anchor=False)
    engine = st.segmented_control(
        t("models.engine"),
        [name for name in ENGINES if name != "endpoint" or endpoint.is_offered(server)],
        default=resolved.engine,
        required=True,
        format_func=lambda name: t(f"models.{name}"),
        label_visibility="collapsed",
        key=f"models-engine-{stands.engine}",
    )
    st.caption(t(f"models.{engine}.help"))
    if current.engine == AUTO:
        st.caption(t("models.auto", why=say(registry.choose(current).why)))
    chosen = replace(server, engine=engine)
    if engine == "full":
        shown = resolved if resolved.engine == "full" else current
        columns = st.columns(3)
        try:
            chosen = replace(
                chosen,
                caption_model=_choose_part(columns[0], "caption", shown.caption_model, stands.caption_model),
                clip_model=_choose_part(columns[1], "clip", shown.clip_model, stands.clip_model),
                regressor=_choose_part(columns[2], "regressor", shown.regressor, stands.regressor),
            )
        except ConfigError as error:
            show_error(error)
            return
    if engine == "endpoint":
        asked = endpoint.ask(chosen)
        if asked is None:
            return
        chosen = asked
    if problem := pipelines.missing(chosen):
        _show_missing(chosen, problem)
        return
    is_server_choice = chosen == stands
    fields = ["engine", "caption_model", "clip_model", "regressor"]
    if engine == "endpoint":
        fields += ["endpoint_url", "endpoint_model", "endpoint_remote"]
    pipelines.choose(**{} if is_server_choice else {field: getattr(chosen, field) for field in fields})
    pipelines.start_loading()
    st.success(t("models.chosen", engine=t(f"models.{engine}")), icon=":material/check:")


def choose_people() -> None:
    """Let the visitor choose how captions speak of people."""
    st.segmented_control(
        t("models.people"),
        PEOPLE,
        default=pipelines.settings().people,
        required=True,
        format_func=lambda name: t(f"models.people.{name}"),
        help=t("models.people.help"),
        key="models-people",
        on_change=_keep,
        args=(session.PEOPLE_CHOICE, "models-people"),
    )


def choose_text() -> None:
    """Let the visitor choose whether words in photos are read, where that is installed."""
    if ocr.is_installed():
        st.toggle(
            t("models.text"),
            value=pipelines.settings().read_text,
            help=t("models.text.help"),
            key="models-text",
            on_change=_keep,
            args=(session.TEXT_CHOICE, "models-text"),
        )


def choose_stored() -> None:
    """Let the visitor choose whether the prompts that picture files hold are shown and exported."""
    st.toggle(
        t("models.stored"),
        pipelines.gives_stored(),
        help=t("models.stored.help"),
        key="models-stored",
        on_change=_keep,
        args=(session.STORED_CHOICE, "models-stored"),
    )


def _keep(choice: str, key: str) -> None:
    """Keep what a widget says for the visit, at once: who leaves the page before it is drawn has chosen too."""
    st.session_state[choice] = st.session_state[key]


def show_machine() -> None:
    """Show the machine's device and memory, and the disk space that weights take."""
    st.header(t("models.machine"), anchor=False)
    graphics = doctor.graphics()
    memory = _memory()
    used = sum(weights.size(folder) for folder in _installed().values())
    home = weights.home()
    free = shutil.disk_usage(next(folder for folder in (home, *home.parents) if folder.exists())).free
    with st.container(horizontal=True, key="machine"):
        st.metric(t("models.device"), graphics[0] if graphics else t("models.cpu", count=os.cpu_count() or 1))
        if graphics:
            st.metric(t("models.gpu"), f"{weights.readable(graphics[1])} / {weights.readable(graphics[2])}")
        if memory:
            st.metric(t("models.memory"), weights.readable(memory))
        st.metric(t("models.used"), weights.readable(used))
        st.metric(t("models.free"), weights.readable(free))


def show_weights() -> None:
    """Show the presets and parts: the size of each, and whether it is installed."""
    installed = _installed()
    st.header(t("models.weights"), anchor=False)
    st.caption(t("getting.help") if account.is_administrator() else t("models.weights.help"))
    getting.show_elsewhere([*weights.presets().values(), *([name] for name in weights.parts())])
    grid = [column for _ in range(0, len(weights.presets()), 2) for column in st.columns(2)]
    for column, (preset, names) in zip(grid, weights.presets().items(), strict=False):
        with column, st.container(border=True, height="stretch"):
            st.markdown(f"**{preset}** · {t(f'models.preset.{preset}')}")
            st.markdown(f":small[{' + '.join(names)}]  \n:small[{getting.facts(names)}]")
            if set(names) <= set(installed):
                st.markdown(_badge(True))
            else:
                getting.offer([preset], f"preset-{preset}")
    for kind in ("caption", "clip"):
        st.subheader(t(f"models.{kind}"), anchor=False)
        for part in weights.parts().values():
            if part.kind == kind:
                with _row(part.name):
                    _show_part(part, part.name in installed)
                    if part.name not in installed:
                        getting.offer([part.name], f"part-{part.name}", command=False)
    st.caption(t("models.folder", folder=as_it_is(str(weights.home()))))


def _row(name: str) -> st.delta_generator.DeltaGenerator:
    """A line for a part, with what is to be done about it at its end."""
    return st.container(
        horizontal=True,
        horizontal_alignment="distribute",
        vertical_alignment="center",
        key=f"part-{name}",
    )


def _show_part(part: weights.Part, installed: bool) -> None:
    """Show what a part is good for, its size, its licence, its origin and the memory that it takes."""
    facts = [weights.readable(part.bytes), part.license, part.repository]
    if part.memory:
        facts.append(t("models.takes", size=weights.readable(part.memory)))
    use = f"  \n{t(f'models.part.{part.name}')}" if part.kind == "caption" else ""
    st.markdown(f"**{part.name}** {_badge(installed)}{use}  \n:small[{' · '.join(facts)}]")


def _choose_part(column: st.delta_generator.DeltaGenerator, kind: str, current: str, stands: str) -> str:
    """Ask for a part of one kind, in a column; `stands` is the one that `auto` stands for."""
    if kind == "regressor":
        names = weights.regressors()
    else:
        names = [part.name for part in weights.parts().values() if part.kind == kind]
    # The current part may be a folder that the server's settings name.
    options = list(dict.fromkeys([*names, current, *([] if kind == "caption" else [LITE]), NONE]))
    return column.selectbox(
        t(f"models.{kind}"),
        options,
        index=options.index(current),
        format_func=_with_state,
        key=f"models-{kind}-{language()}-{stands}",  # a selectbox keeps the words it was first drawn with
    )


def _with_state(name: str) -> str:
    if name == NONE:
        return t("models.none")
    if name == LITE:
        return t("models.lites")
    part = weights.parts().get(name)
    if part is None:
        return name
    return f"{name} · {weights.readable(part.bytes)}" + (" ✓" if weights.locate(part) else "")


def _show_missing(chosen: Settings, error: Exception) -> None:
    """Show which parts are missing, with the command that installs them."""
    wanted = (weights.parts().get(name) for name in (chosen.caption_model, chosen.clip_model))
    names = [part.name for part in wanted if part and not weights.locate(part)]
    if not names:  # a folder that the server's settings name
        show_error(f"{say(error)} {t('models.instead')}")
        return
    parts = ", ".join(names)
    words = (
        t("getting.missing", parts=parts) if account.is_administrator() else t("models.missing", parts=parts)
    )
    st.warning(words, icon=":material/download:")
    st.caption(getting.facts(names))
    getting.offer(names, "missing")


def _resolved(settings: Settings) -> Settings:
    """The settings with the engine, and its parts, that they result in here."""
    chosen = registry.choose(settings).settings
    if chosen.engine == "endpoint":
        return chosen
    return replace(settings, engine="lite") if pipelines.missing(chosen) else chosen


def _installed() -> dict[str, Path]:
    """Name → folder of the installed parts."""
    folders = {name: weights.locate(part) for name, part in weights.parts().items()}
    return {name: folder for name, folder in folders.items() if folder}


def _badge(installed: bool) -> str:
    """Markdown for a badge: installed or not."""
    if installed:
        return f":green-badge[:material/check: {t('models.installed')}]"
    return f":gray-badge[{t('models.not_installed')}]"


def _memory() -> int | None:
    """Main memory in bytes; None if the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
