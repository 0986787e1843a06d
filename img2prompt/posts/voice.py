"""A person's own manner of writing, measured from captions that they wrote, and followed in new ones."""

from __future__ import annotations

import functools
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

import regex

from img2prompt.errors import ConfigError
from img2prompt.posts.limits import tidy
from img2prompt.posts.post import MAX_VOICE, Choices

MOSTLY, HARDLY = 0.6, 0.2  # shares of captions
NEAR = 3  # words by which lines may differ and still be of the same length
LONGEST = 2200  # characters of a caption
TAG = regex.compile(r"#[\p{L}\p{M}\p{N}_]+")
SIGNS = regex.compile(
    r"(?:[\p{Extended_Pictographic}\p{Regional_Indicator}][\p{M}\u200d\p{Emoji_Modifier}]*)+"
)
ENDINGS = ".。"
ADDRESS = re.compile(r"\S*(?:://|www\.|@)\S*")


@dataclass(frozen=True)
class Voice:
    """How somebody writes captions. Shares are 0–1."""

    words: float  # median number of words in a caption, without hashtags
    small: float  # share without any capital letter
    stops: float  # share that end in a full stop
    cries: float  # share that end in an exclamation mark
    emoji: float  # share with an emoji
    hashtags: int  # median number of them

    @staticmethod
    @functools.lru_cache(maxsize=64)
    def of(captions: tuple[str, ...]) -> Voice:
        """Measure at least one caption."""
        prose = [TAG.sub("", text).strip() for text in captions]
        bare = [SIGNS.sub("", text).strip() for text in prose]

        def share(wanted: Iterable[bool]) -> float:
            return statistics.fmean(map(bool, wanted))

        return Voice(
            words=statistics.median(len(text.split()) for text in bare),
            small=share(text == text.lower() and text != text.upper() for text in bare),
            stops=share(text.endswith(".") for text in bare),
            cries=share(text.endswith("!") for text in bare),
            emoji=share(SIGNS.search(text) is not None for text in prose),
            hashtags=round(statistics.median(len(TAG.findall(text)) for text in captions)),
        )

    def distance(self, line: str) -> int:
        """How far the length of a line is from that of the person's captions; 0 where it is much the same."""
        return int(abs(len(line.split()) - self.words)) // NEAR

    def said(self, sentence: str, turn: int) -> str:
        """A sentence in the person's case and punctuation; `turn` is the number of the variant."""
        sentence = self.cased(sentence)
        bare = sentence.rstrip(ENDINGS)
        ended = bare != sentence
        if not sentence or ADDRESS.fullmatch(sentence.split()[-1]) or not (ended or sentence[-1].isalnum()):
            return sentence
        if often(self.cries, turn):
            return f"{bare}!"
        if ended and self.stops < HARDLY:
            return bare
        return f"{sentence}." if self.stops > MOSTLY and not ended else sentence

    def cased(self, text: str) -> str:
        """A text in small letters, if the person writes so; addresses and @names stay."""
        if self.small <= MOSTLY:
            return text
        return " ".join(word if ADDRESS.fullmatch(word) else word.lower() for word in text.split(" "))

    def has_emoji(self, turn: int) -> bool:
        """Whether the variant with this number has an emoji, so that as many have one as of the person's."""
        return often(self.emoji, turn)


def voice_of(choices: Choices) -> Voice | None:
    """How the captions that somebody gave are written; None where they gave none."""
    return Voice.of(choices.voice) if choices.voice else None


def often(share: float, turn: int) -> bool:
    """Whether it is this one's turn, where `share` of all have it: for 0.5 every second."""
    return int((turn + 1) * share + 1e-9) > int(turn * share + 1e-9)


def captions_in(text: str) -> tuple[str, ...]:
    """A person's captions, at most ten: what stands between empty lines, or each line where there are none.

    Raises
    ------
    ConfigError
        For a text without a caption, or with one that is longer than posts are.
    """
    lines = [tidy(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    blocks = [block.strip() for block in re.split(r"\n{2,}", "\n".join(lines).strip())]
    found = blocks if len(blocks) > 1 else [line for line in lines if line]
    found = [caption for caption in found if TAG.sub("", caption).strip()]
    if not found:
        raise ConfigError("voice holds no captions; write some of your own, with an empty line between two.")
    if too_long := next((caption for caption in found if len(caption) > LONGEST), None):
        raise ConfigError(
            f"voice holds a caption of {len(too_long):,} characters; at most {LONGEST:,} are read."
        )
    return tuple(found[:MAX_VOICE])
