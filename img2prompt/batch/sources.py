"""Discover pictures: in a folder, in an object store, in a ZIP archive, or on a list.

Nothing is unpacked or opened yet. A picture is read when its turn comes; if that fails, only
this picture fails, not the run. Items can be pickled, so that another process, or a machine
that sees the same files, can read them.
"""

from __future__ import annotations

import os
import stat
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from img2prompt.errors import DataError, ImageError
from img2prompt.images import SUFFIXES

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

JUNK = "__MACOSX"
STDIN = "-"
# Names for a value that changes with a file: in S3 and GCS, Azure, local files, memory.
MARKS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "created")

# Pictures are compressed already, so an honest archive is about as large as its content.
MOST_ENTRIES = 100_000
MOST_BYTES = 64 * 2**30
MOST_RATIO = 100
SMALL = 100 * 2**20  # bytes; archives that unpack to less may have any ratio


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
    path = Path(source)
    search = _in_store if "://" in str(source) else _in_folder if path.is_dir() else None
    if search:
        items = sorted(search(str(source), recursive), key=lambda item: item.name)
        if not items:
            deeper = not recursive and any(search(str(source), recursive=True))
            advice = "Add --recursive to look into its sub-folders." if deeper else _known()
            raise DataError(f"{_text(str(source))} holds no pictures. {advice}")
        return items
    if str(source) != STDIN and not path.is_file():
        raise DataError(
            f"{_text(str(path))} does not exist. Name a folder, a ZIP archive or a list of paths."
        )
    if str(source) != STDIN and zipfile.is_zipfile(path):
        items = sorted(in_archive(path), key=lambda item: item.name)
    elif path.suffix.lower() in SUFFIXES:
        raise DataError(f"{_text(str(path))} is a single picture: img2prompt caption {_text(str(path))}")
    else:
        items = _on_list(sys.stdin.buffer.read() if str(source) == STDIN else path.read_bytes())
    if not items:
        raise DataError(f"{_text(str(source))} names no pictures. {_known()}")
    return items


def _in_folder(folder: str, recursive: bool) -> Iterator[Item]:
    def complain(error: OSError) -> None:
        raise DataError(f"{_text(str(error.filename))} cannot be read: {error.strerror}.") from error

    for parent, folders, files in os.walk(folder, onerror=complain):
        folders[:] = [name for name in folders if recursive and not name.startswith(".") and name != JUNK]
        below = PurePosixPath(Path(parent).relative_to(folder).as_posix())
        for file in files:
            if _is_picture(file):
                yield on_disk(_text(str(below / file)), Path(parent, file))


def _in_store(url: str, recursive: bool) -> Iterator[Item]:
    from fsspec.core import url_to_fs

    try:
        store, folder = url_to_fs(url)
        details = store.find(folder, maxdepth=None if recursive else 1, detail=True)
        exists = bool(details) or store.exists(folder)
    except (ValueError, ImportError) as error:  # an unknown protocol, or one whose package is not installed
        raise DataError(f"{url} cannot be opened: {error}. Check the protocol and its package.") from error
    except Exception as error:  # every store has its own exceptions
        raise DataError(
            f"{url} cannot be listed ({_reason(error)}). Check the address and your credentials."
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
            yield Item(_text(name), f"{detail['size']}-{mark}", partial(_read_stored, store, path))


def _on_list(data: bytes) -> list[Item]:
    separator = b"\0" if b"\0" in data else b"\n"
    lines = data.removeprefix(b"\xef\xbb\xbf").split(separator)
    paths = dict.fromkeys(os.fsdecode(line.removesuffix(b"\r")) for line in lines)
    return [on_disk(_text(path), Path(path)) for path in paths if path.strip()]


def in_archive(path: Path, title: str | None = None) -> list[Item]:
    """The pictures in a ZIP archive, in the archive's order; messages call it by its `title`.

    Raises
    ------
    DataError
        When it is not an archive, or is damaged, unsafe or too large.
    """
    title = title or str(path)
    archive = _Archive(path.absolute())
    try:
        entries = [entry for entry in archive.file.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"{title} is not a whole ZIP archive ({error}). Copy or download it again."
        ) from error
    _check_archive(path, title, entries)
    return [
        Item(name, f"{entry.file_size}-{entry.CRC:08x}", partial(_read_entry, archive, entry))
        for name, entry in {entry.filename: entry for entry in entries}.items()
        if is_picture_path(name)
    ]


def _check_archive(path: Path, title: str, entries: list[zipfile.ZipInfo]) -> None:
    for name in (entry.filename for entry in entries):
        parts = name.replace("\\", "/").split("/")
        if parts[0] == "" or parts[0].endswith(":") or ".." in parts:
            raise DataError(f"{title} has an entry outside of itself ({name!r}). Do not trust this archive.")
    size = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_ENTRIES or size > MOST_BYTES:
        raise DataError(
            f"{title} holds {len(entries)} files of {size / 2**30:.1f} GiB; the most is {MOST_ENTRIES} files "
            f"of {MOST_BYTES / 2**30:.0f} GiB. Unpack it and name the folder."
        )
    if size > SMALL and size > MOST_RATIO * path.stat().st_size:
        raise DataError(
            f"{title} would unpack to {size // path.stat().st_size} times its size, which no pictures do. "
            "Do not trust this archive."
        )


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


class _Archive:
    """A ZIP archive that each process opens for itself when it needs it."""

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def file(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.path)

    def __reduce__(self) -> tuple[Callable[[Path], _Archive], tuple[Path]]:
        return _same_archive, (self.path,)


@lru_cache(maxsize=1)
def _same_archive(path: Path) -> _Archive:
    """The same object for all unpickled items, so that a process opens the archive once."""
    return _Archive(path)


def _read_entry(archive: _Archive, entry: zipfile.ZipInfo, limit: int) -> bytes:
    try:
        with archive.file.open(entry) as handle:
            return handle.read(limit)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise ImageError(f"The picture is damaged in the archive ({error}). Pack it again.") from error
    except (RuntimeError, NotImplementedError) as error:  # a password, a rare kind of compression
        raise ImageError(
            f"The picture cannot be unpacked ({error}). Pack it again, as a plain ZIP."
        ) from error


def _read_stored(store: AbstractFileSystem, path: str, limit: int) -> bytes:
    try:
        with store.open(path, "rb") as handle:
            return handle.read(limit)
    except Exception as error:  # every store has its own exceptions
        raise ImageError(
            f"The picture cannot be read from its store ({_reason(error)}). Check your access to it."
        ) from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


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


def _text(name: str) -> str:
    """A file name as text; bytes in it that are not UTF-8 are written as ``\\xff``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
