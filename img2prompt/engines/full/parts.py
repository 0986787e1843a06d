"""Find the parts that the full engine is put together from; each is optional."""

from __future__ import annotations

from pathlib import Path

from img2prompt import weights
from img2prompt.errors import WeightsError
from img2prompt.settings import NONE, Settings


def find_parts(settings: Settings) -> dict[str, Path]:
    """Kind (``caption``, ``clip``, ``regressor``) → folder, for each part that the settings name.

    The settings name a part by its published name or by its folder. A name in the table of weights
    is never taken for a folder; write ``./blip-large`` for a folder of that name.

    Raises
    ------
    WeightsError
        When parts are missing; the message names each and how to get it.
    """
    names = {"caption": settings.caption_model, "clip": settings.clip_model, "regressor": settings.regressor}
    folders, missing = {}, []
    for kind, name in names.items():
        if name == NONE:
            continue
        try:
            is_folder = name not in weights.parts() and Path(name).is_dir()
            folders[kind] = Path(name) if is_folder else weights.find(kind, name)
        except WeightsError as error:
            missing.append(str(error))
    if missing:
        lines = ["The full engine lacks weights.", *missing, "Or use --engine lite, which is bundled."]
        raise WeightsError("\n".join(lines))
    return folders


def are_installed(settings: Settings) -> bool:
    """Whether all the parts that the settings name are installed."""
    try:
        return bool(find_parts(settings))
    except WeightsError:
        return False
