"""Hashtags from what the pictures show and from the person's own words."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import regex

from img2prompt.posts import data
from img2prompt.posts.grammar import caption_verb, is_noun, is_person, lemmas, singular, verb_form
from img2prompt.posts.korean import without_particle
from img2prompt.posts.limits import cut, size, tidy
from img2prompt.posts.post import MAX_NOTE, Choices, Seen
from img2prompt.posts.style import styles
from img2prompt.posts.topic import Topic, topic

LONGEST = 30  # UTF-16 units in a tag, without #
BROAD = ("photography", "photooftheday", "picoftheday", "instadaily", "everydaymoments")  # true of any post
NAME = 3  # most words with capitals that make one tag: "New York City"
NOT_IN_TAG = regex.compile(r"[^\p{L}\p{M}\p{N}_]+")
WORDS = regex.compile(r"[^\s,;.!?…:/|()\[\]{}\"“”„«»、。，！？·–—]+")
SMALL_WORDS = frozenset(
    """a an and as at but by for from in is it me my of on or our so that the this to us was we were with you your i im am
    are be he she his her they their its not no yes very just all too when where what who how""".split()
)


def hashtags(seen: Seen | Sequence[Seen], choices: Choices) -> tuple[str, ...]:
    """At most `choices.hashtags` tags with #, broad ones first and the person's own words last.

    Tags consist of letters, digits and underscores of any script. No two differ only by case,
    and none is on the list of tags that Instagram restricts (``words.toml``).
    """
    pictures = [seen] if isinstance(seen, Seen) else list(seen)
    content = topic(pictures) if pictures else Topic()
    own = usable(names(cut(tidy(choices.note), MAX_NOTE, mark="")))
    nouns = usable(thing.base for thing in content.things)
    broader = usable(itertools.chain(broad_tags(content), styles(pictures)))
    # First choose the tags that say most about this post …
    by_worth = distinct([*own[:2], *nouns[:1], *broader[:1], *own[2:], *nouns[1:], *broader[1:], *BROAD])
    chosen = {tag.casefold() for tag in by_worth[: choices.hashtags]}
    # … then write them from broad to specific.
    ordered = distinct([*(tag for tag in BROAD if tag in chosen), *broader, *nouns, *own])
    return tuple(f"#{tag}" for tag in ordered if tag.casefold() in chosen)


def broad_tags(content: Topic) -> Iterator[str]:
    """Broader tags for what is named: pets for a dog, sea for a beach, surfing for a surfer."""
    known = data.things()
    for thing in content.things:
        if thing.base in known:
            yield known[thing.base].tag
    for word in content.words:
        if is_person(word):
            yield known[singular(word) if singular(word) in known else word].tag
        elif caption_verb(word) and (doing := known.get(verb_form(caption_verb(word), "VBG"))):
            yield doing.tag
    if content.kind == "people":
        yield "people"


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
