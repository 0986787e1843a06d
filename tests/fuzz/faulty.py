"""A kind of file whose reader has every defect that is looked for; the defect depends on the seed only."""

from __future__ import annotations

import ctypes
from pathlib import Path
from random import Random

from img2prompt.errors import DataError

MEGABYTES = 400
DEFECTS = ("none", "refusal", "wrong error", "crash", "hang", "memory")


def make(chooser: Random) -> dict[str, bytes]:
    return {"defect": chooser.choice(DEFECTS).encode()}


def attempt(folder: Path) -> None:
    match (folder / "defect").read_text():
        case "refusal":
            raise DataError("This file is damaged.")
        case "wrong error":
            raise KeyError("defect")
        case "crash":
            ctypes.string_at(0)
        case "hang":
            while True:
                pass
        case "memory":
            bytearray(MEGABYTES * 10**6)
