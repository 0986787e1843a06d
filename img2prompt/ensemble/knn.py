"""Predict a picture's embedding from the prompts nearest to it in the engine's joint space.

This is k-nearest-neighbours regression that needs no training pictures. A bank holds prompts,
each embedded twice: by the engine's text tower, to be compared with pictures, and by MiniLM, to
answer with. The answer is the mean of the k nearest prompts' MiniLM vectors, weighted by a
softmax of their similarities with the picture. A bank is a folder::

    bank.json             the engine's joint space, number of prompts, k and temperature
    index.faiss           (M, D) float16 vectors in the joint space
    sentences.npy         (M, 384) float16 vectors in MiniLM space
    prompts.txt           one a line

Index and vectors are memory-mapped, so a bank may be larger than the machine's memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2prompt.embeddings import WIDTH, cosines, unit
from img2prompt.ensemble.blend import halves
from img2prompt.ensemble.recipe import BANK
from img2prompt.errors import ConfigError, DataError
from img2prompt.files import replacing, replacing_path

if TYPE_CHECKING:
    from img2prompt.engines.base import Engine
    from img2prompt.minilm import SentenceEncoder

CONFIG, INDEX, SENTENCES, PROMPTS = BANK, "index.faiss", "sentences.npy", "prompts.txt"
BATCH = 1024  # prompts embedded at a time
PICTURES = 32  # pictures whose neighbours' vectors are held at a time
NEIGHBOURS = tuple(2**i for i in range(13))  # tried by `tune`
TEMPERATURES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.5)


@dataclass(frozen=True)
class BankConfig:
    """What a bank was built with and how it answers."""

    engine: str  # the engine's name
    space: str  # the engine's joint space
    prompts: int  # how many
    neighbours: int = 64  # k, the nearest prompts that an answer is made of
    temperature: float = 0.05  # of the softmax over their similarities


@dataclass(frozen=True)
class Tuning:
    """The best number of neighbours and temperature."""

    neighbours: int
    temperature: float
    held_out: float  # mean cosine of each half of the pictures with the choice that is best on the other


class PromptBank:
    """A bank of prompts on disk.

    Parameters
    ----------
    folder : one that `build_bank` wrote

    Raises
    ------
    DataError
        When a file is missing or damaged, or the files don't fit each other.
    """

    def __init__(self, folder: str | Path):
        import faiss

        self.folder = Path(folder)
        try:
            self.config = BankConfig(**json.loads((self.folder / CONFIG).read_text(encoding="utf-8")))
            self.index = faiss.read_index(str(self.folder / INDEX), faiss.IO_FLAG_MMAP_IFC)
            self.sentences = np.load(self.folder / SENTENCES, mmap_mode="r")
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise DataError(
                f"{folder} holds no prompt bank: {error}. Make it with img2prompt train knn."
            ) from error
        if not self.index.ntotal == len(self.sentences) == self.config.prompts:
            raise DataError(f"{folder}: its files are of different banks. Make it again.")

    def check(self, engine: Engine) -> None:
        """Raise ConfigError unless the bank was built in this engine's joint space."""
        if engine.space != self.config.space:
            raise ConfigError(
                f"{self.folder} was built in the space of {self.config.space}, and the {engine.name} engine "
                f"works in {engine.space}. Build a bank with this engine."
            )

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Unit vectors in the joint space (N, D) → predicted embeddings (N, 384), float32 unit vectors."""
        near, rows = self._search(images, self.config.neighbours)
        answers = []
        for start in range(0, len(images), PICTURES):
            batch = slice(start, start + PICTURES)
            weights = _weights(near[batch], self.config.temperature)
            answers.append(np.einsum("nk,nkd->nd", weights, self._vectors(rows[batch])))
        return unit(np.concatenate(answers))

    def tune(self, images: np.ndarray, truth: np.ndarray) -> Tuning:
        """Try all of `NEIGHBOURS` and `TEMPERATURES` on labelled pictures; the best go to ``bank.json``.

        Parameters
        ----------
        images : (N, D) unit vectors in the joint space, N ≥ 2
        truth : (N, 384) unit vectors in MiniLM space

        Raises
        ------
        DataError
            With fewer than two pictures.
        """
        if len(truth) < 2:
            raise DataError("A bank cannot be tuned on fewer than two pictures.")
        counts = [count for count in NEIGHBOURS if count <= self.config.prompts]
        options = [(count, temperature) for temperature in TEMPERATURES for count in counts]
        near, rows = self._search(images, counts[-1])
        scores = np.empty((len(images), len(options)))
        for start in range(0, len(images), PICTURES):
            batch = slice(start, start + PICTURES)
            vectors = self._vectors(rows[batch])
            for number, temperature in enumerate(TEMPERATURES):
                weights = _weights(near[batch], temperature)
                total = np.zeros_like(truth[batch])  # of the nearest 1, 2, 4, …
                for place, (before, count) in enumerate(zip([0, *counts], counts, strict=False)):
                    total = total + np.einsum(
                        "nk,nkd->nd", weights[:, before:count], vectors[:, before:count]
                    )
                    scores[batch, number * len(counts) + place] = cosines(total, truth[batch])
        first, second = halves(len(truth))
        held_out = (
            scores[first, scores[second].mean(0).argmax()].mean()
            + scores[second, scores[first].mean(0).argmax()].mean()
        ) / 2
        neighbours, temperature = options[int(scores.mean(0).argmax())]
        self.config = replace(self.config, neighbours=neighbours, temperature=temperature)
        _write_config(self.folder, self.config)
        return Tuning(neighbours, temperature, float(held_out))

    def _search(self, images: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(N, k) similarities and row numbers of the nearest prompts, nearest first."""
        return self.index.search(np.ascontiguousarray(images, np.float32), min(count, self.config.prompts))

    def _vectors(self, rows: np.ndarray) -> np.ndarray:
        return self.sentences[rows].astype(np.float32)


