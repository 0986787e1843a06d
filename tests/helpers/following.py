"""An engine that follows instructions: the bundled one, which repeats what it is told in its captions."""

from collections.abc import Sequence
from typing import Any

from img2prompt import Pipeline
from img2prompt.engines.base import Engine, Request
from img2prompt.results import Description
from img2prompt.settings import Settings


class Following:
    """The bundled engine but for its captions: an instruction, or with `says` that text for each picture."""

    follows = True

    def __init__(self, engine: Engine, says: str = ""):
        self._engine, self._says = engine, says
        self.heard: list[str] = []  # all instructions so far

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def describe(
        self, features: Any, beams: int = 0, requests: Sequence[Request] | None = None
    ) -> list[Description]:
        plain = self._engine.describe(features, beams)
        if requests is None:
            return plain
        self.heard += [request.instruction for request in requests]
        return [
            Description(self._says or request.instruction) if request.instruction else own
            for own, request in zip(plain, requests, strict=True)
        ]


def following(pipeline: Pipeline, says: str = "", **settings: Any) -> Pipeline:
    """A pipeline on the same weights whose engine follows."""
    engine = Following(pipeline.engine, says)
    return Pipeline(engine, pipeline.sentences, pipeline.tables, Settings(engine="lite", **settings))
