"""What the image tower looks at."""

from __future__ import annotations

import numpy as np
from PIL import Image

INPUT_SIZE = 224


def to_pixels(image: Image.Image) -> np.ndarray:
    """RGB picture → (3, 224, 224) float32 in -1…1, squeezed to a square.

    Unlike a crop, squeezing keeps the whole picture in view; Flickr8k's photos are stored squeezed too.
    """
    resized = image.resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.BICUBIC)
    return np.array(resized, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1.0
