"""What a picture's file says of itself: the prompt that made it, and what people wrote about it.

A file is a stranger's: what it says is data, never run or looked up, and read within limits of size and depth. It
cannot fail its picture: what cannot be read counts as not said. Coordinates are never read. The readers are
imported with the first file that says anything.

    Pillow's picture ── fields ──▶ texts ──┬── tools, comfyui ──▶ Stored
                                           └── notes ──▶ Notes
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from img2prompt.results import Stored

log = logging.getLogger(__name__)

KEY = "img2prompt.metadata"  # in the `info` of an opened picture
UNNAMED = "AI"  # the tool that made a picture where its file does not name it
TELLING = ("APP11", b"caBX")  # where a JPEG and a PNG hold a C2PA manifest


@dataclass(frozen=True)
class Notes:
    """What people wrote about a picture into its file; empty where they did not."""

    title: str = ""
    description: str = ""
    keywords: tuple[str, ...] = ()
    date: str = ""  # on which it was taken: 2024-05-31
    place: str = ""  # names only, the smallest first: Gamcheon, Busan, South Korea

    def record(self) -> dict[str, Any]:
        """In JSON's types; None where nothing was written."""
        return {name: value or None for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Metadata:
    """What a picture's file says of itself; None where it says nothing of a kind."""

    stored: Stored | None = None
    notes: Notes | None = None


NOTHING = Metadata()


def read(image: Image.Image) -> Metadata:
    """Read what a file says, from Pillow's picture of it; whatever is in it, this raises nothing.

    Of a PNG, what stands after the pixels is known only once these are loaded.
    """
    if not _says_something(image):
        return NOTHING
    try:
        from img2prompt.metadata import fields, notes, tools

        said = fields.gather(image)
        stored = tools.stored_in(said)
        return Metadata(stored, notes.notes_in(said, stored))
    except Exception:  # Pillow raises all sorts of things about broken metadata
        log.debug("metadata that cannot be read", exc_info=True)
        return NOTHING


def of(picture: Image.Image) -> Metadata:
    """What the file of a picture said that `img2prompt.images.open_image` opened."""
    found = picture.info.get(KEY)
    return found if isinstance(found, Metadata) else NOTHING


def _says_something(image: Image.Image) -> bool:
    """Whether there are texts, or blocks that may hold some: a quick look, as most pictures have none."""
    if image.format == "TIFF":  # whose texts are among its tags
        return True
    if any(
        isinstance(value, str | bytes | dict) and name != "icc_profile" for name, value in image.info.items()
    ):
        return True
    blocks = [*getattr(image, "applist", ()), *getattr(image, "private_chunks", ())]
    return any(block[0] in TELLING for block in blocks)
