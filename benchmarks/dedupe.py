"""How fast near-duplicates are found, as JSON on stdout. Run it on a quiet machine.

    python -m benchmarks.dedupe PROMPTS [VECTORS]

PROMPTS is a CSV or a .txt with one prompt a line. Its prompts are embedded and compared, as the command
does it. Then VECTORS vectors (1,000,000 by default; 0 leaves this out) go through the approximate index:
mixtures of two prompts' vectors, and among them copies with a known cosine to their original, on both
sides of the threshold.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.lite import machine
from img2prompt.datasets.deduplicate import THRESHOLD, embed_texts, near_duplicates
from img2prompt.datasets.table import read_table
from img2prompt.embeddings import unit
from img2prompt.minilm import SentenceEncoder

VECTORS = 1_000_000
COPIES = 0.1  # share of the vectors that are copies of earlier ones
COSINES = (0.93, 1.0)  # of a copy with its original
TARGETS = {
    "embed_and_compare_s": "<= 120",
    "compare_s": "<= 10",
    "approximate.recall": ">= 0.99",
}


def main() -> None:
    texts = list(dict.fromkeys(read_table(sys.argv[1]).texts))
    many = int(sys.argv[2]) if len(sys.argv) > 2 else VECTORS
    encoder = SentenceEncoder()
    encoder.encode(texts[:64])
    vectors, embed_s = timed(embed_texts, texts, encoder)
    exact, compare_s = timed(near_duplicates, vectors, THRESHOLD, index="exact")
    report: dict[str, Any] = {
        "prompts": len(texts),
        "removed": int((exact.rows >= 0).sum()),
        "embed_s": round(embed_s, 1),
        "compare_s": round(compare_s, 1),
        "embed_and_compare_s": round(embed_s + compare_s, 1),
    }
    if many:
        approximate, approximate_s = timed(
            near_duplicates, multiply(vectors, many), THRESHOLD, index="approximate"
        )
        report["approximate"] = {
            "vectors": many,
            "removed": int((approximate.rows >= 0).sum()),
            "recall": approximate.recall,
            "seconds": round(approximate_s, 1),
        }
    print(json.dumps({**report, "targets": TARGETS, "machine": machine()}, indent=2))


def timed(work: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work(*arguments, **options)
    return result, time.perf_counter() - start


def multiply(vectors: np.ndarray, count: int) -> np.ndarray:
    """(count, D) unit vectors that are spread like those of prompts, with known near-duplicates."""
    rng = np.random.default_rng(0)
    mixed = np.empty((count, vectors.shape[1]), np.float32)
    for start in range(0, count, 16_384):
        size = min(16_384, count - start)
        first, second = vectors[rng.integers(len(vectors), size=(2, size))]
        mixed[start : start + size] = unit(
            first + rng.uniform(0.3, 1.0, (size, 1)).astype(np.float32) * second
        )
    copies = np.sort(rng.choice(np.arange(count // 2, count), int(COPIES * count), replace=False))
    for part in np.array_split(copies, max(1, len(copies) // 16_384)):
        originals = mixed[rng.integers(count // 2, size=len(part))]
        others = vectors[rng.integers(len(vectors), size=len(part))]
        away = unit(others - (originals * others).sum(axis=1, keepdims=True) * originals)
        cosines = rng.uniform(*COSINES, (len(part), 1)).astype(np.float32)
        mixed[part] = cosines * originals + np.sqrt(1 - cosines**2) * away
    return mixed


if __name__ == "__main__":
    main()
