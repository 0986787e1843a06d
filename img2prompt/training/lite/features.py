"""Cache the features of the frozen trunk, so that two cores can train the rest.

Each view of a pairs folder becomes one memory-mapped float16 array of shape (N, 14, 14, 120)
and a list of names. View 0 is the plain picture. The other views are random crops with colour
jitter; odd ones are mirrored unless a text of the picture says left or right. The array is
filled in place and a file counts the rows done, so a stopped run goes on where it was.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from img2prompt.datasets.pairs import Pair, PairsFolder
from img2prompt.engines.lite.tower import GRID, TRUNK_WIDTH, Trunk, to_tensor
from img2prompt.files import replacing
from img2prompt.training.augment import SIDES, augment


class FeatureCache:
    """Trunk features of one view of a pairs folder, computed once and memory-mapped."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.names: list[str] = json.loads((folder / "names.json").read_text())
        self.row = {name: index for index, name in enumerate(self.names)}
        self.array = np.load(folder / "features.npy", mmap_mode="r")

    def get(self, names: list[str]) -> torch.Tensor:
        """Features of these pictures: (len(names), 120, 14, 14) float32, channels last."""
        rows = np.stack([self.array[self.row[name]] for name in names])
        return torch.from_numpy(rows).float().permute(0, 3, 1, 2)


def build(pairs: PairsFolder, folder: Path, trunk: Trunk, view: int = 0, batch: int = 64) -> FeatureCache:
    """Compute one view, or go on with a stopped computation, and return its cache.

    Parameters
    ----------
    folder : of the cache
    view : 0 for the plain picture, other numbers for augmented ones
    batch : pictures that go through the trunk together
    """
    chosen = pairs.pairs
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "names.json", json.dumps([pair.name for pair in chosen]))
    done_file, array_file = folder / "done.txt", folder / "features.npy"
    shape = (len(chosen), GRID * 2, GRID * 2, TRUNK_WIDTH)
    fresh = not (done_file.exists() and array_file.exists())
    array = np.lib.format.open_memmap(
        array_file, mode="w+" if fresh else "r+", dtype=np.float16, shape=None if not fresh else shape
    )
    done = 0 if fresh else int(done_file.read_text())

    def load(index: int, pair: Pair) -> torch.Tensor:
        image = Image.open(BytesIO(pairs.read(pair.name))).convert("RGB")
        if view:
            generator = np.random.default_rng([view, index])
            sided = any(SIDES.search(text) for text in pair.texts)
            image = augment(image, generator, mirror=view % 2 == 1 and not sided)
        return to_tensor(image)

    with ThreadPoolExecutor(2) as pool, tqdm(total=len(chosen), initial=done, desc=folder.name) as bar:

        def load_batch(start: int) -> list:
            return [pool.submit(load, i, chosen[i]) for i in range(start, min(start + batch, len(chosen)))]

        upcoming = load_batch(done)
        while done < len(chosen):
            pixels = torch.stack([future.result() for future in upcoming])
            upcoming = load_batch(done + batch)
            with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
                features = trunk(pixels.contiguous(memory_format=torch.channels_last))
            array[done : done + len(pixels)] = features.permute(0, 2, 3, 1).to(torch.float16).numpy()
            done += len(pixels)
            bar.update(len(pixels))
            if done // batch % 20 == 0:
                array.flush()
                _write(done_file, str(done))
    array.flush()
    _write(done_file, str(len(chosen)))
    return FeatureCache(folder)


def _write(file: Path, text: str) -> None:
    with replacing(file, durable=False) as handle:
        handle.write(text.encode())
