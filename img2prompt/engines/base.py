"""The protocol both engines follow, so that nothing downstream knows which one answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

Aspect = Literal["content", "style"]


class Engine(Protocol):
    """Who looks at the picture: one look at a batch, then four questions about it.

    `encode` runs the image tower once; the questions take what it returned, whose
    shape is the engine's own business.
    """

    name: str
    captioner: str | None  # the caption model's name; None where `describe` raises WeightsError
    # the joint space: CLIP's ``name/tag``, then ``@`` and what changes with its weights; None where
    # `embed_images` and `embed_texts` raise WeightsError
    space: str | None
    device: torch.device  # where label vectors are ranked
    pool: int  # labels that the best and negative modes try at every step
    weights_id: str  # another one for other weights
    label_file: Path | None  # label vectors that come with the engine

    @property
    def vocabulary(self) -> Mapping[str, int] | None:
        """The words that readable flavors are made of; None where all flavors are ranked."""

    @property
    def mean_embedding(self) -> np.ndarray | None:
        """(384,) unit vector, the training pictures' mean in MiniLM space; None without a regressor."""

    def encode(self, images: Sequence[Image.Image]) -> Any:
        """Look at N RGB pictures."""

    def describe(self, features: Any, beams: int = 0) -> list[str]:
        """N captions, lower case, without a final full stop; `beams` is 0 for the engine's own choice."""

    def embed_images(self, features: Any, aspect: Aspect = "content") -> np.ndarray:
        """(N, D) float32 unit vectors in the joint space.

        `aspect` chooses what labels are compared with: what the picture shows, or how
        it looks. An engine with one vector for both ignores it.
        """

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(M, D) float32 unit vectors in the joint space."""

    def regress(self, features: Any) -> np.ndarray | None:
        """(N, 384) float32 unit vectors in MiniLM space; None without a trained regressor."""
