"""Label tables in the space of prompt embeddings, whatever space the engine ranks labels in."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from img2prompt import weights
from img2prompt.errors import WeightsError
from img2prompt.labels.readable import readable_labels
from img2prompt.minilm import SentenceEncoder
from img2prompt.vector_cache import label_vectors


class SentenceSpace:
    """MiniLM's space as a `img2prompt.vector_cache.JointSpace`; the bundled model holds label vectors in it."""

    space: str | None = "all-MiniLM-L6-v2"

    def __init__(self, sentences: SentenceEncoder):
        self._sentences = sentences
        self.label_file: Path | None = None
        with contextlib.suppress(WeightsError):
            self.label_file = weights.bundled("lite") / "labels.safetensors"

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._sentences.encode(texts)


def phrase_vectors(
    sentences: SentenceEncoder, tables: Sequence[str], own: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[str], np.ndarray]:
    """The readable labels of some tables, one after the other, and their MiniLM vectors.

    Parameters
    ----------
    tables : names of built-in tables
    own : the user's tables, which are added whole

    Returns
    -------
    M texts and (M, 384) float32 unit vectors; vectors that no file holds are computed, and kept in the
    user's cache
    """
    space = SentenceSpace(sentences)
    labels = {name: readable_labels(name, sentences.vocabulary) for name in tables} | dict(own or {})
    vectors = [label_vectors(space, name, texts) for name, texts in labels.items()]
    return [text for texts in labels.values() for text in texts], np.concatenate(vectors).astype(
        np.float32, copy=False
    )
