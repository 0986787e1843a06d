"""Find near-duplicates: of each group of prompts that say the same, the first is kept.

Rows are taken in order. A row is removed if its similarity (cosine of the MiniLM embeddings) with
an earlier *kept* row reaches the threshold; the earliest such row is called its twin. So no two
kept rows reach the threshold, and every removed row has its twin among the kept ones. Of a chain
a ~ b ~ c, where a and c are unlike, only b is removed.

faiss finds candidates in single precision, with a margin below the threshold. The decision is
made on cosines in double precision, so the result does not depend on how many rows are compared
at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from img2prompt.embeddings import WIDTH
from img2prompt.errors import ConfigError
from img2prompt.libraries import install, missing
from img2prompt.minilm import SentenceEncoder

THRESHOLD = 0.95
INDICES = ("auto", "exact", "approximate")
EXACT_UP_TO = 200_000  # texts; takes a few minutes on two cores, and the time grows with the square
BATCH = 4096  # rows compared at a time
MARGIN = 1e-4  # far more than the rounding error of a cosine in single precision
PAIRS = 16_384  # cosines in double precision at a time

# The approximate index searches only the cells nearest to a row. Their number is tuned on artificial
# pairs whose cosine is the threshold; the recall is then measured on rows that are searched exactly.
PROBED_PAIRS = 4096
PROBED_RECALL = 0.998
MOST_CELLS = 256
MEASURED_ROWS = 4096

EMBEDDED = 8192  # texts embedded between two reports of progress

Progress = Callable[[str, int, int], None]  # called with the step's name, the rows done, and of how many


@dataclass(frozen=True, eq=False)
class Twins:
    """The twin of each of N rows: the earlier row that makes it superfluous."""

    rows: np.ndarray  # (N,) int64: the twin's number; -1 for kept rows
    similarities: np.ndarray  # (N,) float64: the cosine with the twin; 0 for kept rows
    index: str  # exact or approximate
    recall: float | None = None  # see `measure_recall`; None for the exact index


def find_twins(
    texts: Sequence[str],
    encoder: SentenceEncoder,
    threshold: float = THRESHOLD,
    against: Sequence[str] = (),
    batch_size: int = BATCH,
    index: str = "auto",
    progress: Progress | None = None,
) -> Twins:
    """Find near-duplicates among texts, and near-duplicates of the texts of another set.

    Parameters
    ----------
    texts : N prompts
    encoder : embeds them
    threshold : a cosine, above 0 and at most 1; at 1 only texts that embed the same are twins
    against : M prompts of another set; all of them are kept
    batch_size : rows compared at a time; more is faster and takes more memory
    index : ``exact``, ``approximate`` (for millions), or ``auto``, which chooses by the number of texts
    progress : called after each batch

    Returns
    -------
    The twins of the N texts. A twin's number below M is a row of `against`; any other number minus
    M is a row of `texts`. Equal texts have the similarity 1.

    Raises
    ------
    ConfigError
        For an option that cannot be used.
    """
    check_options(threshold, batch_size, index)
    everything = [*against, *texts]
    first: dict[str, int] = {}
    numbers = np.array([first.setdefault(text, len(first)) for text in everything], np.int64)
    origins = np.unique(numbers, return_index=True)[1]  # (U,) the first row of each distinct text
    distinct = list(first)
    known = len(set(against))  # distinct texts are numbered in order, so these come first
    vectors = embed_texts(distinct, encoder, progress)
    found = near_duplicates(vectors, threshold, known, batch_size, index, progress)
    twins, similarities = found.rows[numbers], found.similarities[numbers]
    stays = twins < 0
    rows = np.where(stays, origins[numbers], origins[twins])
    similarities[stays] = 1.0  # as for a copy; the first row of each text is corrected below
    first_rows = np.zeros(len(everything), bool)
    first_rows[origins] = True
    alone = stays & first_rows
    rows[alone], similarities[alone] = -1, 0.0
    begin = len(against)
    return Twins(rows[begin:], similarities[begin:], found.index, found.recall)


def near_duplicates(
    vectors: np.ndarray,
    threshold: float,
    known: int = 0,
    batch_size: int = BATCH,
    index: str = "auto",
    progress: Progress | None = None,
) -> Twins:
    """As `find_twins`, for vectors.

    Parameters
    ----------
    vectors : (N, D) float32 unit vectors
    known : the number of first rows that are kept whatever they are like

    Returns
    -------
    The twins of all N rows.
    """
    check_options(threshold, batch_size, index)
    kind = _kind(index, len(vectors))
    search = _Exact(vectors) if kind == "exact" else _Approximate(vectors, threshold, progress)
    squares = np.concatenate([np.zeros(0), *(_dots(part, part) for part in _parts(vectors))])
    rows = np.full(len(vectors), -1, np.int64)
    similarities = np.zeros(len(vectors))

    def verify(later: np.ndarray, earlier: np.ndarray) -> None:
        """Record twins among P candidate pairs (later[i], earlier[i]); the first that fits a row counts."""
        for start in range(0, len(later), PAIRS):
            a, b = later[start : start + PAIRS], earlier[start : start + PAIRS]
            cosines = np.minimum(_dots(vectors[a], vectors[b]) / np.sqrt(squares[a] * squares[b]), 1.0)
            enough = (cosines >= threshold) & (rows[a] < 0)
            gone, places = np.unique(a[enough], return_index=True)
            rows[gone], similarities[gone] = b[enough][places], cosines[enough][places]

    for start in range(0, known, batch_size):
        search.add(np.arange(start, min(start + batch_size, known)))
    for start in range(known, len(vectors), batch_size):
        block = np.arange(start, min(start + batch_size, len(vectors)))
        verify(*search.near(block, threshold - MARGIN))
        block = block[rows[block] < 0]
        close = np.tril(vectors[block] @ vectors[block].T >= threshold - MARGIN, -1)
        for i in np.flatnonzero(close.any(axis=1)):
            candidates = block[close[i]]
            candidates = candidates[(rows[candidates] < 0) & search.sees(block[i], candidates)]
            verify(np.full(len(candidates), block[i]), candidates)
        search.add(block[rows[block] < 0])
        if progress:
            progress("Comparing", min(start + batch_size, len(vectors)) - known, len(vectors) - known)
    recall = None
    if kind == "approximate":
        recall = measure_recall(vectors, rows, threshold, known)
    return Twins(rows, similarities, kind, recall)


def measure_recall(vectors: np.ndarray, twins: np.ndarray, threshold: float, known: int = 0) -> float | None:
    """The share of rows to remove that were removed, measured on random rows that are searched exactly.

    Parameters
    ----------
    vectors : (N, D) float32 unit vectors
    twins : (N,) the twins' numbers, -1 for kept rows
    known : the number of first rows that are never drawn

    Returns
    -------
    0 to 1; None if no drawn row has a twin.
    """
    drawn = np.random.default_rng(0).permutation(np.arange(known, len(vectors)))[:MEASURED_ROWS]
    kept = np.flatnonzero(twins < 0)
    suspects = drawn[twins[drawn] < 0]
    missed = np.zeros(len(suspects), bool)
    for part in _parts(kept):
        close = vectors[suspects] @ vectors[part].T >= threshold
        missed |= (close & (part < suspects[:, None])).any(axis=1)
    removed = len(drawn) - len(suspects)
    return removed / (removed + int(missed.sum())) if removed or missed.any() else None


def embed_texts(
    texts: Sequence[str],
    encoder: SentenceEncoder,
    progress: Progress | None = None,
) -> np.ndarray:
    """Embed N texts a part at a time, because a million tokenized texts take gigabytes: (N, 384) float32."""
    vectors = np.zeros((len(texts), WIDTH), np.float32)
    order = np.argsort([-len(text) for text in texts], kind="stable")  # equal lengths share batches
    for start in range(0, len(order), EMBEDDED):
        chosen = order[start : start + EMBEDDED]
        vectors[chosen] = encoder.encode([texts[i] for i in chosen])
        if progress:
            progress("Embedding", start + len(chosen), len(texts))
    return vectors


def check_options(threshold: float, batch_size: int, index: str) -> None:
    """Check options before the work starts.

    Raises
    ------
    ConfigError
        For an option that cannot be used, or when faiss is not installed.
    """
    if absent := missing("faiss"):
        raise ConfigError(f"Finding prompts that say the same needs {absent[0]}. {install(*absent)}")
    if not 0.0 < threshold <= 1.0:
        raise ConfigError(f"threshold is {threshold}; it must lie above 0 and be at most 1.")
    if batch_size < 1:
        raise ConfigError(f"batch-size is {batch_size}; it must be at least 1.")
    if index not in INDICES:
        raise ConfigError(f"index is {index!r}; choose one of {', '.join(INDICES)}.")


def _kind(index: str, count: int) -> str:
    return index if index != "auto" else "exact" if count <= EXACT_UP_TO else "approximate"


class _Exact:
    """An index that compares a row with every row added before."""

    def __init__(self, vectors: np.ndarray):
        import faiss

        self.vectors = vectors
        self.index = faiss.IndexIDMap(faiss.IndexFlatIP(vectors.shape[1]))

    def add(self, rows: np.ndarray) -> None:
        if len(rows):
            self.index.add_with_ids(self.vectors[rows], rows)

    def near(self, rows: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of (row, row added before) with a cosine above `radius`, in the order of both."""
        if not self.index.ntotal:
            return rows[:0], rows[:0]
        limits, _, ids = self.index.range_search(self.vectors[rows], radius)
        return _in_order(rows, limits, ids)

    def sees(self, row: int, others: np.ndarray) -> np.ndarray:
        """Which of the others `near` would compare with the row, had they been added."""
        return np.ones(len(others), bool)


