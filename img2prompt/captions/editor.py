"""Apply changes to a set of captions, take them back and take them again, and never lose one.

First the journal has it on the disk, then the captions are written. What fails or is stopped between the
two is taken back: at once, or, after a power cut, when the set is opened next.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from img2prompt.captions.journal import DONE, REDOING, UNDOING, UNDONE, WRITING, Journal, Step
from img2prompt.captions.table import Change, Entry
from img2prompt.errors import ConfigError, DataError


class Store(Protocol):
    """Where captions are: files in a folder, or the results of a batch."""

    @property
    def problems(self) -> Mapping[str, str]:
        """Name → why there is no caption that can be edited, as of the last reading."""

    def texts(self, names: Collection[str] | None = None) -> dict[str, str | None]:
        """Read captions: name → text, or None where there is none. Those with a problem are left out.

        Parameters
        ----------
        names : of pictures; None for all. Those that are not there are left out.
        """

    def write(self, texts: Mapping[str, str | None]) -> None:
        """Replace captions that were read before; one by one, so that it may fail between two of them."""


class Taken(NamedTuple):
    """What became of a step that was taken back, or again."""

    step: Step
    written: int  # captions
    left: list[str]  # names of those that somebody else has changed since, which stay as they are


class Editor:
    """A set of captions that is being edited.

    Parameters
    ----------
    store : has the captions
    journal : keeps the steps

    Attributes
    ----------
    mended : how many captions of a step that was cut short were set back when the set was opened

    Raises
    ------
    DataError
        When a step was cut short before and cannot be taken back now.
    """

    def __init__(self, store: Store, journal: Journal):
        self.store, self.journal = store, journal
        self.mended = self._mend()

    def apply(self, kind: str, words: Sequence[str], changes: Sequence[Change]) -> Step:
        """Make changes as one step; what had been undone cannot be redone any more.

        Parameters
        ----------
        kind, words : what is done and with what, for the list of steps
        changes : at most one for each entry

        Raises
        ------
        DataError
            When a caption is no longer what the change begins from, or cannot be written. Then nothing
            is changed.
        """
        _refuse(self._strangers(changes, [change.before.text for change in changes]))
        number = self.journal.begin(kind, words, changes)
        try:
            self._write({change.name: change.after.text for change in changes if _differs(change)})
        except BaseException:
            self._put_back(changes, forward=False)
            self.journal.forget(number)
            raise
        undone = [step.id for step in self.journal.steps() if step.state == UNDONE]
        self.journal.settle(number, DONE, [(change.name, change.after.kept) for change in changes], undone)
        return self._step(number)

    def undo(self, leave_changed: bool = False) -> Taken:
        """Take the last step back that is not taken back yet.

        Parameters
        ----------
        leave_changed : leave captions alone that somebody else has changed since, and take back the rest

        Raises
        ------
        ConfigError
            When there is none.
        DataError
            When somebody else has changed a caption since, or one cannot be written. Then nothing is changed.
        """
        done = [step for step in self.journal.steps() if step.state == DONE]
        if not done:
            raise ConfigError("There is nothing to undo.")
        return self._take(done[-1], UNDOING, UNDONE, leave_changed)

    def redo(self, leave_changed: bool = False) -> Taken:
        """Take the step again that was taken back last; as `undo`."""
        undone = [step for step in self.journal.steps() if step.state == UNDONE]
        if not undone:
            raise ConfigError("There is nothing to redo.")
        return self._take(undone[0], REDOING, DONE, leave_changed)

    def _take(self, step: Step, on_the_way: str, state: str, leave_changed: bool) -> Taken:
        changes = self.journal.changes(step.id)
        forward = state == DONE
        origins = [(change.before if forward else change.after).text for change in changes]
        strangers = self._strangers(changes, origins)
        if strangers and not leave_changed:
            _refuse(strangers)
        ours = [change for change in changes if change.name not in set(strangers)]
        self.journal.mark(step.id, on_the_way)
        try:
            self._write(
                {
                    change.name: (change.after if forward else change.before).text
                    for change in ours
                    if _differs(change)
                }
            )
        except BaseException:
            self._put_back(ours, forward=not forward)
            self.journal.mark(step.id, step.state)
            raise
        kept = [(change.name, (change.after if forward else change.before).kept) for change in ours]
        self.journal.settle(step.id, state, kept)
        return Taken(self._step(step.id), len(ours), strangers)

    def _strangers(self, changes: Sequence[Change], expected: Sequence[str | None]) -> list[str]:
        """The names of the changes whose captions are not what is expected."""
        now = self.store.texts([change.name for change in changes])
        return [
            change.name
            for change, text in zip(changes, expected, strict=True)
            if change.name not in now or now[change.name] != text
        ]

    def _write(self, texts: Mapping[str, str | None]) -> None:
        if texts:
            self.store.write(texts)

    def _put_back(self, changes: Sequence[Change], forward: bool) -> int:
        """Set captions back that were written before something failed; returns how many.

        Parameters
        ----------
        forward : whether the text after the change is the one to have, rather than the one before it
        """
        now = self.store.texts([change.name for change in changes])
        back: dict[str, str | None] = {}
        for change in changes:
            wanted, other = change.before.text, change.after.text
            if forward:
                wanted, other = other, wanted
            if wanted != other and change.name in now and now[change.name] == other:
                back[change.name] = wanted
        self._write(back)
        return len(back)

    def _mend(self) -> int:
        """Take back what was cut short: steps that are neither done nor undone."""
        mended = 0
        for step in self.journal.steps():
            if step.state in (WRITING, UNDOING, REDOING):
                mended += self._put_back(self.journal.changes(step.id), forward=step.state == UNDOING)
                if step.state == WRITING:
                    self.journal.forget(step.id)
                else:
                    self.journal.mark(step.id, DONE if step.state == UNDOING else UNDONE)
        return mended

    def _step(self, number: int) -> Step:
        return next(step for step in self.journal.steps() if step.id == number)


def read(store: Store, journal: Journal, edited: Collection[str] | None = None) -> list[Entry]:
    """The entries of a set as they are now, sorted by name.

    Parameters
    ----------
    edited : the names of those that are, where the store knows; by default those that no longer are what they
        were before their first step
    """
    texts, kept = store.texts(), journal.kept()
    if edited is None:
        originals = journal.originals()
        edited = {name for name, text in texts.items() if name in originals and originals[name] != text}
    entries = [Entry(name, text, kept.get(name, ()), edited=name in edited) for name, text in texts.items()]
    entries += [Entry(name, None, problem=problem) for name, problem in store.problems.items()]
    return sorted(entries, key=lambda entry: entry.name)


def _differs(change: Change) -> bool:
    """Whether a change is of the caption itself, and not only of those beside it."""
    return change.before.text != change.after.text


def _refuse(strangers: Sequence[str]) -> None:
    """Raise DataError if somebody else has changed captions."""
    if strangers:
        raise DataError(
            f"{strangers[0]} ({len(strangers)} in all): the caption was changed by another program since, and "
            "that must not be lost. Nothing was changed now."
        )
