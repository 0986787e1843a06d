"""Write the history as CSV for spreadsheets or JSON for programs, without thumbnails and embeddings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import IO, Any

from img2prompt.history.record import Post
from img2prompt.results import labels_line, words_record
from img2prompt.spreadsheet import write_table

COLUMNS = (
    "id created_at caption prompt labels objects hashtags variants starred copied tone goal length language platform "
    "note engine width height content_hash"
).split()
OF_PICTURES = "caption prompt labels objects width height content_hash".split()  # a line for each in a cell


def write_csv(file: IO[bytes], posts: Iterable[Post]) -> None:
    """Write a UTF-8 CSV with a line for each post; no cell works as a formula in a spreadsheet.

    `posts` may be an iterator such as `History.export`; only one post is held at a time.
    """
    write_table(file, COLUMNS, map(_cells, posts))


def write_json(file: IO[bytes], posts: Iterable[Post]) -> None:
    """Write a UTF-8 JSON array with one object on each line; only one post is held in memory at a time."""
    start = b"[\n"
    for post in posts:
        file.write(start + json.dumps(as_object(post), ensure_ascii=False).encode())
        start = b",\n"
    file.write(b"[]\n" if start == b"[\n" else b"\n]\n")


def as_object(post: Post) -> dict[str, Any]:
    """A post as an object for JSON."""
    choices = post.choices
    return {
        "id": post.id,
        "created_at": post.created_at.isoformat(),
        "pictures": [
            {
                **words_record(picture.seen.caption, picture.prompt, picture.seen.labels),
                "objects": list(picture.objects),
                "orientation": picture.seen.orientation,
                "colours": list(picture.seen.colours),
                "width": picture.size[0],
                "height": picture.size[1],
                "content_hash": picture.content_hash,
                "timings": dict(picture.timings),
            }
            for picture in post.pictures
        ],
        "hashtags": list(post.hashtags),
        "variants": [
            {
                "text": variant.text,
                "edited": variant.edited,
                "copied": variant.copied,
                "starred": variant.starred,
                "writer": variant.writer,
            }
            for variant in post.variants
        ],
        "tone": choices.tone,
        "goal": choices.goal,
        "length": choices.length,
        "language": post.language,
        "platform": choices.platform,
        "note": choices.note,
        "engine": post.engine,
        "versions": dict(post.versions),
    }


def _cells(post: Post) -> list[object]:
    """A post as a line of the spreadsheet."""
    cells = as_object(post)
    pictures = cells["pictures"]
    for picture, of in zip(pictures, post.pictures, strict=True):
        picture["labels"] = labels_line(of.seen.labels)
        picture["objects"] = ", ".join(of.objects)
    for name in OF_PICTURES:
        values = [picture[name] for picture in pictures]
        cells[name] = values[0] if len(values) == 1 else "\n".join(map(str, values))
    cells["hashtags"] = " ".join(post.hashtags)
    for mark in ("starred", "copied"):
        cells[mark] = _joined(variant.now for variant in post.variants if getattr(variant, mark))
    cells["variants"] = _joined(variant.now for variant in post.variants)
    return [cells[name] for name in COLUMNS]


def _joined(texts: Iterable[str]) -> str:
    return "\n\n———\n\n".join(texts)
