"""What goes into a post and what comes out: the types and limits of the composer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from img2prompt.errors import ConfigError

if TYPE_CHECKING:
    from img2prompt.results import Match

GOALS = ("none", "question", "save", "tag")
EMOJI = ("off", "few", "many")
LENGTHS = ("line", "short", "long")
HOOK_LIMIT = 125  # characters before the feed folds a caption
POST_LIMIT = 2200  # characters Instagram takes in all
ALT_LIMIT = 100  # characters of Instagram's alt text
MAX_HASHTAGS = 30
MAX_VARIANTS = 20
MAX_NOTE = 300


@dataclass(frozen=True)
class Seen:
    """What is known about one picture: the engine's words, and facts measured from its pixels."""

    caption: str  # as the engine writes it: "a brown dog runs on the beach"
    labels: Mapping[str, Sequence[Match]] = field(default_factory=dict)  # table → matches, best first
    orientation: str = "square"  # landscape, portrait or square
    colours: tuple[str, ...] = ()  # names of the dominant colours, the largest first


@dataclass(frozen=True)
class Choices:
    """What a person wants of a post. `tone` is one of `img2prompt.posts.tones`.

    Raises
    ------
    ConfigError
        For an unknown choice or a number out of range; the message names what is possible. The
        tone is checked by `compose`.
    """

    tone: str = "plain"
    goal: str = "none"
    emoji: str = "few"
    length: str = "short"
    hashtags: int = 5  # 0–30
    variants: int = 5  # 1–20
    note: str = ""  # the person's own words: place, names, occasion
    seed: int = 0  # another seed, other variants

    def __post_init__(self) -> None:
        for name, value, known in (
            ("goal", self.goal, GOALS),
            ("emoji", self.emoji, EMOJI),
            ("length", self.length, LENGTHS),
        ):
            if value not in known:
                raise ConfigError(f"{name} is {value!r}; choose one of {', '.join(known)}.")
        if not 0 <= self.hashtags <= MAX_HASHTAGS:
            raise ConfigError(f"hashtags is {self.hashtags}; it must lie between 0 and {MAX_HASHTAGS}.")
        if not 1 <= self.variants <= MAX_VARIANTS:
            raise ConfigError(f"variants is {self.variants}; it must lie between 1 and {MAX_VARIANTS}.")


@dataclass(frozen=True)
class Variant:
    """One finished post: hook, body and call to action, a blank line, hashtags."""

    text: str  # the whole post, at most 2,200 characters
    hook: str  # its first line, at most 125 characters
    hashtags: tuple[str, ...]  # "#dog", in the order written
