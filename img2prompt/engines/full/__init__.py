"""The full engine, for a GPU or a patient laptop: published models, downloaded once."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from img2prompt.errors import WeightsError
from img2prompt.libraries import install
from img2prompt.settings import Settings

if TYPE_CHECKING:
    from img2prompt.engines.full.engine import FullEngine
    from img2prompt.minilm import SentenceEncoder


def load(settings: Settings, sentences: SentenceEncoder, device: str) -> FullEngine:
    """Load the engine from the parts that the settings name; WeightsError names those that are missing."""
    from img2prompt.engines.full.parts import find_parts

    if find_spec("transformers") is None:
        raise WeightsError(f"The full engine needs transformers. {install('transformers')}")
    folders = find_parts(settings)  # before torch is imported, which takes seconds
    from img2prompt.engines.full.engine import FullEngine

    return FullEngine(settings, folders, device)
