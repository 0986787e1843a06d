"""Predict a picture's embedding from the prompts nearest to it in the engine's joint space.

This is k-nearest-neighbours regression that needs no training pictures. A bank holds prompts,
each embedded twice: by the engine's text tower, to be compared with pictures, and by MiniLM, to
answer with. The answer is the mean of the k nearest prompts' MiniLM vectors, weighted by a
softmax of their similarities with the picture. A bank is a folder::

    bank.json             the engine's joint space, number of prompts, k and temperature
    joint.npy             (M, D) float16 vectors in the joint space
    sentences.npy         (M, 384) float16 vectors in MiniLM space
    prompts.txt           one a line

The vectors to compare with are read into memory, and those to answer with are memory-mapped. faiss
never reads a file: a damaged index of its own could end or hang the process.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from img2prompt.embeddings import WIDTH, cosines, unit
from img2prompt.ensemble.blend import halves
from img2prompt.errors import ConfigError, DataError
from img2prompt.files import replacing
from img2prompt.libraries import install, missing
from img2prompt.wording import reason

if TYPE_CHECKING:
    import faiss

    from img2prompt.engines.base import Engine
    from img2prompt.minilm import SentenceEncoder

CONFIG, JOINT, SENTENCES, PROMPTS = "bank.json", "joint.npy", "sentences.npy", "prompts.txt"
EARLIER = "index.faiss"  # what version 0.1 wrote in place of joint.npy
VECTORS = "<f2"  # of both files
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

    def __post_init__(self) -> None:
        if not (type(self.prompts) is int and self.prompts > 0):
            raise ValueError(f"prompts is {self.prompts!r}; it must be 1 or more")
        if not (type(self.neighbours) is int and 0 < self.neighbours <= NEIGHBOURS[-1]):
            raise ValueError(f"neighbours is {self.neighbours!r}; it must lie between 1 and {NEIGHBOURS[-1]}")
        if not (isinstance(self.temperature, int | float) and 1e-6 <= self.temperature <= 1e6):
            raise ValueError(f"temperature is {self.temperature!r}; it must lie between 1e-6 and 1e6")


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
    ConfigError
        When faiss is not installed.
    DataError
        When a file is missing or damaged, or the files don't fit each other.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if (self.folder / EARLIER).exists() and not (self.folder / JOINT).exists():
            raise DataError(
                f"{folder} was built by an earlier version, and its {EARLIER} is no longer read. Build it again "
                f"with: img2prompt train knn PAIRS --output {folder}"
            )
        try:
            self.config = BankConfig(**json.loads((self.folder / CONFIG).read_text(encoding="utf-8")))
            self.index = _index(_map(self.folder / JOINT, self.config.prompts))
            self.sentences = _map(self.folder / SENTENCES, self.config.prompts, WIDTH)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise DataError(
                f"{folder} holds no prompt bank ({reason(error)}). Make it with img2prompt train knn."
            ) from error

    def check(self, engine: Engine) -> None:
        """Raise ConfigError unless the bank was built in this engine's joint space."""
        if engine.space != self.config.space:
            raise ConfigError(
                f"{self.folder} was built in the space of {self.config.space}, and the {engine.name} engine "
                f"works in {engine.space}. Build a bank with this engine."
            )

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Unit vectors in the joint space (N, D) → predicted embeddings (N, 384), float32 unit vectors.

        Raises
        ------
        DataError
            When the bank's vectors are damaged.
        """
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
        with replacing(self.folder / CONFIG) as file:
            file.write(_json(self.config))
        return Tuning(neighbours, temperature, float(held_out))

    def _search(self, images: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(N, k) similarities and row numbers of the nearest prompts, nearest first."""
        if images.shape[1] != self.index.d:
            raise DataError(
                f"{self.folder}: its {JOINT} is of another bank ({self.index.d} numbers a prompt, "
                f"{images.shape[1]} a picture). Make it again with img2prompt train knn."
            )
        near, rows = self.index.search(
            np.ascontiguousarray(images, np.float32), min(count, self.config.prompts)
        )
        # A vector that is no number is near to nothing: its place is left empty, with the row -1.
        if not np.isfinite(near).all() or (rows < 0).any():
            raise self._damaged(JOINT)
        return near, rows

    def _vectors(self, rows: np.ndarray) -> np.ndarray:
        vectors = self.sentences[rows].astype(np.float32)
        if not np.isfinite(vectors).all():
            raise self._damaged(SENTENCES)
        return vectors

    def _damaged(self, file: str) -> DataError:
        return DataError(f"{self.folder / file} is damaged. Make the bank again with img2prompt train knn.")


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
    from tqdm import tqdm

    prompts = list(dict.fromkeys(" ".join(prompt.split()) for prompt in prompts if prompt.strip()))
    if not prompts:
        raise DataError(f"There are no prompts to build {folder} from.")
    probe = prompts[:2]
    probe_vectors = engine.embed_texts(probe)
    same = np.array_equal(probe_vectors, sentences.encode(probe))  # the joint space is MiniLM's: embed once
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # Files are put in place in reverse, so that this one, with which a bank is complete, comes last.
        config = stack.enter_context(replacing(folder / CONFIG))
        config.write(_json(BankConfig(engine.name, str(engine.space), len(prompts))))
        texts, joint_file, sentence_file = files = [
            stack.enter_context(replacing(folder / name)) for name in (PROMPTS, JOINT, SENTENCES)
        ]
        texts.write("".join(f"{prompt}\n" for prompt in prompts).encode())
        _write_header(joint_file, len(prompts), probe_vectors.shape[1])
        _write_header(sentence_file, len(prompts), WIDTH)
        for start in tqdm(range(0, len(prompts), BATCH), desc="prompts", disable=not progress):
            batch = prompts[start : start + BATCH]
            joint = engine.embed_texts(batch)
            joint_file.write(joint.astype(VECTORS).tobytes())
            sentence_file.write((joint if same else sentences.encode(batch)).astype(VECTORS).tobytes())
        for file in (config, *files):
            file.flush()  # a full disk is met here at the latest, while the earlier bank is whole
        for name in (CONFIG, EARLIER):  # without the first, no mixture of two banks is ever read
            (folder / name).unlink(missing_ok=True)
    return PromptBank(folder)


