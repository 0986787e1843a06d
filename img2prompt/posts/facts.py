"""Facts measured from the pixels: a picture's orientation and its dominant colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from img2prompt.posts.post import Seen
from img2prompt.posts.quotes import quote, without_quote

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from img2prompt.results import Result

SIDE = 64  # pixels a side of the small copy that is measured
SHARE = 0.12  # part of the picture that a colour must fill to count
MOST = 3  # colours of a picture
NAMES = ("black", "white", "gray", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")


def see(result: Result, picture: Image.Image) -> Seen:
    """Combine what the pipeline says about a picture with its orientation and colours."""
    caption = without_quote(result.caption)  # its words are not what the picture is about
    text = result.details.text if result.details else ""
    return Seen(caption, result.labels, orientation(picture.size), colours(picture), quote(result.text), text)


def orientation(size: tuple[int, int]) -> str:
    """ "landscape", "portrait" or "square" for a size (width, height); sides within 5 % count as square."""
    width, height = size
    if abs(width - height) <= 0.05 * max(width, height):
        return "square"
    return "landscape" if width > height else "portrait"


def colours(picture: Image.Image) -> tuple[str, ...]:
    """Names of up to three colours that each fill at least 12 % of the picture, the largest first."""
    import numpy as np

    small = picture.convert("RGB").resize((SIDE, SIDE))
    counts = np.bincount(_named(np.asarray(small.convert("HSV")).reshape(-1, 3)), minlength=len(NAMES))
    order = np.argsort(-counts, kind="stable")[:MOST]
    return tuple(NAMES[i] for i in order if counts[i] >= SHARE * SIDE * SIDE)


def vividness(picture: Image.Image) -> float:
    """How far the strongest and the weakest of red, green and blue are apart on average, 0–1; 0 without colour."""
    import numpy as np

    small = np.asarray(picture.convert("RGB").resize((SIDE, SIDE)), float)
    return float((small.max(2) - small.min(2)).mean() / 255)


def _named(hsv: np.ndarray) -> np.ndarray:
    """Name colours: (N, 3) hue, saturation and value, 0–255 → (N,) positions in `NAMES`."""
    import numpy as np

    hue = hsv[:, 0].astype(float) * 360 / 255
    saturation, value = hsv[:, 1] / 255, hsv[:, 2] / 255
    name = np.select(
        [hue < 15, hue < 42, hue < 68, hue < 165, hue < 260, hue < 295, hue < 340],
        [NAMES.index(n) for n in ("red", "orange", "yellow", "green", "blue", "purple", "pink")],
        NAMES.index("red"),
    )
    warm = (hue < 50) | (hue >= 340)
    name[warm & (hue >= 10) & (hue < 50) & ((value < 0.65) | (saturation < 0.45))] = NAMES.index("brown")
    name[((hue < 15) | (hue >= 330)) & (value > 0.7) & (saturation < 0.5)] = NAMES.index("pink")
    plain = saturation < np.where(value > 0.8, 0.12, 0.18)
    name[plain] = NAMES.index("gray")
    name[plain & (value > 0.82)] = NAMES.index("white")
    name[value < 0.18] = NAMES.index("black")
    return name
