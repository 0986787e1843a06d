"""Where weights live. Today: bundled with the package or beside it in a checkout."""

from __future__ import annotations

import os
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
