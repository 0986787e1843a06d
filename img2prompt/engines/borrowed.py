"""An engine whose labels, embedding or both come from another: a chat model's captions with lite's labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from img2prompt.engines.base import Aspect, Engine, Question, Request
from img2prompt.results import Description, Match


class Borrowed:
    """See `img2prompt.engines.base.Engine` for what each method returns.

    Parameters
    ----------
    writer : says what pictures show, and what is not taken from the other
    looker : also looks at each picture; its joint space or regressor is used
    space, regressor : which of them
    """

    def __init__(self, writer: Engine, looker: Engine, space: bool, regressor: bool):
        self._writer, self._looker = writer, looker
        self._ranks = looker if space else writer
        self._regresses = looker if regressor else writer
        self.name = writer.name
        self.captioner, self.follows, self.chats = writer.captioner, writer.follows, writer.chats
        self.device = writer.device
        self.space, self.pool = self._ranks.space, self._ranks.pool
        self.label_file: Path | None = self._ranks.label_file
        parts = (
            writer.weights_id,
            looker.weights_id,
            "space" if space else "",
            "regressor" if regressor else "",
        )
        self.weights_id = " ".join(filter(None, parts))

    @property
    def vocabulary(self) -> Mapping[str, int] | None:
        return self._ranks.vocabulary

    @property
    def mean_embedding(self) -> np.ndarray | None:
        return self._regresses.mean_embedding

    def encode(self, images: Sequence[Image.Image]) -> dict[Engine, Any]:
        return {engine: engine.encode(images) for engine in (self._writer, self._looker)}

    def describe(
        self, features: dict[Engine, Any], beams: int = 0, requests: Sequence[Request] | None = None
    ) -> list[Description]:
        return self._writer.describe(features[self._writer], beams, requests)

    def chat(self, question: Question) -> Iterator[str]:
        return self._writer.chat(question)

    def embed_images(self, features: dict[Engine, Any], aspect: Aspect = "content") -> np.ndarray:
        return self._ranks.embed_images(features[self._ranks], aspect)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._ranks.embed_texts(texts)

    def things(self, features: dict[Engine, Any]) -> list[list[Match]] | None:
        return self._looker.things(features[self._looker])

    def generated(self, features: dict[Engine, Any]) -> np.ndarray | None:
        return self._looker.generated(features[self._looker])

    def regress(self, features: dict[Engine, Any]) -> np.ndarray | None:
        return self._regresses.regress(features[self._regresses])
