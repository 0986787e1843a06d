"""Weighted sum of embeddings from several predictors, and the search for the best ratio of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from img2prompt.errors import ConfigError, DataError

STEPS = 100  # ratios tried between 0 and 1


@dataclass(frozen=True)
class Tuning:
    """The best share of the first of two predictors; the second has the rest."""

    ratio: float  # searched on all pictures
    held_out: float  # mean cosine of each half at the ratio searched on the other
    halves: tuple[float, float]  # the ratios of the two halves; far apart: too few pictures to tell
    alone: tuple[float, float]  # mean cosine of each predictor without the other


def combine(vectors: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Weighted sum of the predictors' unit vectors, scaled to unit length again.

    Parameters
    ----------
    vectors : one (N, D) array per predictor; rows of any length, a zero row counts as no opinion
    weights : one weight ≥ 0 per predictor; only their ratio matters

    Returns
    -------
    (N, D) float32 unit rows; a row is zero where the weighted sum is.

    Raises
    ------
    ConfigError
        When the numbers of weights and predictors differ, the arrays' shapes differ, or
        the weights are negative, not finite or all zero.
    """
    if not vectors or len(vectors) != len(weights):
        raise ConfigError(f"{len(weights)} weights for {len(vectors)} predictors; give one weight each.")
    if not np.isfinite(weights).all() or min(weights) < 0 or max(weights) == 0:
        raise ConfigError(f"Weights are {list(weights)}; they must be 0 or more, and one of them above 0.")
    shapes = {np.shape(member) for member in vectors}
    if len(shapes) > 1:
        raise ConfigError(f"Predictors disagree about the shape of their embeddings: {sorted(shapes)}.")
    return _unit(
        np.sum([weight * _unit(member) for member, weight in zip(vectors, weights, strict=True)], axis=0)
    )


def tune(first: np.ndarray, second: np.ndarray, truth: np.ndarray, seed: int = 0) -> Tuning:
    """Search the ratio of two predictors that comes nearest to the truth.

    The ratio is searched on one half of the pictures and judged on the other, both ways,
    so that `Tuning.held_out` promises no more than new pictures will give.

    Parameters
    ----------
    first, second, truth : (N, D) arrays, row by row the same N ≥ 2 pictures
    seed : of the split into halves

    Raises
    ------
    DataError
        With fewer than two pictures.
    """
    if len(truth) < 2:
        raise DataError("The ratio cannot be tuned on fewer than two pictures.")
    first, second, truth = (_unit(np.asarray(rows, np.float64)) for rows in (first, second, truth))
    ratios = np.arange(STEPS + 1) / STEPS
    # (N, ratios) cosines of the weighted sums, from the three rows' inner products alone.
    dots = np.outer((first * truth).sum(1), ratios) + np.outer((second * truth).sum(1), 1 - ratios)
    squares = (
        np.outer((first * first).sum(1), ratios**2)
        + np.outer((second * second).sum(1), (1 - ratios) ** 2)
        + np.outer(2 * (first * second).sum(1), ratios * (1 - ratios))
    )
    cosines = np.divide(dots, np.sqrt(squares), out=np.zeros_like(dots), where=squares > 1e-12)
    order = np.random.default_rng(seed).permutation(len(truth))
    folds = [cosines[order[0::2]].mean(0), cosines[order[1::2]].mean(0)]
    best = [int(fold.argmax()) for fold in folds]
    whole = cosines.mean(0)
    return Tuning(
        ratio=float(ratios[whole.argmax()]),
        held_out=float(folds[0][best[1]] + folds[1][best[0]]) / 2,
        halves=(float(ratios[best[0]]), float(ratios[best[1]])),
        alone=(float(whole[-1]), float(whole[0])),
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.divide(
        rows, lengths, out=np.zeros(np.shape(rows), np.float32), where=lengths > 0, casting="same_kind"
    )
