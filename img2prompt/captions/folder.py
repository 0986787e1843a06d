"""Captions in files beside the pictures, as trainers read them: ``photo.txt`` for ``photo.jpg``."""

from __future__ import annotations

import codecs
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from img2prompt.captions.edits import LONGEST
from img2prompt.errors import ConfigError, DataError
from img2prompt.files import cannot_read, cannot_write, one_line, replacing_path
from img2prompt.images import SUFFIXES

JUNK = "__MACOSX"
SUFFIX = ".txt"
MOST_BYTES = 4 * LONGEST  # of a caption's file; a letter takes at most four
NEW_TAIL = "\n"  # of a file that there was not
BLANKS = " \t\r\n"  # that may follow a caption in its file and stay as they are
JOURNAL = ".img2prompt-captions"  # begins the name of the journal; hidden, so that no trainer takes it


class _Content(NamedTuple):
    """What a caption's file holds, and which file it was."""

    text: str | None  # None where there is no file
    tail: str  # blanks behind the caption
    mark: bytes  # a byte order mark before it, or nothing
    stamp: tuple[int, int, int] | None  # modification time, size and number on the disk; None for no file


_NONE = _Content(None, "", b"", None)


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
        self._known: dict[str, _Content] = {}
        self._check_suffix()
        if not self.path.is_dir():
            raise DataError(f"{one_line(str(path))} is not a folder. Name a folder of pictures.")
        # All files below are known, so that a step that was taken with sub-folders can be undone without them.
        pictures = dict(sorted(self._walk()))
        self.pictures = {name: file for name, file in pictures.items() if recursive or "/" not in name}
        self.passed_over = len(pictures) - len(self.pictures)
        self._files: dict[str, str] = {}  # name → the caption's file, in the order of the names
        taken: set[str] = set()
        for name, picture in pictures.items():
            file = os.path.splitext(picture)[0] + self.suffix
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
            file, old = self._files[name], self._known[name]
            if _stamp(file) != old.stamp:
                raise DataError(f"{one_line(file)} was changed by another program just now. Try again.")
            if text is None:
                try:
                    os.unlink(file)
                except OSError as error:
                    raise cannot_write(Path(file), error) from error
                self._known[name] = _NONE
            else:
                tail = NEW_TAIL if old.text is None else old.tail
                _replace(file, old.mark + (text + tail).encode())
                self._known[name] = _Content(text, tail, old.mark, _stamp(file))

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
            content = _read(os.path.join(other, os.path.relpath(file, self.path)))
            if content is not None and content.text is not None:
                found[name] = content.text
        return found

    def strays(self) -> int:
        """How many files with the captions' suffix belong to no picture."""
        of_pictures = set(self._files.values())
        folders = {os.path.dirname(self._files[name]) for name in self.names} | {os.fspath(self.path)}
        return sum(
            name.endswith(self.suffix)
            and not name.startswith(".")
            and os.path.join(folder, name) not in of_pictures
            for folder in folders
            for name in os.listdir(folder)
        )

    def _text(self, name: str) -> str | None:
        """The caption of a picture, read anew only where the file has changed."""
        known, file = self._known.get(name), self._files[name]
        stamp = _stamp(file)
        if known is None or known.stamp != stamp:
            content = _read(file)
            known = self._known[name] = _NONE if content is None else content._replace(stamp=stamp)
        return known.text

    def _walk(self) -> Iterator[tuple[str, str]]:
        def complain(error: OSError) -> None:
            raise cannot_read(one_line(str(error.filename)), error) from error

        for parent, folders, files in os.walk(self.path, onerror=complain):
            folders[:] = [name for name in folders if not name.startswith(".") and name != JUNK]
            below = os.path.relpath(parent, self.path)
            for file in files:
                if not file.startswith(".") and file.lower().endswith(SUFFIXES):
                    name = file if below == "." else f"{below}/{file}".replace(os.sep, "/")
                    yield one_line(name), os.path.join(parent, file)

    def _check_suffix(self) -> None:
        if set(self.suffix) & {"/", "\\", "\0"} or len(self.suffix) < 2 or self.suffix.endswith("."):
            raise ConfigError(f"{self.suffix!r} is no suffix of a file. Name one such as .txt or .caption.")
        if self.suffix.lower() in SUFFIXES:
            raise ConfigError(f"{self.suffix} is the suffix of pictures. Name that of their captions.")


def _read(file: str) -> _Content | None:
    """What is in a caption's file, without its stamp; None where there is no file."""
    try:
        with open(file, "rb") as handle:
            data = handle.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise DataError(f"{one_line(file)} is larger than {MOST_BYTES // 1000} kB, and no caption.")
        mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
        content = data[len(mark) :].decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise cannot_read(one_line(file), error, "a caption") from error
    text = content.rstrip(BLANKS)
    return _Content(text, content[len(text) :], mark, None)


def _replace(file: str, data: bytes) -> None:
    """Write a file whole or not at all, without waiting for the disk: the journal has the text there already."""
    folder = Path(os.path.realpath(file)).parent  # in which a name of its own spares a lock for each file
    with replacing_path(Path(file), durable=False, scratch=folder) as part:
        part.write_bytes(data)


def _stamp(file: str) -> tuple[int, int, int] | None:
    """What changes when a file changes; None where there is no file."""
    try:
        status = os.stat(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_read(one_line(file), error, "a caption") from error
    return status.st_mtime_ns, status.st_size, status.st_ino
