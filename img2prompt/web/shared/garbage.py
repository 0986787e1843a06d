"""Collect garbage: what ended sessions leave behind, their photos among it.

Streamlit does that after every run of a script, and each time looks at every object there is. With the
libraries of a model in memory, that takes longer than all the rest of a run, and stops all other threads.
So ``runner.postScriptGC`` is off in ``.streamlit/config.toml``.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import time

SECONDS = 30.0  # from one collection to the next


class Collector:
    """Collects all garbage, but not more often than once in some seconds."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._last = float("-inf")

    def __call__(self) -> None:
        """Collect, if it is time."""
        now = time.monotonic()
        if now - self._last >= self.seconds:
            self._last = now
            gc.collect()
            _give_back()


def _give_back() -> None:
    """Return free memory to the system, where the C library has a function for it: glibc keeps most of it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


collect = Collector()
