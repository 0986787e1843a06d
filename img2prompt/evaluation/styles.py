"""Score how well the style vector of a picture finds the description of its style."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.errors import DataError
from img2prompt.evaluation.pictures import choose, encode_pairs, has_splits, ranks_of_own, rounded

if TYPE_CHECKING:
    from img2prompt.pipeline import Pipeline

TOP = 5  # a picture's own text among so many first ones counts as a hit


def evaluate_styles(
    pipeline: Pipeline,
    folder: PairsFolder,
    split: str = "test",
    limit: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """For each picture, rank all style texts of the folder by its style vector.

    A folder without splits is split as it was for the training of the style head.

    Returns
    -------
    dict with ``top1`` and ``top5``, the share of the ``n`` pictures whose own text comes first or
    among the first five; ``chance``, the ``top5`` of a random order; ``ratio``, ``top5`` divided by
    ``chance``; ``top_tenth``, the share whose own text is in the first tenth of the order; and ``seconds``

    Raises
    ------
    DataError
        For an unknown split or a picture that cannot be read.
    """
    pairs = choose(folder, split, None)
    if not has_splits(folder) and split in ("train", "test"):
        pairs = [pair for pair in pairs if held_out(pair.name) == (split == "test")]
    pairs = pairs[:limit]
    if not pairs:
        raise DataError(f"{folder.path} has no held-out pictures; it is too small to be split.")
    start = time.perf_counter()
    looks: list[np.ndarray] = []
    for features in encode_pairs(pipeline, folder, pairs, progress):
        looks.append(pipeline.engine.embed_images(features, "style"))
    texts = sorted({text for pair in folder.pairs for text in pair.texts})
    own = np.array([texts.index(pair.texts[0]) for pair in pairs])
    ranks = ranks_of_own(np.concatenate(looks), pipeline.engine.embed_texts(texts), own)
    top5, chance = np.mean(ranks < TOP), min(1.0, TOP / len(texts))
    scores = {"top1": np.mean(ranks < 1), "top5": top5, "chance": chance, "ratio": top5 / chance}
    scores["top_tenth"] = np.mean(ranks < len(texts) / 10)
    return {**rounded(scores), "n": len(pairs), "seconds": round(time.perf_counter() - start, 1)}


def held_out(name: str) -> bool:
    """Whether a styled picture belongs to the third that is kept for testing."""
    return hashlib.sha256(name.encode()).digest()[0] % 3 == 0
