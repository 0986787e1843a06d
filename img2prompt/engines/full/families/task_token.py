"""A token says what to do: Florence-2.

Xiao et al., *Florence-2*, CVPR 2024. The conversions of ``florence-community`` fit transformers' own
class; Microsoft's folders hold weights for code of their own, which is never run.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from img2prompt.engines.base import Request
from img2prompt.engines.device import Batches, Place
from img2prompt.engines.full.families import published
from img2prompt.engines.full.families.words import as_caption
from img2prompt.results import Description

CAPTION, PARAGRAPH, TEXT = "<CAPTION>", "<MORE_DETAILED_CAPTION>", "<OCR>"
MOST = {CAPTION: 64, PARAGRAPH: 256, TEXT: 256}  # new tokens


def load(
    folder: Path, place: Place, precision: str, batch_size: int, quantize: str, details: bool
) -> TaskModel:
    """Load one; see `img2prompt.engines.full.families.load_captioner`."""
    loaded = published.load(folder, place, precision, quantize)
    return TaskModel(loaded, place, batch_size, details)


class TaskModel:
    """A model that knows tasks; see `CaptionModel` of this package.

    Each task is a search of its own, and the paragraph takes several times as long as the caption; so
    only the caption is asked for, unless `details` wants all three.
    """

    follows = False

    def __init__(self, loaded: published.Published, place: Place, batch_size: int, details: bool):
        self._net, self._processor, self._dtype = loaded
        self._place = place
        self._batches = Batches(place, self._net, batch_size)
        self._tasks = (CAPTION, PARAGRAPH, TEXT) if details else (CAPTION,)
        # A task's words are the same for every picture, which has a fixed number of places among them.
        blank = Image.new("RGB", (64, 64))
        self._prompts = {
            task: self._processor(images=blank, text=task, return_tensors="pt")["input_ids"][0]
            for task in self._tasks
        }

    def prepare(self, image: Image.Image) -> Tensor:
        """RGB picture → pixels (3, H, W) as the model wants them, on the CPU."""
        return self._processor.image_processor(images=image, return_tensors="pt")["pixel_values"][0]

    def describe(
        self, prepared: Sequence[Tensor], beams: int = 0, requests: Sequence[Request] | None = None
    ) -> list[Description]:
        """N captions; with `beams` 0 in the model's own search, as published of three beams."""
        said = {task: self._batches(partial(self._do, task, beams), prepared) for task in self._tasks}
        empty = [""] * len(prepared)
        rows = zip(said[CAPTION], said.get(PARAGRAPH, empty), said.get(TEXT, empty), strict=True)
        return [
            Description(as_caption(caption), detailed=paragraph, text=text)
            for caption, paragraph, text in rows
        ]

    def _do(self, task: str, beams: int, pixels: Sequence[Tensor]) -> list[str]:
        batch = self._place.send(pixels, self._dtype)
        prompt = self._prompts[task].to(batch.device).expand(len(batch), -1)
        search: dict[str, Any] = {"num_beams": beams} if beams else {}
        tokens = self._net.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            pixel_values=batch,
            max_new_tokens=MOST[task],
            do_sample=False,
            **search,
        )
        texts = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip() for text in texts]