class _Approximate:
    """An index that compares a row only with rows in the cells near it (an inverted file, IVF).

    The cells of all rows are looked up once, in parts of fixed size, so that they do not depend on
    how many rows are searched at a time.
    """

    def __init__(self, vectors: np.ndarray, threshold: float, progress: Progress | None):
        import faiss

        self.vectors = vectors
        count = max(1, min(round(8 * len(vectors) ** 0.5), len(vectors) // 8))
        quantizer = faiss.IndexFlatIP(vectors.shape[1])
        index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], count, faiss.METRIC_INNER_PRODUCT)
        # faiss would take 25 rounds over 256 rows a cell; the cells need to be small, not perfect.
        index.cp.niter, index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = 5, 32, 1
        index.cp.spherical = True
        rng = np.random.default_rng(0)
        if progress:
            progress("Training the index", 0, 1)
        index.train(vectors[np.sort(rng.permutation(len(vectors))[: 32 * count])])
        probes = _probes(quantizer, vectors, threshold, rng)
        self.index = index
        self.cells = np.zeros((len(vectors), probes), np.int32)
        for part in _parts(np.arange(len(vectors))):
            self.cells[part] = quantizer.search(vectors[part], probes)[1]
            if progress:
                progress("Training the index", int(part[-1]) + 1, len(vectors))

    def add(self, rows: np.ndarray) -> None:
        from faiss.contrib.ivf_tools import add_preassigned

        if len(rows):
            add_preassigned(self.index, self.vectors[rows], self.cells[rows, 0].astype(np.int64), rows)

    def near(self, rows: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of (row, row added before) with a cosine above `radius`, in the order of both."""
        from faiss.contrib.ivf_tools import range_search_preassigned

        cells = self.cells[rows].astype(np.int64)
        self.index.nprobe = cells.shape[1]
        limits, _, ids = range_search_preassigned(self.index, self.vectors[rows], radius, cells)
        return _in_order(rows, limits, ids)

    def sees(self, row: int, others: np.ndarray) -> np.ndarray:
        """Which of the others `near` would compare with the row, had they been added."""
        return np.isin(self.cells[others, 0], self.cells[row])


def _probes(quantizer: Any, vectors: np.ndarray, threshold: float, rng: np.random.Generator) -> int:
    """How many cells to search for each row.

    Rows are moved toward other rows until their cosine with the original is the threshold. Searching
    so many cells finds the original's cell for the share `PROBED_RECALL` of them.
    """
    rows, others = vectors[rng.integers(len(vectors), size=(2, PROBED_PAIRS))]
    away = others - (rows * others).sum(axis=1, keepdims=True) * rows
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    moved = threshold * rows + np.sqrt(1 - threshold**2) * away
    own = quantizer.search(rows, 1)[1]
    nearest = quantizer.search(moved.astype(np.float32), min(MOST_CELLS, quantizer.ntotal))[1]
    hits = nearest == own
    ranks = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, nearest.shape[1])
    return int(np.ceil(np.quantile(ranks, PROBED_RECALL)))


def _in_order(rows: np.ndarray, limits: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    later = np.repeat(rows, (limits[1:] - limits[:-1]).astype(np.int64))
    order = np.lexsort((ids, later))
    return later[order], ids[order]


def _dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(P,) products of rows, summed row by row in double precision."""
    return (a.astype(np.float64) * b).sum(axis=1)


def _parts(array: np.ndarray, size: int = 16_384) -> list[np.ndarray]:
    return [array[start : start + size] for start in range(0, len(array), size)]
