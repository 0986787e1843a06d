"""Model weights: what is published, where it lies on this machine, and whether it is intact.

`img2prompt.weights.fetch` downloads what is missing.
"""

from img2prompt.weights.catalogue import Part, expand, lacks, part, parts, presets, readable, takes
from img2prompt.weights.local import (
    bundled,
    find,
    folder_in,
    home,
    locate,
    problem,
    regressors,
    roots,
    size,
    whereabouts,
)
from img2prompt.weights.lock import LOCK, Lock, Record, read_lock, write_lock
from img2prompt.weights.verify import unreadable, verify

__all__ = [
    "LOCK",
    "Lock",
    "Part",
    "Record",
    "bundled",
    "expand",
    "find",
    "folder_in",
    "home",
    "lacks",
    "locate",
    "part",
    "parts",
    "presets",
    "problem",
    "read_lock",
    "readable",
    "regressors",
    "roots",
    "size",
    "takes",
    "unreadable",
    "verify",
    "whereabouts",
    "write_lock",
]
