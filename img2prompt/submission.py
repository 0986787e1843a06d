"""Write, read and score submissions to the competition *Stable Diffusion – Image to Prompts*.

A submission is a CSV with the columns ``imgId_eId,val`` and 384 rows for each picture. Ids are
``<image stem>_<0…383>``. Values have the fewest digits that read back as the same float32.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from img2prompt.embeddings import WIDTH, TextEncoder, cosines, interval
from img2prompt.errors import DataError
from img2prompt.files import cannot_read
from img2prompt.wording import reason

if TYPE_CHECKING:
    import pyarrow as pa


ID, VALUE = "imgId_eId", "val"
SPECIAL = frozenset(',"\r\n')  # CSV quotes a cell that holds one of these
CHUNK = 256  # pictures written at a time


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One embedding for each of N pictures."""

    ids: list[str]  # stems, all different
    vectors: np.ndarray  # (N, 384) float32

    def aligned(self, ids: list[str], name: str = "The submission") -> np.ndarray:
        """The vectors of these ids, in this order.

        Raises
        ------
        DataError
            When one is missing; `name` is what the message calls this set.
        """
        rows = {stem: row for row, stem in enumerate(self.ids)}
        missing = [stem for stem in ids if stem not in rows]
        if missing:
            raise DataError(
                f"{name} lacks pictures: {len(missing)} of {len(ids)} ({_some(missing)}). "
                "Use files made from the same pictures."
            )
        return self.vectors[[rows[stem] for stem in ids]]


@dataclass(frozen=True, eq=False)
class Score:
    """How near a submission is to the truth."""

    ids: list[str]  # pictures in both, in the truth's order
    cosines: np.ndarray  # (N,), -1 to 1; 0 where a vector is zero
    interval: tuple[float, float]  # 95 % bootstrap interval of the mean
    missing: list[str]  # in the truth only
    extra: list[str]  # in the submission only

    @property
    def mean(self) -> float:
        """The competition's score: the mean cosine over the pictures, -1 to 1."""
        return float(self.cosines.mean())

    def worst(self, count: int = 10) -> list[tuple[str, float]]:
        """(id, cosine) of the pictures that are farthest off, worst first."""
        order = np.argsort(self.cosines, kind="stable")[:count]
        return [(self.ids[i], float(self.cosines[i])) for i in order]


