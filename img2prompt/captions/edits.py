"""The operations: entries in, changes out. Nothing is written here, so that any of them can be shown first.

Entries that cannot be edited are passed over, and so are those whose caption stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import regex

from img2prompt.captions.table import Change, Entry, Version, tags
from img2prompt.errors import ConfigError
from img2prompt.wording import reason

SECONDS = 5.0  # that a pattern may take for all captions together
LONGEST = 20_000  # characters of a caption
LONGEST_PATTERN = 1000  # characters
JOIN = ", "

Answer = TypeVar("Answer")


class Replaced(NamedTuple):
    """What a replacement does."""

    changes: list[Change]
    places: int  # that were replaced


class Pattern:
    """What is looked for in captions: words as they are, or a regular expression, within bounded time.

    Parameters
    ----------
    find : the words, or the expression of the library `regex`, which knows more than `re`
    is_regex : whether it is an expression
    ignore_case : whether A is as good as a
    whole_words : whether it must not begin or end inside a word

    Raises
    ------
    ConfigError
        When it is empty, too long or no expression.
    """

    def __init__(
        self, find: str, is_regex: bool = False, ignore_case: bool = False, whole_words: bool = False
    ):
        if not find:
            raise ConfigError("There is nothing to look for. Name some words, or an expression.")
        if len(find) > LONGEST_PATTERN:
            raise ConfigError(
                f"What to look for has {len(find):,} characters, and at most {LONGEST_PATTERN:,} are taken."
            )
        self.find, self.is_regex = find, is_regex
        source = find if is_regex else regex.escape(find)
        if whole_words:
            source = rf"(?<!\w)(?:{source})(?!\w)"
        try:
            # Version 1: an expression means the same wherever it stands, and flags count where they are put.
            flags = regex.VERSION1 | (regex.IGNORECASE | regex.FULLCASE if ignore_case else 0)
            self._compiled = regex.compile(source, flags)
        except (regex.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"{find!r} is no regular expression ({reason(error)}). Mend it.") from error
        self._end = time.monotonic() + SECONDS

    def found_in(self, text: str) -> bool:
        """Whether it occurs in a text."""
        return self._bounded(lambda left: self._compiled.search(text, timeout=left)) is not None

    def replaced(self, text: str, new: str) -> tuple[str, int]:
        r"""A text with every occurrence replaced, and how many there were.

        Parameters
        ----------
        new : the words to put there; for an expression ``\1`` and ``\g<name>`` are its groups

        Raises
        ------
        ConfigError
            When the pattern takes too long, or there is no such group.
        """
        room = LONGEST

        def put(match: regex.Match[str]) -> str:
            nonlocal room
            piece = match.expand(new) if self.is_regex else new
            if (room := room - len(piece)) < 0:
                raise ConfigError(
                    f"The replacement for {self.find!r} would have more than {LONGEST:,} characters in a "
                    "caption. Make it shorter."
                )
            return piece

        return self._bounded(lambda left: self._compiled.subn(put, text, timeout=left))

    def begin(self) -> None:
        """Give it the whole time again."""
        self._end = time.monotonic() + SECONDS

    def _bounded(self, work: Callable[[float], Answer]) -> Answer:
        try:
            return work(max(self._end - time.monotonic(), 1e-3))
        except TimeoutError as error:
            raise ConfigError(
                f"{self.find!r} takes longer than {SECONDS:g} seconds. Write it simpler, such as without "
                "a repetition in a repetition."
            ) from error
        except (regex.error, IndexError) as error:
            raise ConfigError(
                f"The replacement for {self.find!r} cannot be used ({reason(error)}). Mend it."
            ) from error


def replace(entries: Iterable[Entry], pattern: Pattern, new: str) -> Replaced:
    """Replace in the captions whatever a pattern finds.

    Raises
    ------
    ConfigError
        When the pattern takes too long, names a group that it has not, or a caption would become too long.
    """
    pattern.begin()
    changes, places = [], 0
    for entry in entries:
        if not entry.caption:
            continue
        text, found = pattern.replaced(entry.caption, new)
        if found and (change := _changed(entry, text)):
            changes.append(change)
            places += found
    return Replaced(changes, places)


def prefix(entries: Iterable[Entry], text: str, empty: bool = False) -> list[Change]:
    """Put words before each caption that does not begin with them already, exactly as they are given.

    Parameters
    ----------
    empty : make them the caption where there is none
    """
    _check_given(text)
    return _each(entries, lambda old: old if old.startswith(text) else text + old, empty)


def suffix(entries: Iterable[Entry], text: str, empty: bool = False) -> list[Change]:
    """Put words behind each caption that does not end in them already, exactly as they are given.

    Parameters
    ----------
    empty : make them the caption where there is none
    """
    _check_given(text)
    return _each(entries, lambda old: old if old.endswith(text.rstrip()) else old + text, empty)


def trigger(entries: Iterable[Entry], word: str, remove: bool = False, empty: bool = False) -> list[Change]:
    """Put a trigger word first, as a tag: ``sks, a dog``; one that stands further back comes to the front.

    Parameters
    ----------
    remove : take it out instead
    empty : make it the caption where there is none

    Raises
    ------
    ConfigError
        When it is empty, or more than one tag.
    """
    word = word.strip().strip(",").strip()
    _check_given(word)
    if "," in word:
        raise ConfigError(f"{word!r} is more than one tag. Give one trigger word, or use prefix.")

    def with_trigger(old: str) -> str:
        found = tags(old)
        rest = [tag for tag in found if tag != word]
        if remove:
            return old if rest == found else JOIN.join(rest)
        if word not in found:
            return JOIN.join([word, old]) if found else word
        return old if found == [word, *rest] else JOIN.join([word, *rest])

    return _each(entries, with_trigger, empty)


def write(entries: Iterable[Entry], text: str, keep: bool = False) -> list[Change]:
    """Give entries this caption.

    Parameters
    ----------
    keep : keep the present caption beside it, to choose from
    """
    changes = []
    for entry in entries:
        kept = entry.kept
        if keep and entry.caption and entry.caption != text:
            kept = _with(entry.kept, entry.caption, without=text)
        if change := _changed(entry, text, kept):
            changes.append(change)
    return changes


def add(entries: Iterable[Entry], others: dict[str, str]) -> list[Change]:
    """Keep further captions beside those of the entries, to choose from.

    Parameters
    ----------
    others : name of an entry → its further caption, which becomes the caption where there is none
    """
    changes = []
    for entry in entries:
        text = others.get(entry.name, "")
        if not text.strip() or text == entry.caption:
            continue
        if not entry.caption:
            change = _changed(entry, text)
        else:
            change = _changed(entry, entry.caption, _with(entry.kept, text))
        if change:
            changes.append(change)
    return changes


def keep(entry: Entry) -> list[Change]:
    """Keep the present caption, so that it can be chosen after another one was written."""
    change = _changed(entry, entry.caption, _with(entry.kept, entry.caption)) if entry.caption else None
    return [change] if change else []


def choose(entry: Entry, number: int) -> list[Change]:
    """Make another of the kept captions the caption; the present one is kept in its place.

    Parameters
    ----------
    number : 1 for the first of `entry.kept`

    Raises
    ------
    ConfigError
        When there is no such caption.
    """
    if not 1 <= number <= len(entry.kept):
        raise ConfigError(
            f"{entry.name} has no other caption of the number {number}; {len(entry.kept)} are kept of it."
        )
    before, chosen, after = entry.kept[: number - 1], entry.kept[number - 1], entry.kept[number:]
    present = (entry.caption,) if entry.caption and entry.caption not in entry.kept else ()
    change = _changed(entry, chosen, (*before, *present, *after))
    return [change] if change else []


def _each(entries: Iterable[Entry], edited: Callable[[str], str], empty: bool) -> list[Change]:
    changes = (_changed(entry, edited(entry.caption)) for entry in entries if empty or entry.caption)
    return [change for change in changes if change]


def _changed(entry: Entry, text: str, kept: tuple[str, ...] | None = None) -> Change | None:
    """The change of an entry; None where it stays as it is, or cannot be edited."""
    # What ends a line, or marks the order of bytes, belongs to a file and not to its caption.
    after = Version(text.lstrip("\ufeff").rstrip(), entry.kept if kept is None else kept)
    if entry.problem or after == entry.version or after == (entry.caption, entry.kept):
        return None
    if len(text) > LONGEST:
        raise ConfigError(
            f"The caption of {entry.name} would have more than {LONGEST:,} characters. Make it shorter."
        )
    if not is_text(text):
        raise ConfigError(f"The caption of {entry.name} would hold bytes that are no text. Use UTF-8.")
    return Change(entry.name, entry.version, after)


def _with(kept: tuple[str, ...], text: str, without: str = "") -> tuple[str, ...]:
    """Kept captions and one more, each once."""
    return tuple(dict.fromkeys(each for each in (*kept, text) if each != without))


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_given(text: str) -> None:
    if not text:
        raise ConfigError("There is nothing to put there. Name some words.")
