"""What the evaluations share: choosing and encoding pictures, what their texts mean, ranks, rounding."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from img2prompt.datasets.pairs import Pair, PairsFolder
from img2prompt.embeddings import interval, unit_means
from img2prompt.errors import DataError, ImageError

if TYPE_CHECKING:
    from PIL import Image

    from img2prompt.minilm import SentenceEncoder
    from img2prompt.pipeline import Pipeline

BATCH = 32  # pictures that go through the image tower together
QUERIES = 1024  # rows of the score matrix held at a time


def choose(folder: PairsFolder, split: str, limit: int | None) -> list[Pair]:
    """The pairs of a split; all of them for ``"all"`` or where the folder has no splits."""
    return folder.select(split if has_splits(folder) and split != "all" else None, limit)


def from_sources(folder: PairsFolder, pairs: Sequence[Pair], sources: Sequence[str] | None) -> list[Pair]:
    """Those of some pairs whose column ``source`` names one of these; all of them if there are none.

    Raises
    ------
    DataError
        For a source that none of the pairs has.
    """
    known = sorted({pair.notes.get("source", "") for pair in pairs} - {""})
    if missing := [source for source in sources or () if source not in known]:
        raise DataError(
            f"{folder.file} has no such source among these pictures: {', '.join(missing)}; "
            f"it has: {', '.join(known) or 'no column source'}."
        )
    return [pair for pair in pairs if not sources or pair.notes["source"] in sources]


def has_splits(folder: PairsFolder) -> bool:
    """Whether the folder's CSV says which pictures are for training and which for testing."""
    return any(pair.split for pair in folder.pairs)


def open_pairs(
    pipeline: Pipeline, folder: PairsFolder, pairs: Sequence[Pair], progress: bool
) -> Iterator[list[Image.Image]]:
    """The pictures, a batch at a time, with a progress bar on stderr.

    A picture that cannot be opened ends the evaluation with DataError: scores over fewer
    pictures than asked for could not be compared.
    """
    for start in tqdm(range(0, len(pairs), BATCH), desc="Looking", disable=not progress):
        yield [open_picture(pipeline, folder, pair.name) for pair in pairs[start : start + BATCH]]


def encode_pairs(
    pipeline: Pipeline, folder: PairsFolder, pairs: Sequence[Pair], progress: bool
) -> Iterator[Any]:
    """`Engine.encode` of the pictures, a batch at a time; see `open_pairs`."""
    yield from map(pipeline.engine.encode, open_pairs(pipeline, folder, pairs, progress))


def caption_pairs(
    pipeline: Pipeline, folder: PairsFolder, pairs: Sequence[Pair], progress: bool
) -> list[str]:
    """The captions of the pictures, with people as seen; see `encode_pairs`."""
    captions: list[str] = []
    for features in encode_pairs(pipeline, folder, pairs, progress):
        described = pipeline.engine.describe(features, beams=pipeline.settings.beams)
        captions += [description.caption for description in described]
    return captions


def open_picture(pipeline: Pipeline, folder: PairsFolder, name: str) -> Image.Image:
    """One picture of a pairs folder, opened within the pipeline's limits; DataError if it cannot be."""
    try:
        return pipeline.open(folder.read(name))
    except ImageError as error:
        raise DataError(f"{folder.path}, {name}: {error}") from error


def mean_texts(pairs: Sequence[Pair], sentences: SentenceEncoder) -> np.ndarray:
    """(N, 384) float32 unit means of the pairs' texts in MiniLM space."""
    texts = [text for pair in pairs for text in pair.texts]
    own = np.repeat(np.arange(len(pairs)), [len(pair.texts) for pair in pairs])
    progress = len(texts) > 2000 and sys.stderr.isatty()
    return unit_means(sentences.encode(texts, progress=progress), own)


def ranks_of_own(queries: np.ndarray, items: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(M,) the rank of each query's own item among all items, by dot product; 0 is the best.

    Ties count against the query, so that a model with the same answer for all gains nothing.

    Parameters
    ----------
    queries : (M, D)
    items : (N, D)
    own : (M,) index of each query's item
    """
    ranks = np.empty(len(queries), dtype=int)
    for start in range(0, len(queries), QUERIES):
        rows = slice(start, start + QUERIES)
        scores = queries[rows] @ items.T
        mine = np.take_along_axis(scores, own[rows, None], axis=1)
        ranks[rows] = np.sum(scores >= mine, axis=1) - 1
    return ranks


def mean_of(name: str, values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """The mean of N values, and its 95 % bootstrap interval as ``NAME_interval``; both None where N is 0."""
    if not len(values):
        return {name: None, f"{name}_interval": None}
    numbers = np.asarray(values, np.float64)
    low, high = interval(numbers)
    return {name: round(float(numbers.mean()), 4), f"{name}_interval": [round(low, 4), round(high, 4)]}


def rounded(scores: dict[str, Any]) -> dict[str, float]:
    """Scores with four decimals, as they are reported."""
    return {name: round(float(score), 4) for name, score in scores.items()}
