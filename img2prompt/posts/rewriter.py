"""Who writes the sentences of a post: the interface."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from img2prompt.posts.post import PHRASEBOOK, Choices, Seen


@dataclass(frozen=True)
class Draft:
    """The sentences of one post, before emoji and hashtags. The person's note is added where they lack it."""

    hook: str
    body: tuple[str, ...] = ()  # each a line of its own
    call: str = ""  # to action; empty without a goal
    emoji: tuple[str, ...] = ()  # that suit these sentences; empty for the picture's
    writer: str = PHRASEBOOK  # or the name of the model that wrote them


class Rewriter(Protocol):
    """Writes drafts about pictures. The composer enforces the limits, whatever is written."""

    def write(self, seen: Sequence[Seen], choices: Choices) -> Iterable[Draft]:
        """Write `choices.variants` different drafts, the same for the same arguments as far as the writer can.

        They may come one by one, as they are written.
        """
