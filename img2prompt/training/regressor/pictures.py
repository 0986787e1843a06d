"""Pictures and targets of a regressor, each drawn the same way however often it is drawn."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from img2prompt.datasets.pairs import Pair, PairsFolder
from img2prompt.embeddings import unit_means
from img2prompt.engines.full.vit_regressor import RegressorConfig
from img2prompt.errors import DataError, ImageError
from img2prompt.evaluation.pictures import has_splits
from img2prompt.files import replacing
from img2prompt.images import open_image
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.augment import SIDES, augment
from img2prompt.training.schedule import Shuffle

EVERY = 20  # pictures of which one is held out where a folder has no splits


class Pictures(Dataset[Tensor]):
    """(index, step) → pixels (3, H, W).

    With a seed the picture is augmented: cropped, jittered, and mirrored half the times where
    no text of it says left or right. The same seed, index and step always give the same.

    Raises
    ------
    DataError
        When a picture cannot be read.
    """

    def __init__(
        self, folder: PairsFolder, pairs: Sequence[Pair], config: RegressorConfig, seed: int | None = None
    ):
        self.folder, self.pairs, self.config, self.seed = folder, pairs, config, seed

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        index, step = key
        pair = self.pairs[index]
        try:
            image = open_image(self.folder.read(pair.name))
        except ImageError as error:
            raise DataError(f"{self.folder.row(pair)}: {pair.name!r} cannot be read: {error}") from error
        if self.seed is not None:
            generator = np.random.default_rng([self.seed, step, index])
            mirror = bool(generator.random() < 0.5) and not any(map(SIDES.search, pair.texts))
            with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
                image = augment(image, generator, mirror, self.config.input)
        return self.config.prepare(image)


def divide(
    folder: PairsFolder, split: str = "train", validation: str = "dev"
) -> tuple[list[Pair], list[Pair]]:
    """The pairs to learn from and those to validate on.

    Where the folder has no splits, about one picture in twenty is held out, by its name's digest,
    so that it stays out when the folder grows.

    Raises
    ------
    DataError
        When a split is not there, or a row is of no use: see `PairsFolder.check`.
    """
    if has_splits(folder):
        learned, held = folder.select(split), folder.select(validation)
    else:
        learned = [pair for pair in folder.pairs if not _held_out(pair.name)]
        held = [pair for pair in folder.pairs if _held_out(pair.name)]
    if not learned or not held:
        raise DataError(
            f"{folder.path} has too few pictures to hold some out. Add pictures, or a column split "
            f"with {split} and {validation}."
        )
    folder.check([*learned, *held])
    return learned, held


def mean_texts(pairs: Sequence[Pair], sentences: SentenceEncoder) -> np.ndarray:
    """(N, 384) float32 unit means of the pairs' texts in MiniLM space."""
    texts = [text for pair in pairs for text in pair.texts]
    own = np.repeat(np.arange(len(pairs)), [len(pair.texts) for pair in pairs])
    progress = len(texts) > 2000 and sys.stderr.isatty()
    return unit_means(sentences.encode(texts, progress=progress), own)


def targets(
    folder: PairsFolder, pairs: Sequence[Pair], cache: Path, sentences: SentenceEncoder
) -> np.ndarray:
    """`mean_texts`, kept in the folder `cache`."""
    file = cache / f"texts-{folder.fingerprint(pairs)[:16]}.npy"
    if file.exists():
        return np.load(file)
    vectors = mean_texts(pairs, sentences)
    cache.mkdir(parents=True, exist_ok=True)
    with replacing(file) as handle:
        np.save(handle, vectors)
    return vectors


@dataclass(frozen=True)
class Share:
    """What one of several processes does of every batch."""

    rank: int = 0
    processes: int = 1
    passes: int = 1  # pieces that its part is cut into, one after the other

    def of(self, batch: Sequence[int]) -> list[Sequence[int]]:
        """The pieces; together with those of the other processes they are the batch."""
        mine = batch[self.rank :: self.processes]
        return [mine[part :: self.passes] for part in range(self.passes)]


class Batches:
    """The batches of a run from step `start` on, the same for every process and after every stop.

    Parameters
    ----------
    size : pictures there are; each pass over them sees each once
    batch : pictures a step
    """

    def __init__(self, size: int, batch: int, start: int, steps: int, seed: int):
        self.size, self.batch, self.start, self.steps, self.seed = size, batch, start, steps, seed

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        """(step, indices) of every batch."""
        shuffle = Shuffle(self.size, self.batch, self.seed)
        for step in range(self.steps):
            indices = shuffle()
            if step >= self.start:
                yield step, indices

    def keys(self, share: Share) -> Iterator[list[tuple[int, int]]]:
        """What `Pictures` is asked for: the keys of every piece of this share."""
        for step, indices in self:
            for piece in share.of(indices):
                yield [(index, step) for index in piece]


def _held_out(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % EVERY == 0
