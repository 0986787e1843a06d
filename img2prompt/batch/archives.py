"""Read ZIP archives in place: judged before they are read, and no file is held open."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

from img2prompt.errors import DataError, ImageError

# Pictures are compressed already, so an honest archive is about as large as its content.
MOST_ENTRIES = 100_000
MOST_DIRECTORY = 32 * 2**20  # bytes of the list of entries: 300 for each
MOST_BYTES = 64 * 2**30
MOST_RATIO = 100
SMALL = 100 * 2**20  # bytes; archives that unpack to less may have any ratio

ENTRY = b"PK\x01\x02"  # begins each entry of the list
CHUNK = 4096  # bytes read at a time: from so few, no compression makes a gigabyte
BUFFER = 64 * 2**10


def entries(path: Path, title: str) -> list[tuple[str, str, Callable[[int], bytes]]]:
    """The files in a ZIP archive, in its order: name, stamp, and a function that reads at most so many bytes.

    Messages call the archive by its `title`. The functions can be pickled, and raise ImageError.

    Raises
    ------
    DataError
        When it is not an archive, or is damaged, unsafe or too large.
    """
    archive = _Archive(path.absolute(), title)
    try:
        found = [entry for entry in archive.file.infolist() if not entry.is_dir()]
    except DataError:
        raise
    except Exception as error:  # in a damaged one, zipfile trips over nearly anything
        raise DataError(
            f"{title} is not a whole ZIP archive ({_reason(error)}). Copy or download it again."
        ) from error
    _check(path, title, found)
    return [
        (name, f"{entry.file_size}-{entry.CRC:08x}", partial(_read, archive, entry))
        for name, entry in {entry.filename: entry for entry in found}.items()
    ]


def _check(path: Path, title: str, found: list[zipfile.ZipInfo]) -> None:
    for name in (entry.filename for entry in found):
        parts = name.replace("\\", "/").split("/")
        if parts[0] == "" or parts[0].endswith(":") or ".." in parts:
            raise DataError(f"{title} has an entry outside of itself ({name!r}). Do not trust this archive.")
    size = sum(entry.file_size for entry in found)
    if size > MOST_BYTES:
        raise _too_much(title, f"{len(found)} files of {size / 2**30:.1f} GiB")
    if size > SMALL and size > MOST_RATIO * path.stat().st_size:
        raise DataError(
            f"{title} would unpack to {size // path.stat().st_size} times its size, which no pictures do. "
            "Do not trust this archive."
        )


def _too_much(title: str, what: str) -> DataError:
    return DataError(
        f"{title} holds {what}; the most is {MOST_ENTRIES} files of {MOST_BYTES / 2**30:.0f} GiB. "
        "Unpack it and name the folder."
    )


def _read(archive: _Archive, entry: zipfile.ZipInfo, limit: int) -> bytes:
    data = bytearray()
    try:
        with archive.file.open(entry) as handle:
            while piece := handle.read(min(CHUNK, limit - len(data))):
                data += piece
    except RuntimeError as error:  # a password, a rare kind of compression
        raise ImageError(
            f"The picture cannot be unpacked ({_reason(error)}). Pack it again, as a plain ZIP."
        ) from error
    except Exception as error:  # every kind of compression has its own exceptions
        raise ImageError(
            f"The picture is damaged in the archive ({_reason(error)}). Pack it again."
        ) from error
    return bytes(data)


class _Archive:
    """A ZIP archive whose list of entries each process reads for itself when it needs it."""

    def __init__(self, path: Path, title: str):
        self.path = path
        self.title = title

    @cached_property
    def file(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(_Judged(_Unheld(self.path), self.title))

    def __reduce__(self) -> tuple[Callable[[Path, str], _Archive], tuple[Path, str]]:
        return _same_archive, (self.path, self.title)


@lru_cache(maxsize=1)
def _same_archive(path: Path, title: str) -> _Archive:
    """The same object for all unpickled items, so that a process reads the list of entries once."""
    return _Archive(path, title)


class _Judged(io.BufferedReader):
    """An archive for `zipfile`, which reads the list of entries at once, in the size that the end record says.

    So too long a list is refused before it is read, and too many entries before they become objects.
    """

    def __init__(self, raw: io.RawIOBase, title: str):
        super().__init__(raw, BUFFER)
        self._title = title

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_DIRECTORY:
            raise _too_much(self._title, f"a list of {size / 2**20:.0f} MiB of files")
        data = super().read(size)
        if (count := data.count(ENTRY)) > MOST_ENTRIES:
            raise _too_much(self._title, f"{count} files")
        return data


class _Unheld(io.RawIOBase):
    """A file that is open only while something is read from it, so that any number of archives can wait."""

    def __init__(self, path: Path):
        self._path = path
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self._path.stat().st_size
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = offset
        return offset

    def readinto(self, buffer: Any, /) -> int:
        with open(self._path, "rb", buffering=0) as file:
            file.seek(self._position)
            count = file.readinto(buffer)
        self._position += count
        return count


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
