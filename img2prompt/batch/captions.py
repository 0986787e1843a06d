"""The captions of a batch as a set that `img2prompt.captions` edits."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from img2prompt.batch.journal import Journal
from img2prompt.errors import DataError


class Captions:
    """The captions that count in a batch: the model's, or those that somebody put in their place.

    Parameters
    ----------
    journal : has the results
    names : of the batch's pictures

    Attributes
    ----------
    problems : name → why a picture failed, of those that were tried
    stored : name → the prompt that its file holds, of those that were read
    """

    def __init__(self, journal: Journal, names: Collection[str]):
        self._journal, self._names = journal, names
        self.problems: dict[str, str] = {}
        self.stored: dict[str, str] = {}

    def texts(self, names: Collection[str] | None = None) -> dict[str, str | None]:
        """Name → caption, of the pictures that have one."""
        wanted = self._names if names is None else {name for name in names if name in self._names}
        lines = [line for line in self._journal.overview() if line.name in wanted]
        self.problems |= {line.name: line.error for line in lines if line.error}
        self.stored |= {line.name: line.stored for line in lines}
        return {line.name: line.caption for line in lines if not line.error}

    def write(self, texts: Mapping[str, str | None]) -> None:
        """Replace captions, all or none of them.

        Raises
        ------
        DataError
            When one would be empty, or the journal cannot be written.
        """
        if empty := [name for name, text in texts.items() if not text]:
            raise DataError(f"The caption of {empty[0]} would be empty. Leave some words.")
        self._journal.edit_all({name: text for name, text in texts.items() if text})
