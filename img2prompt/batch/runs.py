"""Batches of the Batch page, which work in the background.

Each batch has its own folder, named by an id that nobody can guess. So a visitor who reloads the
page, or comes back after a restart of the server, finds it again, and nobody else does:

    <id>/about.json   the title, the names of the pictures, and what the visitor wants of them
    <id>/files/0, 1…  the uploads; their own names are never used as paths
    <id>/journal      the results and the visitor's edits
    <id>/steps        how the captions were edited, to be taken back
    <id>/state.json   how far it is
    <id>/old          when the batch was first found to be nearly too old
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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory, mkdtemp
from typing import IO, TYPE_CHECKING

from img2prompt.batch.captions import Captions
from img2prompt.batch.derived import with_post
from img2prompt.batch.formats import FORMATS, check_output, export, export_errors
from img2prompt.batch.journal import Journal, Line
from img2prompt.batch.keeper import Keeper
from img2prompt.batch.limits import Limits
from img2prompt.batch.queue import Queue, ending
from img2prompt.batch.sources import ARCHIVE, Item, discover, in_archive, is_picture_path, on_disk
from img2prompt.batch.state import State
from img2prompt.batch.work import fingerprint, work
from img2prompt.captions.duplicates import Picture, look_at
from img2prompt.captions.editor import Editor, Taken, read
from img2prompt.captions.edits import write
from img2prompt.captions.journal import Journal as Steps
from img2prompt.captions.journal import Step
from img2prompt.captions.table import Change, Entry, Look
from img2prompt.errors import ConfigError, DataError, Img2PromptError
from img2prompt.files import one_line, replacing
from img2prompt.images import Limits as PictureLimits
from img2prompt.images import open_image
from img2prompt.pipeline import batch_size_for
from img2prompt.posts import Choices
from img2prompt.settings import RUNS, Settings, variable

if TYPE_CHECKING:
    from PIL import Image

    from img2prompt import Pipeline
    from img2prompt.batch.keeper import Save

log = logging.getLogger(__name__)

DAYS = 7  # a batch that nobody has looked at for longer is removed
DAY = 86400.0  # seconds
IDLE_SECONDS = 3600.0  # a batch that nobody has looked at for so long gives way to others
RATE_SECONDS = 120.0  # the period over which the pace is measured
TOLD = ("instruction", "trigger", "style")  # settings that say how pictures are to be described
MANIFEST, FILES, JOURNAL, OLD, UNFINISHED = "about.json", "files", "journal", "old", ".new-"
STEPS = "steps"


@dataclass(frozen=True)
class Manifest:
    """What a batch was made from and what is wanted of it; saved as ``about.json``."""

    title: str
    names: tuple[str, ...] = ()  # of the uploads: files/0, files/1…
    folder: str = ""  # a folder on this machine, instead of uploads
    settings: str = ""  # fingerprint of the pipeline; empty before the first result
    posts: Choices | None = None  # of the post about each picture; None for no posts
    owner: str = ""  # in whose history each picture is kept too; empty for nobody's
    told: Mapping[str, str] = field(default_factory=dict)  # of `TOLD`, what the batch has of its own

    @property
    def others(self) -> int:
        """How many uploads there are besides the one that gave the title; 0 where it is a folder's."""
        return len(self.names) - 1 if self.title in self.names[:1] else 0

    @classmethod
    def load(cls, file: Path) -> Manifest:
        """Read a manifest from its file.

        Raises
        ------
        DataError
            When it is damaged, or of another version.
        """
        try:
            values = json.loads(file.read_text("utf-8"))
            posts = values.get("posts")
            posts = Choices(**posts) if posts else None
            told = {name: str(value) for name, value in values.get("told", {}).items() if name in TOLD}
            return cls(**values | {"names": tuple(values["names"]), "posts": posts, "told": told})
        except (OSError, ValueError, TypeError, KeyError, AttributeError, ConfigError) as error:
            raise DataError(
                "This batch is damaged, or was begun by another version. Begin it anew."
            ) from error


