"""A post as it is saved: everything but the photo itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from io import BytesIO
from typing import TYPE_CHECKING

from img2prompt import __version__
from img2prompt.posts import Choices, Seen
from img2prompt.posts import Variant as Written
from img2prompt.posts.facts import see
from img2prompt.posts.topic import topic
from img2prompt.results import Match

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from img2prompt.results import Result

THUMBNAIL_BYTES = 20_000
THUMBNAIL_SIDES = (320, 240, 160)  # pixels; smaller only where the lowest quality does not fit
QUALITIES = (80, 65, 50, 35, 20)
OBJECTS = "objects"  # the table of labels that are the things a caption names


@dataclass(frozen=True)
class Variant:
    """A finished post and what became of it."""

    text: str  # as it was written, by which it is known
    edited: str | None = None  # as the person changed it
    copied: bool = False
    starred: bool = False

    @property
    def now(self) -> str:
        """The text as it reads now."""
        return self.text if self.edited is None else self.edited


@dataclass(frozen=True, eq=False)
class Post:
    """One picture and what was said about it; for a carousel, one of these for each picture."""

    content_hash: str  # SHA-256 of the decoded pixels
    thumbnail: bytes = field(repr=False)  # WebP of at most 20 kB, without metadata
    size: tuple[int, int]  # of the picture the engine saw: width and height in pixels
    seen: Seen  # caption, labels with scores, orientation, colours
    prompt: str
    embedding: np.ndarray = field(repr=False)  # (384,) float32 of unit length; kept as float16
    engine: str
    versions: Mapping[str, str]  # package → version
    language: str  # of the variants
    choices: Choices
    variants: tuple[Variant, ...]
    hashtags: tuple[str, ...]  # "#dog", of all variants
    objects: tuple[str, ...] = ()  # things the caption names, in their base form
    timings: Mapping[str, float] = field(default_factory=dict)  # step → seconds
    created_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    id: int = 0  # 0 until saved

    @property
    def starred(self) -> bool:
        """Whether any of its variants is."""
        return any(variant.starred for variant in self.variants)


def record_of(
    picture: Image.Image,
    result: Result,
    choices: Choices,
    variants: Sequence[Written],
    *,
    seen: Seen | None = None,
    language: str = "en",
) -> Post:
    """A post to save.

    Parameters
    ----------
    picture : what the engine looked at
    result : what the pipeline said about it
    choices, variants : what was asked of `captions.compose`, and what it wrote
    seen : what `captions.see` found; measured here if not given
    language : of the variants, as a BCP 47 tag
    """
    seen = seen or see(result, picture)
    return Post(
        content_hash=content_hash(picture),
        thumbnail=thumbnail(picture),
        size=picture.size,
        seen=seen,
        prompt=result.prompt,
        embedding=result.embedding,
        engine=result.engine,
        versions={"img2prompt": __version__, "torch": version("torch")},
        language=language,
        choices=choices,
        variants=tuple(Variant(variant.text) for variant in variants),
        hashtags=tuple(dict.fromkeys(tag for variant in variants for tag in variant.hashtags)),
        objects=tuple(dict.fromkeys(thing.base for thing in topic([seen]).things)),
        timings=result.timings,
    )


def content_hash(picture: Image.Image) -> str:
    """SHA-256 of the pixels and the size: the same for the same picture in another lossless file."""
    rgb = picture.convert("RGB")
    return hashlib.sha256(f"{rgb.width}x{rgb.height}\n".encode() + rgb.tobytes()).hexdigest()


def thumbnail(picture: Image.Image) -> bytes:
    """A WebP of at most `THUMBNAIL_BYTES`, with nothing of the file but its pixels."""
    encoded = b""
    for side in THUMBNAIL_SIDES:
        small = picture.convert("RGB")
        small.thumbnail((side, side))
        small.info = {}  # no EXIF, no XMP, no profile
        for quality in QUALITIES:
            buffer = BytesIO()
            small.save(buffer, "WEBP", quality=quality)
            encoded = buffer.getvalue()
            if len(encoded) <= THUMBNAIL_BYTES:
                return encoded
    return encoded


def labels_of(rows: Sequence[tuple[str, str, float]]) -> tuple[dict[str, list[Match]], tuple[str, ...]]:
    """Saved labels (table, name, score) → labels by table, and the objects among them."""
    labels: dict[str, list[Match]] = {}
    for table, name, score in rows:
        labels.setdefault(table, []).append(Match(name, score))
    objects = tuple(match.label for match in labels.pop(OBJECTS, []))
    return labels, objects
