"""How much the app's visitors may ask of the server with batches, so that nobody takes it from the others."""

from __future__ import annotations

from dataclasses import dataclass

from img2prompt.errors import ConfigError
from img2prompt.settings import RUNS_GIGABYTES, variable

GIGABYTE = 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """The most of everything; deploy/README.md says what a server needs for it."""

    pictures: int = 100_000  # in a batch
    archives: int = 100  # in a batch
    working: int = 3  # batches that work at the same time …
    waiting: int = 20  # … and that wait meanwhile
    own_working: int = 3  # batches of one session that work or wait
    own_bytes: int = 2 * GIGABYTE  # of the uploads that one session keeps on the server
    all_bytes: int = 20 * GIGABYTE  # of the uploads that all keep
    spare_bytes: int = 500_000_000  # of the disk, left free
    runs: int = 50  # batches that are kept, and more only while somebody looks at them
    awake: int = 4  # batches that are open without being worked on

    @classmethod
    def load(cls) -> Limits:
        """The limits, with what the environment says of them.

        Raises
        ------
        ConfigError
            When ``IMG2PROMPT_RUNS_GIGABYTES`` is no number above 0.
        """
        text = variable(RUNS_GIGABYTES)
        if text is None:
            return cls()
        try:
            size = int(float(text) * GIGABYTE)
        except (ValueError, OverflowError):
            size = 0
        if size <= 0:
            raise ConfigError(f"{RUNS_GIGABYTES} is {text!r}; give a number of gigabytes above 0.")
        return cls(all_bytes=size)
