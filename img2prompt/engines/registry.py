"""Load engines: each name in `img2prompt.settings.ENGINES` is a package beside this module.

An engine's package has ``load(settings, sentences, device)``, which returns an
`img2prompt.engines.base.Engine`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from img2prompt.engines.full.parts import are_installed
from img2prompt.errors import ConfigError
from img2prompt.settings import AUTO, Settings

if TYPE_CHECKING:
    from img2prompt.engines.base import Engine
    from img2prompt.minilm import SentenceEncoder


def load_engine(settings: Settings, sentences: SentenceEncoder) -> Engine:
    """Load the engine that the settings ask for.

    ``auto`` means ``full`` if there is a GPU and all the parts that the settings name are
    installed, and ``lite`` otherwise.

    Raises
    ------
    ConfigError
        When there is no such device.
    WeightsError
        When weights are missing or damaged; another engine is never loaded instead.
    """
    device = find_device(settings.device)
    name = settings.engine
    if name == AUTO:
        name = "full" if device != "cpu" and are_installed(settings) else "lite"
    return import_module(f"img2prompt.engines.{name}").load(settings, sentences, device)


def find_device(device: str) -> str:
    """``"auto"`` → ``"cuda"`` where there is one, else ``"cpu"``; another device as it is.

    Raises
    ------
    ConfigError
        When a CUDA GPU is asked for and none can be used.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device is {device!r}, but PyTorch finds no such GPU. Use --device cpu.")
    return device
