"""A photo of the visitor's: it lives in the memory of their session and nowhere else."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from img2prompt import Result
    from img2prompt.history.record import Post
    from img2prompt.posts import Seen


@dataclass(eq=False)
class Photo:
    """A photo and what was said about it."""

    key: str  # the same for as long as the photo stays chosen
    picture: Image.Image  # what the engine looks at
    preview: bytes  # what the page shows, as JPEG
    result: Result | None = None
    seen: Seen | None = None
    post: Post | None = None  # as it is in the history
    asked: bool = False  # the model is wanted, and has not answered yet
    reopened: bool = False  # from the history, where a thumbnail is all there is of the picture


def sample_path(file: str) -> Path:
    """Where scikit-learn keeps one of its two photos."""
    # Found without importing scikit-learn, which takes a second.
    spec = find_spec("sklearn")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "images" / file


def as_jpeg(picture: Image.Image, pixels: int) -> bytes:
    """A copy of at most so many pixels a side."""
    small = picture.copy()
    small.thumbnail((pixels, pixels))
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def as_data_url(jpeg: bytes) -> str:
    """A picture that a page can carry in itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def uploader_style(button: str, limits: str) -> str:
    """Streamlit's uploader speaks English only: a style sheet that replaces its words."""
    button, limits = (json.dumps(text, ensure_ascii=False) for text in (button, limits))
    return f"""<style>
        [data-testid="stFileUploaderDropzone"] > span button p::after {{ content: {button}; }}
        [data-testid="stFileUploaderDropzoneInstructions"] span::after {{ content: {limits}; }}
    </style>"""
