"""The line of callers, with real threads. Nothing here is timed: events say what happens before what."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from img2prompt.batcher import Batcher
from img2prompt.errors import BusyError
from tests.helpers import ROOT

SOON = 60  # seconds in which everything here happens, on however slow a machine; else the test fails


class Doubler:
    """Work that doubles numbers, writes down each batch, and can be held in the midst of one."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        self.go_on.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.begun.release()
        assert self.go_on.wait(SOON)
        if any(number < 0 for number in numbers):
            raise ValueError(f"{min(numbers)} is negative")
        return [2 * number for number in numbers]

    def hold(self) -> None:
        """Have the next batches wait in their midst, until `go_on` is set."""
        self.go_on.clear()

    def has_begun(self) -> None:
        assert self.begun.acquire(timeout=SOON)


@pytest.fixture
def double():
    doubler = Doubler()
    yield doubler
    doubler.go_on.set()


@pytest.fixture
def threads():
    with ThreadPoolExecutor(64) as pool:
        yield pool


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does next."""
    over = threading.Event()
    for _ in range(SOON * 200):
        if condition():
            return
        over.wait(0.005)
    pytest.fail("it did not happen")


def come(threads, batcher, work, *numbers: int, **options) -> Future:
    """Call with these numbers in a thread of its own, and wait until the call is in the line."""
    before = len(batcher._line)
    future = threads.submit(batcher, work, lambda: numbers, **options)
    until(lambda: len(batcher._line) > before or future.done())
    return future


def busy(threads, batcher, double) -> Future:
    """A call that is held in its batch, for others to come meanwhile."""
    double.hold()
    first = come(threads, batcher, double, 0)
    double.has_begun()
    return first


def test_whoever_waits_is_in_the_next_batch_and_gets_their_own(threads, double):
    batcher = Batcher(16)
    first = busy(threads, batcher, double)
    others = [come(threads, batcher, double, number, number + 100) for number in range(1, 6)]
    double.go_on.set()
    assert first.result(SOON) == [0]
    assert [other.result(SOON) for other in others] == [[2 * n, 2 * n + 200] for n in range(1, 6)]
    assert double.batches == [[0], [n + more for n in range(1, 6) for more in (0, 100)]]


def test_many_callers_at_a_time_get_their_own(threads, double):
    batcher = Batcher(16)
    calls = [threads.submit(batcher, double, lambda n=n: range(n, n + n % 7)) for n in range(500)]
    assert [call.result(SOON) for call in calls] == [[2 * m for m in range(n, n + n % 7)] for n in range(500)]
    assert max(map(len, double.batches)) <= 16
    assert len(double.batches) < 500


def test_a_caller_alone_waits_for_nobody(double):
    batcher = Batcher(16, patience=10_000_000, interval=10_000_000)
    assert batcher(double, lambda: [1, 2, 3]) == [2, 4, 6]
    assert batcher(double, list) == []
    assert double.batches == [[1, 2, 3]]


def test_a_batch_waits_for_those_who_are_coming_while_it_has_room(threads, double):
    batcher = Batcher(3, patience=10_000_000)
    ready, opened = threading.Event(), threading.Event()

    def prepare() -> list[int]:
        ready.set()
        assert opened.wait(SOON)
        return [2]

    coming = threads.submit(batcher, double, prepare)
    assert ready.wait(SOON)
    early = come(threads, batcher, double, 1)
    opened.set()
    assert (early.result(SOON), coming.result(SOON)) == ([2], [4])
    assert double.batches == [[1, 2]]
    ready.clear()
    opened.clear()
    coming = threads.submit(batcher, double, prepare)
    assert ready.wait(SOON)
    assert batcher(double, lambda: [5, 6, 7]) == [10, 12, 14], "which fill a batch"
    opened.set()
    assert coming.result(SOON) == [4]


def test_who_is_coming_and_fails_is_not_waited_for(threads, double):
    batcher = Batcher(3, patience=10_000_000)
    ready, opened = threading.Event(), threading.Event()

    def prepare() -> list[int]:
        ready.set()
        assert opened.wait(SOON)
        raise ValueError("no picture")

    coming = threads.submit(batcher, double, prepare)
    assert ready.wait(SOON)
    early = come(threads, batcher, double, 1)
    opened.set()
    assert early.result(SOON) == [2]
    with pytest.raises(ValueError, match="no picture"):
        coming.result(SOON)


def test_big_calls_are_cut(double):
    assert Batcher(4)(double, lambda: range(10)) == [2 * number for number in range(10)]
    assert double.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_who_wants_one_goes_before_the_rest_of_a_big_call(threads, double):
    batcher = Batcher(4)
    double.hold()
    big = come(threads, batcher, double, *range(100, 112))
    double.has_begun()
    one = come(threads, batcher, double, 1)
    another = come(threads, batcher, double, 2, kind="another")
    double.go_on.set()
    assert (one.result(SOON), another.result(SOON)) == ([2], [4])
    assert big.result(SOON) == [2 * number for number in range(100, 112)]
    first, *then = double.batches
    assert first == [100, 101, 102, 103]
    assert then[0] == [1, 104], "as much of the big call as of the other"
    assert then[1] == [2]
    assert then[2] == [105, 106, 107, 108]


def test_no_stream_of_small_calls_starves_a_big_one(threads, double):
    batcher = Batcher(2)
    first = busy(threads, batcher, double)
    big = come(threads, batcher, double, 100, 101, 102)
    small = [come(threads, batcher, double, number) for number in range(1, 7)]
    double.go_on.set()
    for call in (first, big, *small):
        call.result(SOON)
    assert double.batches == [[0], [100, 1], [2, 3], [4, 5], [6, 101], [102]]


def test_kinds_are_not_mixed_and_each_has_its_turn(threads, double):
    batcher = Batcher(16)
    first = busy(threads, batcher, double)
    calls = [come(threads, batcher, double, number, kind=number % 2) for number in range(1, 7)]
    double.go_on.set()
    assert [call.result(SOON) for call in (first, *calls)] == [[2 * number] for number in range(7)]
    assert double.batches == [[0], [1, 3, 5], [2, 4, 6]]


def test_only_who_fails_gets_the_error(threads, double):
    batcher = Batcher(16)
    first = busy(threads, batcher, double)
    good, bad, fine = (come(threads, batcher, double, *numbers) for numbers in ([1, 2], [3, -4], [5]))
    double.go_on.set()
    assert (first.result(SOON), good.result(SOON), fine.result(SOON)) == ([0], [2, 4], [10])
    with pytest.raises(ValueError, match="-4 is negative"):
        bad.result(SOON)
    assert double.batches[1:] == [[1, 2, 3, -4, 5], [1, 2], [3, -4], [5]]
    assert batcher(double, lambda: [6]) == [12]


def test_too_few_answers_are_an_error():
    with pytest.raises(ValueError, match="longer"):
        Batcher(16)(lambda numbers: numbers[1:], lambda: [1, 2])


def test_there_is_a_bound(threads, double):
    batcher = Batcher(16, most=3)
    first = busy(threads, batcher, double)
    others = [come(threads, batcher, double, number) for number in (1, 2)]
    opened = []
    with pytest.raises(BusyError, match="3 others wait"):
        batcher(double, lambda: opened.append(4) or [4])
    assert opened == [], "nothing is prepared for nothing"
    double.go_on.set()
    assert [call.result(SOON) for call in (first, *others)] == [[0], [2], [4]]
    assert batcher(double, lambda: [4]) == [8]


def test_who_gives_up_leaves_the_line(threads, double):
    batcher = Batcher(16, interval=0.01)
    first = busy(threads, batcher, double)
    told, stop = [], threading.Event()

    def waiting(others: int) -> None:
        told.append(others)
        if stop.is_set():
            raise KeyboardInterrupt

    leaving = come(threads, batcher, double, 1, waiting=waiting)
    staying = come(threads, batcher, double, 2, waiting=told.append)
    until(lambda: 2 in told)
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        leaving.result(SOON)
    double.go_on.set()
    assert (first.result(SOON), staying.result(SOON)) == ([0], [4])
    assert double.batches == [[0], [2]]


def test_when_the_leader_is_interrupted_another_one_leads(threads, double):
    """As Ctrl+C does in the main thread, in the midst of a batch that others are in."""
    batcher = Batcher(16)
    first = busy(threads, batcher, double)
    leader = []

    def interrupted(numbers: Sequence[int]) -> list[int]:
        leader.append(threading.get_ident())
        if len(leader) == 1:
            raise KeyboardInterrupt
        return double(numbers)

    calls = [come(threads, batcher, interrupted, number) for number in (1, 2, 3)]
    double.go_on.set()
    assert first.result(SOON) == [0]
    with pytest.raises(KeyboardInterrupt):
        calls[0].result(SOON)
    assert [call.result(SOON) for call in calls[1:]] == [[4], [6]]
    assert double.batches == [[0], [2, 3]] and leader[0] != leader[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_waits_for_nobody(threads, double):
    batcher = Batcher(16, interval=10_000_000)
    first = busy(threads, batcher, double)
    child = os.fork()
    if not child:  # a copy in which no other thread goes on
        os._exit(0 if batcher(lambda numbers: numbers, lambda: [1]) == [1] else 1)
    double.go_on.set()
    assert os.waitpid(child, 0)[1] == 0
    assert first.result(SOON) == [0]


def test_the_interpreter_ends_though_others_wait():
    """Ctrl+C in the main thread, which waits for a daemon thread that is at work for ever."""
    script = """
import signal, threading
from img2prompt.batcher import Batcher

batcher, begun = Batcher(16), threading.Event()

def work(numbers):
    begun.set()
    threading.Event().wait()

threading.Thread(target=batcher, args=(work, lambda: [1]), daemon=True).start()
begun.wait()
for number in range(3):
    threading.Thread(target=batcher, args=(work, lambda: [number]), daemon=True).start()
interrupt = lambda others: signal.raise_signal(signal.SIGINT)
try:
    batcher(work, lambda: [2], waiting=interrupt)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], check=False, cwd=ROOT, capture_output=True, text=True, timeout=SOON
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted\n", "")
