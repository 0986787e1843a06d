"""CIDEr-D as a reward: fast, on token ids, with document frequencies fixed in advance.

Vedantam et al., *CIDEr: Consensus-based Image Description Evaluation*, CVPR 2015. Final scores
come from pycocoevalcap. Self-critical training needs a faster scorer: it scores hundreds of
captions a second, against references that never change.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from img2prompt.engines.lite.search import EOS, PAD

ORDERS = 4  # n-grams of 1 to 4 tokens
SIGMA = 6.0  # of the penalty for a difference in length, in tokens

# Of each order the weights (TF-IDF) of the n-grams and their norm; the caption's length in tokens.
Vector = tuple[list[dict[tuple[int, ...], float]], list[float], int]


def words(tokens: Iterable[int]) -> list[int]:
    """The tokens up to and including EOS, which counts as a word: a caption without it scores lower."""
    kept: list[int] = []
    for token in tokens:
        if token == PAD:
            continue
        kept.append(token)
        if token == EOS:
            break
    return kept


def ngrams(tokens: Sequence[int]) -> Counter[tuple[int, ...]]:
    """How often each n-gram of 1 to 4 tokens occurs."""
    return Counter(
        tuple(tokens[i : i + order]) for order in range(1, ORDERS + 1) for i in range(len(tokens) - order + 1)
    )


class CiderD:
    """Scores captions against a fixed set of references.

    Parameters
    ----------
    references : for each picture, its reference captions as token ids, EOS included
    """

    def __init__(self, references: Sequence[Sequence[Sequence[int]]]):
        counted = [[ngrams(words(caption)) for caption in captions] for captions in references]
        frequency: Counter[tuple[int, ...]] = Counter()
        for captions in counted:
            frequency.update({gram for caption in captions for gram in caption})
        self.log_pictures = math.log(len(references))
        self.inverse = {gram: self.log_pictures - math.log(count) for gram, count in frequency.items()}
        self.references = [[self._vector(caption) for caption in captions] for captions in counted]

    def _vector(self, counts: Counter[tuple[int, ...]]) -> Vector:
        weights: list[dict[tuple[int, ...], float]] = [{} for _ in range(ORDERS)]
        norms = [0.0] * ORDERS
        for gram, count in counts.items():
            weight = count * self.inverse.get(gram, self.log_pictures)
            weights[len(gram) - 1][gram] = weight
            norms[len(gram) - 1] += weight * weight
        length = sum(count for gram, count in counts.items() if len(gram) == 1)
        return weights, [math.sqrt(norm) for norm in norms], length

    def __call__(self, picture: int, tokens: Iterable[int]) -> float:
        """CIDEr-D of one caption of the picture with this number, 0 to 10."""
        weights, norms, length = self._vector(ngrams(words(tokens)))
        total = 0.0
        for other_weights, other_norms, other_length in self.references[picture]:
            closeness = math.exp(-((length - other_length) ** 2) / (2 * SIGMA**2))
            for order in range(ORDERS):
                if norms[order] and other_norms[order]:
                    theirs = other_weights[order]
                    shared = sum(
                        min(weight, theirs[gram]) * theirs[gram]
                        for gram, weight in weights[order].items()
                        if gram in theirs
                    )
                    total += closeness * shared / (norms[order] * other_norms[order])
        return 10.0 * total / (ORDERS * len(self.references[picture]))
