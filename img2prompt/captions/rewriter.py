"""Who writes the sentences of a post: an interface, and the templates behind it today."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from img2prompt.captions.limits import HOOK_ROOM, size
from img2prompt.captions.post import Choices, Seen
from img2prompt.captions.templates import Template, load_tone
from img2prompt.captions.topic import Topic, topic

LONGEST_SENTENCE = 160  # of a body; a longer one is a caption gone wrong
# Said once in a post is enough.
SAID_ONCE = frozenset("colour colours format place first second action loved count".split())


@dataclass(frozen=True)
class Draft:
    """The sentences of one post, before the person's note, emoji and hashtags."""

    hook: str
    body: tuple[str, ...] = ()
    call: str = ""  # to action; empty without a goal


class Rewriter(Protocol):
    """Writes drafts on what was seen. The composer keeps the limits, whatever is written."""

    def write(self, seen: Sequence[Seen], choices: Choices) -> list[Draft]:
        """`choices.variants` different drafts; the same for the same arguments."""


class TemplateRewriter:
    """Fills the templates of the chosen tone.

    All pairs of a hook and a first body sentence are walked in an order shuffled by what
    was seen; seed n is page n of that walk, so nothing comes back until all was shown.
    """

    def write(self, seen: Sequence[Seen], choices: Choices) -> list[Draft]:
        """See `Rewriter`; fewer drafts where the pictures give too little to talk about."""
        about = topic(seen)
        parts = parts_of(about)
        tone = load_tone(choices.tone)

        def filled(section: str, limit: int) -> list[tuple[Template, str]]:
            found = [(t, t.fill(parts)) for t in tone.usable(section, about, parts)]
            found = [pair for pair in found if size(pair[1]) <= limit] or found
            found = list({text: (t, text) for t, text in reversed(found)}.values())  # templates may agree
            random.Random(f"{choices.tone}/{section}/{about.sentence}").shuffle(found)
            return found

        hooks = filled("hooks", HOOK_ROOM)
        looks, thoughts = filled("looks", LONGEST_SENTENCE), filled("thoughts", LONGEST_SENTENCE)
        bodies = [*looks, *thoughts]
        random.Random(f"{choices.tone}/{about.sentence}").shuffle(bodies)
        calls = (
            [text for _, text in filled(choices.goal, LONGEST_SENTENCE)] if choices.goal != "none" else [""]
        )
        if choices.length == "line" and len(hooks) >= choices.variants:
            pairs: list[tuple[str, tuple[str, ...]]] = [(hook, ()) for _, hook in hooks]
        else:
            pairs = [
                (
                    hook[1],
                    tuple(text for _, text in further(hook, body, looks, thoughts, choices.length, turn)),
                )
                for turn, (hook, body) in enumerate(walk(hooks, bodies))
                if not repeats(hook[0], body[0])
            ]
        return list(islice(self._drafts(pairs, calls, choices), choices.variants))

    def _drafts(
        self, pairs: Sequence[tuple[str, tuple[str, ...]]], calls: Sequence[str], choices: Choices
    ) -> Iterator[Draft]:
        start = choices.seed * choices.variants
        shown = set()
        for k in range(start, start + len(pairs)):
            hook, body = pairs[k % len(pairs)]
            if choices.length == "line" and body:
                hook, body = f"{hook} {body[0]}", ()
            if (hook, body) not in shown:
                shown.add((hook, body))
                yield Draft(hook, body, calls[k % len(calls)])


def walk(
    hooks: Sequence[tuple[Template, str]], bodies: Sequence[tuple[Template, str]]
) -> Iterator[tuple[tuple[Template, str], tuple[Template, str]]]:
    """All pairs, diagonal by diagonal: neighbours differ in both parts."""
    for shift in range(len(bodies)):
        for i, hook in enumerate(hooks):
            yield hook, bodies[(i + shift) % len(bodies)]


def repeats(one: Template, other: Template) -> bool:
    """Whether two sentences of a post would say the same part twice."""
    return bool(one.slots & other.slots & SAID_ONCE)


def further(
    hook: tuple[Template, str],
    first: tuple[Template, str],
    looks: Sequence[tuple[Template, str]],
    thoughts: Sequence[tuple[Template, str]],
    length: str,
    turn: int,
) -> list[tuple[Template, str]]:
    """The first body sentence, and for a long post one to three more: looks before thoughts."""
    if length != "long":
        return [first]
    chosen = [first]
    wanted = 2 + turn % 3
    for pool, most in ((looks, 2), (thoughts, 2)):
        taken = sum(one in pool for one in chosen)
        for j in range(len(pool)):
            one = pool[(turn + j) % len(pool)]
            if taken >= most or len(chosen) >= wanted:
                break
            if one not in chosen and not any(repeats(one[0], other[0]) for other in [hook, *chosen]):
                chosen.append(one)
                taken += 1
    return sorted(chosen, key=lambda one: one in thoughts)


def parts_of(about: Topic) -> dict[str, str]:
    """Slot → words; a slot without words is empty."""
    colours = list(about.colours[:2])
    numbers = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return {
        "sentence": about.sentence,
        "scene": about.scene,
        "subject": about.subject,
        "definite": about.definite,
        "action": about.action,
        "place": about.place,
        "first": about.things[0] if len(about.things) > 1 else "",
        "second": about.things[1] if len(about.things) > 1 else "",
        "loved": about.favourites[0] if about.favourites else "",
        "colour": colours[0] if colours else "",
        "colours": " and ".join(colours) if len(colours) > 1 else "",
        "format": about.orientation if about.count == 1 else "",
        "count": numbers[about.count] if about.count < len(numbers) else str(about.count),
        "are": "are" if about.plural else "is",
        "them": "them" if about.plural or about.kind == "people" else "it",
    }
