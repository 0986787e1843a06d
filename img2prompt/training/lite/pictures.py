"""The training pictures, decoded once, and what the captioner sees of them at each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from img2prompt.engines.lite.pixels import INPUT_SIZE, to_pixels

AREA = (0.5, 1.0)  # of a crop, as a share of the picture's
RATIO = 1.25  # a crop's sides are stretched by at most this
JITTER = 0.3  # of brightness, contrast and saturation
GREY = 0.04  # share of views without colour
LUMA = (0.299, 0.587, 0.114)


def decode(encoded: bytes) -> np.ndarray:
    """A picture file → (3, 224, 224) uint8, squeezed to a square as the engine does."""
    image = Image.open(BytesIO(encoded)).convert("RGB")
    return np.asarray(image.resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def decode_all(files: list[bytes], processes: int) -> np.ndarray:
    """N picture files → (N, 3, 224, 224) uint8."""
    pictures = np.empty((len(files), 3, INPUT_SIZE, INPUT_SIZE), np.uint8)
    with ProcessPoolExecutor(processes) as pool:
        for i, picture in enumerate(tqdm(pool.map(decode, files, chunksize=64), total=len(files))):
            pictures[i] = picture
    return pictures


def stack(images: Sequence[Image.Image]) -> Tensor:
    """N RGB pictures of any size → (N, 3, 224, 224) in -1…1, as the engine sees them."""
    return torch.from_numpy(np.stack([to_pixels(image) for image in images]))


def plain(pixels: Tensor) -> Tensor:
    """(N, 3, 224, 224) uint8 → the same in -1…1."""
    return pixels.float().div(127.5).sub(1.0)


def view(pixels: Tensor, sided: Tensor) -> Tensor:
    """A random crop of each picture, half of them mirrored, in changed colours.

    Parameters
    ----------
    pixels : (N, 3, 224, 224) uint8
    sided : (N,) True for pictures that must not be mirrored

    Returns
    -------
    (N, 3, 224, 224) float32 in -1…1
    """
    n, device = len(pixels), pixels.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(n, device=device).uniform_(low, high)

    side, stretch = uniform(*AREA).sqrt(), uniform(-math.log(RATIO), math.log(RATIO)).mul(0.5).exp()
    width, height = (side * stretch).clamp(max=1.0), (side / stretch).clamp(max=1.0)
    mirrored = torch.where((uniform(0, 1) < 0.5) & ~sided, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = width * mirrored, height
    theta[:, 0, 2], theta[:, 1, 2] = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    x = F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)

    def factor() -> Tensor:
        return uniform(1 - JITTER, 1 + JITTER)[:, None, None, None]

    luma = (x * torch.tensor(LUMA, device=device)[:, None, None]).sum(1, keepdim=True)
    saturation = factor().masked_fill((uniform(0, 1) < GREY)[:, None, None, None], 0.0)
    x = luma + (x - luma) * saturation
    mean = luma.mean((2, 3), keepdim=True)
    x = mean + (x - mean) * factor()
    return (x * factor()).clamp(0, 255).div(127.5).sub(1.0)
