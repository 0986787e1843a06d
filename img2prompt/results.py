"""What the pipeline returns about one picture, and its form in JSON and spreadsheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np


class Match(NamedTuple):
    """A label and its cosine with the picture, -1 to 1."""

    label: str
    score: float


@dataclass(frozen=True)
class Description:
    """What an engine says of one picture in words of its own; empty where it says nothing of the kind."""

    caption: str
    detailed: str = ""  # a paragraph
    prompt: str = ""  # that could have made the picture
    tags: tuple[str, ...] = ()
    text: str = ""  # that can be read in the picture
    alt: str = ""

    def record(self) -> dict[str, Any]:
        """What there is besides the caption, in JSON's types."""
        values = {**asdict(self), "tags": list(self.tags)}
        del values["caption"]
        return {name: value for name, value in values.items() if value}


Labels = Mapping[str, Sequence[tuple[str, float]]]  # table name → matches, best first


@dataclass(frozen=True, eq=False)
class Result:
    """What the pipeline says about one picture."""

    caption: str
    prompt: str  # in the requested style; for the style "negative" a negative prompt
    labels: dict[str, list[Match]]  # table name → matches, best first
    embedding: np.ndarray  # (384,) float32, unit length
    engine: str
    seconds: float  # this picture's share of the call
    timings: dict[str, float]  # step → seconds, likewise; "wait" is what the call spent on others' pictures
    model: str = ""  # that wrote the caption
    details: Description | None = None  # where the engine says more than a caption
    instruction: str = ""  # that the engine followed, as it was told
    trigger: str = ""  # the word that the caption was to begin with

    def record(self) -> dict[str, Any]:
        """The words in JSON's types; the embedding and the timings are left out."""
        words = words_record(self.caption, self.prompt, self.labels)
        details = {"details": self.details.record()} if self.details else {}
        asked = {"instruction": self.instruction, "trigger": self.trigger}
        asked = {name: value for name, value in asked.items() if value}
        return {**words, **details, **asked, "engine": self.engine, "model": self.model}


def words_record(caption: str, prompt: str, labels: Labels) -> dict[str, Any]:
    """Caption, prompt and labels in JSON's types, as every export and ``--json`` writes them."""
    return {
        "caption": caption,
        "prompt": prompt,
        "labels": {
            table: [{"label": label, "score": round(score, 4)} for label, score in matches]
            for table, matches in labels.items()
        },
    }


def labels_line(labels: Labels) -> str:
    """Labels as one cell of a spreadsheet: ``mediums: a photo; flavors: sunset, beach``."""
    return "; ".join(
        f"{table}: {', '.join(label for label, _ in matches)}" for table, matches in labels.items()
    )
