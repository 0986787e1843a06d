"""Choose emoji: those of the things in the picture first, then neutral ones."""

from __future__ import annotations

from collections.abc import Sequence

from img2prompt.posts import data
from img2prompt.posts.grammar import singular
from img2prompt.posts.post import Choices

NEUTRAL = ("✨", "📷", "💫", "👀", "🤍", "🌟")  # say nothing about the picture
CALLS = {"question": "💬", "save": "🔖", "tag": "👋"}


def emoji_of(words: Sequence[str]) -> list[str]:
    """The emoji that belong to these words, in order and without repetition."""
    known = data.things()
    named = (known.get(word) or known.get(singular(word)) for word in words)
    return list(dict.fromkeys(thing.emoji for thing in named if thing and thing.emoji))


def decorate(
    hook: str, body: Sequence[str], call: str, seen: Sequence[str], choices: Choices, turn: int
) -> list[str]:
    """Add emoji to the ends of some sentences; empty sentences stay empty.

    Parameters
    ----------
    hook, body, call : the sentences of a draft
    seen : emoji of the things in the picture
    choices : how many emoji: off, few (one or two in all) or many (three to six)
    turn : varies how many and which

    Returns
    -------
    The hook, the body's sentences and the call, as one list.
    """
    sentences = [hook, *body, call]
    if choices.emoji == "off":
        return sentences
    count = 1 + turn % 2 if choices.emoji == "few" else max(3, min(6, len(seen) + 1 + turn % 2))
    if call and count > 1:
        sentences[-1] = f"{call} {CALLS[choices.goal]}"
        count -= 1
    spare = [NEUTRAL[(turn + i) % len(NEUTRAL)] for i in range(len(NEUTRAL))]
    chosen = [*seen[:4], *(sign for sign in spare if sign not in seen)][:count]
    filled = [i for i, sentence in enumerate([hook, *body]) if sentence]
    for i, position in enumerate(filled):
        if share := "".join(chosen[i :: len(filled)]):
            sentences[position] = f"{sentences[position]} {share}"
    return sentences
