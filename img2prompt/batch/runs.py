"""Batches that are worked on behind the page.

A batch lives in a folder of its own, named by an unguessable id, so that a visitor who
reloads the page, or comes back after the server was restarted, finds it again and nobody
else does:

    <id>/about.json   what was given
    <id>/files/0, 1…  the uploads; their own names are never used as paths
    <id>/journal      the results and the visitor's edits
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory, mkdtemp
from typing import IO, TYPE_CHECKING

from img2prompt.batch.formats import FORMATS, check_output, export, export_errors
from img2prompt.batch.journal import Journal, Line
from img2prompt.batch.sources import Item, discover, in_archive, is_wanted, on_disk
from img2prompt.batch.work import batch_size_for, fingerprint, work
from img2prompt.errors import DataError, Img2PromptError
from img2prompt.settings import RUNS, variable

if TYPE_CHECKING:
    from img2prompt import Pipeline

DAYS = 7  # a batch that nobody has looked at for longer is removed
MOST_RUNS = 50  # and so are the oldest above this number,
IDLE_SECONDS = 3600.0  # unless somebody has looked at them lately
MOST_WORKING = 3  # at a time; others wait for their turn
RATE_SECONDS = 120.0  # over which the pace is measured
SPARE_BYTES = 500 * 2**20  # of the disk, left free by uploads
ABOUT, FILES, JOURNAL, UNFINISHED = "about.json", "files", "journal", ".new-"


@dataclass(frozen=True)
class About:
    """What a batch was made of."""

    title: str
    names: tuple[str, ...] = ()  # of the uploads: files/0, files/1…
    folder: str = ""  # on this machine, in place of uploads
    settings: str = ""  # what the results depend on, once there are any

    @classmethod
    def load(cls, file: Path) -> About:
        values = json.loads(file.read_text("utf-8"))
        return cls(**values | {"names": tuple(values["names"])})


@dataclass(frozen=True)
class Progress:
    """How far a batch is."""

    total: int
    done: int  # failed pictures included
    failed: int
    rate: float | None  # pictures a second, over the last two minutes
    seconds_left: float | None


class Run:
    """One batch: its pictures, its results, and the thread that works on it.

    Raises
    ------
    DataError
        When an archive or a folder cannot be read, or the journal is in use by another server.
    """

    def __init__(self, place: Path):
        self.id = place.name
        self.error = ""  # why the last work ended early
        self._place = place
        self._about = About.load(place / ABOUT)
        self.title = self._about.title
        self._find()
        self.journal = Journal(place / JOURNAL, self._about.settings)
        self._failed = 0
        self._start = threading.Lock()
        self._stop = threading.Event()
        self._waiting = False
        self._thread: threading.Thread | None = None
        self._count()

    @property
    def working(self) -> bool:
        """Whether a thread works on it, or waits to."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        return self.working and self._stop.is_set()

    @property
    def waiting(self) -> bool:
        """Whether the work has not begun: the model is being loaded, or others are first."""
        return self.working and self._waiting

    def progress(self) -> Progress:
        pace = self._pace
        rate = pace.rate
        left = (len(self.items) - pace.done) / rate if self.working and rate else None
        return Progress(len(self.items), pace.done, self._failed, rate, left)

    def start(self, load: Callable[[], Pipeline], turn: threading.Semaphore) -> None:
        """Work on what is missing, in a thread; does nothing while one does.

        Parameters
        ----------
        load : gives the pipeline, and may take its time
        turn : taken while the model is used
        """
        with self._start:
            if self.working:
                return
            self.error = ""
            self._stop.clear()
            self._waiting = True
            # A daemon: nobody waits for a batch when the server is told to end; the journal has it.
            self._thread = threading.Thread(
                target=self._work, args=(load, turn), name=f"batch-{self.id[:6]}", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Ask for a stop: the group of pictures that the model looks at is finished and kept."""
        self._stop.set()

    def edit(self, name: str, caption: str) -> str:
        """Replace a caption in the results and all downloads; an empty one brings the model's back.

        Returns the caption as it is now.
        """
        self.journal.edit(name, caption.strip())
        return next(self.journal.rows([self.item(name)])).caption

    def lines(self) -> list[Line]:
        """What is known of the pictures, in their order."""
        return [line for line in self.journal.overview() if line.name in self._by_name]

    def item(self, name: str) -> Item:
        return self._by_name[name]

    def problem(self, kind: str) -> str:
        """Why these pictures cannot be written in this format; empty if they can."""
        if kind in FORMATS:
            try:
                check_output(kind, self._place / "download", self.items, self._place)
            except DataError as error:
                return str(error)
        return ""

    def export(self, kind: str, load: Callable[[], Pipeline]) -> bytes:
        """A file with what is known by now.

        Parameters
        ----------
        kind : one of `img2prompt.batch.formats.FORMATS`, where ``txt`` is a ZIP archive, or ``errors``
        load : gives the pipeline, for what stands for failed pictures in a submission

        Raises
        ------
        DataError
            When there is no space, or the format does not fit these pictures.
        """
        with TemporaryDirectory(dir=self._place) as scratch:
            output = Path(scratch, "output")
            if kind == "errors":
                export_errors(output, self.items, self.journal)
            else:
                mean = load().engine.mean_embedding if kind == "submission" and self._failed else None
                export(kind, output, self.items, self.journal, mean)
            return output.read_bytes()

    def touch(self) -> None:
        """Note that somebody looks at it."""
        with suppress(OSError):
            os.utime(self._place / ABOUT)

    def close(self) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()
        self.journal.close()

    def _find(self) -> None:
        if self._about.folder:
            found = discover(self._about.folder, recursive=True)
        else:
            found = []
            for number, name in enumerate(self._about.names):
                file = self._place / FILES / str(number)
                found += self._in_upload(file, name)
            found = sorted(_distinct(found), key=lambda item: item.name)
        self.items = found
        self._by_name = {item.name: item for item in found}

    def _in_upload(self, file: Path, name: str) -> list[Item]:
        if not is_archive(name):
            return [on_disk(name, file)]
        items = in_archive(file, name)
        if len(self._about.names) == 1:
            return items
        return [replace(item, name=f"{name[: -len('.zip')]}/{item.name}") for item in items]

    def _work(self, load: Callable[[], Pipeline], turn: threading.Semaphore) -> None:
        try:
            pipeline = load()
            while not turn.acquire(timeout=0.2):
                if self._stop.is_set():
                    return
            try:
                self._describe(pipeline)
            finally:
                turn.release()
        except Img2PromptError as error:
            self.error = str(error)
        except Exception:
            logging.getLogger(__name__).exception("batch %s", self.id)
            self.error = "Something went wrong; the terminal of the server says what. What is done is kept."

    def _describe(self, pipeline: Pipeline) -> None:
        settings = fingerprint(pipeline)
        if settings != self._about.settings:  # the first time, or the model or its settings changed since
            self._about = replace(self._about, settings=settings)
            _save(self._place, self._about)
            self.journal.settings = settings
        if self._about.folder:  # what was added or repaired meanwhile counts
            self._find()
        self._count()
        self._waiting = False
        if self._stop.is_set():
            return
        # Smaller groups than the command line's: somebody watches, and may want to stop.
        size = batch_size_for(pipeline.settings.device) // 2
        for rows in work(pipeline, self.items, self.journal, size):
            self._failed += sum(bool(row.error) for row in rows)
            self._pace.advance(len(rows))
            if self._stop.is_set():
                return

    def _count(self) -> None:
        """Count what is there, and measure from now on how fast the rest comes."""
        missing = {item.name for item in self.journal.missing(self.items)}
        self._failed = sum(bool(line.error) for line in self.lines() if line.name not in missing)
        self._pace = Pace(len(self.items) - len(missing))


class Pace:
    """How many pictures are done, and how many a second were over the last two minutes."""

    def __init__(self, done: int):
        self.done = done
        self._steps: deque[tuple[float, int]] = deque()  # when a group was done, and how many were by then

    def advance(self, count: int) -> None:
        now = time.monotonic()
        self.done += count
        self._steps.append((now, self.done))
        while self._steps[0][0] < now - RATE_SECONDS:
            self._steps.popleft()

    @property
    def rate(self) -> float | None:
        """None until two groups tell."""
        if not self._steps:
            return None
        (start, before), (end, after) = self._steps[0], self._steps[-1]
        return (after - before) / (end - start) if end > start else None


class Runs:
    """All batches of this server, kept in one folder."""

    def __init__(self, root: Path | None = None):
        self.turn = threading.Semaphore(MOST_WORKING)
        self._root = root or runs_folder()
        self._open: dict[str, Run] = {}
        self._lock = threading.Lock()

    def get(self, id: str) -> Run | None:
        """The batch with this id, opened if need be; None if there is none.

        Raises
        ------
        DataError
            When it cannot be opened.
        """
        with self._lock:
            if id not in self._open:
                place = self._places().get(id)  # an id comes from an address: never make a path of it
                if place is None:
                    return None
                self._open[id] = Run(place)
            self._open[id].touch()
            return self._open[id]

    def add(self, files: Sequence[tuple[str, IO[bytes]]] = (), folder: Path | None = None) -> Run:
        """A new batch of uploads (name, content), or of a folder on this machine with its sub-folders.

        Raises
        ------
        DataError
            When there is no picture, no space, or an archive is damaged or unsafe. Nothing stays then.
        """
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder} is not a folder on this machine. Check its name.")
        names = [clean_name(name) for name, _ in files]
        uploads = [
            (name, content)
            for name, (_, content) in zip(names, files, strict=True)
            if is_archive(name) or is_wanted(name)
        ]
        title = (folder.name or str(folder)) if folder else _title(names)
        about = About(title, tuple(name for name, _ in uploads), str(folder.resolve()) if folder else "")
        place = None
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_space(self._root, [content for _, content in uploads])
            place = Path(mkdtemp(prefix=UNFINISHED, dir=self._root))
            (place / FILES).mkdir()
            for number, (_, content) in enumerate(uploads):
                with open(place / FILES / str(number), "wb") as file:
                    shutil.copyfileobj(content, file, 2**20)
            _save(place, about)
            place = place.rename(self._root / secrets.token_urlsafe(16))
            run = Run(place)
            if not run.items:
                run.close()
                raise DataError(f"{title or 'This'} holds no pictures. Choose others.")
        except BaseException as error:
            if place is not None:
                shutil.rmtree(place, ignore_errors=True)
            if isinstance(error, OSError):
                raise DataError(f"{self._root} cannot be written ({error.strerror or error}).") from error
            raise
        with self._lock:
            self._open[run.id] = run
        return run

    def remove(self, id: str) -> None:
        """Delete a batch with everything in it, after its work has stopped."""
        with self._lock:
            run = self._open.pop(id, None)
            place = self._places(unfinished=True).get(id)
        if run is not None:
            run.close()
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)

    def clean(self) -> None:
        """Delete what nobody has looked at for long, and the oldest of too many."""
        now = time.time()
        ages = sorted((now - _looked_at(place), id) for id, place in self._places(unfinished=True).items())
        for number, (age, id) in enumerate(ages):
            run = self._open.get(id)
            if run is not None and run.working:
                continue
            if age > DAYS * 86400 or (number >= MOST_RUNS and age > IDLE_SECONDS):
                self.remove(id)

    def titles(self) -> dict[str, str]:
        """Id → title of all batches, those looked at last first."""
        places = sorted(self._places().values(), key=_looked_at, reverse=True)
        found = {}
        for place in places:
            with suppress(OSError, ValueError, TypeError):
                found[place.name] = About.load(place / ABOUT).title
        return found

    def _places(self, unfinished: bool = False) -> dict[str, Path]:
        """Id → folder; what somebody else keeps in the same place is none of ours."""
        if not self._root.is_dir():
            return {}
        return {
            place.name: place
            for place in self._root.iterdir()
            if (unfinished if place.name.startswith(UNFINISHED) else (place / ABOUT).is_file())
        }


def runs_folder() -> Path:
    """Where batches are kept: ``IMG2PROMPT_RUNS``, else below the user's folder for such things."""
    if chosen := variable(RUNS):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_state_dir("img2prompt")) / "runs"


