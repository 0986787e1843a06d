"""Read and write CSVs of prompts without changing anything that need not change.

Other columns, quotes, line breaks in a cell and texts in any script pass through as they are. These
files are read by programs, so no cell is marked for spreadsheets.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from img2prompt.datasets.pairs import picture_and_text_columns
from img2prompt.errors import DataError
from img2prompt.files import cannot_read, replacing
from img2prompt.spreadsheet import write_csv

TEXT_SUFFIX = ".txt"
TOO_MUCH = "Take a part of it, or give it to img2prompt dataset explore, which takes any."


@dataclass(frozen=True)
class Limits:
    """The most that is read of a file that came from somebody else."""

    rows: int
    characters: int  # of a text


@dataclass(frozen=True)
class Table:
    """The rows of a CSV, and which of its columns are the id and the text."""

    path: Path
    columns: tuple[str, ...]
    rows: list[list[str]]
    id_column: int
    text_column: int

    @property
    def ids(self) -> list[str]:
        return [row[self.id_column] for row in self.rows]

    @property
    def texts(self) -> list[str]:
        return [row[self.text_column] for row in self.rows]


def read_table(path: str | Path, content: bytes | None = None, limits: Limits | None = None) -> Table:
    """Read a CSV with the columns ``imgId,prompt`` (or the other names that `pairs` knows).

    A file that ends in ``.txt`` holds one prompt a line. The line's number becomes its id, and
    empty lines are skipped.

    Parameters
    ----------
    content : the bytes of an uploaded file; `path` is then only its name
    limits : by default there are none

    Raises
    ------
    DataError
        When there is no such file, it is not UTF-8, it lacks a column, a row has too many or too
        few cells, or it exceeds the limits, at which reading stops.
    """
    path = Path(path)
    lines = path.suffix == TEXT_SUFFIX
    try:
        source = io.BytesIO(content) if content is not None else open(path, "rb")  # noqa: SIM115
        with io.TextIOWrapper(source, newline="\n" if lines else "", encoding="utf-8-sig") as file:
            return _read_lines(path, file, limits) if lines else _read_csv(path, file, limits)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise cannot_read(path, error) from error


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV (RFC 4180, UTF-8), whole or not at all.

    Raises
    ------
    DataError
        When there is no space or no permission.
    """
    with replacing(path) as file:
        write_csv(file, columns, rows)


def _read_lines(path: Path, file: io.TextIOBase, limits: Limits | None) -> Table:
    lines = (line.removesuffix("\n").removesuffix("\r") for line in file)
    rows = ([str(number), line] for number, line in enumerate(lines, 1) if line.strip())
    return Table(path, ("imgId", "prompt"), list(_within(limits, path, rows, 1)), 0, 1)


def _read_csv(path: Path, file: io.TextIOBase, limits: Limits | None) -> Table:
    reader = csv.reader(file)
    columns = tuple(next(reader, ()))
    id_column, text_column = map(columns.index, picture_and_text_columns(path, columns))

    def full() -> Iterator[list[str]]:
        for row in reader:
            if not row:  # an empty line
                continue
            if len(row) != len(columns):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(row)} in place of {len(columns)} cells. "
                    "Put text that holds commas or quotes in quotes."
                )
            yield row

    return Table(path, columns, list(_within(limits, path, full(), text_column)), id_column, text_column)


def _within(
    limits: Limits | None, path: Path, rows: Iterable[list[str]], text_column: int
) -> Iterator[list[str]]:
    """The rows; DataError at the first that is one too many or has too long a text."""
    for number, row in enumerate(rows, 1):
        if limits and number > limits.rows:
            raise DataError(f"{path} has more than {limits.rows:,} rows. {TOO_MUCH}")
        if limits and len(row[text_column]) > limits.characters:
            raise DataError(
                f"{path}, row {number}: a text of {len(row[text_column]):,} characters, and at most "
                f"{limits.characters:,} are taken. {TOO_MUCH}"
            )
        yield row
