"""Dynamic batching: calls from several threads are put together into batches.

There is no thread that works for all: of the callers who wait, one leads, which is to run the next batch
for everybody in it, until its own answers are there; then another one does.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from img2prompt.errors import BusyError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MOST_CALLS = 200  # that wait at a time
PATIENCE = 0.005  # seconds
INTERVAL = 1.0  # seconds from one sign of life of a waiting call to the next


@dataclass(eq=False)
class _Call(Generic[Item, Answer]):
    """What one caller wants, and has got so far."""

    work: Callable[[Sequence[Item]], Sequence[Answer]]
    kind: Hashable
    news: threading.Condition  # that the call is over, or may lead
    items: Sequence[Item] = ()
    answers: list[Answer] = field(default_factory=list)
    error: Exception | None = None

    @property
    def left(self) -> int:
        """How many items have no answer yet."""
        return len(self.items) - len(self.answers)

    @property
    def is_over(self) -> bool:
        return self.error is not None or not self.left


class Batcher(Generic[Item, Answer]):
    """Runs the work of many callers in batches, one at a time, for all threads of this process.

    Each batch takes all items of the waiting calls of a kind. Where these are too many, it takes from each as
    many as the smallest wants, in the order in which they came, and who wants more goes to the end of the
    line. So a big call gets batches of its own while nobody else waits, and a small one that comes meanwhile
    is in the next batch, with few others.

    Parameters
    ----------
    size : the most items in a batch
    most : the most calls at a time
    patience : seconds that a batch with room waits for callers who are preparing their items; where there
        are none, it does not wait
    interval : seconds between two signs of life, see the call
    """

    def __init__(
        self, size: int, most: int = MOST_CALLS, patience: float = PATIENCE, interval: float = INTERVAL
    ) -> None:
        self.size, self.most, self.patience, self.interval = size, most, patience, interval
        self._begin()
        _batchers.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()  # of all below
        self._arrival = threading.Condition(self._lock)
        self._coming: set[_Call[Item, Answer]] = set()  # whose items are being prepared
        self._line: list[_Call[Item, Answer]] = []  # that have items and are not over
        self._leader: _Call[Item, Answer] | None = None

    def __call__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Answer]],
        prepare: Callable[[], Sequence[Item]],
        kind: Hashable = None,
        waiting: Callable[[int], object] | None = None,
    ) -> list[Answer]:
        """One answer per item, in order.

        Parameters
        ----------
        work : items → an answer for each, which depends on no other item. It runs in the thread of any of
            the callers. When a batch fails, each call in it is tried alone, so that only those that fail get
            the error.
        prepare : returns the items; runs at once, whatever else is at work
        kind : calls of one kind share batches, and their `work` does the same
        waiting : called now and then, while others are served, with the number of other calls in the line.
            What it raises takes the call out of the line, as does everything else that ends the wait.

        Raises
        ------
        BusyError
            When too many calls wait already.
        """
        call = _Call[Item, Answer](work, kind, threading.Condition(self._lock))
        try:
            self._announce(call)
            call.items = prepare()
            self._join(call)
            while not call.is_over:
                if self._leads(call):
                    self._run(self._next())
                elif waiting and not call.is_over:
                    waiting(len(self._line) - 1)
        finally:
            self._leave(call)
        if call.error:
            raise call.error
        return call.answers

    def _announce(self, call: _Call[Item, Answer]) -> None:
        with self._lock:
            if len(self._line) + len(self._coming) >= self.most:
                raise BusyError(f"{self.most} others wait for the model already. Try again in a minute.")
            self._coming.add(call)

    def _join(self, call: _Call[Item, Answer]) -> None:
        with self._lock:
            self._coming.discard(call)
            if call.items:
                self._line.append(call)
            self._arrival.notify_all()

    def _leave(self, call: _Call[Item, Answer]) -> None:
        """Whatever happened to this call, and whatever it was about to do, the others can go on."""
        with self._lock:
            self._coming.discard(call)
            self._arrival.notify_all()
            if call in self._line:
                self._line.remove(call)
            if self._leader in (None, call):
                self._leader = None
                if self._line:
                    self._line[0].news.notify()

    def _leads(self, call: _Call[Item, Answer]) -> bool:
        """Wait until this call is over or leads, no longer than the interval; whether it leads."""
        with self._lock:
            call.news.wait_for(lambda: call.is_over or self._leader in (None, call), self.interval)
            if self._leader is None and not call.is_over:
                self._leader = call
            return self._leader is call

    def _next(self) -> list[tuple[_Call[Item, Answer], Sequence[Item]]]:
        """The calls of the next batch, each with its items in it."""
        with self._lock:
            self._arrival.wait_for(
                lambda: not self._coming or sum(call.left for call in self._line) >= self.size, self.patience
            )
            calls = [call for call in self._line if call.kind == self._line[0].kind]
            wishes, room = [call.left for call in calls], self.size
            share = room if sum(wishes) <= room else min(wishes)
            batch = []
            for call in calls:
                done, count = len(call.answers), min(share, room, call.left)
                if count:
                    batch.append((call, call.items[done : done + count]))
                    room -= count
            return batch

    def _run(self, batch: Sequence[tuple[_Call[Item, Answer], Sequence[Item]]]) -> None:
        """Answer these items. Those of a batch that is interrupted are still without answer."""
        together = [item for _, items in batch for item in items]
        try:
            # As many answers as items, or it is an error.
            answers = [answer for answer, _ in zip(batch[0][0].work(together), together, strict=True)]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is given to whose it is
            if len(batch) == 1:
                self._note(batch[0][0], [], error)
            else:
                for part in batch:
                    self._run([part])
            return
        for call, items in batch:
            self._note(call, answers[: len(items)])
            del answers[: len(items)]

    def _note(self, call: _Call[Item, Answer], answers: list[Answer], error: Exception | None = None) -> None:
        with self._lock:
            call.answers += answers
            call.error = error
            if call in self._line:  # else it gave up
                self._line.remove(call)
                if not call.is_over:  # those who came meanwhile go first
                    self._line.append(call)
            call.news.notify()


_batchers: weakref.WeakSet[Batcher] = weakref.WeakSet()


def _after_fork() -> None:
    """Only the thread that forked lives on: nobody waits in the child, and nobody there leads."""
    for batcher in _batchers:
        batcher._begin()


if hasattr(os, "register_at_fork"):  # Windows lacks it
    os.register_at_fork(after_in_child=_after_fork)
