"""How a picture was made, where the labels are sure of it and it is worth saying."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from img2prompt.posts import data
from img2prompt.posts.post import Seen

BEST = 3  # mediums that are looked at
SURE = 0.3  # cosine; most pictures that are no photos stay below, and so does all that is wrong of photos


def styles(seen: Sequence[Seen]) -> Iterator[str]:
    """Tags such as "watercolor" for pictures that are no photos.

    The best medium counts where no kind of photo is among the first three: of a photo its
    medium is not worth a tag, and any other is a mistake.
    """
    for one in seen:
        best = one.labels.get("mediums", ())[:BEST]
        if best and best[0].score >= SURE and not any("photo" in match.label for match in best):
            yield data.mediums().get(best[0].label, "")
