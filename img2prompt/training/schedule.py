"""Batches and learning rates that depend on the step alone, so that a stopped training can go on exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


class Shuffle:
    """Endless shuffled batches of `batch` of the indices 0…size - 1; each pass has every index once."""

    def __init__(self, size: int, batch: int, seed: int):
        self.size, self.batch = size, batch
        self.generator = np.random.default_rng(seed)
        self.queue: list[int] = []

    def __call__(self) -> list[int]:
        while len(self.queue) < self.batch:
            self.queue += self.generator.permutation(self.size).tolist()
        taken, self.queue = self.queue[: self.batch], self.queue[self.batch :]
        return taken


class Batches:
    """At each step one shuffled batch of each corpus, from step `start` on.

    Parameters
    ----------
    sizes : pictures of each corpus
    counts : pictures of each corpus in a batch
    """

    def __init__(self, sizes: Sequence[int], counts: Sequence[int], seed: int, start: int = 0):
        pairs = zip(sizes, counts, strict=True)
        self.shuffles = [Shuffle(size, count, seed + i) for i, (size, count) in enumerate(pairs)]
        for _ in range(start):
            self()

    def __call__(self) -> list[list[int]]:
        return [shuffle() for shuffle in self.shuffles]


def warm_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the peak learning rate, 0 to 1: half a cosine, with a linear rise over `warmup` steps."""
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
