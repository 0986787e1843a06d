"""Pictures, targets and batches for training a regressor, reproducible after every stop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from img2prompt.datasets.pairs import Pair, PairsFolder
from img2prompt.engines.full.vit_regressor import RegressorConfig
from img2prompt.errors import DataError, ImageError
from img2prompt.evaluation.pictures import has_splits, mean_texts
from img2prompt.files import replacing
from img2prompt.images import open_image
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.augment import SIDES, augment
from img2prompt.training.schedule import Shuffle

EVERY = 20  # one picture in so many is held out, where a folder has no splits


class Pictures(Dataset[Tensor]):
    """A data set with the keys (index, step) and pixels (3, H, W) float32 as values.

    Parameters
    ----------
    folder, pairs : the pictures
    config : how pixels are prepared
    seed : of the augmentation: a crop, colour jitter, and half of the time the mirror image, unless a
        text of the picture says left or right; None for plain pictures. The same seed, index and
        step always give the same pixels.

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

    Where the folder has no splits, about one picture in twenty is held out. Which ones depends on
    a digest of their names, so that they stay held out when the folder grows.

    Raises
    ------
    DataError
        When a split does not exist or is empty, or a row cannot be used: see `PairsFolder.check`.
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


def targets(
    folder: PairsFolder, pairs: Sequence[Pair], cache: Path, sentences: SentenceEncoder
) -> np.ndarray:
    """(N, 384) `mean_texts`, computed once and kept in the folder `cache`."""
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
    """The part of every batch that one of several processes works on."""

    rank: int = 0  # the process's number, from 0
    processes: int = 1
    passes: int = 1  # pieces that its part is cut into, which run one after the other

    def of(self, batch: Sequence[int]) -> list[Sequence[int]]:
        """The pieces of this process; together with those of the others they make up the batch."""
        mine = batch[self.rank :: self.processes]
        return [mine[part :: self.passes] for part in range(self.passes)]


class Batches:
    """The batches of a run from step `start` on, the same for every process and after every stop.

    Parameters
    ----------
    size : number of pictures; each pass over them has each once
    batch : pictures in a batch
    start, steps : the first step, and the one to stop before
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
        """The keys for `Pictures` of every piece of this process's share."""
        for step, indices in self:
            for piece in share.of(indices):
                yield [(index, step) for index in piece]


def _held_out(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % EVERY == 0