def _write_header(file: IO[bytes], prompts: int, width: int) -> None:
    header = {"descr": VECTORS, "fortran_order": False, "shape": (prompts, width)}
    np.lib.format.write_array_header_1_0(file, header)


def _map(file: Path, prompts: int, width: int | None = None) -> np.ndarray:
    """The (prompts, width) float16 vectors in a file, memory-mapped.

    Raises
    ------
    OSError, ValueError
        When there is no such file, or it holds anything else.
    """
    try:
        vectors = np.lib.format.open_memmap(file, mode="r")
    except OSError:
        raise
    except Exception as error:  # numpy's, or whatever Python's parser says of a header
        raise ValueError(f"{file.name} cannot be read ({reason(error)})") from error
    wanted = (prompts, width or max(1, vectors.shape[-1] if vectors.ndim else 0))
    if vectors.dtype != VECTORS or vectors.shape != wanted or not vectors.flags.c_contiguous:
        raise ValueError(
            f"{file.name} holds {vectors.dtype} {vectors.shape} instead of float16 {wanted}; is it of another bank?"
        )
    return vectors


def _index(vectors: np.ndarray) -> faiss.Index:
    """An index for the largest inner products with (M, D) float16 vectors, which it takes as they are."""
    if absent := missing("faiss"):
        raise ConfigError(f"A prompt bank needs {absent[0]}. {install(*absent)}")
    import faiss

    index = faiss.IndexScalarQuantizer(
        vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.add_sa_codes(np.ascontiguousarray(vectors, np.float16).view(np.uint8))
    return index


def _weights(similarities: np.ndarray, temperature: float) -> np.ndarray:
    """(N, k) softmax of each row."""
    powers = np.exp((similarities - similarities.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


def _json(config: BankConfig) -> bytes:
    return json.dumps(asdict(config), indent=1).encode() + b"\n"
