"""The protocol that every engine follows, so that the rest of the program works with any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from img2prompt.results import Description, Match

Aspect = Literal["content", "style"]


@dataclass(frozen=True)
class Request:
    """How one picture is to be described; the pipeline fills the placeholders of the instruction."""

    instruction: str = ""  # in plain words; empty for the engine's own way
    hear: Callable[[str], object] | None = None  # told the words so far while they come, where the engine can
    trigger: str = ""  # the word that the pipeline has the caption begin with, for training


@dataclass(frozen=True)
class Question:
    """What an engine that can chat is asked."""

    text: str
    picture: Image.Image | None = None  # RGB, to look at
    schema: Mapping[str, Any] | None = None  # JSON schema that the answer should follow, where the engine can
    most: int = 1024  # tokens of the answer


class Engine(Protocol):
    """What looks at pictures.

    `encode` runs the image tower once for a batch. The other methods take what it returned, whose
    type is private to the engine, and answer questions about the batch.
    """

    name: str
    captioner: str | None  # the caption model's name; None where `describe` raises WeightsError
    follows: bool  # whether `describe` follows instructions
    chats: bool  # whether `chat` answers; else it raises WeightsError
    # The name of the joint space, different for different weights (of CLIP: ``name/tag@digest``);
    # None where `embed_images` and `embed_texts` raise WeightsError.
    space: str | None
    device: str  # where its networks run: "cpu", "cuda", "cuda:1" …
    pool: int  # number of labels that the styles best and negative try at every step
    weights_id: str  # changes with the weights
    label_file: Path | None  # label vectors that come with the engine, see `img2prompt.vector_cache`

    @property
    def vocabulary(self) -> Mapping[str, int] | None:
        """The words that flavors may be made of, and their ids; None if all flavors are ranked."""

    @property
    def mean_embedding(self) -> np.ndarray | None:
        """(384,) unit vector, the mean of the training texts' embeddings; None if it is not known."""

    def encode(self, images: Sequence[Image.Image]) -> Any:
        """Run the image tower on N RGB pictures of any size."""

    def describe(
        self, features: Any, beams: int = 0, requests: Sequence[Request] | None = None
    ) -> list[Description]:
        """What N pictures show, in words.

        Captions are in lower case, without a final full stop, unless an instruction asks for something else.

        Parameters
        ----------
        beams : width of the search, 0 for the engine's own choice
        requests : N, one for each picture; an engine that does not follow instructions ignores them, as the
            pipeline lets none come so far
        """

    def chat(self, question: Question) -> Iterator[str]:
        """The pieces of the answer, in order, as they come."""

    def embed_images(self, features: Any, aspect: Aspect = "content") -> np.ndarray:
        """(N, D) float32 unit vectors of the pictures in the joint space.

        Parameters
        ----------
        aspect : ``content`` for what the picture shows, ``style`` for how it looks; an engine with one
            vector for both ignores it
        """

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(M, D) float32 unit vectors of the texts in the joint space."""

    def things(self, features: Any) -> list[list[Match]] | None:
        """What N pictures show, in words of captions with their probability, the likeliest first.

        None if the engine cannot tell.
        """

    def generated(self, features: Any) -> np.ndarray | None:
        """(N,) probability that a machine made or drew the picture; None if the engine cannot tell."""

    def regress(self, features: Any) -> np.ndarray | None:
        """(N, 384) predicted prompt embeddings, float32 unit vectors; None without a trained regressor."""
