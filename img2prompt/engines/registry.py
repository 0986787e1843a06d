"""Load engines: each name in `img2prompt.settings.ENGINES` is a package beside this module.

An engine's package has ``load(settings, sentences, device)``, which returns an
`img2prompt.engines.base.Engine`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING

from img2prompt import weights
from img2prompt.engines.full import memory
from img2prompt.engines.full.parts import LIBRARIES, find_parts
from img2prompt.errors import ConfigError, WeightsError
from img2prompt.libraries import install, missing
from img2prompt.settings import AUTO, LITE, NONE, Settings

if TYPE_CHECKING:
    from img2prompt.engines.base import Engine
    from img2prompt.minilm import SentenceEncoder

# Engine → what its networks run in.
RUNTIMES = {"lite": "onnxruntime", "full": "torch", "endpoint": "onnxruntime"}
SMALL = 300_000_000  # weights of a caption model that is no published one, up to which a CPU may run it


@dataclass(frozen=True)
class Choice:
    """What `auto` stands for on this machine."""

    settings: Settings  # with the engine and its parts
    why: str  # a sentence


def load_engine(settings: Settings, sentences: SentenceEncoder) -> Engine:
    """Load the engine that the settings ask for; what ``auto`` means, `choose` says.

    Raises
    ------
    ConfigError
        When there is no such device, none that the engine can use, or too little memory.
    WeightsError
        When weights are missing or damaged; another engine is never loaded instead.
    """
    settings = choose(settings).settings
    name = settings.engine
    engine = _load(name, settings, sentences, find_device(settings.device, RUNTIMES[name]))
    borrowed = [part == LITE for part in (settings.clip_model, settings.regressor)]
    if name != "full" or not any(borrowed):  # the others are lite, or made of it
        return engine
    from img2prompt.engines.borrowed import Borrowed

    return Borrowed(engine, _load(LITE, settings, sentences, "cpu"), *borrowed)


def _load(name: str, settings: Settings, sentences: SentenceEncoder, device: str) -> Engine:
    return import_module(f"img2prompt.engines.{name}").load(settings, sentences, device)


def choose(settings: Settings) -> Choice:
    """What ``auto`` stands for: the best that is installed and sensible on this device.

    That is ``full`` with the best installed caption model, in the order of the table of weights, that fits
    into the memory and, without a GPU, is one that a laptop runs in seconds. With it goes the best installed
    CLIP, or the labels of ``lite``, and the regressor of the settings, or that of ``lite``. Without such a
    caption model it is ``lite``. Parts that the settings name, other than by default, are kept.

    Raises
    ------
    ConfigError
        When there is no such device.
    """
    if settings.engine != AUTO:
        return Choice(settings, f"The engine {settings.engine} was asked for.")
    lite = replace(settings, engine=LITE)
    if missing(*LIBRARIES):
        return Choice(lite, "The libraries of the full engine are not installed.")
    candidates = [full for name in _captioners(settings) if (full := _with_caption_model(settings, name))]
    if not candidates:  # then PyTorch need not be asked for a GPU, which takes seconds
        return Choice(lite, "No caption model for the full engine is installed.")
    device = find_device(settings.device)
    for full in candidates:
        folders, name = find_parts(full), full.caption_model
        room = memory.free(device)
        # With what is taken: once it is loaded, the same is to be chosen again.
        fits = room is None or memory.needed(full, folders, device) <= room + memory.taken(device)
        if fits and (device != "cpu" or _suits_a_laptop(name, folders)):
            if name == NONE:
                return Choice(
                    full, f"The parts that the settings name are installed and run well on {device}."
                )
            return Choice(
                full, f"{name} is the best caption model that is installed and runs well on {device}."
            )
    names = ", ".join(full.caption_model for full in candidates)
    if device == "cpu":
        return Choice(lite, f"Too slow without a GPU, or too large for the memory: {names}.")
    return Choice(lite, f"Too large for the memory of {device}: {names}.")


def _captioners(settings: Settings) -> list[str]:
    if settings.caption_model != Settings.caption_model:
        return [settings.caption_model]
    return [name for name, part in weights.parts().items() if part.kind == "caption" and weights.locate(part)]


def _with_caption_model(settings: Settings, name: str) -> Settings | None:
    """The settings for the full engine with this caption model; None where a part of it is missing."""
    clips = [settings.clip_model]
    if settings.clip_model == Settings.clip_model:
        clips = [
            name for name, part in weights.parts().items() if part.kind == "clip" and weights.locate(part)
        ]
        clips = clips[:1] or [LITE]
    regressor = LITE if settings.regressor == NONE else settings.regressor
    full = replace(settings, engine="full", caption_model=name, clip_model=clips[0], regressor=regressor)
    try:
        return full if find_parts(full) else None
    except WeightsError:
        return None


def _suits_a_laptop(name: str, folders: memory.Folders) -> bool:
    part = weights.parts().get(name)
    if part:
        return part.laptop
    return "caption" in folders and memory.parameters(folders["caption"]) <= SMALL


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
