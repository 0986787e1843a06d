"""Folders of (picture, text) pairs.

A pairs folder holds one CSV and the pictures it names::

    captions.csv | prompts.csv | styles.csv | train.csv
    images/NAME …   and/or   *.tar (members named NAME)

The CSV has a column for the picture (``image`` or ``imgId``), one for the text
(``caption``, ``prompt`` or ``style``) and optionally ``split``. Rows that name the
same picture are further texts of it.
"""

from __future__ import annotations

import csv
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from img2prompt.errors import DataError

CSV_NAMES = ("captions.csv", "prompts.csv", "styles.csv", "train.csv")
IMAGE_COLUMNS = ("image", "imgId", "image_name")
TEXT_COLUMNS = ("caption", "prompt", "style")
EXTENSIONS = (".avif", ".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Pair:
    """One picture and the texts written for it."""

    name: str
    texts: tuple[str, ...]
    split: str


class PairsFolder:
    """Read a pairs folder; tars are indexed once and read without unpacking.

    Raises
    ------
    DataError
        When the folder, its CSV or a needed column is missing, a row is empty, or a file is damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_dir():
            raise DataError(f"{self.path} is not a folder. Name a folder with a CSV and its pictures.")
        self.pairs = self._read_csv()
        self._members = self._index_images()

    def __len__(self) -> int:
        return len(self.pairs)

    def select(self, split: str | None = None, limit: int | None = None) -> list[Pair]:
        """The pairs of one split (all when None), in CSV order, at most `limit` of them."""
        splits = sorted({pair.split for pair in self.pairs})
        chosen = [pair for pair in self.pairs if split is None or pair.split == split]
        if not chosen:
            raise DataError(f"{self.path} has no split {split!r}; it has: {', '.join(splits)}.")
        return chosen[:limit]

    def read(self, name: str) -> bytes:
        """The encoded bytes of one picture. Safe to call from several threads."""
        try:
            file, offset, size = self._members[name]
        except KeyError:
            raise DataError(f"{self.path}: no picture for {name!r} in images/ or a tar.") from None
        with open(file, "rb") as handle:
            return os.pread(handle.fileno(), size, offset)

    def _read_csv(self) -> list[Pair]:
        found = [self.path / name for name in CSV_NAMES if (self.path / name).is_file()]
        if not found:
            raise DataError(f"{self.path} has no CSV; expected one of {', '.join(CSV_NAMES)}.")
        try:
            return self._parse(found[0])
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{found[0]} is not a CSV in UTF-8: {error}. Save it as one.") from error

    def _parse(self, file: Path) -> list[Pair]:
        texts: dict[str, list[str]] = {}
        splits: dict[str, str] = {}
        with open(file, newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            columns = reader.fieldnames or []
            image_column = next((c for c in IMAGE_COLUMNS if c in columns), None)
            text_column = next((c for c in TEXT_COLUMNS if c in columns), None)
            if image_column is None or text_column is None:
                raise DataError(
                    f"{file}: needs a picture column ({' or '.join(IMAGE_COLUMNS)}) and a text "
                    f"column ({', '.join(TEXT_COLUMNS)}); it has: {', '.join(columns)}."
                )
            for row in reader:
                name, text = (row[image_column] or "").strip(), (row[text_column] or "").strip()
                if not name or not text:
                    raise DataError(f"{file}, line {reader.line_num}: empty picture name or text.")
                texts.setdefault(name, []).append(text)
                splits[name] = row.get("split") or ""
        return [Pair(name, tuple(texts[name]), splits[name]) for name in texts]

    def _index_images(self) -> dict[str, tuple[Path, int, int]]:
        members: dict[str, tuple[Path, int, int]] = {}
        for archive in sorted(self.path.glob("*.tar")):
            try:
                with tarfile.open(archive, "r:") as tar:
                    for member in tar:
                        if member.isfile():
                            members[Path(member.name).name] = (archive, member.offset_data, member.size)
            except tarfile.TarError as error:
                raise DataError(f"{archive} is not a complete, uncompressed tar: {error}.") from error
        folder = self.path / "images"
        if folder.is_dir():
            for file in folder.iterdir():
                if file.suffix.lower() in EXTENSIONS:
                    entry = (file, 0, file.stat().st_size)
                    members[file.name] = entry
                    members.setdefault(file.stem, entry)  # the competition's CSVs name stems
        return members
