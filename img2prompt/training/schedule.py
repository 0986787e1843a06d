"""What every training loop needs to go on after a stop as if it had not stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


class Shuffle:
    """Endless shuffled batches of indices; each pass sees everything once."""

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
    """One shuffled batch of each corpus a step, from step `start` on."""

    def __init__(self, sizes: Sequence[int], counts: Sequence[int], seed: int, start: int = 0):
        pairs = zip(sizes, counts, strict=True)
        self.shuffles = [Shuffle(size, count, seed + i) for i, (size, count) in enumerate(pairs)]
        for _ in range(start):
            self()

    def __call__(self) -> list[list[int]]:
        return [shuffle() for shuffle in self.shuffles]


def warm_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the peak learning rate: a linear rise over `warmup` steps, then half a cosine to 0."""
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
