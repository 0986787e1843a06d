"""Published caption models (BLIP, BLIP-2, GIT) through transformers, many pictures at a time.

Li et al., *BLIP*, ICML 2022; *BLIP-2*, ICML 2023; Wang et al., *GIT*, TMLR 2022. The words
are those of clip-interrogator 0.6: the same processor, the model's own way to search, at
most 32 new tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from img2prompt.engines.device import DTYPES, Batches, Place, resolve_precision
from img2prompt.engines.full import blip_attention
from img2prompt.errors import WeightsError
from img2prompt.wording import reason

MAX_NEW_TOKENS = 32
FAMILIES = ("blip", "blip-2", "git")
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model")


class CaptionModel:
    """A caption model from its folder as Hugging Face publishes it.

    Parameters
    ----------
    folder : ``config.json``, the processor's files and the weights as safetensors
    place : where it runs
    precision : ``auto``, ``fp32``, ``fp16`` or ``bf16``
    batch_size : pictures at a time, at most

    Raises
    ------
    WeightsError
        When a file is missing or damaged, or the folder holds another kind of model.
    """

    def __init__(self, folder: Path, place: Place, precision: str, batch_size: int):
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            family = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
            if family not in FAMILIES:
                raise ValueError(f"a {family!r} model where one of {', '.join(FAMILIES)} is expected")
            if not any((folder / file).is_file() for file in VOCABULARIES):  # else captions would be empty
                raise ValueError(f"the vocabulary is missing, one of {', '.join(VOCABULARIES)}")
            # clip-interrogator runs GIT in single precision everywhere
            precision = "fp32" if (family, precision) == ("git", "auto") else precision
            self._dtype = DTYPES[resolve_precision(precision, place.device)]
            local = {"local_files_only": True, "trust_remote_code": False}
            with _quiet():
                self._processor: Any = AutoProcessor.from_pretrained(folder, **local)
                net = AutoModelForImageTextToText.from_pretrained(
                    folder, dtype=self._dtype, use_safetensors=True, **local
                )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise WeightsError(
                f"{folder} holds no caption model that can be used ({reason(error)}). Run: img2prompt models verify"
            ) from error
        self._net: Any = place.settle(net)
        if family == "blip":
            with place.turn(net):
                blip_attention.fuse_attention(net)
        self._place = place
        self._batches = Batches(place, net, batch_size)

    def prepare(self, image: Image.Image) -> Tensor:
        """RGB picture → pixels (3, H, W) as the model wants them, on the CPU."""
        return self._processor(images=image, return_tensors="pt")["pixel_values"][0]

    def describe(self, pixels: Sequence[Tensor], beams: int = 0) -> list[str]:
        """N captions of prepared pictures.

        Parameters
        ----------
        pixels : N × (3, H, W), see `prepare`
        beams : width of the search; 0 for the model's own, which for all of these is greedy
        """
        return self._batches(partial(self._generate, beams=beams), pixels)

    def _generate(self, pixels: Sequence[Tensor], beams: int) -> list[str]:
        batch = self._place.send(pixels, self._dtype)
        search = {"num_beams": beams} if beams else {}
        tokens = self._net.generate(pixel_values=batch, max_new_tokens=MAX_NEW_TOKENS, **search)
        return [text.strip() for text in self._processor.batch_decode(tokens, skip_special_tokens=True)]


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar of transformers while weights load, which takes a second or two."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
