"""Who looks at the picture: `lite` (bundled) or `full` (weights fetched once)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from img2prompt import weights
from img2prompt.errors import ConfigError, WeightsError
from img2prompt.libraries import install
from img2prompt.settings import NONE, Settings

if TYPE_CHECKING:
    from img2prompt.engines.base import Engine
    from img2prompt.sentences import SentenceEncoder


def load_engine(settings: Settings, sentences: SentenceEncoder) -> Engine:
    """The engine that the settings ask for.

    ``auto`` is ``full`` where a GPU is there and all the parts that the settings name are
    installed, else ``lite``.

    Raises
    ------
    ConfigError
        When the device is not there.
    WeightsError
        When weights are missing or damaged; never another engine instead.
    """
    device = find_device(settings.device)
    if settings.engine == "full" or (settings.engine == "auto" and device != "cpu" and _installed(settings)):
        folders = find_parts(settings)
        if find_spec("transformers") is None:
            raise WeightsError(f"The full engine needs transformers. {install('transformers')}")
        from img2prompt.engines.full import FullEngine

        return FullEngine(settings, folders, device)
    from img2prompt.engines.lite import LiteEngine

    return LiteEngine(weights.bundled("lite"), sentences, device)


def find_parts(settings: Settings) -> dict[str, Path]:
    """Kind (``caption``, ``clip``, ``regressor``) → folder, of each part that the settings name.

    A part is named by its published name or by its folder. A name that the table of weights
    knows is never a folder: write ``./blip-large`` for one that is called like that.

    Raises
    ------
    WeightsError
        Names every part that is missing, and how to get it.
    """
    wanted = {"caption": settings.caption_model, "clip": settings.clip_model, "regressor": settings.regressor}
    folders, missing = {}, []
    for kind, name in wanted.items():
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


def find_device(device: str) -> str:
    """``"auto"`` → ``"cuda"`` where there is one, else ``"cpu"``; another device as it is.

    Raises
    ------
    ConfigError
        When a GPU is asked for and there is none that can be used.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device is {device!r}, but PyTorch finds no such GPU. Use --device cpu.")
    return device


def _installed(settings: Settings) -> bool:
    try:
        return bool(find_parts(settings))
    except WeightsError:
        return False
