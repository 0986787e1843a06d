"""Fetch parts in the background, one download at a time, while others watch."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from img2prompt import weights
from img2prompt.errors import Img2PromptError, WeightsError
from img2prompt.weights import Part, fetch

log = logging.getLogger(__name__)

RATE_SECONDS = 10.0  # the period over which the rate is measured
STOP_SECONDS = 3.0  # that the end of the program waits for a download to stop


@dataclass(frozen=True)
class Status:
    """What is being fetched, or was fetched last, and how far it is."""

    names: tuple[str, ...] = ()  # of the parts
    working: bool = False
    pausing: bool = False  # it was asked to stop and still works
    step: fetch.Step | None = None  # the last one; None before the first
    installed: tuple[str, ...] = ()  # names of the parts that are done
    rate: float | None = None  # bytes a second; None while unknown
    error: str = ""  # why it ended early; empty if it did not

    @property
    def seconds_left(self) -> float | None:
        """How long it will take at this rate; None while unknown."""
        if not self.step or not self.rate:
            return None
        return (self.step.total - self.step.done) / self.rate


class Downloads:
    """Fetches parts in a thread, as `fetch.pull` does.

    What is begun goes on until it is done, paused or fails; the end of the program pauses it too. A
    download of the same parts, in this program or the next, goes on where it was.

    Parameters
    ----------
    on_installed : called in the thread after each part that is done
    """

    def __init__(self, on_installed: Callable[[], None] = lambda: None) -> None:
        self._on_installed = on_installed
        self._lock = threading.Lock()  # of what follows
        self._status = Status()
        self._pace = Pace()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        atexit.register(self._end)

    def start(self, parts: Sequence[Part]) -> None:
        """Fetch those of the parts that are not installed.

        Raises
        ------
        WeightsError
            When another download is running.
        """
        with self._lock:
            if self._status.working:
                raise WeightsError(
                    f"Another download is running: {', '.join(self._status.names)}. Wait for it, or pause it."
                )
            lacking = [part for part in parts if not weights.locate(part)]
            if not lacking:
                return
            self._status = Status(tuple(part.name for part in lacking), working=True)
            self._pace = Pace()
            self._stop.clear()
            # A daemon, as a line that has fallen silent must not keep the program from ending.
            self._thread = threading.Thread(target=self._work, args=(lacking,), name="download", daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """Ask the download to stop; it does so after the next 64 kB."""
        self._stop.set()

    def discard(self, parts: Sequence[Part]) -> None:
        """Delete what downloads of these parts have left, and forget why the last one failed.

        Raises
        ------
        WeightsError
            When one of them is being fetched, or the files cannot be deleted.
        """
        for part in parts:
            fetch.discard(part)
        with self._lock:
            if not self._status.working:
                self._status = Status()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the download is done, paused or has failed."""
        if self._thread:
            self._thread.join(seconds)

    def status(self) -> Status:
        """How far it is now."""
        with self._lock:
            rate = self._pace.rate(time.monotonic()) if self._status.working else None
            pausing = self._status.working and self._stop.is_set()
            return replace(self._status, rate=rate, pausing=pausing)

    def _work(self, parts: Sequence[Part]) -> None:
        error = ""
        try:
            with closing(fetch.pull(parts)) as steps:
                for step in steps:
                    self._note(step)
                    if step.stage == "installed":
                        self._on_installed()
                    if self._stop.is_set():
                        break
        except Img2PromptError as problem:
            error = str(problem)
        except Exception:
            log.exception("a download")
            error = "Something went wrong; the terminal of the server says what. What is done is kept."
        with self._lock:
            self._status = replace(self._status, working=False, error=error)

    def _note(self, step: fetch.Step) -> None:
        with self._lock:
            installed = self._status.installed
            if step.stage == "installed":
                installed += (step.part.name,)
            if step.stage == "fetching":
                self._pace.note(time.monotonic(), step.done)
            self._status = replace(self._status, step=step, installed=installed)

    def _end(self) -> None:
        """Let the download close its file and its lock, if it still can."""
        self.pause()
        self.wait(STOP_SECONDS)


class Pace:
    """Measures how many bytes a second come, over the last ten seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()  # time in seconds, and bytes that were there

    def note(self, now: float, done: int) -> None:
        """Note how many bytes are there now; one note in a tenth of a second is kept."""
        if self._seen and done < self._seen[-1][1]:  # a file was begun anew
            self._seen.clear()
        if not self._seen or now - self._seen[-1][0] >= 0.1:
            self._seen.append((now, done))
        self._forget(now)

    def rate(self, now: float) -> float | None:
        """Bytes a second; None until there is a second's worth of them, and when none came for long."""
        self._forget(now)
        if not self._seen:
            return None
        (start, before), (_, after) = self._seen[0], self._seen[-1]
        return (after - before) / (now - start) if after > before and now - start >= 1 else None

    def _forget(self, now: float) -> None:
        while self._seen and self._seen[0][0] < now - RATE_SECONDS:
            self._seen.popleft()
