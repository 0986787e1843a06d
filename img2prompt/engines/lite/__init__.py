"""The lite engine, for any laptop: a small bundled model that needs no download."""

from __future__ import annotations

from typing import TYPE_CHECKING

from img2prompt import weights
from img2prompt.settings import Settings

if TYPE_CHECKING:
    from img2prompt.engines.lite.engine import LiteEngine
    from img2prompt.minilm import SentenceEncoder


def load(settings: Settings, sentences: SentenceEncoder, device: str) -> LiteEngine:
    """Load the engine from the bundled weights; WeightsError if they are missing or damaged."""
    from img2prompt.engines.lite.engine import LiteEngine

    return LiteEngine(weights.bundled("lite"), sentences, device)
