"""CSV files: plain ones for programs, and ones for spreadsheets, in which no cell becomes a formula."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from typing import IO

# What a spreadsheet takes for the start of a formula (OWASP, "CSV injection").
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
MARK = "'"


def write_table(file: IO[bytes], header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV for spreadsheets: `write_csv` with every text made `neutral`, after a byte order mark.

    Without the mark, Excel takes UTF-8 for the code page of its country, and Korean and emoji for noise.
    """
    file.write(codecs.BOM_UTF8)
    write_csv(file, header, ([neutral(c) if isinstance(c, str) else c for c in row] for row in rows))


def write_csv(file: IO[bytes], header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV for programs (RFC 4180, UTF-8) to an open binary file, cells as they are; the file stays open."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text)
        writer.writerow(header)
        writer.writerows(rows)
    finally:
        text.detach()  # flushes, and leaves the file open


def neutral(cell: str) -> str:
    """The cell with a ' in front if it begins like a formula or with a ' itself; else unchanged.

    `plain` removes the mark again.

    >>> neutral("=1+1"), neutral("a dog")
    ("'=1+1", 'a dog')
    """
    return MARK + cell if cell.startswith((*FORMULA, MARK)) else cell


def plain(cell: str) -> str:
    """The cell that `neutral` was given."""
    return cell.removeprefix(MARK)
