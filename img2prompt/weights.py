"""Where weights live. Today: bundled with the package or beside it in a checkout."""

from __future__ import annotations

import os
import re
from pathlib import Path

from img2prompt.errors import WeightsError

VARIABLE = "IMG2PROMPT_MODELS"


def bundled(name: str) -> Path:
    """The folder of a bundled model.

    ``IMG2PROMPT_MODELS`` names another folder of models to look in first.

    Raises
    ------
    WeightsError
        When no such folder holds the model.
    """
    here = Path(__file__).resolve().parent
    chosen = os.environ.get(VARIABLE)
    places = [*([Path(chosen)] if chosen else []), here.parent / "models", here / "models"]
    for place in places:
        if (place / name / "model.safetensors").is_file():
            return place / name
    raise WeightsError(
        f"The {name} model is missing; looked in {', '.join(str(place / name) for place in places)}. "
        f"Get a complete checkout, or set {VARIABLE} to the folder that holds it."
    )


def find(kind: str, name: str) -> Path:
    """The folder of a part of the full engine: ``IMG2PROMPT_MODELS``/kind/name.

    In folder names ``--`` stands for each character besides letters, digits, ``.``, ``_`` and ``-``.

    Parameters
    ----------
    kind : ``caption``, ``clip`` or ``regressor``
    name : for example ``blip-large`` or ``ViT-H-14/laion2b_s32b_b79k``

    Raises
    ------
    WeightsError
        When it is not there, with the command that fetches it.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        folder = Path(chosen) / kind / re.sub(r"[^\w.-]", "--", name)
        if folder.is_dir():
            return folder
    raise WeightsError(f"The {kind} model {name} is not installed. Run: img2prompt models pull full")
