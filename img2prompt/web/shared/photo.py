"""A visitor's photo, which is kept in the memory of their session only."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from img2prompt.metadata import NOTHING, Metadata

if TYPE_CHECKING:
    from img2prompt import Result
    from img2prompt.history.record import Picture, Post
    from img2prompt.posts import Seen


@dataclass(eq=False)
class Photo:
    """A photo and what the engine said about it."""

    key: str  # the same for as long as the photo stays chosen
    open: Callable[[], Image.Image]  # decodes its file, which stays in memory
    preview: bytes = b""  # for the page: a smaller JPEG
    result: Result | None = None
    seen: Seen | None = None
    record: Picture | None = None  # as the history saves it
    post: Post | None = None  # its post in the history, the same for all photos of a carousel
    asked: bool = False  # the visitor asked for a result, and there is none yet
    metadata: Metadata = NOTHING  # what its file says of itself
    uses_stored: bool = False  # the visitor wants the prompt in its file instead of the engine's
    reopened: bool = False  # comes from the history, which has only a thumbnail of it
    _decoded: Image.Image | None = field(default=None, repr=False)

    @property
    def picture(self) -> Image.Image:
        """The picture for the engine, kept until `rest`."""
        # No cached_property: before Python 3.12 those of all photos wait for each other.
        if self._decoded is None:
            self._decoded = self.open()
        return self._decoded

    @property
    def prompt(self) -> str:
        """The prompt to show and to keep: the engine's, or that of the file where the visitor chose it."""
        if self.uses_stored and self.metadata.stored and self.metadata.stored.prompt:
            return self.metadata.stored.prompt
        return self.result.prompt if self.result else ""

    def rest(self) -> None:
        """Give up the decoded picture, which takes several times the memory of its file."""
        self._decoded = None


def sample_path(file: str) -> Path:
    """The path of one of the two photos that scikit-learn ships."""
    # Found without importing scikit-learn, which takes a second.
    spec = find_spec("sklearn")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "images" / file


def as_jpeg(picture: Image.Image, pixels: int) -> bytes:
    """A JPEG copy with at most `pixels` a side."""
    small = picture.copy()
    small.thumbnail((pixels, pixels))
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def as_data_url(jpeg: bytes) -> str:
    """A JPEG as a data URL, which a page can contain."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
