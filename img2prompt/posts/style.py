"""Tags for how a picture was made, where the labels are certain and it is worth saying."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from img2prompt.posts import data
from img2prompt.posts.post import Seen

BEST = 3  # mediums that are looked at
SURE = 0.35  # cosine from which a medium counts; wrong ones stay below it, and so do many right ones


def styles(seen: Sequence[Seen]) -> Iterator[str]:
    """Tags such as "watercolor" for pictures that are not photos.

    A photo gets no tag: its medium is not worth one, and any other medium would be a mistake.
    """
    for picture in seen:
        if is_photo(picture) is False:
            yield data.mediums().get(picture.labels["mediums"][0].label, "")


def is_photo(picture: Seen) -> bool | None:
    """Whether a kind of photo is among the first three mediums; None where it is not and the best is not sure."""
    best = picture.labels.get("mediums", ())[:BEST]
    if any("photo" in match.label for match in best):
        return True
    return False if best and best[0].score >= SURE else None
