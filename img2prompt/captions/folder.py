"""Captions in files beside the pictures, as trainers read them: ``photo.txt`` for ``photo.jpg``."""

from __future__ import annotations

import codecs
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from img2prompt.captions.edits import LONGEST
from img2prompt.errors import ConfigError, DataError
from img2prompt.files import cannot_read, cannot_write, one_line, replacing
from img2prompt.images import SUFFIXES

JUNK = "__MACOSX"
SUFFIX = ".txt"
MOST_BYTES = 4 * LONGEST  # of a caption's file; a letter takes at most four
BLANKS = " \t\r\n"  # that may follow a caption in its file and stay as they are
JOURNAL = ".img2prompt-captions"  # begins the name of the journal; hidden, so that no trainer takes it


@dataclass(frozen=True)
class _Form:
    """How a file holds its caption, and which file it was."""

    mark: bool  # a byte order mark before it
    tail: str  # blanks behind it
    stamp: tuple[int, int, int] | None  # modification time, size and number on the disk; None for no file


_NEW = _Form(False, "\n", None)


class Folder:
    """The pictures of a folder and their captions' files.

    Where pictures share a file (``photo.jpg`` and ``photo.png``), the first of them stands for all.

    Parameters
    ----------
    path : the folder
    recursive : whether folders below it belong to it
    suffix : of the captions' files, such as ``.txt`` or ``.caption``

    Attributes
    ----------
    pictures : name → file, sorted by name
    passed_over : how many pictures lie in folders below that do not belong to it
    problems : name → why the caption cannot be read, of those that were tried

    Raises
    ------
    ConfigError
        For a suffix that cannot be one.
    DataError
        When it is no folder, or cannot be read.
    """

    def __init__(self, path: str | Path, recursive: bool = False, suffix: str = SUFFIX):
        self.path = Path(path)
        self.suffix = suffix if suffix.startswith(".") else f".{suffix}"
        self.problems: dict[str, str] = {}
        self._forms: dict[str, _Form] = {}
        self._check_suffix()
        if not self.path.is_dir():
            raise DataError(f"{one_line(str(path))} is not a folder. Name a folder of pictures.")
        # All files below are known, so that a step that was taken with sub-folders can be undone without them.
        pictures = dict(sorted(self._walk()))
        self.pictures = {name: file for name, file in pictures.items() if recursive or "/" not in name}
        self.passed_over = len(pictures) - len(self.pictures)
        self._files: dict[str, Path] = {}  # name → the caption's file, in the order of the names
        taken: set[Path] = set()
        for name, picture in pictures.items():
            file = picture.with_suffix(self.suffix)
            if file not in taken:
                taken.add(file)
                self._files[name] = file

    @property
    def journal_file(self) -> Path:
        """Where the steps taken with this folder are kept."""
        return self.path / f"{JOURNAL}{self.suffix}.journal"

    @property
    def names(self) -> list[str]:
        """The pictures that have a caption's file of their own, sorted."""
        return [name for name in self._files if name in self.pictures]

    def texts(self, names: Collection[str] | None = None) -> dict[str, str | None]:
        """Read captions: name → text, or None where there is no file; those with a problem are left out.

        Parameters
        ----------
        names : of pictures; None for all. Names that the folder does not have are left out.
        """
        found: dict[str, str | None] = {}
        for name in self.names if names is None else names:
            if name in self._files:
                try:
                    found[name] = self._text(name)
                    self.problems.pop(name, None)
                except DataError as error:
                    self.problems[name] = str(error)
        return found

    def write(self, texts: Mapping[str, str | None]) -> None:
        """Write captions that were read before; None deletes the file.

        A file is replaced whole or not at all. A byte order mark and the blanks behind the caption stay.

        Raises
        ------
        DataError
            When a file cannot be written, or is another than the one that was read.
        """
        for name, text in texts.items():
            file, form = self._files[name], self._forms.get(name, _NEW)
            if _stamp(file) != form.stamp:
                raise DataError(f"{_shown(file)} was changed by another program just now. Try again.")
            if text is None:
                try:
                    file.unlink(missing_ok=True)
                except OSError as error:
                    raise cannot_write(file, error) from error
                self._forms.pop(name, None)
                continue
            tail = form.tail if form.stamp else _NEW.tail
            data = (codecs.BOM_UTF8 if form.mark else b"") + (text + tail).encode()
            # The journal has both texts, and has them on the disk: no need to wait for it 10,000 times.
            with replacing(file, durable=False) as handle:
                handle.write(data)
            self._forms[name] = _Form(form.mark, tail, _stamp(file))

    def texts_of(self, other: Path) -> dict[str, str]:
        """The captions that files of the same names hold in another folder: name → text.

        Raises
        ------
        DataError
            When it is no folder, or one of them cannot be read.
        """
        if not other.is_dir():
            raise DataError(f"{one_line(str(other))} is not a folder. Name a folder of captions.")
        found = {}
        for name in self.names:
            file = self._files[name]
            content = _read(other / file.relative_to(self.path))
            if content is not None:
                found[name] = content[1].rstrip(BLANKS)
        return found

    def strays(self) -> int:
        """How many files with the captions' suffix belong to no picture."""
        of_pictures = set(self._files.values())
        folders = {self._files[name].parent for name in self.names} | {self.path}
        return sum(
            file.suffix == self.suffix and not file.name.startswith(".") and file not in of_pictures
            for folder in folders
            for file in folder.iterdir()
        )

    def _text(self, name: str) -> str | None:
        file = self._files[name]
        stamp = _stamp(file)
        if stamp is None:
            self._forms[name] = _NEW
            return None
        mark, content = _read(file) or (False, "")
        text = content.rstrip(BLANKS)
        self._forms[name] = _Form(mark, content[len(text) :], stamp)
        return text

    def _walk(self) -> Iterator[tuple[str, Path]]:
        def complain(error: OSError) -> None:
            raise cannot_read(one_line(str(error.filename)), error) from error

        for parent, folders, files in os.walk(self.path, onerror=complain):
            folders[:] = [name for name in folders if not name.startswith(".") and name != JUNK]
            below = os.path.relpath(parent, self.path)
            for file in files:
                if not file.startswith(".") and file.lower().endswith(SUFFIXES):
                    name = file if below == "." else f"{below}/{file}".replace(os.sep, "/")
                    yield one_line(name), Path(parent, file)

    def _check_suffix(self) -> None:
        if set(self.suffix) & {"/", "\\", "\0"} or len(self.suffix) < 2 or self.suffix.endswith("."):
            raise ConfigError(f"{self.suffix!r} is no suffix of a file. Name one such as .txt or .caption.")
        if self.suffix.lower() in SUFFIXES:
            raise ConfigError(f"{self.suffix} is the suffix of pictures. Name that of their captions.")


def _read(file: Path) -> tuple[bool, str] | None:
    """Whether a file begins with a byte order mark, and the text in it; None where there is no file."""
    try:
        with open(file, "rb") as handle:
            data = handle.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise DataError(f"{_shown(file)} is larger than {MOST_BYTES // 1000} kB, and no caption.")
        return data.startswith(codecs.BOM_UTF8), data.removeprefix(codecs.BOM_UTF8).decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise cannot_read(_shown(file), error, "a caption") from error


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file changes; None where there is no file."""
    try:
        status = os.stat(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_read(_shown(file), error, "a caption") from error
    return status.st_mtime_ns, status.st_size, status.st_ino


def _shown(file: Path) -> str:
    return one_line(str(file))
