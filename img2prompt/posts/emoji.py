"""Choose emoji: those of the picture's themes first, then those of the things that the caption names."""

from __future__ import annotations

from collections.abc import Sequence

from img2prompt.posts import data
from img2prompt.posts.grammar import singular
from img2prompt.posts.phrases import Theme
from img2prompt.posts.post import Choices
from img2prompt.posts.voice import voice_of

NEUTRAL = ("✨", "📷", "💫", "👀", "🤍", "🌟")  # say nothing about the picture
CALLS = {"question": "💬", "save": "🔖", "tag": "👋"}
EVERY = 3  # post that has one where few are wanted: of what people post, a third has
MANY = (3, 4)  # emoji of a post, by turns


def emoji_of(themes: Sequence[Theme], words: Sequence[str]) -> list[str]:
    """The emoji that belong to these themes and words, in order and without repetition.

    Words count only where there is no theme, as a caption names this and that.
    """
    if themes:
        return list(dict.fromkeys(sign for theme in themes for sign in theme.emoji))
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
    seen : emoji of the picture
    choices : how many emoji: off, few (one at the end, in every third post) or many (three or four)
    turn : varies how many and which

    Returns
    -------
    The hook, the body's sentences and the call, as one list.
    """
    sentences = [hook, *body, call]
    last = max((i for i, sentence in enumerate([hook, *body]) if sentence), default=0)
    if choices.emoji == "few":
        voice = voice_of(choices)
        wanted = voice.has_emoji(turn) if voice else turn % EVERY == 0
        if wanted and sentences[last]:
            signs = seen or NEUTRAL
            sentences[last] += f" {signs[turn // EVERY % len(signs)]}"
    elif choices.emoji == "many":
        spare = [NEUTRAL[(turn + i) % len(NEUTRAL)] for i in range(len(NEUTRAL))]
        chosen = [*seen[:4], *(sign for sign in spare if sign not in seen)][: MANY[turn % 2]]
        if call:
            sentences[-1] = f"{call} {CALLS[choices.goal]}"
            chosen = chosen[:-1]
        filled = [i for i, sentence in enumerate([hook, *body]) if sentence]
        for i, position in enumerate(filled):
            if share := "".join(chosen[i :: len(filled)]):
                sentences[position] += f" {share}"
    return sentences
