"""Pictures: two photos that scikit-learn ships, and painted ones."""

from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOS = Path(str(files("sklearn.datasets") / "images"))
CHINA, FLOWER = PHOTOS / "china.jpg", PHOTOS / "flower.jpg"


def paint(path: Path, seed: int = 0, size: tuple[int, int] = (48, 48)) -> Path:
    """A picture of a few coloured blocks, different for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(path)
    return path
