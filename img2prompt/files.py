"""The files that come with this program, safe replacement of files, names as text, and SHA-256 digests."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

from img2prompt.errors import ConfigError, DataError
from img2prompt.wording import reason

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PACKAGE = Path(__file__).resolve().parent
BUNDLED = PACKAGE / "_bundled"  # in a wheel only; hatch_build.py says what goes there
# Characters that end a line, command a terminal, or turn the direction of what follows.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def resource(name: str) -> Path:
    """The path of a file or folder of the repository: beside the package in a checkout, inside it in a wheel.

    >>> resource("app.py")
    """
    return (BUNDLED if BUNDLED.is_dir() else PACKAGE.parent) / name


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[IO[bytes]]:
    """An open binary file that takes the place of `path` once it is complete.

    Until then, and if writing fails, the old file stays as it is. The new one has its permissions and owner.

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
        When there is no space or no permission, or somebody else is writing the same file.
    """
    path = Path(os.path.realpath(path))
    try:
        with _part(path, scratch) as part:
            try:
                yield part
                if durable:
                    with open(part, "rb+") as file:
                        os.fsync(file.fileno())
                with suppress(FileNotFoundError):  # a new one
                    copy_permissions(path, part)
                os.replace(part, path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise cannot_write(path, error) from error


def copy_permissions(source: Path, target: Path) -> None:
    """Give a file the owner and the permissions of another one, as far as the user and the disk let it."""
    wanted, there = os.stat(source), os.stat(target)
    if hasattr(os, "chown") and (wanted.st_uid, wanted.st_gid) != (there.st_uid, there.st_gid):
        for user, group in ((wanted.st_uid, -1), (-1, wanted.st_gid)):  # the group may be allowed alone
            with suppress(OSError):
                os.chown(target, user, group)
    if wanted.st_mode != os.stat(target).st_mode:  # which a new owner may have changed
        with suppress(OSError):  # a disk that has no permissions
            os.chmod(target, stat.S_IMODE(wanted.st_mode))


@contextmanager
def _part(path: Path, scratch: Path | None) -> Iterator[Path]:
    """The name of the unfinished file for `path`, which nobody else writes to meanwhile."""
    if scratch:
        yield scratch / f".{uuid4().hex}.part"
        return
    # Not the file's own name and a suffix: the name may be so long already that nothing can be added.
    stem = f".{sha256_of(os.fsencode(path.name))[:16]}"
    if fcntl is None:  # Windows moves no file that is open, as a locked one is
        yield path.with_name(f"{stem}.{uuid4().hex}.part")
        return
    # One name for all, so that the next run takes what a killed one left.
    part = path.with_name(f"{stem}.part")
    while True:
        with open(part, "ab", opener=_follow_no_link) as file:  # makes it, but empties nobody's
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(
                    f"{path} is being written by another run. Wait for it, or choose another name."
                ) from None
            except OSError:  # a disk that knows no locks
                pass
            if _is_at(file, part):
                file.truncate(0)
                yield part
                return
            # Somebody has finished it since it was opened.


def _follow_no_link(path: str, flags: int) -> int:
    """Open a file, but not through a link that somebody has put in its place."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one that a path names now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def one_line(name: str) -> str:
    """A file name as one line of text: a control character in it is written as ``\\n`` or ``\\x1b``, and a
    byte that is not UTF-8 as ``\\xff``.
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return without_controls(text)


def without_controls(text: str, keep: str = "") -> str:
    """A text with the control characters in it written out, except those in `keep`."""

    def written(match: re.Match[str]) -> str:
        return match[0] if match[0] in keep else match[0].encode("unicode_escape").decode()

    return _CONTROLS.sub(written, text)


def cannot_write(path: Path, error: OSError) -> DataError:
    """The error to raise when `path` could not be written."""
    if error.errno == errno.ENOSPC:
        return DataError(f"{path}: no space left. Free some and give the same command again.")
    return DataError(
        f"{path} cannot be written: {error.strerror or reason(error)}. Check the folder and its permissions."
    )


def check_output(output: Path, *suffixes: str, inputs: Iterable[Path] = ()) -> None:
    """Check before the work starts that a file can be written at its end.

    Parameters
    ----------
    suffixes : of what is written, such as ``.npz``; a name without a suffix is as good, and any name where
        none are given
    inputs : files that must not be replaced

    Raises
    ------
    ConfigError
        When the name has another suffix, which would say what the file is not.
    DataError
        When its folder is missing or cannot be written, or when it is a folder, a device or one of `inputs`.
    """
    if str(output) == "-":
        raise ConfigError("Nothing is written to standard output. Name a file in place of -.")
    if os.path.isdir(output):
        raise DataError(f"{output} is a folder. Name a file in it: {output / 'out'}{''.join(suffixes[:1])}")
    check_folder(output.parent)
    try:
        regular = stat.S_ISREG(os.stat(output).st_mode)
    except FileNotFoundError:
        regular = True
    except OSError as error:  # too long a name, for example
        raise cannot_write(output, error) from error
    if not regular:
        raise DataError(f"{output} is a device or a pipe, which no file can replace. Name a file.")
    if os.path.exists(output) and any(
        os.path.exists(file) and os.path.samefile(output, file) for file in inputs
    ):
        raise DataError(f"{output} must not be replaced: it is part of the input. Choose another --output.")
    if suffixes and output.suffix.lower() not in ("", *suffixes):
        raise ConfigError(
            f"{output} ends in {output.suffix}, and what is written is {suffixes[0]}. "
            f"Name a file that ends in {' or '.join(suffixes)}."
        )


def check_output_folder(folder: Path) -> None:
    """Raise DataError before the work starts unless a folder is there, or can be made, to write in."""
    folder = folder.absolute()
    check_folder(next(each for each in (folder, *folder.parents) if os.path.lexists(each)))


def check_folder(folder: Path) -> None:
    """Raise DataError unless a folder is there and files can be made in it."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Make it first, or choose another --output.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_read(path: str | Path, error: Exception, what: str = "a CSV") -> DataError:
    """The error to raise when `path` could not be read as `what`.

    Parameters
    ----------
    error : an OSError, a UnicodeDecodeError, or that of the library that was to read it
    """
    if isinstance(error, IsADirectoryError):
        return DataError(f"{path} is a folder. Name {what}.")
    if isinstance(error, OSError):
        return DataError(
            f"{path} cannot be read: {error.strerror or reason(error)}. Check its name and permissions."
        )
    if isinstance(error, UnicodeDecodeError):
        return DataError(f"{path} is not UTF-8 text. Save it as UTF-8.")
    return DataError(f"{path} is not {what} ({reason(error)}). Save it as one.")


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
