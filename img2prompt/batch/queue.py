"""The one queue in which batches wait for their turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from img2prompt.errors import DataError

Job = Callable[[], None]


class Queue:
    """Does jobs in the order in which they come, a few at the same time.

    Its threads are there only while there is work. A program that ends waits for them, as a model that is
    cut off in the midst of its work aborts the process; so a long job looks at `ending` now and then.

    Parameters
    ----------
    working : jobs that are done at the same time
    waiting : jobs that may wait
    """

    def __init__(self, working: int, waiting: int):
        self._most_working = working
        self._most_waiting = waiting
        self._waiting: deque[Job] = deque()
        self._threads = 0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise DataError if no job can be taken now."""
        if len(self._waiting) >= self._most_waiting:
            raise DataError(f"{self._most_waiting} batches wait for this server already. Try again later.")

    def put(self, job: Job) -> None:
        """Take a job.

        Raises
        ------
        DataError
            When too many wait already.
        """
        with self._lock:
            self.check()
            self._waiting.append(job)
            if self._threads < self._most_working:
                self._threads += 1
                threading.Thread(target=self._work, name="batch").start()

    def drop(self, job: Job) -> bool:
        """Take a job out again; whether it was still waiting."""
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
                return True
            return False

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or ending():
                    self._threads -= 1
                    return
                job = self._waiting.popleft()
            job()


def ending() -> bool:
    """Whether this program is ending: no thread can be started any more."""
    if not threading.main_thread().is_alive():
        return True
    try:  # the main thread is alive while it waits for pools of threads, which take no work any more
        with ThreadPoolExecutor(1) as pool:
            pool.submit(int)
    except RuntimeError:
        return True
    return False
