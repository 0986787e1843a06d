"""Where posts go, and what each place takes: ``platforms.toml``."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from img2prompt.posts import data
from img2prompt.posts.limits import size, weight


@dataclass(frozen=True)
class Platform:
    """What a platform takes. Sizes are in the units of its `size`."""

    name: str  # as it calls itself
    post: int  # longest post
    fold: int  # of the first line, before the feed folds it
    hashtags: int  # most of them in a post
    usual: int  # number of them where nobody asks for another
    weighted: bool = False  # whether sizes are what X calls weighted lengths

    def size(self, text: str) -> int:
        """How long the platform holds a text."""
        return weight(text) if self.weighted else size(text)


@functools.cache
def platforms() -> dict[str, Platform]:
    """The platforms by key, Instagram first."""
    return {key: Platform(**entry) for key, entry in data.read_toml("platforms.toml").items()}
