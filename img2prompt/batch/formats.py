"""Write the journal as a file: one entry in `FORMATS` for each format.

An output appears complete or not at all: it is written beside its destination and moved there.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from img2prompt import files
from img2prompt.batch.derived import with_post
from img2prompt.batch.journal import Journal
from img2prompt.batch.photos import COPIES, PhotoFiles, new_sidecar, photo_files, with_held
from img2prompt.batch.rows import Row
from img2prompt.batch.sources import Item
from img2prompt.batch.texts import below, output_of, text_files
from img2prompt.embeddings import WIDTH
from img2prompt.errors import ConfigError, DataError
from img2prompt.files import replacing
from img2prompt.posts import Choices
from img2prompt.results import Stored, labels_line, words_record
from img2prompt.spreadsheet import write_table
from img2prompt.submission import write_submission

COLUMNS = (
    "path",
    "caption",
    "prompt",
    "labels",
    "alt_text",
    "hashtags",
    "post",
    "stored",
    "width",
    "height",
    "error",
)
# A spreadsheet's cell holds no object, so there the column is three.
CELLS = tuple(
    cell
    for column in COLUMNS
    for cell in (("stored_prompt", "stored_negative", "stored_settings") if column == "stored" else (column,))
)
CHUNK = 1000  # rows of a parquet row group
JOURNAL_BYTES = 6000  # that the journal takes for a picture, about


@dataclass(frozen=True)
class Format:
    """A kind of file that the results can be written to.

    The page names and explains it with the texts ``batch.format.NAME`` and
    ``batch.format.NAME.help`` of the locales.
    """

    file: str  # file name of a download
    mime: str
    write: Callable[
        [IO[bytes], Iterable[Row], np.ndarray | None], None
    ]  # file, rows, and the mean embedding that stands for failed pictures
    suffixes: tuple[str, ...] = ()  # of outputs; the first format that has one gets it where none is named
    picture_bytes: int = 0  # that a picture takes in the file, about
    by_id: bool = False  # pictures are identified by their stems, and sorted by them
    posts: bool = False  # holds a post for each picture
    many: bool = (
        False  # a file for each picture, beside it or in a folder; a download has them in a ZIP archive
    )
    adds: bool = False  # holds only what the pictures' own files do not say


def guess_format(output: Path | None) -> str:
    """The name of the format that an output's suffix stands for.

    Raises
    ------
    ConfigError
        When the suffix stands for no format.
    """
    suffix = output.suffix.lower() if output else ""
    for name, format in FORMATS.items():
        if suffix in format.suffixes:
            return name
    known = dict.fromkeys(suffix for format in FORMATS.values() for suffix in format.suffixes)
    raise ConfigError(
        f"Cannot tell the format from {output or 'no --output'}. Name an --output that ends in "
        f"{', '.join(known)}, or add --format {'|'.join(FORMATS)}."
    )


def check_output(
    kind: str,
    output: Path | None,
    items: Sequence[Item],
    source: str | Path,
    photos: PhotoFiles | None = None,
) -> None:
    """Check before the work starts that the output can be written at its end.

    Parameters
    ----------
    kind : one of `FORMATS`
    output : the file to write; for ``txt`` and ``xmp`` a folder, or None to write beside the pictures
    items : the pictures
    source : where the pictures come from, which must not be overwritten
    photos : how ``xmp`` is written; by default as new sidecars

    Raises
    ------
    ConfigError, DataError
        For an unknown format, another format's suffix, a folder that cannot be written, too little
        space, an output that would replace a picture or the source, or pictures that would share an
        id or a file.
    """
    if kind not in FORMATS:
        raise ConfigError(f"format is {kind!r}; choose one of {', '.join(FORMATS)}.")
    format = FORMATS[kind]
    if format.many:
        wanted = photos or PhotoFiles()
        each = text_files(items, output) if kind == "txt" else photo_files(items, output, wanted)
        advice = "rename one, or add --sidecar full" if photos and not photos.embed else "rename one"
        _check_distinct(items, {item.name: str(file) for item, file in each}, advice)
        for folder in {file.parent for _, file in each}:
            if folder.is_dir():
                files.check_folder(folder)
    if format.by_id:
        _check_distinct(items, {item.name: item.stem for item in items})
    if output is None:
        return
    size = 0
    if format.many:
        files.check_folder(output.parent)
        if output.exists() and not output.is_dir():
            raise DataError(f"{output} is a file; {kind} writes many. Name a folder.")
        if photos and photos.embed == COPIES:
            originals = [item.file for item in items if item.file]
            _check_apart(output, [file for _, file in each], originals, source)
            size = sum(file.stat().st_size for file in originals if file.is_file())
    else:
        inputs = [Path(source), *(item.file for item in items if item.file)]
        files.check_output(output, *format.suffixes, inputs=inputs)
    _check_space(format, output.parent, items, size)


def export(
    kind: str,
    output: Path,
    items: Sequence[Item],
    journal: Journal,
    mean: np.ndarray | None,
    posts: Choices | None = None,
    stored: bool = True,
) -> None:
    """Write the results for the items to one file, in their order (a submission: sorted by id).

    Parameters
    ----------
    kind : one of `FORMATS`; ``txt`` and ``xmp`` make a ZIP archive here, and single files in `export_text`
        and `export_photos`
    mean : (384,) the embedding that stands for a failed picture in a submission
    posts : what is wanted of the post about each picture, for the formats that hold one; None for no posts
    stored : whether to write the prompts that the files themselves hold

    Raises
    ------
    ConfigError
        For an unknown tone.
    DataError
        When the output cannot be written, a picture failed and there is no mean, or the tone's file is
        malformed.
    """
    format = FORMATS[kind]
    if format.by_id:
        items = sorted(items, key=lambda item: item.stem)
    rows = journal.rows(items)
    if posts is not None and format.posts:
        rows = (with_post(row, posts) for row in rows)
    if format.adds:
        rows = with_held(rows, items)
    if not stored:
        rows = (replace(row, stored=None) for row in rows)
    with replacing(output) as file:
        format.write(file, rows, mean)


def export_errors(
    output: Path, items: Sequence[Item], journal: Journal, refused: Mapping[str, str] | None = None
) -> None:
    """Write a CSV (``path,reason``) of the pictures that failed; only its header if none did.

    Parameters
    ----------
    refused : name → reason, of those that were described and yet not written
    """
    with replacing(output) as file:
        failed = ((row.name, row.error) for row in journal.failed(items))
        write_table(file, ("path", "reason"), [*failed, *(refused or {}).items()])


def _write_submission(file: IO[bytes], rows: Iterable[Row], mean: np.ndarray | None) -> None:
    def embeddings() -> Iterator[tuple[str, np.ndarray]]:
        for row in rows:
            vector = mean if row.embedding is None else row.embedding
            if vector is None:
                raise DataError(
                    f"{row.name} failed ({row.error}) and this engine has no mean embedding to put in its "
                    "place. Repair or remove the picture."
                )
            yield PurePosixPath(row.name).stem, vector

    write_submission(file, embeddings())


def _write_csv(file: IO[bytes], rows: Iterable[Row], _: np.ndarray | None) -> None:
    write_table(file, CELLS, map(_cells, rows))


def _write_jsonl(file: IO[bytes], rows: Iterable[Row], _: np.ndarray | None) -> None:
    file.writelines(json.dumps(_record(row), ensure_ascii=False).encode() + b"\n" for row in rows)


def _write_texts(file: IO[bytes], rows: Iterable[Row], _: np.ndarray | None) -> None:
    """Write a ZIP archive with a text file for each picture that did not fail, as trainers read them."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in rows:
            if not row.error:
                archive.writestr(output_of(row.name).as_posix(), f"{row.caption}\n")


