"""Caption models by how they are asked: one module a family, chosen by ``model_type`` in ``config.json``.

- ``captioner``: pixels in, words out (BLIP, BLIP-2, GIT)
- ``task_token``: a token says what to do (Florence-2)
- ``chat``: a chat template with the picture and an instruction in plain words (SmolVLM, Qwen-VL, Gemma…)

Any folder in the published format of one of these architectures works.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from img2prompt.engines.base import Question, Request
from img2prompt.engines.device import Place
from img2prompt.engines.full.families.published import model_type
from img2prompt.errors import WeightsError
from img2prompt.results import Description

FAMILIES = {
    "captioner": ("blip", "blip-2", "git"),
    "task_token": ("florence2",),
    "chat": (
        "aya_vision",
        "gemma3",
        "gemma3n",
        "gemma4",
        "glm4v",
        "idefics2",
        "idefics3",
        "internvl",
        "lfm2_vl",
        "llava",
        "llava_next",
        "llava_onevision",
        "mistral3",
        "qwen2_vl",
        "qwen2_5_vl",
        "qwen3_vl",
        "qwen3_vl_moe",
        "qwen3_5",
        "smolvlm",
    ),
}


class CaptionModel(Protocol):
    """A loaded caption model of any family."""

    follows: bool  # instructions

    def prepare(self, image: Image.Image) -> Any:
        """RGB picture → what `describe` takes, on the CPU. Safe to call from several threads."""

    def describe(
        self, prepared: Sequence[Any], beams: int = 0, requests: Sequence[Request] | None = None
    ) -> list[Description]:
        """What N prepared pictures show; see `img2prompt.engines.base.Engine.describe`."""


@runtime_checkable
class ChatModel(CaptionModel, Protocol):
    """A caption model that can also chat."""

    def chat(self, question: Question) -> Iterator[str]:
        """The pieces of the answer, in order, as they come."""


def load_captioner(
    folder: Path,
    place: Place,
    precision: str,
    batch_size: int,
    quantize: str = "none",
    details: bool = False,
) -> CaptionModel:
    """Load a caption model from its folder as Hugging Face publishes it.

    Parameters
    ----------
    folder : ``config.json``, the processor's files and the weights as safetensors
    place : where it runs
    precision : ``auto``, ``fp32``, ``fp16`` or ``bf16``
    batch_size : pictures at a time, at most
    quantize : ``none``, ``8bit`` or ``4bit``, the bits of a weight
    details : also describe in a paragraph and read what is written, where the model can

    Raises
    ------
    WeightsError
        When a file is missing or damaged, or the folder holds a model that no family knows.
    ConfigError
        When the weights cannot be quantized here.
    """
    kind = model_type(folder)
    for family, kinds in FAMILIES.items():
        if kind in kinds:
            module = import_module(f"img2prompt.engines.full.families.{family}")
            return module.load(folder, place, precision, batch_size, quantize, details)
    known = ", ".join(kind for kinds in FAMILIES.values() for kind in kinds)
    raise WeightsError(
        f"{folder} holds a model of the kind {kind}, which is not known here. Known are {known}."
    )