def build_bank(
    folder: Path, prompts: Sequence[str], engine: Engine, sentences: SentenceEncoder, progress: bool = False
) -> PromptBank:
    """Embed prompts, a batch at a time, and write them as a bank.

    White space is normalised, and repeated prompts are kept once.

    Raises
    ------
    DataError
        When there are no prompts.
    WeightsError
        When the engine has no joint space.
    """
    import faiss
    from tqdm import tqdm

    prompts = list(dict.fromkeys(" ".join(prompt.split()) for prompt in prompts if prompt.strip()))
    if not prompts:
        raise DataError(f"There are no prompts to build {folder} from.")
    probe = prompts[:2]
    probe_vectors = engine.embed_texts(probe)
    same = np.array_equal(probe_vectors, sentences.encode(probe))  # the joint space is MiniLM's: embed once
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)  # written last: with it a bank is complete
    index = faiss.IndexScalarQuantizer(
        probe_vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    with replacing(folder / SENTENCES) as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(prompts), WIDTH)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in tqdm(range(0, len(prompts), BATCH), desc="prompts", disable=not progress):
            batch = prompts[start : start + BATCH]
            joint = engine.embed_texts(batch)
            index.add(joint)
            file.write((joint if same else sentences.encode(batch)).astype("<f2").tobytes())
    with replacing_path(folder / INDEX) as part:
        faiss.write_index(index, str(part))
    with replacing(folder / PROMPTS) as file:
        file.write("".join(f"{prompt}\n" for prompt in prompts).encode())
    _write_config(folder, BankConfig(engine.name, str(engine.space), len(prompts)))
    return PromptBank(folder)


def _weights(similarities: np.ndarray, temperature: float) -> np.ndarray:
    """(N, k) softmax of each row."""
    powers = np.exp((similarities - similarities.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


def _write_config(folder: Path, config: BankConfig) -> None:
    with replacing(folder / CONFIG) as file:
        file.write(json.dumps(asdict(config), indent=1).encode() + b"\n")
