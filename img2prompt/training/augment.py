"""Random changes of a picture after which its captions are still true."""

from __future__ import annotations

import re

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from img2prompt.engines.lite.pixels import INPUT_SIZE

SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)  # a picture with such a text must not be mirrored


def augment(
    image: Image.Image, generator: np.random.Generator, mirror: bool, size: int = INPUT_SIZE
) -> Image.Image:
    """A random crop (60–100 % of the area), colour jitter and, with `mirror`, the mirror image.

    Returns
    -------
    RGB picture of `size` × `size` pixels
    """
    torch.manual_seed(int(generator.integers(2**31)))
    image = v2.RandomResizedCrop(size, scale=(0.6, 1.0), ratio=(0.8, 1.25))(image)
    image = v2.ColorJitter(0.3, 0.3, 0.3, 0.03)(image)
    return v2.functional.horizontal_flip(image) if mirror else image
