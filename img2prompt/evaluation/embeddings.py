"""Score regressed embeddings against the captions', and the search for photos by caption."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.embeddings import unit_means
from img2prompt.errors import WeightsError
from img2prompt.evaluation.pictures import choose, encode_pairs, ranks_of_own, rounded

if TYPE_CHECKING:
    from img2prompt.pipeline import Pipeline


def evaluate_embeddings(
    pipeline: Pipeline,
    folder: PairsFolder,
    split: str = "test",
    limit: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Compare the regressed embeddings with the captions', and search photos by caption.

    Returns
    -------
    dict with

    - ``mean_cosine``: of each regressed embedding with the mean of its picture's caption embeddings
    - ``baseline_cosine``: the same if the answer were always the mean of the training captions
      (of at most `limit` pictures; of all captions where there is no split ``train``)
    - ``r1`` and ``r10``: the share of captions whose own photo is ranked first, or among the first
      ten, of the ``n`` photos
    - ``seconds``

    Raises
    ------
    DataError
        For an unknown split or a picture that cannot be read.
    WeightsError
        When the engine has no trained regressor.
    """
    pairs = choose(folder, split, limit)
    train = [pair for pair in folder.pairs if pair.split == "train"] or folder.pairs
    start = time.perf_counter()
    regressed: list[np.ndarray] = []
    content: list[np.ndarray] = []
    for features in encode_pairs(pipeline, folder, pairs, progress):
        vectors = pipeline.engine.regress(features)
        if vectors is None:
            raise WeightsError(f"The {pipeline.engine.name} engine has no trained regressor to evaluate.")
        regressed.append(vectors)
        content.append(pipeline.engine.embed_images(features, "content"))
    texts = [text for pair in pairs for text in pair.texts]
    own = np.repeat(np.arange(len(pairs)), [len(pair.texts) for pair in pairs])
    targets = unit_means(pipeline.sentences.encode(texts), own)
    train_texts = [text for pair in train[:limit] for text in pair.texts]
    baseline = unit_means(
        pipeline.sentences.encode(train_texts, progress=progress), np.zeros(len(train_texts), dtype=int)
    )
    ranks = ranks_of_own(pipeline.engine.embed_texts(texts), np.concatenate(content), own)
    scores = {
        "mean_cosine": np.sum(np.concatenate(regressed) * targets, axis=1).mean(),
        "baseline_cosine": np.sum(baseline * targets, axis=1).mean(),
        "r1": np.mean(ranks < 1),
        "r10": np.mean(ranks < 10),
    }
    return {**rounded(scores), "n": len(pairs), "seconds": round(time.perf_counter() - start, 1)}
