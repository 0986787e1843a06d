"""Batches of the Batch page, which work in the background.

Each batch has its own folder, named by an id that nobody can guess. So a visitor who reloads the
page, or comes back after a restart of the server, finds it again, and nobody else does:

    <id>/about.json   the title and the names of the pictures
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
from img2prompt.batch.sources import Item, discover, in_archive, is_picture_path, on_disk
from img2prompt.batch.work import batch_size_for, fingerprint, work
from img2prompt.errors import DataError, Img2PromptError
from img2prompt.settings import RUNS, variable

if TYPE_CHECKING:
    from img2prompt import Pipeline

DAYS = 7  # a batch that nobody has looked at for longer is removed
MOST_RUNS = 50  # of more batches than this, the oldest are removed …
IDLE_SECONDS = 3600.0  # … if nobody has looked at them for so long
MOST_WORKING = 3  # batches that work at the same time; others wait
RATE_SECONDS = 120.0  # the period over which the pace is measured
SPARE_BYTES = 500 * 2**20  # of the disk that uploads leave free
MANIFEST, FILES, JOURNAL, UNFINISHED = "about.json", "files", "journal", ".new-"


@dataclass(frozen=True)
class Manifest:
    """What a batch was made from; saved as ``about.json``."""

    title: str
    names: tuple[str, ...] = ()  # of the uploads: files/0, files/1…
    folder: str = ""  # a folder on this machine, instead of uploads
    settings: str = ""  # fingerprint of the pipeline; empty before the first result

    @classmethod
    def load(cls, file: Path) -> Manifest:
        """Read a manifest from its file."""
        values = json.loads(file.read_text("utf-8"))
        return cls(**values | {"names": tuple(values["names"])})


@dataclass(frozen=True)
class Progress:
    """How much of a batch is done."""

    total: int
    done: int  # failed pictures included
    failed: int
    rate: float | None  # pictures a second, over the last two minutes
    seconds_left: float | None  # None while unknown


class Run:
    """One batch: its pictures, its results, and the thread that works on it.

    Raises
    ------
    DataError
        When an archive or a folder cannot be read, or the journal is in use by another server.
    """

    def __init__(self, run_folder: Path):
        self.id = run_folder.name
        self.error = ""  # why the last work ended early; empty if it did not
        self._folder = run_folder
        self._manifest = Manifest.load(run_folder / MANIFEST)
        self.title = self._manifest.title
        self._find_items()
        self.journal = Journal(run_folder / JOURNAL, self._manifest.settings)
        self._failed = 0
        self._start = threading.Lock()
        self._stop = threading.Event()
        self._waiting = False
        self._thread: threading.Thread | None = None
        self._count()

    @property
    def working(self) -> bool:
        """Whether a thread works on the batch or waits to."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop and still works."""
        return self.working and self._stop.is_set()

    @property
    def waiting(self) -> bool:
        """Whether a thread waits: for the model to load, or for other batches."""
        return self.working and self._waiting

    def progress(self) -> Progress:
        """How much is done, and how fast the work goes."""
        pace = self._pace
        rate = pace.rate
        left = (len(self.items) - pace.done) / rate if self.working and rate else None
        return Progress(len(self.items), pace.done, self._failed, rate, left)

    def start(self, load: Callable[[], Pipeline], turn: threading.Semaphore) -> None:
        """Describe the missing pictures in a thread, unless one does already.

        Parameters
        ----------
        load : returns the pipeline; may take long
        turn : held while the pipeline is used
        """
        with self._start:
            if self.working:
                return
            self.error = ""
            self._stop.clear()
            self._waiting = True
            # A daemon thread: the server can end without waiting, as results are in the journal.
            self._thread = threading.Thread(
                target=self._work, args=(load, turn), name=f"batch-{self.id[:6]}", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Ask the thread to stop; it finishes and saves the current group of pictures first."""
        self._stop.set()

    def edit(self, name: str, caption: str) -> str:
        """Replace a caption in the results and all downloads; an empty one restores the model's.

        Returns the caption that counts now. Without a result (it may have been cleared meanwhile) that
        is the edit, which the next result will have.
        """
        caption = caption.strip()
        self.journal.edit(name, caption)
        row = next(self.journal.rows([self.item(name)]), None)
        return row.caption if row else caption

    def lines(self) -> list[Line]:
        """The short form of all results, sorted by name."""
        return [line for line in self.journal.overview() if line.name in self._by_name]

    def item(self, name: str) -> Item:
        """The picture with this name."""
        return self._by_name[name]

    def problem(self, kind: str) -> str:
        """Why these pictures cannot be exported in a format; empty if they can."""
        if kind in FORMATS:
            try:
                check_output(kind, self._folder / "download", self.items, self._folder)
            except DataError as error:
                return str(error)
        return ""

    def export(self, kind: str, load: Callable[[], Pipeline]) -> bytes:
        """The content of a file with the results so far.

        Parameters
        ----------
        kind : one of `img2prompt.batch.formats.FORMATS`, where ``txt`` is a ZIP archive, or ``errors``
        load : returns the pipeline, whose mean embedding stands for failed pictures in a submission

        Raises
        ------
        DataError
            When there is no space, or the format does not fit these pictures.
        """
        with TemporaryDirectory(dir=self._folder) as scratch:
            output = Path(scratch, "output")
            if kind == "errors":
                export_errors(output, self.items, self.journal)
            else:
                mean = load().engine.mean_embedding if kind == "submission" and self._failed else None
                export(kind, output, self.items, self.journal, mean)
            return output.read_bytes()

    def touch(self) -> None:
        """Note that somebody looks at the batch now."""
        with suppress(OSError):
            os.utime(self._folder / MANIFEST)

    def close(self) -> None:
        """Stop the work, wait for its end, and close the journal."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
        self.journal.close()

    def _find_items(self) -> None:
        if self._manifest.folder:
            items = discover(self._manifest.folder, recursive=True)
        else:
            items = []
            for number, name in enumerate(self._manifest.names):
                file = self._folder / FILES / str(number)
                items += self._in_upload(file, name)
            items = sorted(_distinct(items), key=lambda item: item.name)
        self.items = items
        self._by_name = {item.name: item for item in items}

    def _in_upload(self, file: Path, name: str) -> list[Item]:
        if not is_archive(name):
            return [on_disk(name, file)]
        items = in_archive(file, name)
        if len(self._manifest.names) == 1:
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
        if settings != self._manifest.settings:  # no work was done yet, or the model or its settings changed
            self._manifest = replace(self._manifest, settings=settings)
            _save(self._folder, self._manifest)
            self.journal.settings = settings
        if self._manifest.folder:  # pictures may have been added or repaired meanwhile
            self._find_items()
        self._count()
        self._waiting = False
        if self._stop.is_set():
            return
        # Smaller groups than on the command line, as somebody watches and may want to stop.
        size = batch_size_for(pipeline.settings.device) // 2
        for rows in work(pipeline, self.items, self.journal, size):
            self._failed += sum(bool(row.error) for row in rows)
            self._pace.advance(len(rows))
            if self._stop.is_set():
                return

    def _count(self) -> None:
        """Count the results so far, and measure the pace from now on."""
        missing = {item.name for item in self.journal.missing(self.items)}
        self._failed = sum(bool(line.error) for line in self.lines() if line.name not in missing)
        self._pace = Pace(len(self.items) - len(missing))


class Pace:
    """Counts pictures, and measures how many a second were done over the last two minutes."""

    def __init__(self, done: int):
        self.done = done
        self._steps: deque[tuple[float, int]] = (
            deque()
        )  # time at which a group was done, and pictures done by then

    def advance(self, count: int) -> None:
        """Note that this many more pictures are done."""
        now = time.monotonic()
        self.done += count
        self._steps.append((now, self.done))
        while self._steps[0][0] < now - RATE_SECONDS:
            self._steps.popleft()

    @property
    def rate(self) -> float | None:
        """Pictures a second; None until two groups are done."""
        if not self._steps:
            return None
        (start, before), (end, after) = self._steps[0], self._steps[-1]
        return (after - before) / (end - start) if end > start else None


class Runs:
    """All batches of this server, in one folder."""

    def __init__(self, root: Path | None = None):
        self.turn = threading.Semaphore(MOST_WORKING)
        self._root = root or runs_folder()
        self._open: dict[str, Run] = {}
        self._lock = threading.Lock()

    def get(self, id: str) -> Run | None:
        """The batch with this id, opened if it is not yet; None if there is none.

        Raises
        ------
        DataError
            When the batch cannot be opened.
        """
        with self._lock:
            if id not in self._open:
                run_folder = self._folders().get(
                    id
                )  # ids come from visitors: look them up, never build a path
                if run_folder is None:
                    return None
                self._open[id] = Run(run_folder)
            self._open[id].touch()
            return self._open[id]

    def add(self, files: Sequence[tuple[str, IO[bytes]]] = (), folder: Path | None = None) -> Run:
        """Make a batch from uploads (name, content), or from a folder on this machine with its sub-folders.

        Raises
        ------
        DataError
            When there is no picture or no space, or an archive is damaged or unsafe. Nothing is
            left behind then.
        """
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder} is not a folder on this machine. Check its name.")
        names = [clean_name(name) for name, _ in files]
        uploads = [
            (name, content)
            for name, (_, content) in zip(names, files, strict=True)
            if is_archive(name) or is_picture_path(name)
        ]
        title = (folder.name or str(folder)) if folder else _title(names)
        manifest = Manifest(
            title, tuple(name for name, _ in uploads), str(folder.resolve()) if folder else ""
        )
        run_folder = None
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_space(self._root, [content for _, content in uploads])
            run_folder = Path(mkdtemp(prefix=UNFINISHED, dir=self._root))
            (run_folder / FILES).mkdir()
            for number, (_, content) in enumerate(uploads):
                with open(run_folder / FILES / str(number), "wb") as file:
                    shutil.copyfileobj(content, file, 2**20)
            _save(run_folder, manifest)
            run_folder = run_folder.rename(self._root / secrets.token_urlsafe(16))
            run = Run(run_folder)
            if not run.items:
                run.close()
                raise DataError(f"{title or 'This'} holds no pictures. Choose others.")
        except BaseException as error:
            if run_folder is not None:
                shutil.rmtree(run_folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise DataError(f"{self._root} cannot be written ({error.strerror or error}).") from error
            raise
        with self._lock:
            self._open[run.id] = run
        return run

    def remove(self, id: str) -> None:
        """Stop a batch and delete it with everything in it."""
        with self._lock:
            run = self._open.pop(id, None)
            run_folder = self._folders(unfinished=True).get(id)
        if run is not None:
            run.close()
        if run_folder is not None:
            shutil.rmtree(run_folder, ignore_errors=True)

    def clean(self) -> None:
        """Delete batches that nobody has looked at for long, and the oldest if there are too many."""
        now = time.time()
        ages = sorted(
            (now - _looked_at(run_folder), id) for id, run_folder in self._folders(unfinished=True).items()
        )
        for number, (age, id) in enumerate(ages):
            run = self._open.get(id)
            if run is not None and run.working:
                continue
            if age > DAYS * 86400 or (number >= MOST_RUNS and age > IDLE_SECONDS):
                self.remove(id)

    def titles(self) -> dict[str, str]:
        """Id → title of all batches, the one looked at last first."""
        folders = sorted(self._folders().values(), key=_looked_at, reverse=True)
        titles = {}
        for run_folder in folders:
            with suppress(OSError, ValueError, TypeError):
                titles[run_folder.name] = Manifest.load(run_folder / MANIFEST).title
        return titles

    def _folders(self, unfinished: bool = False) -> dict[str, Path]:
        """Id → folder of all batches; other things in the same folder are ignored."""
        if not self._root.is_dir():
            return {}
        return {
            run_folder.name: run_folder
            for run_folder in self._root.iterdir()
            if (unfinished if run_folder.name.startswith(UNFINISHED) else (run_folder / MANIFEST).is_file())
        }


def runs_folder() -> Path:
    """The folder of all batches: ``IMG2PROMPT_RUNS``, else ``runs`` in the user's state folder."""
    if chosen := variable(RUNS):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_state_dir("img2prompt")) / "runs"


