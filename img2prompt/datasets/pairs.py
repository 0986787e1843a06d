"""Folders of (picture, text) pairs.

A pairs folder holds one CSV and the pictures it names::

    captions.csv | prompts.csv | styles.csv | labels.csv | train.csv
    images/NAME …   and/or   train_images/NAME …   and/or   *.tar (members named NAME)

The CSV has a column for the picture (``image``, ``imgId``, ``image_name``, or ``image_path``, of
which only the last part counts), one for the text (``caption``, ``prompt``, ``style`` or ``label``)
and optionally ``split``. Capitals in the first two don't matter. Several rows that name the same
picture are several texts of it; `PairsFolder.check` accepts them in ``captions.csv`` only. Further
columns are kept as notes.
"""

from __future__ import annotations

import csv
import hashlib
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from img2prompt.errors import DataError
from img2prompt.files import cannot_read, without_controls
from img2prompt.images import SUFFIXES
from img2prompt.wording import reason

CSV_NAMES = ("captions.csv", "prompts.csv", "styles.csv", "labels.csv", "train.csv")
IMAGE_FOLDERS = ("images", "train_images")
IMAGE_COLUMNS = ("image", "imgId", "image_name", "image_path")
TEXT_COLUMNS = ("caption", "prompt", "style", "label")
SEVERAL_TEXTS = "captions.csv"  # the file whose pictures may have several


@dataclass(frozen=True)
class Pair:
    """One picture and the texts written for it."""

    name: str
    texts: tuple[str, ...]
    split: str
    lines: tuple[int, ...] = field(default=(), compare=False)  # line of the CSV for each text
    notes: Mapping[str, str] = field(
        default_factory=dict, compare=False
    )  # its other columns, of the first row


