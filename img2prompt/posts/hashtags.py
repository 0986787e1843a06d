"""Hashtags from what the pictures show and from the person's own words."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import regex

from img2prompt.posts import data
from img2prompt.posts.grammar import is_noun, lemmas
from img2prompt.posts.korean import without_particle
from img2prompt.posts.limits import size
from img2prompt.posts.post import THINGS, Choices, Seen
from img2prompt.posts.style import is_photo, styles
from img2prompt.posts.themes import common_themes, themes_of
from img2prompt.posts.topic import topic
from img2prompt.posts.voice import voice_of

LONGEST = 30  # UTF-16 units in a tag, without #
LIKELY = 0.5  # probability of a thing that is worth a tag
OWN = 2  # of the person's words that come before the picture's tags
NAME = 3  # most words with capitals that make one tag: "New York City"
NOT_IN_TAG = regex.compile(r"[^\p{L}\p{M}\p{N}_]+")
WORDS = regex.compile(r"[^\s,;.!?…:/|()\[\]{}\"“”„«»、。，！？·–—]+")
_SAYS_PHOTO = regex.compile(
    r"photo|shot|cameraroll|pics?$|picture|사진|스냅|출사|포토|샷", regex.IGNORECASE
).search
SMALL_WORDS = frozenset(
    """a an and as at but by for from in is it me my of on or our so that the this to us was we were with you your i im am
    are be he she his her they their its not no yes very just all too when where what who how""".split()
)


def hashtags(seen: Seen | Sequence[Seen], choices: Choices) -> tuple[str, ...]:
    """At most `choices.most_hashtags` tags with #, specific ones first, in the language of the post.

    The person's own words come first, then the tags of the picture's themes by turns. A picture without a theme has
    the things that its caption names, unless the engine knows better. Tags consist of letters, digits and underscores
    of any script. No two differ only by case, and none is on the list of tags that Instagram restricts
    (``words.toml``).
    """
    pictures = [seen] if isinstance(seen, Seen) else list(seen)
    most = choices.most_hashtags
    voice = voice_of(choices)
    if voice and choices.hashtags is None:
        most = min(voice.hashtags, choices.place.hashtags)
    own = usable(names(choices.detail))
    first, *others = [*_of_themes(pictures, choices.language), ""]
    made = styles(pictures) if choices.language == "en" else ()
    shown = usable([first, *made, *others])
    if not shown and choices.language == "en":
        shown = usable(name for picture in pictures for name in _named(picture))
    return tuple(f"#{tag}" for tag in distinct([*own[:OWN], *shown, *own[OWN:]])[:most])


def _of_themes(pictures: Sequence[Seen], language: str) -> Iterator[str]:
    """The tags of the pictures' themes by turns: the best two of the first, then one of each.

    Of a picture that is no photo there are none that say so.
    """
    found = [themes_of(picture) for picture in pictures]
    shared = common_themes(pictures) if len(pictures) > 1 else []
    chosen = dict.fromkeys([*shared, *(theme for themes in found for theme in themes)])
    photos = not any(is_photo(picture) is False for picture in pictures)
    tags_of = (theme.wording[language].tags for theme in chosen)
    lists = [[tag for tag in tags if photos or not _SAYS_PHOTO(tag)] for tags in tags_of]
    if lists:
        yield from lists[0][:1]
        del lists[0][:1]
    for tags in itertools.zip_longest(*lists):
        yield from filter(None, tags)


def _named(picture: Seen) -> Iterator[str]:
    """The things that a caption names; of those that an engine gives a probability, the likely ones."""
    likely = {name for name, chance in picture.labels.get(THINGS, ()) if chance >= LIKELY}
    for thing in topic([picture]).things:
        if THINGS not in picture.labels or thing.base in likely:
            yield thing.base


def names(note: str) -> Iterator[str]:
    """Words of a person's note that make tags: names, nouns, and every word of another script.

    Neighbouring words with capitals are one name: "Central Park" → CentralPark.
    """
    for phrase in regex.split(r"[,;.!?…:/|()]+", regex.sub(r"\S+://\S+|www\.\S+", " ", note)):
        words = [word for word in WORDS.findall(phrase) if not word.startswith("@")]
        for capital, group in itertools.groupby(words, key=lambda word: word[:1].isupper()):
            chosen = [_bare(word) for word in group if word.lower() not in SMALL_WORDS]
            if capital and len(chosen) <= NAME:
                yield "".join(chosen)
            else:
                yield from (word for word in chosen if capital or _says_something(word))


def _bare(word: str) -> str:
    """A word without what grammar writes onto it: Mina's → Mina, 미나와 → 미나. A tag stays as it was written."""
    return word if word.startswith("#") else without_particle(regex.sub(r"['’]s$", "", word))


def _says_something(word: str) -> bool:
    plain = word.strip("#'’-_").lower()
    return not plain.isascii() or not lemmas(plain) or (is_noun(plain) and plain not in data.words("vague"))


def usable(words: Iterable[str]) -> list[str]:
    """Turn words into tags; leave out those that Instagram does not take or restricts."""
    blocked = data.words("blocked_hashtags")
    tags = (NOT_IN_TAG.sub("", word) for word in words)
    return [
        tag
        for tag in tags
        if (len(tag) > 1 or not tag.isascii())
        and regex.search(r"\p{L}", tag)
        and size(tag) <= LONGEST
        and tag.casefold() not in blocked
    ]


def distinct(tags: Iterable[str]) -> list[str]:
    """Drop tags that differ from an earlier one only by case."""
    first: dict[str, str] = {}
    for tag in tags:
        first.setdefault(tag.casefold(), tag)
    return list(first.values())