def is_archive(name: str) -> bool:
    """Whether a file name is that of a ZIP archive."""
    return name.lower().endswith(".zip")


def clean_name(name: str) -> str:
    """Turn a name that a browser sent into a relative path that cannot lead out of its folder.

    >>> clean_name("..\\\\holiday/./beach.jpg")
    'holiday/beach.jpg'
    """
    text = name.encode("utf-8", "replace").decode()
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(part for part in parts if not part.endswith(":"))


def _distinct(items: Iterable[Item]) -> list[Item]:
    """Rename items with the same name: a second ``a.jpg`` becomes ``a (2).jpg``."""
    by_name: dict[str, Item] = {}
    for item in items:
        path, name, number = PurePosixPath(item.name), item.name, 1
        while name in by_name:
            number += 1
            name = str(path.with_name(f"{path.stem} ({number}){path.suffix}"))
        by_name[name] = replace(item, name=name)
    return list(by_name.values())


def _title(names: Sequence[str]) -> str:
    """A title for many names: the folder that they share, else the first name."""
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


def _save(run_folder: Path, manifest: Manifest) -> None:
    part = run_folder / f"{MANIFEST}.part"
    part.write_text(json.dumps(asdict(manifest)), "utf-8")
    part.replace(run_folder / MANIFEST)


def _looked_at(run_folder: Path) -> float:
    """When somebody last looked at a batch, in seconds since 1970."""
    for file in (run_folder / MANIFEST, run_folder):
        with suppress(OSError):
            return file.stat().st_mtime
    return 0.0
