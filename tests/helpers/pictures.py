"""Pictures: two photos that scikit-learn ships, and painted ones."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from img2prompt.web.shared.photo import sample_path

CHINA, FLOWER = sample_path("china.jpg"), sample_path("flower.jpg")
PHOTOS = CHINA.parent


def towers() -> bytes:
    """The top of the sample with the temple, of which it is sure what it is about."""
    buffer = BytesIO()
    Image.open(CHINA).crop((0, 0, 640, 160)).save(buffer, "PNG")
    return buffer.getvalue()


def small_photos() -> list[dict]:
    """Three photos of different shapes, as a file chooser hands them over."""
    files = []
    for number, (photo, size) in enumerate([(CHINA, (640, 426)), (FLOWER, (300, 450)), (CHINA, (500, 250))]):
        buffer = BytesIO()
        Image.open(photo).resize(size).save(buffer, "PNG")
        files.append({"name": f"{number}.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    return files


def paint(path: Path, seed: int = 0, size: tuple[int, int] = (48, 48)) -> Path:
    """A picture of a few coloured blocks, different for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(path)
    return path
