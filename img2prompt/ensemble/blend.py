"""Weighted sum of embeddings from several predictors, and the search for the best weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from img2prompt.embeddings import unit
from img2prompt.errors import ConfigError, DataError
from img2prompt.libraries import install, missing

DEFAULT = (0.45, 0.55)  # weights of the prompt's embedding and the regressor's


@dataclass(frozen=True)
class Tuning:
    """The best weights of several predictors, each ≥ 0, together 1."""

    weights: tuple[float, ...]  # best on all pictures
    held_out: float  # mean cosine of each half of the pictures with the weights that are best on the other
    halves: tuple[tuple[float, ...], tuple[float, ...]]  # best on each half; far apart with too few pictures
    alone: tuple[float, ...]  # mean cosine of each predictor alone


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
    return unit(
        np.sum([weight * unit(member) for member, weight in zip(vectors, weights, strict=True)], axis=0)
    )


def tune(members: Sequence[np.ndarray], truth: np.ndarray, seed: int = 0) -> Tuning:
    """Search the weights with which `combine` has the largest mean cosine with the truth.

    `Tuning.held_out` judges weights from one half of the pictures on the other half, both ways,
    so it is what new pictures can be expected to give.

    Parameters
    ----------
    members : M arrays (N, D), one per predictor; row i of each is about the same picture, N ≥ 2
    truth : (N, D)
    seed : of the random split into halves

    Raises
    ------
    ConfigError
        When SciPy is not installed.
    DataError
        With fewer than two pictures.
    """
    if absent := missing("scipy"):
        raise ConfigError(f"Tuning weights needs {absent[0]}. {install(*absent)}")
    if len(truth) < 2:
        raise DataError("Weights cannot be tuned on fewer than two pictures.")
    rows = np.stack([unit(np.asarray(member, np.float64)) for member in members], axis=1)
    # The cosine of a weighted sum needs no more of the vectors than their inner products.
    dots = np.einsum("nmd,nd->nm", rows, unit(np.asarray(truth, np.float64))).astype(np.float64)
    grams = np.einsum("nmd,nkd->nmk", rows, rows).astype(np.float64)
    first, second = halves(len(truth), seed)
    best = [_search(dots[half], grams[half]) for half in (first, second)]
    judged = (
        _cosine(best[1], dots[first], grams[first])[0] + _cosine(best[0], dots[second], grams[second])[0]
    ) / 2
    return Tuning(
        weights=tuple(_search(dots, grams).tolist()),
        held_out=judged,
        halves=(tuple(best[0].tolist()), tuple(best[1].tolist())),
        alone=tuple(dots.mean(0).tolist()),
    )


def halves(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the numbers below `count`, drawn at random."""
    order = np.random.default_rng(seed).permutation(count)
    return order[0::2], order[1::2]


def _search(dots: np.ndarray, grams: np.ndarray) -> np.ndarray:
    """The weights (M,) of the largest mean cosine.

    SLSQP (Kraft, 1988) starts from equal weights and from near each single member.

    Parameters
    ----------
    dots, grams : as for `_cosine`
    """
    from scipy.optimize import minimize

    count = dots.shape[1]
    middle = np.full(count, 1 / count)
    optima = [
        minimize(
            lambda weights: tuple(-part for part in _cosine(weights, dots, grams)),
            start,
            jac=True,
            method="SLSQP",
            bounds=[(0, 1)] * count,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(count)},
            options={"ftol": 1e-10},
        ).x.clip(0, 1)
        for start in [middle, *(0.1 * middle + 0.9 * np.eye(count))]
    ]
    best = max([middle, *np.eye(count), *optima], key=lambda weights: _cosine(weights, dots, grams)[0])
    return best / best.sum()


def _cosine(weights: np.ndarray, dots: np.ndarray, grams: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean cosine of the weighted sums with the truth, and its gradient (M,).

    Parameters
    ----------
    weights : (M,)
    dots : (N, M) inner products of the members' unit vectors with the truth
    grams : (N, M, M) inner products of the members' unit vectors with each other
    """
    upper, pulled = dots @ weights, grams @ weights
    lengths = np.sqrt(np.maximum(pulled @ weights, 0))[:, None]
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 1e-6)
    gradient = dots * inverse - upper[:, None] * pulled * inverse**3
    return float((upper * inverse[:, 0]).mean()), gradient.mean(0)
