"""From the journal to the file that was asked for.

An output appears at once and whole: it is written beside its place and then moved there.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from img2prompt.batch.journal import Journal, Row
from img2prompt.batch.sources import Item
from img2prompt.errors import ConfigError, DataError
from img2prompt.submission import WIDTH, write_submission

FORMATS = ("submission", "csv", "jsonl", "txt", "parquet")
BY_SUFFIX = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
COLUMNS = ("path", "caption", "prompt", "labels", "alt_text", "hashtags", "width", "height", "error")
# What a spreadsheet takes for the start of a formula (OWASP, "CSV injection"), and our mark itself.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
MARK = "'"
CHUNK = 1000  # rows of a parquet row group
JOURNAL_BYTES = 6000  # a picture, about
OUTPUT_BYTES = {"csv": 1500, "jsonl": 2500, "txt": 4096, "parquet": 1500}


@dataclass(frozen=True)
class TextFiles:
    """How captions are written for trainers such as kohya: ``photo.txt`` for ``photo.jpg``."""

    prepend: str = ""
    append: str = ""
    overwrite: bool = False  # also files that this program did not write
    skip_existing: bool = False  # leave pictures alone that have such a file


def guess_format(output: Path | None) -> str:
    """The format that the output's suffix stands for.

    Raises
    ------
    ConfigError
        When it stands for none.
    """
    found = BY_SUFFIX.get(output.suffix.lower()) if output else None
    if found is None:
        raise ConfigError(
            f"Cannot tell the format from {output or 'no --output'}. Add --format {'|'.join(FORMATS)}."
        )
    return found


def check_output(kind: str, output: Path | None, items: Sequence[Item], source: str | Path) -> None:
    """Find out before the work starts what would spoil the output at its end.

    Parameters
    ----------
    kind : one of `FORMATS`
    output : the file to write, or for ``txt`` a folder, or None for beside the pictures

    Raises
    ------
    ConfigError, DataError
        For an unknown format, a place that cannot be written, too little space, an output
        that would replace a picture or the source, or pictures that would share an id or a file.
    """
    if kind not in FORMATS:
        raise ConfigError(f"format is {kind!r}; choose one of {', '.join(FORMATS)}.")
    if kind == "txt":
        _check_distinct(items, {item.name: str(file) for item, file in text_files(items, output)})
    if kind == "submission":
        _check_distinct(items, {item.name: item.stem for item in items})
    if output is None:
        return
    if not output.parent.is_dir():
        raise DataError(f"{output.parent} is not a folder. Make it first, or choose another --output.")
    if kind == "txt" and output.exists() and not output.is_dir():
        raise DataError(f"{output} is a file; txt writes many. Name a folder.")
    if kind != "txt" and output.is_dir():
        raise DataError(f"{output} is a folder. Name a file in it: {output / 'out'}")
    if kind != "txt" and output.exists():
        taken = [Path(source), *(item.file for item in items if item.file)]
        if not output.is_file() or any(file.exists() and output.samefile(file) for file in taken):
            raise DataError(
                f"{output} must not be replaced: it is part of the input. Choose another --output."
            )
    _check_space(kind, output.parent, items)


def export(kind: str, output: Path, items: Sequence[Item], journal: Journal, mean: np.ndarray | None) -> None:
    """Write what is known of the items, in their order (a submission: sorted by id).

    Parameters
    ----------
    kind : one of `FORMATS` but ``txt`` (see `export_text`)
    mean : (384,) the embedding that stands for a failed picture in a submission

    Raises
    ------
    DataError
        When the output cannot be written, or a picture failed and there is no mean.
    """
    if kind == "submission":
        items = sorted(items, key=lambda item: item.stem)
    rows = journal.rows(items)
    with replacing(output) as file:
        if kind == "submission":
            write_submission(file, _vectors(rows, mean))
        elif kind == "csv":
            write_table(file, COLUMNS, map(_cells, rows))
        elif kind == "jsonl":
            file.writelines(json.dumps(_record(row), ensure_ascii=False).encode() + b"\n" for row in rows)
        elif kind == "parquet":
            _write_parquet(file, rows)
        else:
            raise ConfigError(f"{kind!r} is not written to one file.")


def export_errors(output: Path, items: Sequence[Item], journal: Journal) -> None:
    """Write a CSV of the pictures that failed (``path,reason``); only its header where none did."""
    with replacing(output) as file:
        write_table(file, ("path", "reason"), ((row.name, row.error) for row in journal.failed(items)))


def text_files(items: Sequence[Item], output: Path | None) -> list[tuple[Item, Path]]:
    """Each item with its text file: beside the picture, or at the same place under `output`.

    Raises
    ------
    ConfigError
        When the pictures lie in an archive and there is no `output`.
    """
    if output is None and any(item.file is None for item in items):
        raise ConfigError(
            "Nothing can be written into an archive or a store. Name a folder for the texts with --output."
        )
    found = []
    for item in items:
        # A listed path may lead anywhere; its text stays under the output.
        parts = [part for part in PurePosixPath(item.name).parts if part not in ("/", "..")]
        place = item.file if output is None and item.file is not None else (output or Path()).joinpath(*parts)
        found.append((item, place.with_suffix(".txt")))
    return found


def foreign_texts(items: Sequence[Item], output: Path | None, journal: Journal) -> list[tuple[Item, Path]]:
    """The items whose text file is there already and is not, or no longer, as this program wrote it."""
    found = []
    for item, file in text_files(items, output):
        if os.path.lexists(file):
            try:
                digest = _digest(file.read_bytes())
            except OSError:
                digest = ""
            if not journal.wrote(str(file.absolute()), digest):
                found.append((item, file))
    return found


def export_text(items: Sequence[Item], output: Path | None, journal: Journal, options: TextFiles) -> int:
    """Write one text file for each picture that did not fail; returns how many.

    Whose files may be replaced is the caller's to check (`foreign_texts`): before the work,
    and because it takes long, here again.

    Raises
    ------
    DataError
        When a file cannot be written, or is somebody else's and `options` do not allow to replace it.
    """
    files = {item.name: file for item, file in text_files(items, output)}
    keep = set() if options.overwrite else {item.name for item, _ in foreign_texts(items, output, journal)}
    if keep and not options.skip_existing:
        raise text_exists([files[name] for name in keep])
    count = 0
    for row in journal.rows([item for item in items if item.name not in keep]):
        if row.error:
            continue
        file = files[row.name]
        text = f"{options.prepend}{row.caption}{options.append}\n".encode()
        journal.will_write([str(file.absolute())], _digest(text))
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(file, error) from error
        with replacing(file, durable=False) as handle:
            handle.write(text)
        count += 1
    return count


def export_text_archive(output: Path, items: Sequence[Item], journal: Journal) -> None:
    """Write a ZIP archive with one text file for each picture that did not fail, as trainers read them."""
    files = {item.name: file for item, file in text_files(items, Path())}
    with replacing(output) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in journal.rows(items):
            if not row.error:
                archive.writestr(files[row.name].as_posix(), f"{row.caption}\n")


def text_exists(files: Sequence[Path]) -> DataError:
    """What to tell somebody whose text files are in the way."""
    return DataError(
        f"Text files that this program did not write are in the way: {min(files)} ({len(files)} in all). "
        "Keep them with --skip-existing, or replace them with --overwrite."
    )


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is complete; until then the old one stays.

    Parameters
    ----------
    durable : wait until the disk has it, so that a power cut leaves the old file or the new one

    Raises
    ------
    DataError
        When there is no space or no permission.
    """
    path = Path(os.path.realpath(path))
    part = path.with_name(
        f".{_digest(os.fsencode(path.name))[:16]}.part"
    )  # the name may be too long for more
    try:
        with open(part, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        part.unlink(missing_ok=True)


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


def _vectors(rows: Iterable[Row], mean: np.ndarray | None) -> Iterator[tuple[str, np.ndarray]]:
    for row in rows:
        vector = mean if row.embedding is None else row.embedding
        if vector is None:
            raise DataError(
                f"{row.name} failed ({row.error}) and this engine has no mean embedding to put in its place. "
                "Repair or remove the picture."
            )
        yield PurePosixPath(row.name).stem, vector


def _record(row: Row) -> dict[str, Any]:
    """A line of jsonl."""
    return {
        "path": row.name,
        "caption": row.caption,
        "prompt": row.prompt,
        "labels": {
            table: [{"label": label, "score": round(cosine, 4)} for label, cosine in found]
            for table, found in row.labels.items()
        },
        "alt_text": row.alt_text,
        "hashtags": list(row.hashtags),
        "width": row.width,
        "height": row.height,
        "error": row.error or None,
    }


def _cells(row: Row) -> list[object]:
    """A line of the spreadsheet."""
    labels = "; ".join(
        f"{table}: {', '.join(label for label, _ in found)}" for table, found in row.labels.items()
    )
    size = [row.width, row.height]
    return [row.name, row.caption, row.prompt, labels, row.alt_text, " ".join(row.hashtags), *size, row.error]


def _write_parquet(file: IO[bytes], rows: Iterator[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    label = pa.struct([("table", pa.string()), ("label", pa.string()), ("score", pa.float32())])
    types = [pa.string()] * 3 + [pa.list_(label), pa.string(), pa.list_(pa.string())]
    types += [pa.int32(), pa.int32(), pa.string()]
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
    with parquet.ParquetWriter(file, schema) as writer:
        while chunk := [_record(row) for row in islice(rows, CHUNK)]:
            for record in chunk:
                record["labels"] = [
                    {"table": table, **match} for table, found in record["labels"].items() for match in found
                ]
            writer.write_table(pa.Table.from_pylist(chunk, schema))


def _check_distinct(items: Sequence[Item], places: dict[str, str]) -> None:
    first: dict[str, str] = {}
    for item in items:
        place = places[item.name]
        other = first.setdefault(place, item.name)
        if other != item.name:
            raise DataError(f"{other} and {item.name} would both be {place!r} in the output; rename one.")


def _check_space(kind: str, folder: Path, items: Sequence[Item]) -> None:
    """The folder takes files, and enough of them."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _cannot_write(folder, error) from error
    if kind == "submission":
        size = sum(WIDTH * (len(item.stem.encode()) + 20) for item in items)
    else:
        size = len(items) * OUTPUT_BYTES[kind]
    needed = size + len(items) * JOURNAL_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder} has {free / 1e6:.0f} MB of free space, and the run needs about {needed / 1e6:.0f} MB. "
            "Free some, or choose another --output."
        )


def _cannot_write(path: Path, error: OSError) -> DataError:
    if error.errno == errno.ENOSPC:
        return DataError(f"{path}: no space left. Free some and give the same command again; it goes on.")
    return DataError(
        f"{path} cannot be written: {error.strerror or error}. Check the folder and its permissions."
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
