"""Pictures that are nearly the same, and pictures that are blurred or dark, whatever their captions say.

A picture is known by a perceptual hash of 64 bits (`imagehash.phash`): copies that were scaled, compressed
anew or slightly retouched differ in few bits, other pictures in about half of them. Cut, turned or mirrored
copies are not found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from img2prompt.captions.table import BLURRED, DARK, DUPLICATE, Look
from img2prompt.errors import ConfigError, ImageError
from img2prompt.images import DEFAULT_LIMITS, Limits, open_image
from img2prompt.libraries import install, missing

DISTANCE = 8  # bits in which near-duplicates differ at most
MOST_DISTANCE = 16  # bits; farther apart are pictures that have nothing in common
SIDE = 256  # pixels of the longer side at which sharpness and brightness are measured
# Below these a picture is marked; how often photos are, and blurred and darkened copies, docs/captions.md tells.
SHARPNESS = 0.02
BRIGHTNESS = 0.2
PAIRS = 2**21  # of hashes that are compared at a time, for some 150 MB
LIBRARIES = ("imagehash", "scipy")


class Picture(NamedTuple):
    """A picture that can be opened when its turn comes."""

    name: str
    stamp: str
    open: Callable[[], Image.Image]  # raises ImageError


def pictures_on_disk(files: Mapping[str, str], limits: Limits = DEFAULT_LIMITS) -> list[Picture]:
    """Picture files by name, to be looked at."""
    found = []
    for name, file in files.items():
        try:
            status = os.stat(file)
            stamp = f"{status.st_size}-{status.st_mtime_ns}"
        except OSError:
            stamp = "missing"  # the error comes when it is opened
        found.append(Picture(name, stamp, partial(open_image, file, limits)))
    return found


def check_libraries() -> None:
    """Raise ConfigError unless the libraries are there that compare pictures."""
    if absent := missing(*LIBRARIES):
        raise ConfigError(f"Comparing pictures needs {', '.join(absent)}. {install(*absent)}")


def look(picture: Picture) -> Look:
    """Look at a picture.

    Raises
    ------
    ImageError
        When it cannot be opened.
    """
    import imagehash

    image = picture.open()
    image.thumbnail((SIDE, SIDE))
    levels = np.asarray(image.convert("L"), np.float32)
    return Look(
        picture.stamp,
        str(imagehash.phash(image)),
        float(_laplacian(levels).var() / max(levels.var(), 1.0)),
        float(np.quantile(levels, 0.9) / 255),
    )


def look_at(
    pictures: Iterable[Picture], known: Mapping[str, Look], workers: int | None = None
) -> Iterator[tuple[str, Look | None, bool]]:
    """Look at pictures, several at a time.

    Parameters
    ----------
    known : name → what was seen before, which counts while the picture's stamp is the same
    workers : threads; by default one a core, at most 8

    Yields
    ------
    Name, what was seen (None where the picture cannot be opened), and whether that is new; in order.
    """

    def one(picture: Picture) -> tuple[str, Look | None, bool]:
        before = known.get(picture.name)
        if before is not None and before.stamp == picture.stamp:
            return picture.name, before, False
        try:
            return picture.name, look(picture), True
        except ImageError:
            return picture.name, None, True

    check_libraries()
    with ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 8)) as pool:
        yield from pool.map(one, pictures)


def groups(looks: Mapping[str, Look], distance: int = DISTANCE) -> list[list[str]]:
    """Groups of pictures that are nearly the same: each has another in its group within the distance.

    Parameters
    ----------
    distance : bits of the hash in which two of them differ at most

    Returns
    -------
    The names, in the order of `looks`; largest group first, pictures that are alone in none

    Raises
    ------
    ConfigError
        For a distance that cannot be used, or when a library is missing.
    """
    if not 0 <= distance <= MOST_DISTANCE:
        raise ConfigError(f"distance is {distance}; it must lie between 0 and {MOST_DISTANCE}.")
    check_libraries()
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = list(looks)
    if not names:
        return []
    # Pictures that are the same share a hash, so that a thousand copies are no million pairs.
    hashes, places = np.unique(
        np.array([int(seen.hash, 16) for seen in looks.values()], np.uint64), return_inverse=True
    )
    numbers = np.arange(len(hashes))  # of the group of each hash
    for rows, columns in _near(hashes, distance):
        count = numbers.max() + 1
        pairs = numbers[rows], numbers[columns]
        graph = coo_array((np.ones(len(rows), bool), pairs), shape=(count, count))
        _, merged = connected_components(graph, directed=False)
        numbers = merged[numbers]
    together: dict[int, list[str]] = {}
    for name, number in zip(names, numbers[places].tolist(), strict=True):
        together.setdefault(number, []).append(name)
    return sorted((each for each in together.values() if len(each) > 1), key=len, reverse=True)


def marks(looks: Mapping[str, Look], distance: int = DISTANCE) -> dict[str, frozenset[str]]:
    """Name → marks of a picture (`img2prompt.captions.table.MARKS`), without those that have none.

    Of a group of near-duplicates, each is marked, as any of them may be the one to keep.
    """
    duplicates = {name for group in groups(looks, distance) for name in group}
    found = {
        name: frozenset(
            mark
            for mark, holds in (
                (DUPLICATE, name in duplicates),
                (BLURRED, seen.sharpness < SHARPNESS),
                (DARK, seen.brightness < BRIGHTNESS),
            )
            if holds
        )
        for name, seen in looks.items()
    }
    return {name: held for name, held in found.items() if held}


def _near(hashes: np.ndarray, distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (i, j), i < j, of N uint64 hashes that differ in at most so many bits; at most `PAIRS` at a time, or N."""
    height = max(PAIRS // len(hashes), 1)
    for start in range(0, len(hashes), height):
        block = hashes[start : start + height]
        near = np.bitwise_count(block[:, None] ^ hashes[None, start:]) <= distance
        here, there = np.nonzero(np.triu(near, 1))
        if len(here):
            yield here + start, there + start


def _laplacian(levels: np.ndarray) -> np.ndarray:
    """(H, W) → (H - 2, W - 2): the second derivative in both directions."""
    inner = levels[1:-1, 1:-1]
    return levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:] - 4 * inner