@dataclass(frozen=True)
class Summary:
    """What a list of batches says of one."""

    id: str
    title: str
    others: int  # uploads besides the one that gave the title
    made: datetime  # UTC
    working: bool
    state: State | None  # None where it is not known


@dataclass(frozen=True)
class Progress:
    """How much of a batch is done."""

    total: int
    done: int  # failed pictures included
    failed: int
    rate: float | None  # pictures a second, over the last two minutes
    seconds_left: float | None  # None while unknown


class Run:
    """One batch: its pictures, its results, and the work on it.

    Raises
    ------
    DataError
        When an archive or a folder cannot be read or holds too many pictures, or the journal is in
        use by another server.
    """

    def __init__(self, run_folder: Path, limits: Limits):
        self.id = run_folder.name
        self.error = ""  # why the last work ended early; empty if it did not
        self.goes_to = ""  # the model server that the last work sends pictures to; empty for none
        self._folder = run_folder
        self._manifest = Manifest.load(run_folder / MANIFEST)
        self.kept: Keeper | None = None  # of the last work; None where the pictures are kept nowhere else
        self._limits = limits
        self._found: Mapping[str, Item] | None = self._find()
        self.journal = Journal(run_folder / JOURNAL, self._manifest.settings)
        self._failed = 0
        self._start = threading.Lock()
        self._saving = threading.Lock()  # of the manifest, by the work and by visitors
        self._editing = threading.Lock()  # of the captions
        self._stop = threading.Event()
        self._idle = threading.Event()
        self._drop: Callable[[], bool]  # takes the job out of the queue; whether it was still there
        self._end()
        self._waiting = False
        self._count()

    @property
    def title(self) -> str:
        """The folder's name, else that of the first upload."""
        return self._manifest.title

    @property
    def others(self) -> int:
        """How many uploads there are besides the one that gave the title; 0 where it is a folder's."""
        return self._manifest.others

    @property
    def owner(self) -> str:
        """In whose history each picture is kept too; empty for nobody's."""
        return self._manifest.owner

    @property
    def choices(self) -> Choices | None:
        """What is wanted of the post about each picture; None for no posts."""
        return self._manifest.posts

    @property
    def told(self) -> Mapping[str, str]:
        """Settings that say how its pictures are to be described, in place of those of whoever continues it."""
        return self._manifest.told

    def choose(self, posts: Choices | None) -> None:
        """Write other posts, or none, from now on.

        Raises
        ------
        DataError
            When that cannot be saved.
        """
        if posts != self._manifest.posts:
            with self._saving:
                self._manifest = replace(self._manifest, posts=posts)
                _save(self._folder, self._manifest)

    def posts(self, names: Sequence[str]) -> dict[str, str]:
        """Name → post of these pictures, from their current captions; without those that have none (yet).

        Raises
        ------
        ConfigError, DataError
            For a tone that is gone or malformed.
        """
        choices = self.choices
        if choices is None:
            return {}
        rows = self.journal.rows([self.item(name) for name in names])
        return {row.name: row.post for row in (with_post(row, choices) for row in rows) if row.post}

    @property
    def working(self) -> bool:
        """Whether there is work on the batch, or it waits for its turn."""
        return not self._idle.is_set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop and still works."""
        return self.working and self._stop.is_set()

    @property
    def waiting(self) -> bool:
        """Whether the work waits: for the model to load, or for other batches."""
        return self.working and self._waiting

    def progress(self) -> Progress:
        """How much is done, and how fast the work goes."""
        pace = self._pace
        rate = pace.rate
        total = len(self._by_name)
        left = (total - pace.done) / rate if self.working and rate else None
        return Progress(total, pace.done, self._failed, rate, left)

    def start(
        self, load: Callable[[], Pipeline], queue: Queue, save: Save | None = None, goes_to: str = ""
    ) -> None:
        """Describe the missing pictures when the queue comes to it, unless that is so already.

        Parameters
        ----------
        load : returns the pipeline; may take long
        save : keeps each picture somewhere else too
        goes_to : host of the model server that the pipeline asks; empty for none

        Raises
        ------
        DataError
            When the queue is full.
        """
        with self._start:
            if self.working:
                return
            self.error, self.goes_to = "", goes_to
            self.kept = Keeper(save) if save else None
            self._stop.clear()
            self._waiting = True
            job = partial(self._work, load)
            self._drop = partial(queue.drop, job)
            self._idle.clear()
            try:
                queue.put(job)
            except DataError:
                self._end()
                raise

    def stop(self) -> None:
        """Ask the work to stop; it finishes and saves the current group of pictures first."""
        with self._start:
            self._stop.set()
            if self._drop():
                self._end()

    def rest(self) -> None:
        """Let go of files and memory unless it is being worked on; the next use takes them up again."""
        if self._waiting or not self.working:
            self._found = None
            self.journal.rest()

    def edit(self, name: str, caption: str) -> str:
        """Replace a caption in the results and all downloads; an empty one restores the model's.

        Returns the caption that counts now. Without a result (it may have been cleared meanwhile) that
        is the edit, which the next result will have.
        """
        caption = caption.strip()
        text = caption or self.journal.of_model(name)
        with self._editor() as editor:
            now = editor.store.texts([name]).get(name)
            if now is None:  # without a result, or failed
                self.journal.edit(name, caption)
                return caption
            kept = editor.journal.kept().get(name, ())
            if changes := write([Entry(name, now, kept)], text):
                editor.apply("edit", [name], changes)
        return text

    def entries(self, text: str = "") -> list[Entry]:
        """All results with their captions and those of their labels that have a text in them, sorted by name."""
        labels = self.journal.labelled(text) if text else {}
        captions = Captions(self.journal, self._by_name)
        with self._editor() as editor:
            found = read(captions, editor.journal, self.journal.edited())
        return [
            replace(entry, stored=captions.stored.get(entry.name, ""), labels=labels.get(entry.name, ()))
            for entry in found
        ]

    def change(self, kind: str, words: Sequence[str], changes: Sequence[Change]) -> None:
        """Change captions as one step that can be undone.

        Parameters
        ----------
        kind, words : what is done and with what, for who undoes it
        changes : what `img2prompt.captions.edits` made of entries

        Raises
        ------
        DataError
            When somebody has changed one of the captions meanwhile, or one would be empty.
        """
        if changes:
            with self._editor() as editor:
                editor.apply(kind, words, changes)

    def undo(self) -> Taken:
        """Take the last change of captions back, but for captions that are no longer what it made of them.

        Raises
        ------
        ConfigError
            When there is none.
        """
        with self._editor() as editor:
            return editor.undo(leave_changed=True)

    def redo(self) -> Taken:
        """Make the change again that was taken back last; as `undo`."""
        with self._editor() as editor:
            return editor.redo(leave_changed=True)

    def steps(self) -> list[Step]:
        """All changes of captions, the first first."""
        with self._editor() as editor:
            return editor.journal.steps()

    def compare(self) -> Iterator[int]:
        """Look at all pictures for near-duplicates, and for blurred and dark ones; yields how many are done.

        Those that were looked at before are not opened again.

        Raises
        ------
        ConfigError
            When the libraries for it are not installed.
        """
        limits = PictureLimits.from_settings(Settings.load())
        pictures = [Picture(item.name, item.stamp, partial(_open, item, limits)) for item in self.items]
        new = {}
        for done, (name, look, is_new) in enumerate(look_at(pictures, self.looks()), 1):
            if look is not None and is_new:
                new[name] = look
            yield done
        with self._editor() as editor:
            editor.journal.add_looks(new)

    def looks(self) -> dict[str, Look]:
        """What `compare` has seen of the pictures, by name."""
        with self._editor() as editor:
            found = editor.journal.looks()
        return {name: found[name] for name in self._by_name if name in found}

    @contextmanager
    def _editor(self) -> Iterator[Editor]:
        """The captions, for one change at a time."""
        with self._editing, closing(Steps(self._folder / STEPS)) as steps:
            # A step from or to the model's caption is one from or to whatever that is now: undone, it must
            # not leave an old model's words there as if they were a person's.
            if anew := self.journal.described_anew():
                steps.renew(anew)
                self.journal.forget_former((name, old) for name, old, _ in anew)
            yield Editor(Captions(self.journal, self._by_name), steps)

    def lines(self) -> list[Line]:
        """The short form of all results, sorted by name."""
        known = self._by_name
        return [line for line in self.journal.overview() if line.name in known]

    @property
    def items(self) -> list[Item]:
        """The pictures, sorted by name."""
        return list(self._by_name.values())

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

    def export(self, kind: str, load: Callable[[], Pipeline], stored: bool = True) -> bytes:
        """The content of a file with the results so far.

        Parameters
        ----------
        kind : one of `img2prompt.batch.formats.FORMATS`, where ``txt`` is a ZIP archive, or ``errors``
        load : returns the pipeline, whose mean embedding stands for failed pictures in a submission
        stored : whether to write the prompts that the files themselves hold

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
                export(kind, output, self.items, self.journal, mean, self.choices, stored)
            return output.read_bytes()

    def touch(self) -> None:
        """Note that somebody looks at the batch now."""
        with suppress(OSError):
            os.utime(self._folder / MANIFEST)

    def close(self) -> None:
        """Stop the work, wait for its end, and close the journal."""
        self.stop()
        self._idle.wait()
        self.journal.close()

    @property
    def _by_name(self) -> Mapping[str, Item]:
        found = self._found
        if found is None:
            found = self._found = self._find()
        return found

    def _find(self) -> dict[str, Item]:
        """Name → picture, sorted by name."""
        items: list[Item] = []
        if self._manifest.folder:
            items = discover(self._manifest.folder, recursive=True)
            self._check(items)
        for number, name in enumerate(self._manifest.names):
            items += self._in_upload(self._folder / FILES / str(number), name)
            self._check(items)
        return {item.name: item for item in sorted(_distinct(items), key=lambda item: item.name)}

    def _check(self, items: Sequence[Item]) -> None:
        if len(items) > self._limits.pictures:
            raise DataError(
                f"{self.title} holds more than {self._limits.pictures} pictures, the most for a batch. "
                "Split it, or use img2prompt batch."
            )

    def _in_upload(self, file: Path, name: str) -> list[Item]:
        if not is_archive(name):
            return [on_disk(name, file)]
        items = in_archive(file, name)
        if len(self._manifest.names) == 1:
            return items
        return [replace(item, name=f"{name[: -len('.zip')]}/{item.name}") for item in items]

    def _work(self, load: Callable[[], Pipeline]) -> None:
        try:
            self._describe(load())
        except Img2PromptError as error:
            self.error = str(error)
        except Exception:
            if not ending():  # else it was about to start a thread
                log.exception("batch %s", self.id)
                self.error = (
                    "Something went wrong; the terminal of the server says what. What is done is kept."
                )
        finally:
            self._note()
            self._end()

    def _end(self) -> None:
        self._drop = lambda: False  # the job holds the pipeline, which takes gigabytes
        self._idle.set()

    def _describe(self, pipeline: Pipeline) -> None:
        settings = fingerprint(pipeline)
        if settings != self._manifest.settings:  # no work was done yet, or the model or its settings changed
            with self._saving:
                self._manifest = replace(self._manifest, settings=settings)
                _save(self._folder, self._manifest)
            self.journal.settings = settings
        if self._manifest.folder:  # pictures may have been added or repaired meanwhile
            self._found = self._find()
        if dropped := self.journal.drop_damaged():
            log.warning("batch %s: %d damaged results are made again", self.id, dropped)
        self._count()
        self._waiting = False
        if self._stop.is_set():
            return
        # Smaller groups than on the command line, as somebody watches and may want to stop.
        size = batch_size_for(pipeline.engine.device) // 2
        for rows in work(pipeline, self.items, self.journal, size, keep=self.kept):
            self._failed += sum(bool(row.error) for row in rows)
            self._pace.advance(len(rows))
            self._note()
            if self._stop.is_set() or ending():
                return

    def _count(self) -> None:
        """Count the results so far, and measure the pace from now on."""
        missing = {item.name for item in self.journal.missing(self.items)}
        self._failed = sum(bool(line.error) for line in self.lines() if line.name not in missing)
        self._pace = Pace(len(self._by_name) - len(missing))
        self._note()

    def _note(self) -> None:
        """Save how far it is, for `Runs.summaries`."""
        with suppress(DataError):  # the folder of the pictures may be gone
            State(len(self._by_name), self._pace.done, self._failed, self.error).save(self._folder)


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
    """All batches of this server, in one folder.

    A session's own batches are named by their ids, as `own`.
    """

    def __init__(self, root: Path | None = None, limits: Limits | None = None):
        self.limits = limits or Limits.load()
        self.queue = Queue(self.limits.working, self.limits.waiting)
        self._root = root or runs_folder()
        self._open: dict[str, Run] = {}  # the one used last at the end
        self._looked: dict[str, float] = {}  # when somebody looked at a batch, by the clock that never jumps
        self._began = time.monotonic()
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
                self._open[id] = Run(run_folder, self.limits)
            return self._used(self._open[id])

    def add(
        self,
        files: Sequence[tuple[str, IO[bytes]]] = (),
        folder: Path | None = None,
        own: Collection[str] = (),
        posts: Choices | None = None,
        owner: str = "",
        told: Mapping[str, str] | None = None,
    ) -> Run:
        """Make a batch from uploads (name, content), or from a folder on this machine with its sub-folders.

        Parameters
        ----------
        own : ids of the session's batches
        posts : what is wanted of the post about each picture; None for no posts
        owner : in whose history each picture is kept too; empty for nobody's
        told : settings that say how its pictures are to be described; those of `TOLD`

        Raises
        ------
        DataError
            When there is no picture or no space, an archive is damaged or unsafe, or a limit is
            reached. Nothing is left behind then.
        """
        if folder is not None and not os.path.isdir(folder):
            raise DataError(f"{one_line(str(folder))} is not a folder on this machine. Check its name.")
        names = [clean_name(name) for name, _ in files]
        uploads = [
            (name, content)
            for name, (_, content) in zip(names, files, strict=True)
            if is_archive(name) or is_picture_path(name)
        ]
        title = (folder.name or str(folder)) if folder else _title(names)
        manifest = Manifest(
            one_line(title),
            tuple(name for name, _ in uploads),
            str(folder.resolve()) if folder else "",
            posts=posts,
            owner=owner,
            told=told or {},
        )
        self._check_turn(own)
        if sum(is_archive(name) for name, _ in uploads) > self.limits.archives:
            raise DataError(f"A batch takes {self.limits.archives} archives at most. Choose fewer.")
        run_folder = None
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(sum(_size(content) for _, content in uploads), own)
            run_folder = Path(mkdtemp(prefix=UNFINISHED, dir=self._root))
            self._looked[run_folder.name] = time.monotonic()  # does not give way while it is filled
            (run_folder / FILES).mkdir()
            for number, (_, content) in enumerate(uploads):
                with open(run_folder / FILES / str(number), "wb") as file:
                    shutil.copyfileobj(content, file, 2**20)
            _save(run_folder, manifest)
            self._looked.pop(run_folder.name, None)
            run_folder = run_folder.rename(self._root / secrets.token_urlsafe(16))
            run = Run(run_folder, self.limits)
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
            return self._used(run)

    def start(
        self,
        run: Run,
        load: Callable[[], Pipeline],
        own: Collection[str] = (),
        save: Save | None = None,
        goes_to: str = "",
    ) -> None:
        """Describe the missing pictures of a batch when its turn comes.

        Parameters
        ----------
        load : returns the pipeline
        own : ids of the session's batches
        save, goes_to : as for `Run.start`

        Raises
        ------
        DataError
            When too many batches wait, of all visitors or of this session.
        """
        if not run.working:
            self._check_turn(own)
            run.start(load, self.queue, save, goes_to)

    def working(self, ids: Collection[str]) -> list[Run]:
        """Those of the batches with these ids on which there is work, or which wait for their turn."""
        return [run for id, run in list(self._open.items()) if id in ids and run.working]

    def remove(self, id: str) -> None:
        """Stop a batch and delete it with everything in it."""
        with self._lock:
            run = self._open.pop(id, None)
            run_folder = self._folders(unfinished=True).get(id)
            self._looked.pop(id, None)
        if run is not None:
            run.close()
        if run_folder is not None:
            shutil.rmtree(run_folder, ignore_errors=True)

    def clean(self) -> None:
        """Delete batches that nobody has looked at for long, and the oldest if there are too many."""
        for number, id in enumerate(reversed(self._oldest_first())):
            if self._is_old(id) or (number >= self.limits.runs and self._gives_way(id)):
                self.remove(id)

    def summaries(self, ids: Collection[str] | None = None) -> list[Summary]:
        """All batches, or those with these ids, the one looked at last first; none is opened for it."""
        folders = [folder for id, folder in self._folders().items() if ids is None or id in ids]
        found = []
        for run_folder in sorted(folders, key=_looked_at, reverse=True):
            with suppress(OSError, DataError):
                manifest = Manifest.load(run_folder / MANIFEST)
                made = (run_folder / FILES).stat().st_mtime  # when the last upload was put there
                found.append(
                    Summary(
                        run_folder.name,
                        manifest.title,
                        manifest.others,
                        datetime.fromtimestamp(made, timezone.utc),
                        self._works(run_folder.name),
                        State.load(run_folder),
                    )
                )
        return found

    def _used(self, run: Run) -> Run:
        """Note that somebody looks at a batch, and let those rest that were not looked at for longest."""
        run.touch()
        self._looked[run.id] = time.monotonic()
        self._open.pop(run.id, None)
        self._open[run.id] = run
        for other in list(self._open.values())[: -self.limits.awake]:
            other.rest()
        return run

    def _check_turn(self, own: Collection[str]) -> None:
        """Raise DataError if no further batch, or none of this session, may wait for its turn."""
        self.queue.check()
        if len(self.working(own)) >= self.limits.own_working:
            raise DataError(
                f"{self.limits.own_working} of your batches are at work or wait already. "
                "Wait for one of them, or stop it."
            )

    def _make_room(self, size: int, own: Collection[str]) -> None:
        """Remove the oldest batches that give way if uploads of this size would not fit beside them.

        Raises
        ------
        DataError
            When they do not fit even so, beside the batches of this session, or on the disk.
        """
        free = shutil.disk_usage(self._root).free
        if size + self.limits.spare_bytes > free:
            raise DataError(
                f"The server has {free / 1e6:.0f} MB of free space, and these pictures need "
                f"{(size + self.limits.spare_bytes) / 1e6:.0f} MB."
            )
        sizes = {id: _stored(run_folder) for id, run_folder in self._folders(unfinished=True).items()}
        if size + sum(sizes.get(id, 0) for id in own) > self.limits.own_bytes:
            raise DataError(
                f"The pictures of your batches would take more than {self.limits.own_bytes / 1e6:.0f} MB of the "
                "server, the most for a visitor. Delete a batch first, or choose fewer pictures."
            )
        for id in self._oldest_first():
            if size and size + sum(sizes.values()) > self.limits.all_bytes and self._gives_way(id):
                self.remove(id)
                sizes.pop(id, None)
        if size and size + sum(sizes.values()) > self.limits.all_bytes:
            raise DataError(
                f"The pictures of all batches would take more than {self.limits.all_bytes / 1e6:.0f} MB of the "
                "server, the most that it keeps. Delete a batch, or come back later."
            )

    def _is_old(self, id: str) -> bool:
        """Whether nobody has looked at a batch for longer than it is kept.

        A clock may jump. So a batch goes only if it was found nearly too old a day before, too; a
        clock that was wrong meanwhile is right again.
        """
        run_folder, now = self._root / id, time.time()
        age = now - _looked_at(run_folder)
        mark = run_folder / OLD
        with suppress(OSError):  # the batch may be removed meanwhile
            if age <= (DAYS - 1) * DAY or self._works(id):
                mark.unlink(missing_ok=True)
            elif not mark.exists() or mark.stat().st_mtime > now:
                mark.touch()
                os.utime(mark, (now, now))
            else:
                return age > DAYS * DAY and now - mark.stat().st_mtime >= DAY
        return False

    def _gives_way(self, id: str) -> bool:
        """Whether nobody works on a batch or has looked at it lately, as far as this server knows."""
        looked = self._looked.get(id, self._began)
        return not self._works(id) and time.monotonic() - looked > IDLE_SECONDS

    def _works(self, id: str) -> bool:
        run = self._open.get(id)
        return run is not None and run.working

    def _oldest_first(self) -> list[str]:
        """The ids of all batches, the one that was looked at last at the end."""
        folders = self._folders(unfinished=True)
        return sorted(folders, key=lambda id: (_looked_at(folders[id]), id))

    def _folders(self, unfinished: bool = False) -> dict[str, Path]:
        """Id → folder of all batches; other things in the same folder are ignored."""
        if not self._root.is_dir():
            return {}
        return {
            run_folder.name: run_folder
            for run_folder in self._root.iterdir()
            if (unfinished if run_folder.name.startswith(UNFINISHED) else (run_folder / MANIFEST).is_file())
        }


