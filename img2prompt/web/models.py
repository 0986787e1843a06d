"""The Models page: the engine of this visit, the machine, and what weights there are."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import streamlit as st

from img2prompt import weights
from img2prompt.errors import ConfigError
from img2prompt.settings import ENGINES, NONE, Settings
from img2prompt.web.shared import pipelines
from img2prompt.web.shared.frame import show_error
from img2prompt.web.shared.i18n import language, t

COMMAND = "img2prompt models pull"


def choose() -> None:
    """Let the visitor choose the engine and its parts. Until all of them are installed, nothing changes."""
    server, now = Settings.load(), pipelines.settings()
    st.header(t("models.engine"), anchor=False)
    engine = st.segmented_control(
        t("models.engine"),
        ENGINES,
        default=_resolved(now).engine,
        required=True,
        format_func=lambda name: t(f"models.{name}"),
        label_visibility="collapsed",
        key="models-engine",
    )
    st.caption(t(f"models.{engine}.help"))
    wanted = replace(server, engine=engine)
    if engine == "full":
        columns = st.columns(3)
        try:
            wanted = replace(
                wanted,
                caption_model=_choose_part(columns[0], "caption", now.caption_model),
                clip_model=_choose_part(columns[1], "clip", now.clip_model),
                regressor=_choose_part(columns[2], "regressor", now.regressor),
            )
        except ConfigError as error:
            show_error(error)
            return
    if lacking := pipelines.missing(wanted):
        _tell_missing(wanted, lacking)
        return
    same = wanted == _resolved(server)
    fields = ("engine", "caption_model", "clip_model", "regressor")
    pipelines.choose(**{} if same else {field: getattr(wanted, field) for field in fields})
    pipelines.start_loading()
    st.success(t("models.chosen", engine=t(f"models.{engine}")), icon=":material/check:")


def show_machine() -> None:
    """What there is to run on, and how much of the disk models take."""
    st.header(t("models.machine"), anchor=False)
    graphics = _graphics()
    memory = _memory()
    used = sum(weights.size(folder) for folder in _installed().values())
    home = weights.home()
    free = shutil.disk_usage(next(place for place in (home, *home.parents) if place.exists())).free
    with st.container(horizontal=True, key="machine"):
        st.metric(t("models.device"), graphics[0] if graphics else t("models.cpu", count=os.cpu_count() or 1))
        if graphics:
            st.metric(t("models.gpu"), f"{weights.readable(graphics[1])} / {weights.readable(graphics[2])}")
        if memory:
            st.metric(t("models.memory"), weights.readable(memory))
        st.metric(t("models.used"), weights.readable(used))
        st.metric(t("models.free"), weights.readable(free))


def show_weights() -> None:
    """Presets and parts: what each needs, and whether it is installed."""
    installed = _installed()
    st.header(t("models.weights"), anchor=False)
    st.caption(t("models.weights.help"))
    for column, (preset, names) in zip(st.columns(3), weights.presets().items(), strict=True):
        with column, st.container(border=True, height="stretch"):
            size = weights.readable(sum(weights.part(name).bytes or 0 for name in names))
            st.markdown(f"**{preset}** · {t(f'models.preset.{preset}')}")
            st.markdown(f":small[{' + '.join(names)} · {size}]")
            if set(names) <= set(installed):
                st.markdown(_badge(True))
            else:
                st.code(f"{COMMAND} {preset}", language="bash", wrap_lines=True)
    for kind in ("caption", "clip"):
        st.subheader(t(f"models.{kind}"), anchor=False)
        for part in weights.parts().values():
            if part.kind == kind:
                facts = f"{weights.readable(part.bytes)} · {part.license} · {part.repository}"
                st.markdown(f"**{part.name}** {_badge(part.name in installed)}  \n:small[{facts}]")
    st.caption(t("models.folder", folder=weights.home()))


def _choose_part(place: st.delta_generator.DeltaGenerator, kind: str, now: str) -> str:
    if kind == "regressor":
        names = weights.regressors()
    else:
        names = [part.name for part in weights.parts().values() if part.kind == kind]
    options = list(
        dict.fromkeys([*names, now, NONE])
    )  # one by its folder, which the server names, is an option
    return place.selectbox(
        t(f"models.{kind}"),
        options,
        index=options.index(now),
        format_func=lambda name: t("models.none") if name == NONE else _with_state(name),
        key=f"models-{kind}-{language()}",  # a selectbox keeps the words that it was drawn with
    )


def _with_state(name: str) -> str:
    part = weights.parts().get(name)
    if part is None:
        return name
    return f"{name} · {weights.readable(part.bytes)}" + (" ✓" if weights.locate(part) else "")


def _tell_missing(wanted: Settings, error: Exception) -> None:
    """One message with the command to run."""
    parts = (weights.parts().get(name) for name in (wanted.caption_model, wanted.clip_model))
    names = [part.name for part in parts if part and not weights.locate(part)]
    if not names:  # a folder that the server's settings name
        show_error(f"{error} {t('models.instead')}")
        return
    st.warning(t("models.missing", parts=", ".join(names)), icon=":material/download:")
    st.code(f"{COMMAND} {' '.join(names)}", language="bash", wrap_lines=True)


def _resolved(settings: Settings) -> Settings:
    """With the engine that these settings come to here: `auto` is full on a GPU with all its parts."""
    full = replace(settings, engine="full")
    usable = not pipelines.missing(full) and (settings.engine == "full" or _graphics() is not None)
    return full if usable and settings.engine != "lite" else replace(settings, engine="lite")


def _installed() -> dict[str, Path]:
    """Name → folder of the parts that are installed."""
    found = {name: weights.locate(part) for name, part in weights.parts().items()}
    return {name: folder for name, folder in found.items() if folder}


def _badge(installed: bool) -> str:
    """Markdown."""
    if installed:
        return f":green-badge[:material/check: {t('models.installed')}]"
    return f":gray-badge[{t('models.not_installed')}]"


def _graphics() -> tuple[str, int, int] | None:
    """Name, and bytes of memory free and in all, of the first GPU, if there is one."""
    import torch

    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(0), *torch.cuda.mem_get_info(0)


def _memory() -> int | None:
    """Bytes of main memory, where the system tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
