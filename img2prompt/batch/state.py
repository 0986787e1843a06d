"""How far a batch of the app is, in a file of its own: a list of many batches opens none of them."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from img2prompt.errors import DataError
from img2prompt.files import replacing

FILE = "state.json"


@dataclass(frozen=True)
class State:
    """How many pictures a batch has, how many of them are done, and what ended the last work on it."""

    total: int
    done: int  # failed pictures included
    failed: int
    error: str = ""  # why the last work ended early; empty if it did not

    def save(self, folder: Path) -> None:
        """Write it into a batch's folder. That this fails must not stop the work, which is in the journal."""
        with suppress(DataError, OSError), replacing(folder / FILE, durable=False) as file:
            file.write(json.dumps(asdict(self)).encode())

    @classmethod
    def load(cls, folder: Path) -> State | None:
        """The state of the batch in a folder; None if it is not known, as that of an earlier version's."""
        with suppress(OSError, ValueError, TypeError):
            return cls(**json.loads((folder / FILE).read_text("utf-8")))
        return None