def _open(item: Item, limits: PictureLimits) -> Image.Image:
    """A picture of a batch, opened."""
    return open_image(item.read(int(limits.max_megabytes * 2**20) + 1), limits)


def runs_folder() -> Path:
    """The folder of all batches: ``IMG2PROMPT_RUNS``, else ``runs`` in the user's state folder."""
    if chosen := variable(RUNS):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_state_dir("img2prompt")) / "runs"


def is_archive(name: str) -> bool:
    """Whether a file name is that of a ZIP archive."""
    return name.lower().endswith(ARCHIVE)


def clean_name(name: str) -> str:
    """Turn a name that a browser sent into one line and a relative path that cannot lead out of its folder.

    >>> clean_name("..\\\\holiday/./beach.jpg")
    'holiday/beach.jpg'
    """
    text = name.encode("utf-8", "replace").decode()
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(one_line(part).replace("\\", "_") for part in parts if not part.endswith(":"))


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


def _size(content: IO[bytes]) -> int:
    """The bytes of an upload, which is at its beginning afterwards."""
    size = content.seek(0, os.SEEK_END)
    content.seek(0)
    return size


def _stored(run_folder: Path) -> int:
    """The bytes of the uploads in a batch's folder."""
    size = 0
    with suppress(OSError), os.scandir(run_folder / FILES) as files:
        for file in files:
            size += file.stat().st_size
    return size


def _save(run_folder: Path, manifest: Manifest) -> None:
    with replacing(run_folder / MANIFEST) as file:
        file.write(json.dumps(asdict(manifest)).encode())


def _looked_at(run_folder: Path) -> float:
    """When somebody last looked at a batch, in seconds since 1970."""
    for file in (run_folder / MANIFEST, run_folder / FILES, run_folder):
        with suppress(OSError):
            return file.stat().st_mtime
    return 0.0
