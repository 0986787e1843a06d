"""What goes into a post and what comes out: the types and limits of the composer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from img2prompt.errors import ConfigError
from img2prompt.posts.limits import cut, tidy
from img2prompt.posts.platforms import Platform, platforms

if TYPE_CHECKING:
    from img2prompt.results import Match

GOALS = ("none", "question", "save", "tag")
EMOJI = ("off", "few", "many")
LENGTHS = ("line", "short", "long")
LANGUAGES = ("en", "ko")
TEXT = "text"  # a table of labels: lines that can be read in the picture, with the score of each
THINGS = "things"  # a table of labels: words of captions, with the probability that the picture's have them
INSTAGRAM = "instagram"
PHRASEBOOK = "phrasebook"  # who wrote a post that no model wrote
WRITERS = ("auto", "model", PHRASEBOOK)  # auto: the engine's model where it can write
ALT_LENGTH = 125  # characters of an alt text that screen readers read in one go
ALT_LENGTHS = range(20, 1001)
MAX_VARIANTS = 20
MAX_NOTE = 300
MAX_VOICE = 10  # captions of a person's own that are looked at


@dataclass(frozen=True)
class Seen:
    """What is known about one picture: the engine's words, and facts measured from its pixels."""

    caption: str  # as the engine writes it: "a brown dog runs on the beach"
    labels: Mapping[str, Sequence[Match]] = field(default_factory=dict)  # table → matches, best first
    orientation: str = "square"  # landscape, portrait or square
    colours: tuple[str, ...] = ()  # names of the dominant colours, the largest first
    quote: str = ""  # what can be read in it, see `img2prompt.posts.quotes`
    text: str = ""  # what a model says can be read in it


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
    hashtags: int | None = None  # at most so many; None: as many as are usual on the platform
    variants: int = 5  # 1–20
    note: str = ""  # what only the person knows: place, names, occasion
    seed: int = 0  # another seed, other variants
    language: str = "en"
    platform: str = INSTAGRAM
    voice: tuple[str, ...] = ()  # captions of the person's own, whose manner the variants follow

    def __post_init__(self) -> None:
        object.__setattr__(self, "voice", tuple(self.voice))
        for name, value, known in (
            ("goal", self.goal, GOALS),
            ("emoji", self.emoji, EMOJI),
            ("length", self.length, LENGTHS),
            ("language", self.language, LANGUAGES),
            ("platform", self.platform, tuple(platforms())),
        ):
            if value not in known:
                raise ConfigError(f"{name} is {value!r}; choose one of {', '.join(known)}.")
        most = self.place.hashtags
        if self.hashtags is not None and self.hashtags < 0:
            raise ConfigError(f"hashtags is {self.hashtags}; it must lie between 0 and {most}.")
        if self.hashtags is not None and self.hashtags > most:
            raise ConfigError(f"hashtags is {self.hashtags}; {self.place.name} takes at most {most}.")
        if not 1 <= self.variants <= MAX_VARIANTS:
            raise ConfigError(f"variants is {self.variants}; it must lie between 1 and {MAX_VARIANTS}.")

    @property
    def place(self) -> Platform:
        """The platform that the post is for."""
        return platforms()[self.platform]

    @property
    def detail(self) -> str:
        """The note as one tidy line, as much of it as a post holds."""
        return cut(tidy(self.note), MAX_NOTE, mark="")

    @property
    def most_hashtags(self) -> int:
        """The number of hashtags that a post may have."""
        return self.place.usual if self.hashtags is None else self.hashtags


@dataclass(frozen=True)
class Variant:
    """One finished post: hook, body and call to action, a blank line, hashtags."""

    text: str  # the whole post, within the platform's limits
    hook: str  # its first line, which the feed does not fold
    hashtags: tuple[str, ...]  # "#dog", in the order written
    writer: str = PHRASEBOOK  # or the name of the model that wrote it
