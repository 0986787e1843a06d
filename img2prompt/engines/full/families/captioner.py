"""Pixels in, words out: BLIP, BLIP-2 and GIT.

Li et al., *BLIP*, ICML 2022; *BLIP-2*, ICML 2023; Wang et al., *GIT*, TMLR 2022. The words
are those of clip-interrogator 0.6: the same processor, the model's own way to search, at
most 32 new tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PIL import Image
from torch import Tensor

from img2prompt.engines.base import Request
from img2prompt.engines.device import Batches, Place
from img2prompt.engines.full.families import blip_attention, published
from img2prompt.results import Description

MAX_NEW_TOKENS = 32


def load(
    folder: Path, place: Place, precision: str, batch_size: int, quantize: str, details: bool
) -> Captioner:
    """Load one; see `img2prompt.engines.full.families.load_captioner`."""
    kind = published.model_type(folder)
    # clip-interrogator runs GIT in single precision everywhere
    precision = "fp32" if (kind, precision) == ("git", "auto") else precision
    loaded = published.load(folder, place, precision, quantize)
    if kind == "blip" and quantize == published.NONE:
        with place.turn(loaded.net):
            blip_attention.fuse_attention(loaded.net)
    return Captioner(loaded, place, batch_size)


class Captioner:
    """A caption model that takes nothing but the picture; see `CaptionModel` of this package."""

    follows = False

    def __init__(self, loaded: published.Published, place: Place, batch_size: int):
        self._net, self._processor, self._dtype = loaded
        self._place = place
        self._batches = Batches(place, self._net, batch_size)

    def prepare(self, image: Image.Image) -> Tensor:
        """RGB picture → pixels (3, H, W) as the model wants them, on the CPU."""
        return self._processor(images=image, return_tensors="pt")["pixel_values"][0]

    def describe(
        self, prepared: Sequence[Tensor], beams: int = 0, requests: Sequence[Request] | None = None
    ) -> list[Description]:
        """N captions; with `beams` 0 in the model's own search, which for all of these is greedy."""
        return self._batches(partial(self._generate, beams=beams), prepared)

    def _generate(self, pixels: Sequence[Tensor], beams: int) -> list[Description]:
        batch = self._place.send(pixels, self._dtype)
        search = {"num_beams": beams} if beams else {}
        tokens = self._net.generate(pixel_values=batch, max_new_tokens=MAX_NEW_TOKENS, **search)
        texts = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [Description(text.strip()) for text in texts]
