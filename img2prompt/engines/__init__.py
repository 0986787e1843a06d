"""Who looks at the picture: `lite` (bundled) or `full` (weights fetched once)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from img2prompt import weights
from img2prompt.errors import WeightsError
from img2prompt.settings import Settings

if TYPE_CHECKING:
    from img2prompt.engines.base import Engine
    from img2prompt.sentences import SentenceEncoder


def load_engine(settings: Settings, sentences: SentenceEncoder) -> Engine:
    """The engine that the settings ask for.

    Raises
    ------
    WeightsError
        When its weights are not there; never another engine instead.
    """
    if settings.engine == "full":
        raise WeightsError(
            "The full engine (BLIP + OpenCLIP) is not part of this release. Use --engine lite, "
            "which is bundled and needs nothing else."
        )
    import torch

    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    from img2prompt.engines.lite import LiteEngine

    return LiteEngine(weights.bundled("lite"), sentences, device)
