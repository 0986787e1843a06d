"""An engine that chats, for tests of what is written by a model: lite, with answers that the test gives it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path

import img2prompt
from img2prompt import Pipeline, load_pipeline
from img2prompt.engines.base import Question
from img2prompt.settings import Settings

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


def with_gates(pipeline: Pipeline, hooks: Sequence[str], folder: Path) -> Pipeline:
    """A pipeline whose engine writes one post after another, each when there is a file in a folder with its number."""

    def answer(_: Question) -> Iterator[str]:
        yield '{"posts": ['
        for number, hook in enumerate(hooks, 1):
            while not (folder / str(number)).exists():
                time.sleep(0.05)
            yield from in_pieces(f"{json.dumps({'hook': hook, 'body': '', 'call': ''})}, ")

    return with_answers(pipeline, answer)[0]


def serve_with_gates(hooks: Sequence[str], folder: Path) -> None:
    """Have the app in this process use such an engine; for the start of a server, see `tests.helpers.server`."""
    load = load_pipeline

    def load_chatting(settings: Settings) -> Pipeline:
        return with_gates(load(settings), hooks, folder)

    img2prompt.load_pipeline = load_chatting
