"""The full engine, for a GPU or a patient laptop: published models, downloaded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from img2prompt.settings import Settings

if TYPE_CHECKING:
    from img2prompt.engines.full.engine import FullEngine
    from img2prompt.minilm import SentenceEncoder


def load(settings: Settings, sentences: SentenceEncoder, device: str) -> FullEngine:
    """Load the engine from the parts that the settings name; WeightsError names what is missing."""
    from img2prompt.engines.full.parts import find_parts

    folders = find_parts(settings)  # before torch is imported, which takes seconds
    from img2prompt.engines.full.engine import FullEngine

    return FullEngine(settings, folders, device)