class PairsFolder:
    """A pairs folder; tars are indexed once and read without unpacking.

    Raises
    ------
    DataError
        When the folder, its CSV or a needed column is missing, a row is empty, rows put one
        picture into two splits, or a file is damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_dir():
            raise DataError(f"{self.path} is not a folder. Name a folder with a CSV and its pictures.")
        self.file = self._find_csv()
        self.pairs = self._read_csv()
        self._members = self._index_images()

    def __len__(self) -> int:
        return len(self.pairs)

    def select(self, split: str | None = None, limit: int | None = None) -> list[Pair]:
        """The pairs of one split (of all if None), in CSV order, at most `limit` of them.

        Raises
        ------
        DataError
            When there is no such split.
        """
        splits = sorted({pair.split for pair in self.pairs})
        chosen = [pair for pair in self.pairs if split is None or pair.split == split]
        if not chosen:
            if not any(splits):
                raise DataError(f"{self.path} has no split {split!r}: its CSV has no column split.")
            raise DataError(f"{self.path} has no split {split!r}; it has: {', '.join(splits)}.")
        return chosen[:limit]

    def read(self, name: str) -> bytes:
        """The encoded bytes of one picture; DataError if there is none. Safe to call from several threads."""
        try:
            file, offset, size = self._members[name]
        except KeyError:
            raise DataError(f"{self.path}: no picture for {name!r} in images/ or a tar.") from None
        with open(file, "rb") as handle:
            handle.seek(offset)
            return handle.read(size)

    def check(self, pairs: Iterable[Pair]) -> None:
        """Make sure that a model can learn from these pairs, before hours are spent on them.

        Raises
        ------
        DataError
            For the first row whose picture is missing or was listed before (perhaps once by its
            file name and once by its stem), or whose text has no word in it.
        """
        seen: dict[tuple[Path, int, int], Pair] = {}
        for pair in pairs:
            if pair.name not in self._members:
                raise DataError(f"{self.row(pair)}: no picture for {pair.name!r} in images/ or a tar.")
            other = seen.setdefault(self._members[pair.name], pair)
            if other is not pair:
                raise DataError(
                    f"{self.row(pair)}: {pair.name!r} is the picture that line {other.lines[0]} "
                    f"calls {other.name!r}; keep one of the rows."
                )
            if len(pair.texts) > 1 and self.file.name != SEVERAL_TEXTS:
                raise DataError(
                    f"{self.row(pair, 1)}: {pair.name!r} is listed already on line {pair.lines[0]}; keep one "
                    f"of the rows, or call the file {SEVERAL_TEXTS} if its pictures have several texts."
                )
            for number, text in enumerate(pair.texts):
                if not any(letter.isalnum() for letter in text):
                    raise DataError(f"{self.row(pair, number)}: the text {text!r} has no word in it.")

    def fingerprint(self, pairs: Iterable[Pair]) -> str:
        """A SHA-256 of these pairs' names, texts and splits and of their pictures' sizes in bytes."""
        digest = hashlib.sha256()
        for pair in pairs:
            _, _, size = self._members.get(pair.name, (self.path, 0, 0))
            digest.update(repr((pair.name, pair.texts, pair.split, size)).encode())
        return digest.hexdigest()

    def row(self, pair: Pair, text: int = 0) -> str:
        """The file and line of one of a pair's texts, for messages."""
        return f"{self.file}, line {pair.lines[text]}"

    def _find_csv(self) -> Path:
        files = [self.path / name for name in CSV_NAMES if (self.path / name).is_file()]
        if not files:
            raise DataError(f"{self.path} has no CSV; expected one of {', '.join(CSV_NAMES)}.")
        return files[0]

    def _read_csv(self) -> list[Pair]:
        try:
            return self._parse(self.file)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise cannot_read(self.file, error) from error

    def _parse(self, file: Path) -> list[Pair]:
        texts: dict[str, list[str]] = {}
        splits: dict[str, str] = {}
        lines: dict[str, list[int]] = {}
        notes: dict[str, dict[str, str]] = {}
        with open(file, newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            image_column, text_column = picture_and_text_columns(file, reader.fieldnames or ())
            for row in reader:
                name, text = (row[image_column] or "").strip(), (row[text_column] or "").strip()
                if image_column.lower() == "image_path":
                    name = name.rsplit("/", 1)[-1]
                if not name or not text:
                    raise DataError(f"{file}, line {reader.line_num}: empty picture name or text.")
                texts.setdefault(name, []).append(text)
                lines.setdefault(name, []).append(reader.line_num)
                own = (image_column, text_column, "split", None)  # None: cells beyond the last column
                notes.setdefault(name, {key: value or "" for key, value in row.items() if key not in own})
                split = row.get("split") or ""
                if splits.setdefault(name, split) != split:
                    raise DataError(
                        f"{file}, line {reader.line_num}: {name!r} is in split {split!r}, and on line "
                        f"{lines[name][0]} in {splits[name]!r}; a picture belongs to one split."
                    )
        return [
            Pair(name, tuple(texts[name]), splits[name], tuple(lines[name]), notes[name]) for name in texts
        ]

    def _index_images(self) -> dict[str, tuple[Path, int, int]]:
        members: dict[str, tuple[Path, int, int]] = {}
        for archive in sorted(self.path.glob("*.tar")):
            try:
                with tarfile.open(archive, "r:") as tar:
                    for member in tar:
                        if member.isfile():
                            members[Path(member.name).name] = (archive, member.offset_data, member.size)
            except tarfile.TarError as error:
                raise DataError(
                    f"{archive} is not a whole, uncompressed tar ({reason(error)}). Make it again."
                ) from error
        folders = [self.path / name for name in IMAGE_FOLDERS if (self.path / name).is_dir()]
        for file in (file for folder in folders for file in folder.iterdir()):
            if file.suffix.lower() in SUFFIXES:
                entry = (file, 0, file.stat().st_size)
                members[file.name] = entry
                members.setdefault(file.stem, entry)  # the competition's CSVs name stems
        return members


def find_column(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The first of these names that is a column, in the columns' spelling; capitals don't matter."""
    written = {column.lower(): column for column in reversed(columns)}
    return next((written[name.lower()] for name in names if name.lower() in written), None)


def picture_and_text_columns(file: Path, columns: Sequence[str]) -> tuple[str, str]:
    """Which columns of a CSV name the picture and hold the text.

    Raises
    ------
    DataError
        When one of them is missing.
    """
    picture, text = find_column(columns, IMAGE_COLUMNS), find_column(columns, TEXT_COLUMNS)
    if picture is None or text is None:
        pictures, texts = " or ".join(IMAGE_COLUMNS), ", ".join(TEXT_COLUMNS)
        if not columns:
            raise DataError(
                f"{file} is empty: it needs a picture column ({pictures}) and a text column ({texts})."
            )
        # Short, also where the file is no CSV at all.
        there = [without_controls(column[:40]) for column in columns[:12]] + ["…"] * (len(columns) > 12)
        raise DataError(
            f"{file}: needs a picture column ({pictures}) and a text column ({texts}); it has: {', '.join(there)}."
        )
    return picture, text
