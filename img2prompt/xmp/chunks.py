"""What PNG and WebP files have in common: they are chunks, of which one may hold XMP."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from img2prompt.xmp.refusals import damaged


class Chunk(NamedTuple):
    kind: bytes
    start: int  # of all that belongs to it, in bytes from the beginning of the file
    stop: int
    content: bytes


def only(is_xmp: Callable[[Chunk], bool], chunks: Iterable[Chunk]) -> Chunk | None:
    """The chunk that holds XMP; None without one. Of two, other programs may read either."""
    found = list(filter(is_xmp, chunks))
    if len(found) > 1:
        raise damaged("two XMP packets")
    return found[0] if found else None
