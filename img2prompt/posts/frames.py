"""Fill the sentences of a tone of the user's own, which speak of the parts of a caption."""

from __future__ import annotations

import functools
import random
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from img2prompt.posts.limits import size
from img2prompt.posts.post import Choices, Seen
from img2prompt.posts.rewriter import Draft
from img2prompt.posts.templates import Template, Tone, load_tone
from img2prompt.posts.topic import Topic, topic

LONGEST_HOOK = 113  # UTF-16 units; the rest of the first line is for emoji
LONGEST_SENTENCE = 160  # UTF-16 units of a body sentence or call; a longer one is a caption gone wrong
SENTENCES = (2, 3, 4)  # of a long post's body, in turn
# Slots that a post fills once, by subject; others (the scene, the subject) may come again as "the dog".
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
# Words that two sentences of a post may share.
UNREMARKABLE = frozenset("this that with here what have from more when them then your".split())


class Sentence(NamedTuple):
    """A template and its text with all slots filled."""

    template: Template
    text: str


class TemplateRewriter:
    """Fills the templates of a tone: all pairs of a hook and a first body sentence.

    Their order depends on the picture. Seed n starts at page n, so nothing comes again before all was shown.
    """

    def write(self, seen: Sequence[Seen], choices: Choices) -> list[Draft]:
        """As `Rewriter.write`; fewer drafts where the pictures give too little to talk about."""
        return list(islice(self._drafts(topic(seen), load_tone(choices.tone), choices), choices.variants))

    def _drafts(self, topic: Topic, tone: Tone, choices: Choices) -> Iterator[Draft]:
        hooks = sentences(tone, ["hooks"], topic, LONGEST_HOOK)
        telling = [hook for hook in hooks if hook.template.slots]
        if len(telling) >= choices.variants:
            hooks = telling  # the others say nothing about the picture
        looks = sentences(tone, ["looks"], topic, LONGEST_SENTENCE)
        thoughts = sentences(tone, ["thoughts"], topic, LONGEST_SENTENCE)
        goal = [] if choices.goal == "none" else [choices.goal]
        calls = sentences(tone, goal, topic, LONGEST_SENTENCE)
        alone = choices.length == "line" and len(hooks) >= choices.variants
        posts = (
            [(hook,) for hook in hooks] if alone else list(pairs(hooks, shuffled([*looks, *thoughts], topic)))
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


def sentences(tone: Tone, sections: Sequence[str], topic: Topic, limit: int) -> list[Sentence]:
    """Fill the templates of some sections that suit a topic: all different, in an order shuffled by it.

    Sentences of more than `limit` UTF-16 units are left out, unless all are that long.
    """
    parts = parts_of(topic)
    usable = (template for section in sections for template in tone.usable(section, topic, parts))
    filled = {text: Sentence(template, text) for template in usable if (text := template.fill(parts))}
    short = [sentence for sentence in filled.values() if size(sentence.text) <= limit]
    return shuffled(short or list(filled.values()), topic)


def shuffled(pool: Sequence[Sentence], topic: Topic) -> list[Sentence]:
    """The sentences in an order that depends on the topic and nothing else."""
    return random.Random(topic.sentence).sample(pool, len(pool))


def pairs(hooks: Sequence[Sentence], bodies: Sequence[Sentence]) -> Iterator[tuple[Sentence, ...]]:
    """All pairs whose parts do not repeat each other, ordered so that neighbours differ in both parts."""
    by_hook = [said(hook.template) for hook in hooks]
    by_body = [said(body.template) for body in bodies]
    for shift in range(len(bodies)):
        for i, hook in enumerate(hooks):
            j = (i + shift) % len(bodies)
            if by_hook[i].isdisjoint(by_body[j]):
                yield hook, bodies[j]


def lengthened(
    hook: Sentence, body: list[Sentence], looks: Sequence[Sentence], thoughts: Sequence[Sentence], turn: int
) -> list[Sentence]:
    """Extend a body to two to four sentences: at most two on what is seen, then at most two thoughts."""
    length = SENTENCES[turn % len(SENTENCES)]
    for pool in (looks, thoughts):
        for _ in range(min(2, length - len(body)) - sum(sentence in pool for sentence in body)):
            body = [*body, *islice(agreeing([hook, *body], rotated(pool, turn)), 1)]
    return sorted(body, key=lambda sentence: sentence in thoughts)


def agreeing(chosen: Sequence[Sentence], pool: Iterable[Sentence]) -> Iterator[Sentence]:
    """The sentences of a pool that repeat nothing of the chosen ones."""
    taken = frozenset().union(*(said(sentence.template) for sentence in chosen))
    return (sentence for sentence in pool if taken.isdisjoint(said(sentence.template)))


def rotated(pool: Sequence[Sentence], turn: int) -> list[Sentence]:
    """The pool, starting one sentence later with every turn."""
    start = turn % len(pool) if pool else 0
    return [*pool[start:], *pool[:start]]


@functools.lru_cache(maxsize=10_000)
def said(template: Template) -> frozenset[str]:
    """What a template speaks of: the subjects of its slots, and its own words of four letters or more."""
    own = "".join(text for text, *_ in string.Formatter().parse(template.text)).lower()
    slots = {SAID_ONCE[slot] for slot in template.slots if slot in SAID_ONCE}
    return (frozenset(re.findall(r"[a-z']{4,}", own)) - UNREMARKABLE) | slots


def parts_of(topic: Topic) -> dict[str, str]:
    """Slot → words for a topic, and capitalised slot → capitalised words; empty where there are none."""
    numbers = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    named = [thing.said for thing in topic.things if thing.whole]
    first, second = named[:2] if len(named) > 1 else ("", "")
    parts = {
        "sentence": topic.sentence,
        "scene": topic.scene,
        "what": topic.scene or topic.sentence,
        "subject": topic.subject,
        "definite": topic.definite,
        "action": topic.action,
        "place": topic.place,
        "first": first,
        "second": second,
        "loved": topic.loved[0] if topic.loved else "",
        "colour": topic.colours[0] if topic.colours else "",
        "colours": " and ".join(topic.colours[:2]) if len(topic.colours) > 1 else "",
        "format": topic.orientation if topic.count == 1 else "",
        "count": numbers[topic.count] if topic.count < len(numbers) else str(topic.count),
        "are": "are" if topic.plural else "is",
    }
    return parts | {slot.capitalize(): words[:1].upper() + words[1:] for slot, words in parts.items()}
