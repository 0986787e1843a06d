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
class Line:
    """A line of text in a picture."""

    text: str
    score: float  # of how sure the reader is, 0 to 1
    # (x, y) of the four corners as parts of the picture's width and height, from the text's top left clockwise
    box: tuple[tuple[float, float], ...]

    @property
    def top(self) -> float:
        """Where it begins, as part of the picture's height."""
        return min(y for _, y in self.box)

    @property
    def height(self) -> float:
        """Of its letters, as part of the picture's height."""
        return max(y for _, y in self.box) - self.top


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


MOST_STEPS = 10**6  # of a sampler; a file that tells of more does not tell the truth
Labels = Mapping[str, Sequence[tuple[str, float]]]  # table name → matches, best first


@dataclass(frozen=True)
class Stored:
    """The prompt that a picture's own file holds, and how the picture was made; None where the file does not say."""

    prompt: str | None = None
    negative: str | None = None
    model: str | None = None
    sampler: str | None = None
    steps: int | None = None  # below `MOST_STEPS`
    seed: int | None = None  # below 2**64
    size: tuple[int, int] | None = None  # width and height in pixels, as the tool was asked for
    tool: str | None = None  # that made the picture; "AI" for one that is not named

    def record(self) -> dict[str, Any]:
        """In JSON's types."""
        return {**asdict(self), "size": list(self.size) if self.size else None}

    def settings_line(self) -> str:
        """Everything but the prompts, as one line: ``ComfyUI, sdxl.safetensors, euler, 20 steps, seed 7, 512×768``."""
        parts = [self.tool, self.model, self.sampler]
        parts.append(None if self.steps is None else f"{self.steps} steps")
        parts.append(None if self.seed is None else f"seed {self.seed}")
        parts.append(f"{self.size[0]}×{self.size[1]}" if self.size else None)
        return ", ".join(" ".join(part.split()) for part in parts if part)


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
    text: tuple[Line, ...] = ()  # that can be read in the picture, where it was looked for
    stored: Stored | None = None  # what its file says; None where that is nothing, or is not to be given
    instruction: str = ""  # that the engine followed, as it was told
    trigger: str = ""  # the word that the caption was to begin with

    def record(self) -> dict[str, Any]:
        """The words in JSON's types; the embedding and the timings are left out."""
        words = words_record(self.caption, self.prompt, self.labels)
        details = {"details": self.details.record()} if self.details else {}
        text = [{"text": line.text, "score": round(line.score, 4), "box": line.box} for line in self.text]
        read = {"text": text} if text else {}
        stored = {"stored": self.stored.record() if self.stored else None}
        asked = {"instruction": self.instruction, "trigger": self.trigger}
        asked = {name: value for name, value in asked.items() if value}
        return {**words, **details, **read, **stored, **asked, "engine": self.engine, "model": self.model}


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
