"""Prompt banks: the index of vectors and the files beside it, bytes and values."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from img2prompt.embeddings import WIDTH, unit
from img2prompt.ensemble.knn import PromptBank, build_bank
from tests.fuzz.mutations import mutate

MEGABYTES = 500  # faiss and what it stands on take a good part
PROMPTS = 12
WRONG = (
    None,
    True,
    "",
    "1",
    -1,
    0,
    1.5,
    10**9,
    2**63,
    1e308,
    -0.0,
    float("nan"),
    float("inf"),
    [],
    {},
    [[1]],
)


class Random384:
    """In the place of an engine and of MiniLM: a random unit vector for each text."""

    name = space = "random"

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        rng = np.random.default_rng(len(texts))
        return unit(rng.standard_normal((len(texts), WIDTH)).astype(np.float32))

    encode = embed_texts


def make(chooser: Random) -> dict[str, bytes]:
    files = dict(sound())
    for name in chooser.sample(sorted(files), chooser.choice((1, 1, 1, 2))):
        if name.endswith(".json") and chooser.random() < 0.7:
            files[name] = with_wrong_value(files[name], chooser)
        else:
            others = list(sound().values())
            files[name] = mutate(files[name] or b"\0", chooser, others, (PROMPTS, WIDTH))
    return files


def attempt(folder: Path) -> None:
    PromptBank(folder).predict(pictures())


@functools.cache
def pictures() -> np.ndarray:
    return Random384().embed_texts(["one", "two"])


@functools.cache
def sound() -> dict[str, bytes]:
    """The files of a small bank, the same at each call."""
    with tempfile.TemporaryDirectory() as folder:
        texts: Any = Random384()
        build_bank(Path(folder), [f"prompt {number}" for number in range(PROMPTS)], texts, texts)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def with_wrong_value(data: bytes, chooser: Random) -> bytes:
    """The same settings with one replaced, left out or added."""
    settings = json.loads(data)
    name = chooser.choice([*settings, "unknown"])
    if chooser.random() < 0.2:
        settings.pop(name, None)
    else:
        settings[name] = chooser.choice(WRONG)
    return json.dumps(settings).encode()
