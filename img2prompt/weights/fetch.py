"""Get the parts of the full engine, from the Hugging Face hub or from a local copy.

A part is put together in a working folder and moved into place when it is complete, so that
nobody ever sees half of one. A download is told step by step, and whoever takes no further step
stops it; so does a line that breaks, or the end of the program. It stays there and is continued later.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from img2prompt import weights
from img2prompt.errors import DataError, WeightsError
from img2prompt.files import sha256
from img2prompt.settings import MODELS
from img2prompt.weights import Lock, Part, Record
from img2prompt.weights.catalogue import COMMIT
from img2prompt.wording import reason

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

BLOCK = 1 << 20  # bytes hashed at a time
CHUNK = 1 << 16  # bytes fetched at a time: a slow line brings so many in a second
WAITS = (1, 2, 4, 8, 15)  # seconds before the next try, for tries in a row that brought nothing
TOO_MANY_REQUESTS, RANGE_NOT_SATISFIABLE = 429, 416  # HTTP; 416: the file is not as long as what is left out
SPARE = 100_000_000  # bytes to leave free on the disk
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # errors of the disk, not of the line

Stage = Literal["asking", "fetching", "waiting", "checking", "installed"]


@dataclass(frozen=True)
class Step:
    """How far `pull` is.

    ``asking`` the hub what there is, ``fetching`` a file, ``waiting`` for a line that broke, ``checking``
    what has come, or done with a part, which is ``installed``.
    """

    stage: Stage
    part: Part
    file: str = ""  # that is being fetched or checked
    file_done: int = 0  # bytes of it that are here
    file_bytes: int = 0
    done: int = 0  # bytes of all parts that are here
    total: int = 0  # bytes of all parts; 0 while the hub is asked
    folder: Path | None = None  # where an installed part lies


@dataclass(frozen=True)
class _File:
    """A file of a part, as it was published."""

    name: str
    bytes: int
    sha256: str | None  # None for a small file, which the hub keeps without LFS
    blob: str | None  # of such a file the name that Git gives to its content


@dataclass(frozen=True)
class _Order:
    """A part and the files that the hub has of it."""

    part: Part
    commit: str
    files: list[_File]

    @property
    def workshop(self) -> Path:
        return _workshop(self.part, self.commit)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def remaining(self) -> int:
        """Bytes that are still to be fetched; an earlier try may have got some."""
        return self.bytes - (weights.size(self.workshop) if self.workshop.is_dir() else 0)


def pull(parts: Sequence[Part]) -> Generator[Step, None, None]:
    """Fetch parts from the hub and check them.

    Whoever closes the generator stops the download there; the next one goes on with what has come.

    Yields
    ------
    A step after each piece of work, about 64 kB. The last one of a part is ``installed``.

    Raises
    ------
    WeightsError
        When the hub cannot be reached or lacks one of them, when the disk has too little space
        for all, or when a file has another size or hash than the one that was published.
    """
    orders = []
    for part in parts:
        yield Step("asking", part)
        orders.append(_order(part))
    check_space(sum(order.remaining for order in orders), parts)
    done, total = 0, sum(order.bytes for order in orders)
    for order in orders:
        with _alone(order.part, order.workshop) as folder:
            records = {}
            for file in order.files:
                start = Step("fetching", order.part, file.name, 0, file.bytes, done, total)
                records[file.name] = yield from _download(order, file, folder, start)
                done += file.bytes
            weights.write_lock(folder, Lock(order.part.repository, order.commit, records))
            installed = _install(order.part, folder)
        yield Step("installed", order.part, done=done, total=total, folder=installed)


def begun(part: Part) -> int:
    """How many bytes an interrupted download of a part has left, with which the next one goes on."""
    going_on = [
        folder
        for folder in _workshops(part)
        if folder == _workshop(part, part.revision) or not COMMIT.fullmatch(part.revision)
    ]
    try:
        return max((weights.size(folder) for folder in going_on), default=0)
    except OSError:  # it is being installed
        return 0


def discard(part: Part) -> None:
    """Delete what interrupted downloads of a part have left.

    Raises
    ------
    WeightsError
        When the part is being fetched, or the files cannot be deleted.
    """
    for folder in _workshops(part):
        with _alone(part, folder):
            shutil.rmtree(folder)


def copy(parts: Sequence[Part], source: Path) -> Iterator[tuple[Part, Path]]:
    """Copy parts from a local folder. Their files may differ from the published ones, after a conversion say.

    Parameters
    ----------
    source : the folder of the one part, or a folder of parts, laid out as `pull` or the hub's cache does

    Yields
    ------
    Each part, once it is installed, and its folder.

    Raises
    ------
    DataError
        When one of them is not there, its files cannot be used, or one is a link to a file elsewhere.
        Nothing is installed then.
    WeightsError
        When the disk is too small for all.
    """
    sources = {part: _source(part, source) for part in parts}
    check_space(sum(file.stat().st_size for files in sources.values() for file in files), parts)
    for part, files in sources.items():
        with _alone(part, _workshop(part, "copy")) as folder:
            for left_over in folder.iterdir():
                left_over.unlink()
            for file in files:
                shutil.copyfile(file, folder / file.name)
            weights.write_lock(folder, Lock(files={file.name: _record(folder / file.name) for file in files}))
            yield part, _install(part, folder)


def check_space(needed: int, parts: Sequence[Part]) -> None:
    """Make sure that the disk has room for `needed` bytes more.

    Raises
    ------
    WeightsError
        When it has not, naming the parts.
    """
    home = weights.home()
    free = shutil.disk_usage(next(place for place in (home, *home.parents) if place.exists())).free
    if needed + SPARE > free:
        raise WeightsError(
            f"{', '.join(part.name for part in parts)}: {weights.readable(needed)} more are needed, but only "
            f"{weights.readable(free)} are left on the disk of {home}: {weights.readable(needed + SPARE - free)} "
            f"are missing. Make room, or set {MODELS} to a folder on another disk."
        )


def _order(part: Part) -> _Order:
    import huggingface_hub

    with _hub_errors(part):
        info = huggingface_hub.HfApi().model_info(
            part.repository, revision=part.revision, files_metadata=True
        )
    commit, siblings = str(info.sha), info.siblings or []
    if lacking := weights.lacks(part.kind, [file.rfilename for file in siblings]):
        raise WeightsError(f"{part.repository} at {commit[:7]} cannot be used: {lacking}.")
    for file in siblings:
        expected = part.sha256.get(file.rfilename)
        if expected and file.lfs and file.lfs.sha256 != expected:
            raise WeightsError(
                f"{part.repository} has another {file.rfilename} than was published: its SHA-256 is "
                f"{file.lfs.sha256}, not {expected}. Nothing was fetched."
            )
    taken = [file for file in siblings if weights.takes(part.kind, file.rfilename)]
    return _Order(part, commit, [_published(part, file) for file in taken])


def _published(part: Part, file: RepoSibling) -> _File:
    sha256 = part.sha256.get(file.rfilename) or (file.lfs.sha256 if file.lfs else None)
    if file.size is None or not (sha256 or file.blob_id):
        raise WeightsError(
            f"{part.repository} does not say how large {file.rfilename} is or what its hash is, so it could not "
            f"be checked. Take a local copy with: img2prompt models pull {part.name} --from DIR"
        )
    return _File(file.rfilename, file.size, sha256, file.blob_id)


def _source(part: Part, source: Path) -> list[Path]:
    """The files of a part in a local folder; DataError where they cannot be used."""
    folder = weights.locate(part, [source]) or source
    if wrong := weights.problem(part.kind, folder) or weights.unreadable(folder):
        raise DataError(f"{folder} cannot be used as {part.name}: {wrong}.")
    files = [file for file in folder.iterdir() if file.is_file() and weights.takes(part.kind, file.name)]
    places = [source.resolve()]
    if places[0].parent.name == "snapshots":  # of the hub's cache, which keeps contents beside them
        places.append(places[0].parents[1] / "blobs")
    for file in files:
        if not any(file.resolve().is_relative_to(place) for place in places):
            raise DataError(
                f"{file} leads to {file.resolve()}, outside of {source}. Put a copy of it in its place, if it "
                f"belongs to {part.name}."
            )
    return files


def _download(order: _Order, file: _File, folder: Path, start: Step) -> Generator[Step, None, Record]:
    """Download one file, continuing an earlier try, and check it against what the hub says of it."""
    import huggingface_hub

    part = order.part
    done, partial = folder / file.name, folder / f"{file.name}.part"
    if not done.exists():
        with open(partial, "ab") as stream, _hub_errors(part):
            url = huggingface_hub.hf_hub_url(part.repository, file.name, revision=order.commit)
            for stage in _resume(url, stream, file):
                here = stream.tell()
                yield replace(start, stage=stage, file_done=here, done=start.done + here)
        os.replace(partial, done)
    checking = replace(start, stage="checking", file_done=file.bytes, done=start.done + file.bytes)
    digest = hashlib.sha256()
    with open(done, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            yield checking
    record = Record(done.stat().st_size, digest.hexdigest())
    if wrong := _differs(done, record, file):
        done.unlink()
        raise WeightsError(
            f"{file.name} of {part.name} was damaged on its way: {wrong}. "
            f"Try again with: img2prompt models pull {part.name}"
        )
    return record


def _differs(path: Path, record: Record, file: _File) -> str | None:
    """How a file that was fetched differs from what was published, in words; None if it does not."""
    if record.bytes != file.bytes:
        return f"it has {record.bytes} bytes instead of {file.bytes}"
    if file.sha256:
        return f"its SHA-256 is {record.sha256}, not {file.sha256}" if record.sha256 != file.sha256 else None
    blob = _git_hash(path)
    return f"its Git hash is {blob}, not {file.blob}" if blob != file.blob else None


def _git_hash(file: Path) -> str:
    """The name that Git gives to a file's content, 40 hexadecimal digits."""
    digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with open(file, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _resume(url: str, stream: IO[bytes], file: _File) -> Iterator[Stage]:
    """Append what is missing of a file, and ask again where the line breaks or the hub is busy.

    After an answer that brought something that is at once. Tries that bring nothing wait longer each
    time, and after the last of `WAITS` the error is raised.

    `huggingface_hub.hf_hub_download` begins an interrupted file again from its first byte, and one file
    here is 4 GB.
    """
    from huggingface_hub.errors import HfHubHTTPError

    if stream.tell() > file.bytes:  # what is there cannot be a beginning of it
        _empty(stream)
    yield "fetching"
    waits = iter(WAITS)
    while stream.tell() < file.bytes:
        before = stream.tell()
        try:
            yield from _append(url, stream, file)
            return
        except Exception as error:  # each HTTP library has its own errors for a line that breaks
            status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
            if status == RANGE_NOT_SATISFIABLE:
                _empty(stream)  # the next try begins again; else it would be told the same
            # The hub's own word, or else this machine's: the disk, or the wish to stay offline.
            lasts = (
                isinstance(error, OSError) if status is None else status < 500 and status != TOO_MANY_REQUESTS
            )
            brought = stream.tell() > before
            if brought:
                waits = iter(WAITS)
            seconds = 0 if brought else next(waits, None)
            if lasts or seconds is None:
                raise
        for _ in range(seconds):
            yield "waiting"
            time.sleep(1)


def _append(url: str, stream: IO[bytes], file: _File) -> Iterator[Stage]:
    """One request for the rest of a file. Of too long an answer no more is read."""
    from huggingface_hub import constants, get_hf_file_metadata, get_session
    from huggingface_hub.utils import hf_raise_for_status

    start = stream.tell()
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    # Asked for each time: the hub's address of a large file is valid for an hour or so.
    location = get_hf_file_metadata(url).location
    patience = constants.HF_HUB_DOWNLOAD_TIMEOUT  # else a line that falls silent is waited for without end
    with get_session().stream(
        "GET", location, headers=headers, follow_redirects=True, timeout=patience
    ) as answer:
        hf_raise_for_status(answer)
        if start and answer.status_code != 206:  # the whole file, although a part was asked for
            _empty(stream)
        for block in answer.iter_bytes(CHUNK):
            stream.write(block)
            yield "fetching"
            if stream.tell() > file.bytes:
                return


def _empty(stream: IO[bytes]) -> None:
    stream.seek(0)
    stream.truncate()


def _record(file: Path) -> Record:
    return Record(file.stat().st_size, sha256(file))


def _workshop(part: Part, version: str) -> Path:
    """The working folder in which a version of a part is put together."""
    return weights.folder_in(weights.home() / ".incomplete", part.kind, f"{part.name}@{version}")


def _workshops(part: Part) -> list[Path]:
    """The working folders that downloads of a part have left, whatever version they were of."""
    start = _workshop(part, "")
    return [
        folder
        for folder in start.parent.glob("*")
        if folder.name.startswith(start.name)
        and COMMIT.fullmatch(folder.name.removeprefix(start.name))
        and folder.is_dir()
    ]


@contextmanager
def _alone(part: Part, folder: Path) -> Iterator[Path]:
    """Make the folder and lock it, so that no other process fetches the same part."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock"), timeout=0):
            yield folder
    except Timeout:
        raise WeightsError(f"{part.name} is being fetched by another process. Wait for it.") from None
    except OSError as error:
        raise WeightsError(
            f"{part.name} could not be written to {folder} ({reason(error)}). Check its permissions and space."
        ) from error


def _install(part: Part, folder: Path) -> Path:
    """Move a complete part to its final folder, in place of an earlier one."""
    if wrong := weights.problem(part.kind, folder) or weights.unreadable(folder):
        raise WeightsError(f"{part.name} cannot be used: {wrong}.")
    target = weights.folder_in(weights.home(), part.kind, part.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.replace(target, old)
    os.replace(folder, target)
    shutil.rmtree(old, ignore_errors=True)
    return target


@contextmanager
def _hub_errors(part: Part) -> Iterator[None]:
    """Turn the hub's errors into WeightsError, with advice on what to do."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        raise WeightsError(
            f"The hub does not give {part.repository} at {part.revision} ({reason(error)}). Try again later, or "
            f"take a local copy with: img2prompt models pull {part.name} --from DIR"
        ) from error
    except Exception as error:  # the HTTP library, and so its errors, differ between versions of the hub's
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            raise
        raise WeightsError(
            f"The Hugging Face hub cannot be reached ({reason(error)}). Go on when you are online; what has come "
            f"is kept. Offline, take a local copy with: img2prompt models pull {part.name} --from DIR"
        ) from error
