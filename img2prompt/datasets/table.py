"""Read and write CSVs of prompts without changing anything that need not change.

Other columns, quotes, line breaks in a cell and texts in any script pass through as they are. These
files are read by programs, so no cell is marked for spreadsheets.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from img2prompt.datasets.pairs import picture_and_text_columns
from img2prompt.errors import DataError
from img2prompt.files import replacing
from img2prompt.spreadsheet import write_csv

TEXT_SUFFIX = ".txt"


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


def read_table(path: str | Path, content: bytes | None = None) -> Table:
    """Read a CSV with the columns ``imgId,prompt`` (or the other names that `pairs` knows).

    A file that ends in ``.txt`` holds one prompt a line. The line's number becomes its id, and
    empty lines are skipped.

    Parameters
    ----------
    content : the bytes of an uploaded file; `path` is then only its name

    Raises
    ------
    DataError
        When there is no such file, it is not UTF-8, it lacks a column, or a row has too many
        or too few cells.
    """
    path = Path(path)
    try:
        source = io.BytesIO(content) if content is not None else open(path, "rb")  # noqa: SIM115
        with io.TextIOWrapper(source, newline="", encoding="utf-8-sig") as file:
            return _read_lines(path, file) if path.suffix == TEXT_SUFFIX else _read_csv(path, file)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Check its name.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV in UTF-8: {error}. Save it as one.") from error


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV (RFC 4180, UTF-8), whole or not at all.

    Raises
    ------
    DataError
        When there is no space or no permission.
    """
    with replacing(path) as file:
        write_csv(file, columns, rows)


def _read_lines(path: Path, file: io.TextIOBase) -> Table:
    lines = file.read().replace("\r\n", "\n").split("\n")
    rows = [[str(number), line] for number, line in enumerate(lines, 1) if line.strip()]
    return Table(path, ("imgId", "prompt"), rows, 0, 1)


def _read_csv(path: Path, file: io.TextIOBase) -> Table:
    reader = csv.reader(file)
    columns = tuple(next(reader, ()))
    id_column, text_column = picture_and_text_columns(path, columns)
    rows = []
    for row in reader:
        if not row:  # an empty line
            continue
        if len(row) != len(columns):
            raise DataError(
                f"{path}, line {reader.line_num}: {len(row)} cells for {len(columns)} columns. "
                "Put text that holds commas or quotes in quotes."
            )
        rows.append(row)
    return Table(path, columns, rows, columns.index(id_column), columns.index(text_column))
