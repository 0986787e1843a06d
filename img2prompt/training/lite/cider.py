"""CIDEr-D as a reward: fast, on token ids, with document frequencies fixed in advance.

Vedantam et al., *CIDEr: Consensus-based Image Description Evaluation*, CVPR 2015. The
final numbers come from pycocoevalcap; this one exists because self-critical training
scores hundreds of captions a second against references that never change.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from img2prompt.engines.lite.captioner import EOS, PAD

ORDERS = 4
SIGMA = 6.0

Vector = tuple[list[dict[tuple[int, ...], float]], list[float], int]


def words(tokens: Iterable[int]) -> list[int]:
    """The tokens up to and with EOS, so that a caption that breaks off is punished."""
    kept: list[int] = []
    for token in tokens:
        if token == PAD:
            continue
        kept.append(token)
        if token == EOS:
            break
    return kept


def ngrams(tokens: Sequence[int]) -> Counter[tuple[int, ...]]:
    return Counter(
        tuple(tokens[i : i + order]) for order in range(1, ORDERS + 1) for i in range(len(tokens) - order + 1)
    )


class CiderD:
    """Score captions against the references of pictures given once.

    Parameters
    ----------
    references : per picture, its reference captions as token ids (EOS included)
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
        """CIDEr-D of one caption, 0 to 10."""
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
