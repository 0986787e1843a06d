"""Captions as text files for trainers such as kohya: ``photo.txt`` for ``photo.jpg``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from img2prompt.batch.journal import Journal
from img2prompt.batch.sources import Item
from img2prompt.errors import ConfigError, DataError
from img2prompt.files import cannot_write, replacing, sha256_of


@dataclass(frozen=True)
class TextFiles:
    """Options for writing captions as text files."""

    prepend: str = ""  # before each caption
    append: str = ""  # after each caption
    overwrite: bool = False  # replace files that this program did not write too
    skip_existing: bool = False  # leave out pictures that have such a file


def text_files(items: Sequence[Item], output: Path | None) -> list[tuple[Item, Path]]:
    """Each item with its text file: beside the picture, or at the same path below `output`.

    Raises
    ------
    ConfigError
        When the pictures lie in an archive or a store and there is no `output`.
    """
    return beside(items, output, _text)


def beside(
    items: Sequence[Item], output: Path | None, name_of: Callable[[Path], Path]
) -> list[tuple[Item, Path]]:
    """Each item with a file that is named after it: beside the picture, or at the same path below `output`.

    Parameters
    ----------
    name_of : picture → the file beside it

    Raises
    ------
    ConfigError
        When the pictures lie in an archive or a store and there is no `output`.
    """
    if output is None and any(item.file is None for item in items):
        raise ConfigError(
            "Nothing can be written into an archive or a store. Name a folder for the texts with --output."
        )
    return [
        (item, name_of(item.file if output is None and item.file else (output or Path()) / below(item.name)))
        for item in items
    ]


def output_of(name: str) -> Path:
    """The path of the text file for a picture's name below any folder."""
    return _text(below(name))


def below(name: str) -> Path:
    """A picture's name as a path below any folder. It never leads outside, even if the name does."""
    return Path(*(part for part in PurePosixPath(name).parts if part not in ("/", "..")))


def _text(picture: Path) -> Path:
    return picture.with_suffix(".txt")


def foreign_texts(items: Sequence[Item], output: Path | None, journal: Journal) -> list[tuple[Item, Path]]:
    """The items whose text file exists already and was written or changed by somebody else, with that file."""
    foreign = []
    for item, file in text_files(items, output):
        if os.path.lexists(file):
            try:
                digest = sha256_of(file.read_bytes())
            except OSError:
                digest = ""
            if not journal.wrote(str(file.absolute()), digest):
                foreign.append((item, file))
    return foreign


def export_text(items: Sequence[Item], output: Path | None, journal: Journal, options: TextFiles) -> int:
    """Write one text file for each picture that did not fail; return how many.

    Files of somebody else are checked here again, because the work between the caller's check
    (`foreign_texts`) and this one takes long.

    Raises
    ------
    DataError
        When a file cannot be written, or is somebody else's and `options` do not allow replacing it.
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
        journal.will_write(str(file.absolute()), sha256_of(text))
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(file, error) from error
        with replacing(file, durable=False) as handle:
            handle.write(text)
        count += 1
    return count


def text_exists(files: Sequence[Path]) -> DataError:
    """The error for text files that must not be replaced."""
    return DataError(
        f"Text files that this program did not write are in the way: {min(files)} ({len(files)} in all). "
        "Keep them with --skip-existing, or replace them with --overwrite."
    )