def _write_sidecars(file: IO[bytes], rows: Iterable[Row], _: np.ndarray | None) -> None:
    """Write a ZIP archive with an XMP sidecar for each picture that did not fail and lacks a text."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in rows:
            content = None if row.error else new_sidecar(row)
            if content is not None:
                archive.writestr(PhotoFiles().name_of(below(row.name)).as_posix(), content)


def _record(row: Row) -> dict[str, Any]:
    """A row as an object for JSON."""
    return {
        "path": row.name,
        **words_record(row.caption, row.prompt, row.labels),
        "alt_text": row.alt_text,
        "hashtags": list(row.hashtags),
        "post": row.post or None,
        "stored": row.stored.record() if row.stored else None,
        "width": row.width,
        "height": row.height,
        "error": row.error or None,
    }


def _cells(row: Row) -> list[object]:
    """A row as a line of the spreadsheet."""
    labels = labels_line(row.labels)
    size = [row.width, row.height]
    words = [row.caption, row.prompt, labels, row.alt_text, " ".join(row.hashtags), row.post]
    said = row.stored or Stored()
    stored = [said.prompt, said.negative, said.settings_line()]
    return [row.name, *words, *stored, *size, row.error]


def _write_parquet(file: IO[bytes], rows: Iterable[Row], _: np.ndarray | None) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    label = pa.struct([("table", pa.string()), ("label", pa.string()), ("score", pa.float32())])
    types = [pa.string()] * 3 + [pa.list_(label), pa.string(), pa.list_(pa.string())]
    texts = [(name, pa.string()) for name in ("prompt", "negative", "model", "sampler")]
    numbers = [("steps", pa.int64()), ("seed", pa.uint64()), ("size", pa.list_(pa.int64()))]
    stored = pa.struct([*texts, *numbers, ("tool", pa.string())])
    types += [pa.string(), stored, pa.int32(), pa.int32(), pa.string()]
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
    rows = iter(rows)
    with parquet.ParquetWriter(file, schema) as writer:
        while chunk := [_record(row) for row in islice(rows, CHUNK)]:
            for record in chunk:
                record["labels"] = [
                    {"table": table, **match}
                    for table, matches in record["labels"].items()
                    for match in matches
                ]
            writer.write_table(pa.Table.from_pylist(chunk, schema))


def _check_distinct(items: Sequence[Item], outputs: dict[str, str], advice: str = "rename one") -> None:
    """Raise DataError if two items have the same output (item name → id or file), with what to do about it."""
    first: dict[str, str] = {}
    for item in items:
        output = outputs[item.name]
        earlier = first.setdefault(output, item.name)
        if earlier != item.name:
            raise DataError(f"{earlier} and {item.name} would both be {output!r} in the output; {advice}.")


def _check_apart(output: Path, copies: list[Path], originals: list[Path], source: str | Path) -> None:
    """Raise DataError if copies would replace pictures, or be among them when the same command is given again."""
    inside = os.path.isdir(source) and output.resolve().is_relative_to(Path(source).resolve())
    same = {os.path.realpath(file) for file in originals} & {os.path.realpath(file) for file in copies}
    if inside or same:
        raise DataError(f"{output} is among the originals. Name a folder elsewhere for the copies.")


def _check_space(format: Format, folder: Path, items: Sequence[Item], size: int = 0) -> None:
    """Raise DataError if the folder lacks space for the output, and for so many bytes more."""
    size += len(items) * format.picture_bytes
    if format.by_id:  # has a row for each number of an embedding, each with the id
        size += sum(WIDTH * (len(item.stem.encode()) + 20) for item in items)
    needed = size + len(items) * JOURNAL_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder} has {free / 1e6:.0f} MB of free space, and the run needs about {needed / 1e6:.0f} MB. "
            "Free some, or choose another --output."
        )


FORMATS = {  # files for people first, then files for programs
    "csv": Format("captions.csv", "text/csv", _write_csv, (".csv",), 2000, posts=True),
    "txt": Format("captions.zip", "application/zip", _write_texts, picture_bytes=4096, many=True),
    "xmp": Format(
        "sidecars.zip", "application/zip", _write_sidecars, picture_bytes=4096, many=True, adds=True
    ),
    "jsonl": Format(
        "captions.jsonl", "application/x-ndjson", _write_jsonl, (".jsonl", ".ndjson"), 3000, posts=True
    ),
    "parquet": Format(
        "captions.parquet",
        "application/vnd.apache.parquet",
        _write_parquet,
        (".parquet", ".pq"),
        2000,
        posts=True,
    ),
    "submission": Format("submission.csv", "text/csv", _write_submission, (".csv",), by_id=True),
}
