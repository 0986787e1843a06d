"""Discover pictures: in a folder, in an object store, in a ZIP archive, or on a list.

Nothing is unpacked or opened yet. A picture is read when its turn comes; if that fails, only
this picture fails, not the run. Items can be pickled, so that another process, or a machine
that sees the same files, can read them.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from img2prompt.batch import archives
from img2prompt.errors import DataError, ImageError
from img2prompt.files import cannot_read, one_line
from img2prompt.images import SUFFIXES
from img2prompt.wording import reason

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

JUNK = "__MACOSX"
STDIN = "-"
ARCHIVE = ".zip"
BINARY = re.compile(rb"[\x01-\x08\x0e-\x1f\x7f]")  # hardly ever in a name, soon in a file that is no text
# Names for a value that changes with a file: in S3 and GCS, Azure, local files, memory.
MARKS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "created")


@dataclass(frozen=True)
class Item:
    """A picture that can be read when its turn comes."""

    name: str  # path below the folder or archive, with /; on a list, as listed
    stamp: str  # changes when the file changes
    read: Callable[[int], bytes] = field(compare=False, repr=False)  # returns at most so many bytes of it
    file: Path | None = None  # its path; None in an archive or a store

    @property
    def stem(self) -> str:
        """The file name without its suffix: the id in a submission."""
        return PurePosixPath(self.name).stem

    @property
    def folder(self) -> str:
        """The name of the folder that it is in; empty where that is not known, as in an archive without folders."""
        path = PurePosixPath(self.name)
        if (
            not path.parent.name and self.file and self.file.name == path.name
        ):  # an upload is stored under a number
            return self.file.absolute().parent.name
        return path.parent.name


def discover(source: str | Path, recursive: bool = False) -> list[Item]:
    """The pictures in a folder, archive or store, sorted by name, or on a list, in its order.

    Parameters
    ----------
    source : a folder; a ZIP archive; the URL of a folder for fsspec (``s3://…``, ``gs://…``), opened
        with the credentials that its backend finds; or a text file of paths, one on each line or
        each ended by a null character (``-`` for standard input)
    recursive : search a folder's sub-folders too; an archive is always searched completely

    Hidden files, macOS's ``__MACOSX`` and archives in archives are ignored.

    Raises
    ------
    DataError
        When the source does not exist or holds no picture, a store cannot be reached, or an
        archive is damaged, unsafe or too large.
    """
    source = _as_typed(str(source))
    if not source:
        raise DataError("The source has no name. Name a folder, a ZIP archive or a list of paths.")
    path = Path(source)
    search = _in_store if "://" in source else _in_folder if os.path.isdir(path) else None
    if search:
        items = sorted(search(source, recursive), key=lambda item: item.name)
        if not items:
            deeper = not recursive and any(search(source, recursive=True))
            advice = "Add --recursive to look into its sub-folders." if deeper else _known()
            raise DataError(f"{one_line(source)} holds no pictures. {advice}")
        return items
    try:
        os.stat(path)
    except PermissionError as error:
        raise cannot_read(one_line(source), error) from error
    except OSError:
        pass  # it is not there, or cannot be
    if source != STDIN and not (os.path.isfile(path) or os.path.exists(path) and path.is_fifo()):
        raise DataError(
            f"{one_line(str(path))} does not exist. Name a folder, a ZIP archive or a list of paths."
        )
    if source != STDIN and path.is_file() and (path.suffix.lower() == ARCHIVE or zipfile.is_zipfile(path)):
        items = sorted(in_archive(path), key=lambda item: item.name)
    elif path.suffix.lower() in SUFFIXES:
        raise DataError(
            f"{one_line(str(path))} is a single picture: img2prompt caption {one_line(str(path))}"
        )
    else:
        items = _on_list(path)
    if not items:
        raise DataError(f"{_title(path)} names no pictures. {_known()}")
    return items


def passed_over(source: str | Path) -> int:
    """How many pictures `discover` leaves out because they lie in sub-folders: of a folder on disk, else 0."""
    return sum(
        _is_picture(file)
        for parent, files in _walk(str(source), recursive=True)
        if Path(parent) != Path(source)
        for file in files
    )


def _in_folder(folder: str, recursive: bool) -> Iterator[Item]:
    def complain(error: OSError) -> None:
        raise cannot_read(one_line(str(error.filename)), error) from error

    for parent, files in _walk(folder, recursive, complain):
        below = PurePosixPath(Path(parent).relative_to(folder).as_posix())
        for file in files:
            if _is_picture(file):
                yield on_disk(one_line(str(below / file)), Path(parent, file))


def _walk(
    folder: str, recursive: bool, complain: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """The folder, and those below it that are not hidden, each with the names of its files."""
    for parent, folders, files in os.walk(folder, onerror=complain):
        folders[:] = [name for name in folders if recursive and not name.startswith(".") and name != JUNK]
        yield parent, files


def _in_store(url: str, recursive: bool) -> Iterator[Item]:
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    try:
        store, folder = url_to_fs(url)
        details = store.find(folder, maxdepth=None if recursive else 1, detail=True)
        exists = bool(details) or store.exists(folder)
    except (ValueError, ImportError) as error:  # an unknown protocol, or one whose package is not installed
        raise DataError(
            f"{url} cannot be opened ({reason(error)}). Check the protocol and its package."
        ) from error
    except Exception as error:  # every store has its own exceptions
        raise DataError(
            f"{url} cannot be listed ({reason(error)}). Check the address and your credentials."
        ) from error
    folder = folder.rstrip("/")
    if not exists:
        raise DataError(f"{url} does not exist. Check the address.")
    if list(details) == [folder]:
        raise DataError(f"{url} is a file. Name a folder; archives and lists must lie on disk.")
    for path, detail in details.items():
        name = path.removeprefix(f"{folder}/")
        if is_picture_path(name):
            mark = next((detail[key] for key in MARKS if detail.get(key)), "")
            local = isinstance(store, LocalFileSystem)
            read = partial(_read_file, Path(path)) if local else partial(_read_stored, store, path)
            yield Item(one_line(name), f"{detail['size']}-{mark}", read)


def _on_list(path: Path) -> list[Item]:
    """The pictures whose paths stand in a text file, or on standard input.

    Raises
    ------
    DataError
        When it cannot be read, or is no list: it has the bytes of other kinds of files, and names no file.
    """
    try:
        data = sys.stdin.buffer.read() if str(path) == STDIN else path.read_bytes()
    except OSError as error:
        raise cannot_read(one_line(str(path)), error, "a list of paths") from error
    separator = b"\0" if b"\0" in data else b"\n"
    lines = data.removeprefix(codecs.BOM_UTF8).split(separator)
    names = (os.fsdecode(line.removesuffix(b"\r")) for line in lines)
    files = list(dict.fromkeys(_as_typed(name) for name in names if name.strip()))
    if BINARY.search(data) and not any(map(os.path.exists, files)):
        raise DataError(
            f"{_title(path)} is neither a ZIP archive nor a list of paths, one on each line. Name a folder, an "
            "archive or a list; for a single picture there is img2prompt caption."
        )
    return [on_disk(one_line(file), Path(file)) for file in files]


def _title(path: Path) -> str:
    """What messages call a list."""
    return "Standard input" if str(path) == STDIN else one_line(str(path))


def _as_typed(text: str) -> str:
    """A path as it was meant: without the spaces around it, unless it is there with them."""
    return text if os.path.lexists(text) else text.strip()


def in_archive(path: Path, title: str | None = None) -> list[Item]:
    """The pictures in a ZIP archive, in the archive's order; messages call it by its `title`.

    Raises
    ------
    DataError
        When it is not an archive, or is damaged, unsafe or too large.
    """
    return [
        Item(one_line(name), stamp, read)
        for name, stamp, read in archives.entries(path, title or one_line(str(path)))
        if is_picture_path(name)
    ]


def on_disk(name: str, file: Path) -> Item:
    """The item for a picture file; the results call it by `name`."""
    try:
        status = os.stat(file)
        stamp = f"{status.st_size}-{status.st_mtime_ns}"
    except (OSError, ValueError):
        stamp = "missing"  # the error comes when it is read
    return Item(name, stamp, partial(_read_file, file.absolute()), file)


def _read_file(file: Path, limit: int) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise ImageError("The picture is not a file. Name a picture file.")
        with open(file, "rb") as handle:
            return handle.read(limit)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"The picture cannot be read: {reason}. Check its name and permissions.") from error


def _read_stored(store: AbstractFileSystem, path: str, limit: int) -> bytes:
    try:
        with store.open(path, "rb") as handle:
            return handle.read(limit)
    except Exception as error:  # every store has its own exceptions
        raise ImageError(
            f"The picture cannot be read from its store ({reason(error)}). Check your access to it."
        ) from error


def is_picture_path(name: str) -> bool:
    """Whether a path below a folder or archive is a picture's, and neither hidden nor macOS's junk."""
    parts = PurePosixPath(name).parts
    return _is_picture(parts[-1] if parts else "") and not any(
        part == JUNK or part.startswith(".") for part in parts
    )


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in SUFFIXES


def _known() -> str:
    return f"Known suffixes: {', '.join(sorted(SUFFIXES))}."
