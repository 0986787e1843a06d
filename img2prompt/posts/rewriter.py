"""Who writes the sentences of a post: the interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from img2prompt.posts.post import Choices, Seen


@dataclass(frozen=True)
class Draft:
    """The sentences of one post, before emoji and hashtags. The person's note is added where they lack it."""

    hook: str
    body: tuple[str, ...] = ()  # each a line of its own
    call: str = ""  # to action; empty without a goal
    emoji: tuple[str, ...] = ()  # that suit these sentences; empty for the picture's


class Rewriter(Protocol):
    """Writes drafts about pictures. The composer enforces the limits, whatever is written."""

    def write(self, seen: Sequence[Seen], choices: Choices) -> list[Draft]:
        """Write `choices.variants` different drafts, always the same for the same arguments."""
