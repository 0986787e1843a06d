"""Score embeddings and written prompts against the prompts that pictures were made from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from img2prompt.datasets.pairs import Pair, PairsFolder
from img2prompt.embeddings import cosines, unit_means
from img2prompt.errors import DataError
from img2prompt.evaluation.pictures import BATCH, choose, from_sources, mean_of, open_picture, ranks_of_own

if TYPE_CHECKING:
    from img2prompt.pipeline import Pipeline

FEW = 5  # a picture's own prompt among so many first ones counts as found


def evaluate_prompts(
    pipeline: Pipeline,
    folder: PairsFolder,
    split: str = "dev",
    limit: int | None = None,
    progress: bool = False,
    sources: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Compare what the pipeline makes of pictures with the prompts that they were made from.

    Rows whose column ``kind`` is ``style`` are left out: their text says only how the picture looks.

    Parameters
    ----------
    sources : use only pictures whose column ``source`` holds one of these; the constant guess then
        learns from the other sources only, as a model should that was trained without these

    Returns
    -------
    dict with

    - ``cosine``: of the pipeline's embedding with the true prompt's
    - ``constant_cosine``: of the mean prompt of the split ``train`` (of all others, if there is no such
      split), if that were always the answer; None where there is nothing to learn from
    - ``written_cosine``: of the written prompt's own embedding with the true prompt's
    - ``first`` and ``among5``: the share of pictures whose own prompt is the nearest to the embedding, or
      among the five nearest, of the ``prompts`` different ones of these pictures
    - the number ``n`` of pictures and the ``seconds`` that describing them took

    with the 95 % interval of each mean in ``…_interval``.

    Raises
    ------
    DataError
        For an unknown split or source, no row with a prompt, or a picture that cannot be read.
    """
    chosen = from_sources(folder, choose(folder, split, None), sources)
    pairs = [pair for pair in chosen if is_prompt(pair)][:limit]
    if not pairs:
        raise DataError(
            f"{folder.file} has no prompts among these pictures, only styles. Name other sources."
        )
    start = time.perf_counter()
    results = []
    for at in range(0, len(pairs), BATCH):
        batch = pairs[at : at + BATCH]
        results += pipeline.describe([open_picture(pipeline, folder, pair.name) for pair in batch])
    seconds = time.perf_counter() - start
    texts = [pair.texts[0] for pair in pairs]
    prompts = sorted(set(texts))
    own = np.array([prompts.index(text) for text in texts])
    known = pipeline.sentences.encode(prompts)
    constant = constant_guess(pipeline, folder, pairs, sources, progress)
    scores = score_prompts(
        np.stack([result.embedding for result in results]),
        pipeline.sentences.encode([result.prompt for result in results]),
        known,
        own,
        constant,
    )
    return {**scores, "prompts": len(prompts), "n": len(pairs), "seconds": round(seconds, 1)}


def score_prompts(
    embeddings: np.ndarray,
    written: np.ndarray,
    known: np.ndarray,
    own: np.ndarray,
    constant: np.ndarray | None,
) -> dict[str, Any]:
    """The measures of `evaluate_prompts`.

    Parameters
    ----------
    embeddings : (N, 384) of the pictures
    written : (N, 384) of the written prompts
    known : (M, 384) of the M different true prompts
    own : (N,) index of each picture's true prompt
    constant : (384,) the constant guess, if there is one
    """
    truth = known[own]
    ranks = ranks_of_own(embeddings, known, own)
    guesses = np.zeros(0) if constant is None else cosines(np.broadcast_to(constant, truth.shape), truth)
    return {
        **mean_of("cosine", cosines(embeddings, truth)),
        **mean_of("constant_cosine", guesses),
        **mean_of("written_cosine", cosines(written, truth)),
        **mean_of("first", ranks < 1),
        **mean_of(f"among{FEW}", ranks < FEW),
    }


def constant_guess(
    pipeline: Pipeline,
    folder: PairsFolder,
    pairs: Sequence[Pair],
    sources: Sequence[str] | None,
    progress: bool = False,
) -> np.ndarray | None:
    """(384,) the mean of the prompts that are for training, except those of these pairs and sources."""
    asked = {pair.name for pair in pairs}
    others = [
        pair
        for pair in folder.pairs
        if is_prompt(pair) and pair.name not in asked and pair.notes.get("source") not in (sources or ())
    ]
    train = [pair for pair in others if pair.split == "train"] or others
    if not train:
        return None
    vectors = pipeline.sentences.encode([pair.texts[0] for pair in train], progress=progress)
    mean: np.ndarray = unit_means(vectors, np.zeros(len(vectors), dtype=int))[0]
    return mean


def is_prompt(pair: Pair) -> bool:
    """Whether a pair's text is a whole prompt, by its column ``kind`` if it has one."""
    return pair.notes.get("kind", "prompt") == "prompt"
