"""Load engines: each name in `img2prompt.settings.ENGINES` is a package beside this module.

An engine's package has ``load(settings, sentences, device)``, which returns an
`img2prompt.engines.base.Engine`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from img2prompt.engines.full.parts import are_installed
from img2prompt.errors import ConfigError
from img2prompt.libraries import install, missing
from img2prompt.settings import AUTO, Settings

if TYPE_CHECKING:
    from img2prompt.engines.base import Engine
    from img2prompt.minilm import SentenceEncoder

RUNTIMES = {
    "lite": "onnxruntime",
    "full": "torch",
    "endpoint": "onnxruntime",
}  # engine → what its networks run in


def load_engine(settings: Settings, sentences: SentenceEncoder) -> Engine:
    """Load the engine that the settings ask for.

    ``auto`` means ``full`` if there is a GPU and all the parts that the settings name are
    installed, and ``lite`` otherwise.

    Raises
    ------
    ConfigError
        When there is no such device, or none that the engine can use.
    WeightsError
        When weights are missing or damaged; another engine is never loaded instead.
    """
    name, _ = choose(settings)
    device = find_device(settings.device, RUNTIMES[name])
    return import_module(f"img2prompt.engines.{name}").load(settings, sentences, device)


def choose(settings: Settings) -> tuple[str, str]:
    """The engine that the settings result in here, and why."""
    if settings.engine != AUTO:
        return settings.engine, "it is the one that the settings name"
    if not are_installed(settings):  # then PyTorch need not be asked for a GPU, which takes seconds
        return "lite", "the full engine lacks parts"
    if find_device(settings.device) == "cpu":
        return "lite", "there is no GPU for the full engine"
    return "full", "all its parts are installed, and there is a GPU"


def find_device(device: str, runtime: str = "torch") -> str:
    """``"auto"`` → ``"cuda"`` where PyTorch finds a GPU, else ``"cpu"``; another device as it is.

    ONNX Runtime computes on the processor, unless ``"cuda"`` is asked for and its package for GPUs is
    installed.

    Parameters
    ----------
    runtime : what computes there, ``"torch"`` or ``"onnxruntime"``

    Raises
    ------
    ConfigError
        When a GPU is asked for and none can be used.
    """
    if device == "auto":
        return "cuda" if runtime == "torch" and _torch_finds_gpu() else "cpu"
    is_cuda = device.startswith("cuda")
    if runtime == "onnxruntime":
        if device != "cpu" and not (is_cuda and _onnxruntime_finds_gpu()):
            raise ConfigError(
                f"device is {device!r}, but ONNX Runtime finds no such GPU. Use --device cpu, or for CUDA "
                "install onnxruntime-gpu in place of onnxruntime."
            )
    elif is_cuda and missing("torch"):
        raise ConfigError(f"device is {device!r}, which needs PyTorch. {install('torch')}")
    elif is_cuda and not _torch_finds_gpu():
        raise ConfigError(f"device is {device!r}, but PyTorch finds no such GPU. Use --device cpu.")
    return device


def _torch_finds_gpu() -> bool:
    if missing("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def _onnxruntime_finds_gpu() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
