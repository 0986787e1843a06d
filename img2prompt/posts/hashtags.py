"""Hashtags from what was seen and from the person's own words."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import regex

from img2prompt.posts import data
from img2prompt.posts.grammar import caption_verb, is_noun, is_person, lemmas, singular, verb_form
from img2prompt.posts.limits import cut, size, tidy
from img2prompt.posts.post import MAX_NOTE, Choices, Seen
from img2prompt.posts.style import styles
from img2prompt.posts.topic import Topic, topic

LONGEST = 30  # UTF-16 units of a tag, without #
BROAD = ("photography", "photooftheday", "picoftheday", "instadaily", "everydaymoments")  # true of any post
NAME = 3  # words with capitals that make one tag: "New York City"
NOT_IN_TAG = regex.compile(r"[^\p{L}\p{M}\p{N}_]+")
WORDS = regex.compile(r"[^\s,;.!?…:/|()\[\]{}\"“”„«»、。，！？·–—]+")
SMALL_WORDS = frozenset(
    """a an and as at but by for from in is it me my of on or our so that the this to us was we were with you your i im am
    are be he she his her they their its not no yes very just all too when where what who how""".split()
)


def hashtags(seen: Seen | Sequence[Seen], choices: Choices) -> tuple[str, ...]:
    """At most `choices.hashtags` tags, broad before specific; the person's own words come last.

    Made of letters, digits and underscores of any script; no two differ only by case, and
    none is on the list of tags that Instagram restricts (``words.toml``).
    """
    pictures = [seen] if isinstance(seen, Seen) else list(seen)
    about = topic(pictures) if pictures else Topic()
    own = usable(names(cut(tidy(choices.note), MAX_NOTE, mark="")))
    nouns = usable(thing.base for thing in about.things)
    broader = usable(itertools.chain(topics(about), styles(pictures)))
    # What says most about this post is kept when few are wanted …
    by_worth = distinct([*own[:2], *nouns[:1], *broader[:1], *own[2:], *nouns[1:], *broader[1:], *BROAD])
    kept = {tag.casefold() for tag in by_worth[: choices.hashtags]}
    # … and written from broad to specific.
    ordered = distinct([*(tag for tag in BROAD if tag in kept), *broader, *nouns, *own])
    return tuple(f"#{tag}" for tag in ordered if tag.casefold() in kept)


def topics(about: Topic) -> Iterator[str]:
    """The broad tags above what is seen: pets for a dog, sea for a beach, surfing for a surfer."""
    known = data.things()
    for thing in about.things:
        if thing.base in known:
            yield known[thing.base].tag
    for word in about.words:
        if is_person(word):
            yield known[singular(word) if singular(word) in known else word].tag
        elif caption_verb(word) and (doing := known.get(verb_form(caption_verb(word), "VBG"))):
            yield doing.tag
    if about.kind == "people":
        yield "people"


def names(note: str) -> Iterator[str]:
    """Tags in a person's own words: names, nouns, and every word of another script.

    Words with capitals that stand together are one name: "Central Park" → CentralPark.
    """
    for phrase in regex.split(r"[,;.!?…:/|()]+", regex.sub(r"\S+://\S+|www\.\S+", " ", note)):
        words = [word for word in WORDS.findall(phrase) if not word.startswith("@")]
        for capital, group in itertools.groupby(words, key=lambda word: word[:1].isupper()):
            chosen = [regex.sub(r"['’]s$", "", word) for word in group if word.lower() not in SMALL_WORDS]
            if capital and len(chosen) <= NAME:
                yield "".join(chosen)
            else:
                yield from (word for word in chosen if capital or _says_something(word))


def _says_something(word: str) -> bool:
    plain = word.strip("#'’-_").lower()
    return not plain.isascii() or not lemmas(plain) or (is_noun(plain) and plain not in data.words("vague"))


def usable(words: Iterable[str]) -> list[str]:
    """Words as tags; those that cannot be one, and restricted ones, are left out."""
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
    """The first of those that differ only by case."""
    first: dict[str, str] = {}
    for tag in tags:
        first.setdefault(tag.casefold(), tag)
    return list(first.values())
