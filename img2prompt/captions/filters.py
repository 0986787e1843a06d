"""Which entries of a set are meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from img2prompt.captions.edits import Pattern
from img2prompt.captions.table import Entry, tags, token_counts, words


@dataclass(frozen=True)
class Filter:
    """What an entry must be like; by default every entry is."""

    # In the caption, the labels, the stored prompt, the picture's name or what is wrong with it; A is as good as a.
    text: str = ""
    pattern: Pattern | None = None  # in the caption
    pictures: tuple[str, ...] = ()  # names of pictures, any of them; * and ? stand for what may be
    tag: str = ""  # one of the parts between commas
    word: str = ""  # one of the words, or of the parts between commas
    min_words: int | None = None
    max_words: int | None = None
    min_tokens: int | None = None  # of CLIP's, the two ends counted
    max_tokens: int | None = None
    failed: bool | None = None  # has no caption; True: only these, False: only the others, None: both
    edited: bool | None = None
    stored: bool | None = None  # whether the file holds a prompt
    marks: frozenset[str] = frozenset()  # of `img2prompt.captions.table.MARKS`, all of them

    def of(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries that are like this, in their order.

        Raises
        ------
        ConfigError
            When the pattern takes too long.
        """
        if self.pattern:
            self.pattern.begin()
        found = [entry for entry in entries if self._admits(entry)]
        if self.min_tokens is None and self.max_tokens is None:
            return found
        counts = token_counts([entry.caption for entry in found])  # together, as that is quicker
        return [
            entry
            for entry, count in zip(found, counts, strict=True)
            if _within(count, self.min_tokens, self.max_tokens)
        ]

    def _admits(self, entry: Entry) -> bool:
        """Whether an entry is like this in everything but its tokens, the quicker questions first."""
        caption = entry.caption
        return (
            (self.failed is None or entry.failed == self.failed)
            and (self.edited is None or entry.edited == self.edited)
            and (self.stored is None or bool(entry.stored) == self.stored)
            and self.marks <= entry.marks
            and (not self.pictures or any(is_named(entry.name, each) for each in self.pictures))
            and (not self.text or self.text.casefold() in _searched(entry))
            and (not self.tag or self.tag.casefold() in map(str.casefold, tags(caption)))
            and (not self.word or self.word.casefold() in words(caption) or self.word in tags(caption))
            and (
                (self.min_words is None and self.max_words is None)
                or _within(len(words(caption)), self.min_words, self.max_words)
            )
            and (not self.pattern or self.pattern.found_in(caption))
        )


def is_named(name: str, pattern: str) -> bool:
    """Whether a picture's name is this, where * stands for anything and ? for one character.

    Nothing else does: many programs write names such as ``photo[1].jpg``.
    """
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _searched(entry: Entry) -> str:
    """Where a text is looked for."""
    return "\n".join([entry.name, entry.caption, entry.problem, entry.stored, *entry.labels]).casefold()


def _within(number: int, least: int | None, most: int | None) -> bool:
    return (least is None or number >= least) and (most is None or number <= most)