def write_submission(file: IO[bytes], embeddings: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write a submission to an open binary file, a few pictures at a time.

    Parameters
    ----------
    embeddings : (stem, (384,) float32 vector) of each picture, in the order to write

    Raises
    ------
    DataError
        For a vector of another length, or with values that are not finite.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pa.array([f"_{i}," for i in range(WIDTH)])
    quoted = pa.array([f'_{i}",' for i in range(WIDTH)])
    pictures = iter(embeddings)
    file.write(f"{ID},{VALUE}".encode())
    while chunk := list(islice(pictures, CHUNK)):
        values = np.concatenate([vector for _, vector in chunk])
        if any(vector.shape != (WIDTH,) for _, vector in chunk) or not np.isfinite(values).all():
            bad = next(s for s, v in chunk if v.shape != (WIDTH,) or not np.isfinite(v).all())
            raise DataError(f"The embedding of {bad!r} is not {WIDTH} finite numbers.")
        plainly = [SPECIAL.isdisjoint(stem) for stem, _ in chunk]
        starts = [
            f"\n{stem}" if simple else '\n"' + stem.replace('"', '""')
            for (stem, _), simple in zip(chunk, plainly, strict=True)
        ]
        rows = pc.binary_join_element_wise(
            pa.array(starts).take(pa.array(np.repeat(np.arange(len(chunk)), WIDTH))),
            pa.concat_arrays([plain if simple else quoted for simple in plainly]),
            pa.array(values, pa.float32()).cast(pa.string()),
            "",
        )
        file.write(rows.buffers()[2])  # an array's strings lie one after the other in memory
    file.write(b"\n")


def read_submission(path: str | Path) -> Embeddings:
    """Read a submission; its rows may be in any order, pictures keep the order they appear in.

    Raises
    ------
    DataError
        When the file is not such a CSV, or a picture's rows are not 0…383, each once.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = _read_table(path)
    parts = pc.split_pattern(table[ID].combine_chunks(), "_", max_splits=1, reverse=True)
    if len(table) == 0 or pc.any(pc.not_equal(pc.list_value_length(parts), 2)).as_py():
        raise DataError(f"{path}: ids must look like STEM_0 … STEM_{WIDTH - 1}, and there must be some.")
    stems = pc.list_element(parts, 0).dictionary_encode()
    try:
        numbers = pc.list_element(parts, 1).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: an id does not end in a number ({reason(error)}).") from error
    values = table[VALUE].to_numpy()
    _check_rows(path, table[ID], numbers, values)
    ids = stems.dictionary.to_pylist()
    places = stems.indices.to_numpy().astype(np.int64) * WIDTH + numbers
    counts = np.bincount(places, minlength=len(ids) * WIDTH)
    if (counts != 1).any():
        place = int(np.argmax(counts != 1))
        name, times = f"{ids[place // WIDTH]}_{place % WIDTH}", int(counts[place])
        raise DataError(f"{path}: {name} is there {times} times; each id must be there once.")
    vectors = np.empty(len(ids) * WIDTH, np.float32)
    vectors[places] = values
    return Embeddings(ids, vectors.reshape(-1, WIDTH))


def read_truth(path: str | Path, sentences: TextEncoder) -> Embeddings:
    """Read the true embeddings from a CSV like a submission, or embed those of prompts (``imgId,prompt``).

    Raises
    ------
    DataError
        When it is neither, cannot be read, or names a picture twice.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            columns = reader.fieldnames or []
            if ID in columns:
                return read_submission(path)
            if not {"imgId", "prompt"} <= set(columns):
                raise DataError(f"{path} needs the columns {ID},{VALUE} or imgId,prompt.")
            rows = [(row["imgId"], row["prompt"] or "") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise cannot_read(path, error) from error
    prompts = dict(rows)
    if not rows or len(prompts) < len(rows):
        raise DataError(f"{path}: each picture must have one prompt, and there must be some.")
    return Embeddings(list(prompts), sentences.encode(list(prompts.values())))


def score(submission: Embeddings, truth: Embeddings, seed: int = 0) -> Score:
    """Compare picture by picture, by cosine. Pictures that only one of the two has are listed, not counted.

    Parameters
    ----------
    seed : of the bootstrap that gives the interval

    Raises
    ------
    DataError
        When no picture is in both.
    """
    answered, asked = set(submission.ids), set(truth.ids)
    ids = [stem for stem in truth.ids if stem in answered]
    if not ids:
        raise DataError(
            f"No picture is in both files: one has {_some(submission.ids)}, the other {_some(truth.ids)}. "
            "Name two files of the same pictures."
        )
    similarities = cosines(submission.aligned(ids), truth.aligned(ids))
    return Score(
        ids,
        similarities,
        interval(similarities, seed),
        missing=[stem for stem in truth.ids if stem not in answered],
        extra=[stem for stem in submission.ids if stem not in asked],
    )


def _read_table(path: str | Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        with open(path, "rb") as file:
            table = arrow_csv.read_csv(
                file,
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(column_types={ID: pa.string(), VALUE: pa.float32()}),
            )
        columns = table.column_names
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise cannot_read(path, error, f"a submission, a CSV with the columns {ID},{VALUE}") from error
    if not {ID, VALUE} <= set(columns):
        raise DataError(f"{path} has the columns {', '.join(columns)}; it needs {ID} and {VALUE}.")
    return table


def _check_rows(path: str | Path, ids: pa.ChunkedArray, numbers: np.ndarray, values: np.ndarray) -> None:
    """Raise DataError unless every row's number is 0…383 and every value is finite."""
    for bad, why in (
        ((numbers < 0) | (numbers >= WIDTH), f"does not end in 0 … {WIDTH - 1}"),
        (~np.isfinite(values), "has no finite value"),
    ):
        if bad.any():
            raise DataError(f"{path}: {ids[int(np.argmax(bad))].as_py()} {why}.")


def _some(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")
