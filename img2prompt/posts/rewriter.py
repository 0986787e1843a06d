"""Who writes the sentences of a post: an interface, and the templates behind it today."""

from __future__ import annotations

import functools
import random
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

from img2prompt.posts.limits import HOOK_ROOM, size
from img2prompt.posts.post import Choices, Seen
from img2prompt.posts.templates import Template, Tone, load_tone
from img2prompt.posts.topic import Topic, topic

LONGEST_SENTENCE = 160  # UTF-16 units of a body sentence or call; a longer one is a caption gone wrong
SENTENCES = (2, 3, 4)  # of a long post's body, in turn
# A post speaks of these once; other slots (the scene, the subject) may come again as "the dog".
SAID_ONCE = {
    "colours": "colour",
    "colour": "colour",
    "first": "things",
    "second": "things",
    "definite": "definite",
    "place": "things",
    "action": "things",
    "loved": "loved",
    "format": "format",
    "count": "count",
}
UNREMARKABLE = frozenset("this that with here what have from more when them then your".split())


@dataclass(frozen=True)
class Draft:
    """The sentences of one post, before the person's note, emoji and hashtags."""

    hook: str
    body: tuple[str, ...] = ()
    call: str = ""  # to action; empty without a goal


class Rewriter(Protocol):
    """Writes drafts on what was seen. The composer keeps the limits, whatever is written."""

    def write(self, seen: Sequence[Seen], choices: Choices) -> list[Draft]:
        """`choices.variants` different drafts, the same for the same arguments."""


class Sentence(NamedTuple):
    """A template and what became of it."""

    template: Template
    text: str


class TemplateRewriter:
    """Fills the templates of the chosen tone.

    All pairs of a hook and a first body sentence are walked in an order shuffled by what
    was seen; seed n is page n of that walk, so nothing comes back until all was shown.
    """

    def write(self, seen: Sequence[Seen], choices: Choices) -> list[Draft]:
        """See `Rewriter`; fewer drafts where the pictures give too little to talk about."""
        return list(islice(self._drafts(topic(seen), load_tone(choices.tone), choices), choices.variants))

    def _drafts(self, about: Topic, tone: Tone, choices: Choices) -> Iterator[Draft]:
        hooks = sentences(tone, ["hooks"], about, HOOK_ROOM)
        telling = [hook for hook in hooks if hook.template.slots]
        hooks = telling if len(telling) >= choices.variants else hooks  # the others speak of no picture
        looks = sentences(tone, ["looks"], about, LONGEST_SENTENCE)
        thoughts = sentences(tone, ["thoughts"], about, LONGEST_SENTENCE)
        goal = [] if choices.goal == "none" else [choices.goal]
        calls = sentences(tone, goal, about, LONGEST_SENTENCE)
        alone = choices.length == "line" and len(hooks) >= choices.variants
        posts = (
            [(hook,) for hook in hooks] if alone else list(pairs(hooks, shuffled([*looks, *thoughts], about)))
        )
        start = choices.seed * choices.variants
        for turn in range(start, start + len(posts)):
            hook, *body = posts[turn % len(posts)]
            if choices.length == "long":
                body = lengthened(hook, body, looks, thoughts, turn)
            call = next(agreeing([hook, *body], rotated(calls, turn)), None)
            text = (
                " ".join(sentence.text for sentence in (hook, *body))
                if choices.length == "line"
                else hook.text
            )
            below = () if choices.length == "line" else tuple(sentence.text for sentence in body)
            yield Draft(text, below, call.text if call else "")


def sentences(tone: Tone, sections: Sequence[str], about: Topic, limit: int) -> list[Sentence]:
    """The sentences of some sections that suit a topic, all different, shuffled by it.

    Those longer than `limit` UTF-16 units are left out where there are shorter ones.
    """
    parts = parts_of(about)
    usable = (template for section in sections for template in tone.usable(section, about, parts))
    filled = {text: Sentence(template, text) for template in usable if (text := template.fill(parts))}
    short = [sentence for sentence in filled.values() if size(sentence.text) <= limit]
    return shuffled(short or list(filled.values()), about)


def shuffled(found: Sequence[Sentence], about: Topic) -> list[Sentence]:
    """In an order that depends on the topic and nothing else."""
    return random.Random(about.sentence).sample(found, len(found))


def pairs(hooks: Sequence[Sentence], bodies: Sequence[Sentence]) -> Iterator[tuple[Sentence, ...]]:
    """All pairs that agree, diagonal by diagonal, so that neighbours differ in both parts."""
    own = [said(hook.template) for hook in hooks]
    others = [said(body.template) for body in bodies]
    for shift in range(len(bodies)):
        for i, hook in enumerate(hooks):
            j = (i + shift) % len(bodies)
            if own[i].isdisjoint(others[j]):
                yield hook, bodies[j]


def lengthened(
    hook: Sentence, body: list[Sentence], looks: Sequence[Sentence], thoughts: Sequence[Sentence], turn: int
) -> list[Sentence]:
    """A body of two to four sentences, at most two of either kind, what is seen before what is thought."""
    wanted = SENTENCES[turn % len(SENTENCES)]
    for pool in (looks, thoughts):
        for _ in range(min(2, wanted - len(body)) - sum(sentence in pool for sentence in body)):
            body = [*body, *islice(agreeing([hook, *body], rotated(pool, turn)), 1)]
    return sorted(body, key=lambda sentence: sentence in thoughts)


def agreeing(chosen: Sequence[Sentence], pool: Iterable[Sentence]) -> Iterator[Sentence]:
    """The sentences of a pool that say nothing the chosen ones say."""
    taken = frozenset().union(*(said(sentence.template) for sentence in chosen))
    return (sentence for sentence in pool if taken.isdisjoint(said(sentence.template)))


def rotated(pool: Sequence[Sentence], turn: int) -> list[Sentence]:
    """A pool that begins further on with every turn."""
    start = turn % len(pool) if pool else 0
    return [*pool[start:], *pool[:start]]


@functools.cache
def said(template: Template) -> frozenset[str]:
    """What a template speaks of: its slots by subject, and its own words of four letters or more."""
    own = "".join(text for text, *_ in string.Formatter().parse(template.text)).lower()
    slots = {SAID_ONCE[slot] for slot in template.slots if slot in SAID_ONCE}
    return (frozenset(re.findall(r"[a-z']{4,}", own)) - UNREMARKABLE) | slots


def parts_of(about: Topic) -> dict[str, str]:
    """Slot → words, and slot with a capital → the same with one; a slot without words is empty."""
    numbers = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    named = [thing.said for thing in about.things if thing.whole]
    first, second = named[:2] if len(named) > 1 else ("", "")
    parts = {
        "sentence": about.sentence,
        "scene": about.scene,
        "what": about.scene or about.sentence,
        "subject": about.subject,
        "definite": about.definite,
        "action": about.action,
        "place": about.place,
        "first": first,
        "second": second,
        "loved": about.loved[0] if about.loved else "",
        "colour": about.colours[0] if about.colours else "",
        "colours": " and ".join(about.colours[:2]) if len(about.colours) > 1 else "",
        "format": about.orientation if about.count == 1 else "",
        "count": numbers[about.count] if about.count < len(numbers) else str(about.count),
        "are": "are" if about.plural else "is",
    }
    return parts | {slot.capitalize(): words[:1].upper() + words[1:] for slot, words in parts.items()}
