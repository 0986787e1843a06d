"""An engine that chats, for tests of what is written by a model: lite, with answers that the test gives it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy

from img2prompt import Pipeline
from img2prompt.engines.base import Question

MODEL = "talker-1b"


def with_answers(
    pipeline: Pipeline, answer: Callable[[Question], Iterable[str]]
) -> tuple[Pipeline, list[Question]]:
    """A pipeline whose engine answers so, and the list of the questions that it is asked."""
    asked: list[Question] = []

    class Chatting(type(pipeline.engine)):  # type: ignore[misc]
        chats = True
        captioner = MODEL

        def chat(self, question: Question) -> Iterator[str]:
            asked.append(question)
            yield from answer(question)

    engine = copy(pipeline.engine)
    engine.__class__ = Chatting
    return Pipeline(engine, pipeline.sentences, pipeline.tables, pipeline.settings), asked


def as_json(posts: Sequence[Mapping[str, object]]) -> str:
    """An answer as it was asked for."""
    return json.dumps({"posts": posts}, ensure_ascii=False)


def in_pieces(text: str, seed: int = 0) -> Iterator[str]:
    """A text in pieces of one to nine characters."""
    dice, start = random.Random(seed), 0
    while start < len(text):
        end = start + dice.randint(1, 9)
        yield text[start:end]
        start = end
