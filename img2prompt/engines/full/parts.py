"""Find the parts that the full engine is put together from; each is optional."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from img2prompt import weights
from img2prompt.errors import WeightsError
from img2prompt.libraries import install, missing
from img2prompt.settings import LITE, NONE, Settings

if TYPE_CHECKING:
    from img2prompt.engines.full.vit_regressor import VitRegressor

LIBRARIES = ("torch", "torchvision", "timm", "ftfy", "transformers")


def find_parts(settings: Settings) -> dict[str, Path]:
    """Kind (``caption``, ``clip``, ``regressor``) → folder, for each part that the settings name.

    The settings name a part by its published name or by its folder. A name in the table of weights
    is never taken for a folder; write ``./blip-large`` for a folder of that name.

    Raises
    ------
    WeightsError
        When parts, or libraries that run them, are missing; the message names each and how to get it.
    """
    if absent := missing(*LIBRARIES):
        raise WeightsError(f"The full engine needs {', '.join(absent)}. {install(*absent)}")
    names = {"caption": settings.caption_model, "clip": settings.clip_model, "regressor": settings.regressor}
    folders, messages = {}, []
    for kind, name in names.items():
        if name == NONE or (name == LITE and kind != "caption"):  # lite's are put beside these
            continue
        try:
            is_folder = name not in weights.parts() and Path(name).is_dir()
            folders[kind] = Path(name) if is_folder else weights.find(kind, name)
        except WeightsError as error:
            messages.append(str(error))
    if messages:
        lines = ["The full engine lacks weights.", *messages, "Or use --engine lite, which is bundled."]
        raise WeightsError("\n".join(lines))
    return folders


def load_regressor(
    folder: Path, device: str, precision: str, batch_size: int, mirror: bool = False, low_vram: bool = False
) -> VitRegressor:
    """Load a trained regressor, with or without the rest of the engine.

    Parameters
    ----------
    folder, precision, batch_size, mirror : see `img2prompt.engines.full.vit_regressor.VitRegressor`
    device, low_vram : see `img2prompt.engines.device.Place`

    Raises
    ------
    WeightsError
        When a file or a library is missing, or a file cannot be used.
    """
    if absent := missing("torch", "torchvision", "timm"):
        raise WeightsError(f"A trained regressor needs {', '.join(absent)}. {install(*absent)}")
    import torch

    from img2prompt.engines.device import Place
    from img2prompt.engines.full.vit_regressor import VitRegressor

    return VitRegressor(folder, Place(torch.device(device), low_vram), precision, batch_size, mirror)
