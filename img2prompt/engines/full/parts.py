"""The published parts that the full engine is put together from; each may be absent."""

from __future__ import annotations

from pathlib import Path

from img2prompt import weights
from img2prompt.errors import WeightsError
from img2prompt.settings import NONE, Settings


def find_parts(settings: Settings) -> dict[str, Path]:
    """Kind (``caption``, ``clip``, ``regressor``) → folder, of each part that the settings name.

    A part is named by its published name or by its folder. A name that the table of weights
    knows is never a folder: write ``./blip-large`` for one that is called like that.

    Raises
    ------
    WeightsError
        Names every part that is missing, and how to get it.
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
    """Whether all the parts that the settings name are there."""
    try:
        return bool(find_parts(settings))
    except WeightsError:
        return False
