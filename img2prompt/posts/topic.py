"""Cut captions into the parts that sentences are made of.

A caption is one sentence or noun phrase in simple English, so a few rules find its parts
(`clause`, `nouns`). A part that the rules are not certain of stays empty, and sentences
that need it are not written.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from img2prompt.posts import nouns
from img2prompt.posts.clause import find_verb, split
from img2prompt.posts.grammar import DETERMINERS, is_gerund, written
from img2prompt.posts.neutral import plain_words
from img2prompt.posts.nouns import Mention
from img2prompt.posts.post import Seen
from img2prompt.posts.prose import first_sentence, is_english

LISTED = 3  # subjects of a carousel that are named


@dataclass(frozen=True)
class Topic:
    """The parts of one caption, or of the captions of several pictures; lower case except for names."""

    sentence: str = ""  # the whole caption: "a brown dog is running on the beach"
    scene: str = ""  # as a noun phrase: "a brown dog running on the beach"
    subject: str = ""  # who or what: "a brown dog"
    definite: str = ""  # the subject with a definite article: "the brown dog"
    action: str = ""  # what it is doing: "running on the beach"
    place: str = ""  # where it happens: "on the beach"
    things: tuple[Mention, ...] = ()  # things named, without people and clothes
    plural: bool = False  # whether the subject takes "are"
    kind: str = "things"  # of the subject: people, animals, food or things
    words: tuple[str, ...] = ()  # of the captions, after `plain_words`
    colours: tuple[str, ...] = ()  # dominant colours, the largest first
    orientation: str = ""  # empty where several pictures differ
    count: int = 1  # number of pictures

    @property
    def loved(self) -> tuple[str, ...]:
        """The things that one can love: "dogs", "snow". Computed when asked for, as plurals take a library."""
        return tuple(dict.fromkeys(filter(None, (nouns.loved(thing.base) for thing in self.things))))


def topic(seen: Sequence[Seen]) -> Topic:
    """The topic of one picture, or of several: then one list of their subjects."""
    topics = [replace(_parts(s.caption), colours=tuple(s.colours), orientation=s.orientation) for s in seen]
    return topics[0] if len(topics) == 1 else _of_several(topics)


@functools.lru_cache(maxsize=256)  # the same picture is written about again and again
def _parts(caption: str) -> Topic:
    sentence = first_sentence(caption)
    words = plain_words(sentence or caption)
    if not sentence:  # of tags only what they name can be used
        return Topic(things=nouns.things(words), words=tuple(words)) if is_english(caption) else Topic()
    verb = find_verb(words)
    before, predicate = split(words, verb)
    core = before[: nouns.core_length(before)]
    head = nouns.head(core)
    subject = written(before[:-1] if before[-1:] == ["and"] else before) if head else ""
    things = nouns.things(words, verb)
    place = nouns.place(words)
    joined = any(
        word == "and" and after in DETERMINERS
        for word, after in zip(before[len(core) :], before[len(core) + 1 :], strict=False)
    )  # "a woman in black and a man": the core is only one of them
    doing = head and predicate and any(is_gerund(predicate, i) for i in range(min(2, len(predicate))))
    return Topic(
        sentence=written(words),
        scene=written([*before, *predicate]) if head and predicate is not None else "",
        subject=subject,
        definite=nouns.definite(core) if head and not joined else "",
        action=written(predicate) if doing and predicate else "",
        place=place if place not in subject else "",
        things=things,
        plural=joined or nouns.is_several(core, head),
        kind=nouns.kind(core, head),
        words=tuple(words),
    )


def _of_several(topics: Sequence[Topic]) -> Topic:
    subjects = list(dict.fromkeys(t.subject or t.sentence for t in topics if t.sentence))
    together = _listed(subjects)
    kinds = {t.kind for t in topics if t.sentence}
    colours = Counter(colour for t in topics for colour in t.colours)
    orientations = {t.orientation for t in topics}
    return Topic(
        sentence=together,
        scene=together,
        subject=together,
        things=tuple(dict.fromkeys(thing for t in topics for thing in t.things)),
        plural=len(subjects) > 1,
        kind=kinds.pop() if len(kinds) == 1 else "things",
        words=tuple(word for t in topics for word in t.words),
        colours=tuple(colour for colour, times in colours.most_common(2) if times > 1),
        orientation=orientations.pop() if len(orientations) == 1 else "",
        count=len(topics),
    )


def _listed(phrases: list[str]) -> str:
    """Join phrases: "a dog, two men and a plate of food"; more than three end in "and more"."""
    if len(phrases) > LISTED:
        phrases = [*phrases[:LISTED], "more"]
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)
