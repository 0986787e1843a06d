"""CSV for people's spreadsheets: what pictures and prompts say never becomes a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import IO

# What a spreadsheet takes for the start of a formula (OWASP, "CSV injection"), and our mark itself.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
MARK = "'"


def write_table(file: IO[bytes], header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write CSV (RFC 4180, UTF-8) that no spreadsheet runs: see `neutral`."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        writer = csv.writer(text)
        writer.writerow(header)
        writer.writerows([neutral(c) if isinstance(c, str) else c for c in row] for row in rows)
    finally:
        text.detach()  # flushes, and leaves the file open


def neutral(cell: str) -> str:
    """A cell that is no formula: one that could be, or that begins with ', gets a ' before it.

    `plain` takes it away again.

    >>> neutral("=1+1"), neutral("a dog")
    ("'=1+1", 'a dog')
    """
    return MARK + cell if cell.startswith((*FORMULA, MARK)) else cell


def plain(cell: str) -> str:
    """What `neutral` was given."""
    return cell.removeprefix(MARK)
