"""A post as the history saves it: everything except the photos themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib.metadata import version
from io import BytesIO
from typing import TYPE_CHECKING

from img2prompt import __version__
from img2prompt.libraries import missing
from img2prompt.posts import Choices, Seen
from img2prompt.posts import Variant as Written
from img2prompt.posts.facts import see
from img2prompt.posts.post import PHRASEBOOK
from img2prompt.posts.topic import topic
from img2prompt.results import Match

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from img2prompt.results import Result

THUMBNAIL_BYTES = 20_000
THUMBNAIL_SIDES = (320, 240, 160)  # pixels; the next is tried when even the lowest quality is too large
QUALITIES = (80, 65, 50, 35, 20)  # of WebP, tried in turn
RUNTIMES = ("onnxruntime", "torch")  # whose versions, where they are installed, are noted beside ours
OBJECTS = "objects"  # the table name under which the things that a caption names are saved as labels


@dataclass(frozen=True)
class Variant:
    """One text of a post, and what the person did with it."""

    text: str  # as it was first written; identifies the variant
    edited: str | None = None  # as the person changed it
    copied: bool = False
    starred: bool = False
    writer: str = PHRASEBOOK  # or the name of the model that wrote it

    @property
    def now(self) -> str:
        """The current text."""
        return self.text if self.edited is None else self.edited

    @property
    def is_marked(self) -> bool:
        """Whether the person did anything with it."""
        return self.copied or self.starred or self.edited is not None


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of a post, and what the engine said about it."""

    content_hash: str  # SHA-256 of the decoded pixels
    thumbnail: bytes = field(repr=False)  # WebP of at most 20 kB, without metadata
    size: tuple[int, int]  # of the picture the engine saw: width and height in pixels
    seen: Seen  # caption, labels with scores, orientation, colours
    prompt: str
    embedding: np.ndarray = field(repr=False)  # (384,) float32 of unit length; saved as float16
    objects: tuple[str, ...] = ()  # things the caption names, in their base form
    timings: Mapping[str, float] = field(default_factory=dict)  # step → seconds


@dataclass(frozen=True, eq=False)
class Post:
    """What was written about one picture, or about the pictures of a carousel."""

    pictures: tuple[Picture, ...]  # at least one, in the order of the post
    engine: str
    versions: Mapping[str, str]  # package → version
    language: str  # of the variants
    choices: Choices
    variants: tuple[Variant, ...]
    hashtags: tuple[str, ...]  # "#dog", of all variants
    created_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    id: int = 0  # 0 until saved

    @property
    def cover(self) -> Picture:
        """The first picture."""
        return self.pictures[0]

    @property
    def starred(self) -> bool:
        """Whether any of its variants is starred."""
        return any(variant.starred for variant in self.variants)


def picture_of(picture: Image.Image, result: Result, *, seen: Seen | None = None) -> Picture:
    """Make the picture of a post.

    Parameters
    ----------
    picture : the picture that the engine saw
    result : what the pipeline said about it
    seen : the result of `img2prompt.posts.see`; computed here by default
    """
    seen = seen or see(result, picture)
    return Picture(
        content_hash=content_hash(picture),
        thumbnail=thumbnail(picture),
        size=picture.size,
        seen=seen,
        prompt=result.prompt,
        embedding=result.embedding,
        objects=tuple(dict.fromkeys(thing.base for thing in topic([seen]).things)),
        timings=result.timings,
    )


def record_of(
    pictures: Sequence[Picture],
    engine: str,
    choices: Choices,
    variants: Sequence[Written],
) -> Post:
    """Make a post that can be saved.

    Parameters
    ----------
    pictures : from `picture_of`, in the order of the post
    engine : that read them
    choices, variants : the arguments and the result of `img2prompt.posts.compose`
    """
    return rewritten(
        Post(
            pictures=tuple(pictures),
            engine=engine,
            versions={"img2prompt": __version__}
            | {name: version(name) for name in RUNTIMES if not missing(name)},
            language=choices.language,
            choices=choices,
            variants=(),
            hashtags=(),
        ),
        choices,
        variants,
    )


def rewritten(post: Post, choices: Choices, variants: Sequence[Written]) -> Post:
    """The same post with other choices, and what `img2prompt.posts.compose` wrote for them."""
    return replace(
        post,
        language=choices.language,
        choices=choices,
        variants=tuple(Variant(variant.text, writer=variant.writer) for variant in variants),
        hashtags=tuple(dict.fromkeys(tag for variant in variants for tag in variant.hashtags)),
    )


def content_hash(picture: Image.Image) -> str:
    """SHA-256 of a picture's pixels and size, in hexadecimal; lossless copies have the same."""
    rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
    digest = hashlib.sha256(f"{rgb.width}x{rgb.height}\n".encode())
    digest.update(rgb.tobytes())
    return digest.hexdigest()


def thumbnail(picture: Image.Image) -> bytes:
    """Encode a small copy as WebP of at most `THUMBNAIL_BYTES` bytes, without metadata.

    Only a picture that is too large even at the lowest quality and size exceeds the limit.
    """
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
    """Split saved labels (table, name, score) into labels by table, and the names of objects."""
    labels: dict[str, list[Match]] = {}
    for table, name, score in rows:
        labels.setdefault(table, []).append(Match(name, score))
    objects = tuple(match.label for match in labels.pop(OBJECTS, []))
    return labels, objects
