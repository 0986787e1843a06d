"""Emoji for what is seen, and neutral ones where that is not enough."""

from __future__ import annotations

from collections.abc import Sequence

from img2prompt.captions import data
from img2prompt.captions.post import Choices

NEUTRAL = ("✨", "📷", "💫", "👀", "🤍", "🌟")  # say nothing about the picture
CALLS = {"question": "💬", "save": "🔖", "tag": "👇"}


def decorate(sentences: Sequence[str], things: Sequence[str], choices: Choices, turn: int) -> list[str]:
    """The sentences, some with emoji behind them; empty ones stay empty.

    Few means one or two in all, many three to six; `turn` varies how many and which.
    """
    if choices.emoji == "off":
        return list(sentences)
    known = data.things()
    seen = list(
        dict.fromkeys(known[thing].emoji for thing in things if thing in known and known[thing].emoji)
    )
    spare = [NEUTRAL[(turn + i) % len(NEUTRAL)] for i in range(len(NEUTRAL))]
    if choices.goal in CALLS:
        spare.insert(0, CALLS[choices.goal])
    if choices.emoji == "few":
        wanted = 1 + turn % 2 if len(seen) > 1 else 1
        chosen = [*seen, *spare][:wanted]
    else:
        wanted = 3 + turn % 4
        chosen = [*seen[:4], *(sign for sign in spare if sign not in seen)][:wanted]
    places = [i for i, sentence in enumerate(sentences) if sentence]
    added = {i: "" for i in places}
    for k, sign in enumerate(chosen):
        added[places[k % len(places)]] += sign
    return [f"{s} {added[i]}" if s and added[i] else s for i, s in enumerate(sentences)]
