"""The process that opens damaged files: python -m tests.fuzz.worker TARGET FIRST LAST STEP FOLDER

TARGET is the name of a module, and a file is made for every STEP-th seed from FIRST to before LAST.
In the folder are, when it is killed or dies, too:

- ``notes``: three numbers, see `Notes`;
- ``findings``: a line of JSON for each file that was not opened or refused as it should;
- ``trace``: where Python was when the process died;
- ``files``: what is being opened.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import mmap
import resource
import struct
import sys
import time
import traceback
import warnings
from pathlib import Path
from random import Random
from typing import NamedTuple

import img2prompt
from img2prompt.errors import Img2PromptError
from tests.fuzz.targets import Target
from tests.helpers.memory import peak_megabytes

NUMBERS = struct.Struct("3q")
FULL = 3  # exit status of a worker that has taken too much memory
PREPARING = -1  # in place of a seed, while nothing is being opened
SECONDS = 10  # of processor time for one file; pictures promise to stop at about half of it
ADDRESSES = 8 * 2**30  # bytes; what asks for more gets a MemoryError, and the machine stays whole
FINE = ("opened", "refused")
PACKAGE = str(Path(img2prompt.__file__).parent)


class Notes(NamedTuple):
    """What a worker is about. In a file that is mapped to memory, so that noting costs nothing."""

    seed: int = PREPARING  # of the file that is being opened
    opened: int = 0  # files that were tried
    refused: int = 0  # those of them that the program refused as it should

    @classmethod
    def read(cls, data: bytes | mmap.mmap) -> Notes:
        return cls(*NUMBERS.unpack(data))

    def pack(self) -> bytes:
        return NUMBERS.pack(*self)


def main(name: str, first: int, last: int, step: int, folder: Path) -> None:
    target: Target = importlib.import_module(name)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(ValueError, OSError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    files = folder / "files"
    with (
        open(folder / "trace", "w") as trace,
        open(folder / "findings", "a") as findings,
        open(folder / "notes", "r+b") as file,
        mmap.mmap(file.fileno(), NUMBERS.size) as shared,
    ):
        faulthandler.enable(trace)
        _, opened, refused = Notes.read(shared)
        for seed in range(first, last, step):
            put(make(target, name, seed), files)
            shared[:] = Notes(seed, opened, refused).pack()
            kind, detail = attempt(target, files)
            opened, refused = opened + 1, refused + (kind == "refused")
            if kind not in FINE:
                line = json.dumps({"seed": seed, "kind": kind, "detail": detail})
                print(line, file=findings, flush=True)
            shared[:] = Notes(PREPARING, opened, refused).pack()
            if kind == "memory":  # the peak of a process never falls
                sys.exit(FULL)


def make(target: Target, name: str, seed: int) -> dict[str, bytes]:
    """The damaged files of a seed, by name."""
    return target.make(Random(f"{name} {seed}"))


def put(data: dict[str, bytes], folder: Path) -> None:
    """Write these files into the folder, and leave nothing else in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    for name, content in data.items():
        (folder / name).write_bytes(content)


def attempt(target: Target, folder: Path) -> tuple[str, str]:
    """How it went, one of `FINE` or a kind of finding, and what exactly was wrong."""
    began, before, kind = time.process_time(), peak_megabytes(), "opened"
    try:
        target.attempt(folder)
    except Img2PromptError:
        kind = "refused"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        at = next((frame for frame in reversed(frames) if frame.filename.startswith(PACKAGE)), frames[-1])
        return "error", f"{type(error).__name__} in {Path(at.filename).name}, {at.name}: {error}"
    if (seconds := time.process_time() - began) > SECONDS:
        return "slow", f"{seconds:.1f} s of processor time"
    if (megabytes := peak_megabytes()) > target.MEGABYTES:
        return "memory", f"{megabytes:.0f} MB, and {before:.0f} MB before"
    return kind, ""


if __name__ == "__main__":
    try:
        main(sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5]))
    except Exception:  # of this program, not of what it tries
        Path(sys.argv[5], "trace").write_text(traceback.format_exc())
        raise
