"""How many threads the networks compute with."""

from __future__ import annotations

import os

VARIABLE = "OMP_NUM_THREADS"  # which PyTorch and NumPy's BLAS heed as well


def count() -> int:
    """``OMP_NUM_THREADS``, or else one thread for each core that this process may use.

    The last digits of a network's answers depend on it.
    """
    said = os.environ.get(VARIABLE, "").split(",")[0]  # a list is for nested loops, the outermost first
    if said.isdecimal() and int(said):
        return int(said)
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