def is_archive(name: str) -> bool:
    return name.lower().endswith(".zip")


def clean_name(name: str) -> str:
    """A name as a browser sends it, as a path that stays below where somebody unpacks it.

    >>> clean_name("..\\\\holiday/./beach.jpg")
    'holiday/beach.jpg'
    """
    text = name.encode("utf-8", "replace").decode()
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(part for part in parts if not part.endswith(":"))


def _distinct(items: Iterable[Item]) -> list[Item]:
    """A second ``a.jpg`` becomes ``a (2).jpg``."""
    found: dict[str, Item] = {}
    for item in items:
        path, name, number = PurePosixPath(item.name), item.name, 1
        while name in found:
            number += 1
            name = str(path.with_name(f"{path.stem} ({number}){path.suffix}"))
        found[name] = replace(item, name=name)
    return list(found.values())


def _title(names: Sequence[str]) -> str:
    """What many names have in common: their folder, or else the first of them."""
    folders = {name.split("/")[0] for name in names if "/" in name}
    return folders.pop() if len(folders) == 1 else next(iter(names), "")


def _check_space(root: Path, contents: Sequence[IO[bytes]]) -> None:
    needed = SPARE_BYTES
    for content in contents:
        needed += content.seek(0, os.SEEK_END)
        content.seek(0)
    if (free := shutil.disk_usage(root).free) < needed:
        raise DataError(
            f"The server has {free / 1e6:.0f} MB of free space, and these pictures need {needed / 1e6:.0f} MB."
        )


def _save(place: Path, about: About) -> None:
    part = place / f"{ABOUT}.part"
    part.write_text(json.dumps(asdict(about)), "utf-8")
    part.replace(place / ABOUT)


def _looked_at(place: Path) -> float:
    """When somebody last looked at a batch, in seconds since 1970."""
    for file in (place / ABOUT, place):
        with suppress(OSError):
            return file.stat().st_mtime
    return 0.0
