"""The files that come with this program, safe replacement of files, and SHA-256 digests."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from img2prompt.errors import DataError

PACKAGE = Path(__file__).resolve().parent
BUNDLED = PACKAGE / "_bundled"  # in a wheel only; hatch_build.py says what goes there


def resource(name: str) -> Path:
    """The path of a file or folder of the repository: beside the package in a checkout, inside it in a wheel.

    >>> resource("app.py")
    """
    return (BUNDLED if BUNDLED.is_dir() else PACKAGE.parent) / name


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[IO[bytes]]:
    """An open binary file that takes the place of `path` once it is complete.

    Until then, and if writing fails, the old file stays as it is.

    Parameters
    ----------
    durable : wait until the disk has it, so that a power cut leaves the old file or the new one

    Raises
    ------
    DataError
        When there is no space or no permission.
    """
    with replacing_path(path, durable) as part, open(part, "wb") as file:
        yield file


@contextmanager
def replacing_path(path: Path, durable: bool = True, scratch: Path | None = None) -> Iterator[Path]:
    """As `replacing`, for a library that opens the file itself: yields the path to write to.

    Parameters
    ----------
    durable : as for `replacing`
    scratch : folder on the same disk for the unfinished file, which gets a name of its own there, so
        that several processes may write the same file at once; by default it lies beside `path`

    Raises
    ------
    DataError
        When there is no space or no permission.
    """
    path = Path(os.path.realpath(path))
    # Not the file's own name and a suffix: the name may be so long already that nothing can be added.
    part = (
        scratch / uuid4().hex
        if scratch
        else path.with_name(f".{sha256_of(os.fsencode(path.name))[:16]}.part")
    )
    try:
        yield part
        if durable:
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> DataError:
    """The error to raise when `path` could not be written."""
    if error.errno == errno.ENOSPC:
        return DataError(f"{path}: no space left. Free some and give the same command again; it goes on.")
    return DataError(
        f"{path} cannot be written: {error.strerror or error}. Check the folder and its permissions."
    )


def check_folder_of(output: Path) -> None:
    """Raise DataError unless the folder that `output` is to be written to is there."""
    if not output.parent.is_dir():
        raise DataError(f"{output.parent} is not a folder. Make it first, or choose another --output.")


def sha256(file: Path) -> str:
    """The SHA-256 of a file's content, 64 hexadecimal digits."""
    with open(file, "rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of(content: bytes) -> str:
    """The SHA-256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
