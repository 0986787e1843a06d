"""Emoji for what is seen, and neutral ones where that is not enough."""

from __future__ import annotations

from collections.abc import Sequence

from img2prompt.posts import data
from img2prompt.posts.grammar import singular
from img2prompt.posts.post import Choices

NEUTRAL = ("✨", "📷", "💫", "👀", "🤍", "🌟")  # say nothing about the picture
CALLS = {"question": "💬", "save": "🔖", "tag": "👋"}


def emoji_of(words: Sequence[str]) -> list[str]:
    """The emoji of a caption's words, in order, each once."""
    known = data.things()
    found = (known.get(word) or known.get(singular(word)) for word in words)
    return list(dict.fromkeys(thing.emoji for thing in found if thing and thing.emoji))


def decorate(
    hook: str, body: Sequence[str], call: str, seen: Sequence[str], choices: Choices, turn: int
) -> list[str]:
    """Hook, body sentences and call, some with emoji behind them; empty ones stay empty.

    `seen` are the emoji of what is seen. Few means one or two in all, many three to six;
    `turn` varies how many and which.
    """
    sentences = [hook, *body, call]
    if choices.emoji == "off":
        return sentences
    wanted = 1 + turn % 2 if choices.emoji == "few" else max(3, min(6, len(seen) + 1 + turn % 2))
    if call and wanted > 1:
        sentences[-1] = f"{call} {CALLS[choices.goal]}"
        wanted -= 1
    spare = [NEUTRAL[(turn + i) % len(NEUTRAL)] for i in range(len(NEUTRAL))]
    chosen = [*seen[:4], *(sign for sign in spare if sign not in seen)][:wanted]
    places = [i for i, sentence in enumerate([hook, *body]) if sentence]
    for i, place in enumerate(places):
        if own := "".join(chosen[i :: len(places)]):
            sentences[place] = f"{sentences[place]} {own}"
    return sentences
