"""Describe pictures: threads open them ahead of the model, and groups of results go to the journal."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING

from PIL import ExifTags, Image

from img2prompt import __version__, metadata
from img2prompt.batch.journal import Journal
from img2prompt.batch.rows import Row
from img2prompt.batch.sources import Item
from img2prompt.errors import AnswerError, ImageError
from img2prompt.posts import Choices, alt_text, hashtags, see
from img2prompt.settings import Settings
from img2prompt.vector_cache import digest

if TYPE_CHECKING:
    from img2prompt.batch.keeper import Save
    from img2prompt.pipeline import Pipeline

MOST_WORKERS = 8
# Settings that are no part of the fingerprint: they change no results, or it names their effect separately.
ELSEWHERE = (
    *("engine", "device", "ensemble", "max_megabytes", "max_megapixels"),
    *("labels", "label_cache", "low_vram", "stored"),
    *("endpoint_url", "endpoint_model", "endpoint_key"),
    *("endpoint_timeout", "endpoint_parallel", "endpoint_remote"),
)
# Settings that came later, and by default change nothing.
SINCE = ("instruction", "trigger", "read_text", "quantize", "details")


@dataclass(frozen=True, eq=False)
class Opened:
    """A picture ready for the model, or the reason why it could not be opened."""

    item: Item
    picture: Image.Image | None = None
    size: tuple[int, int] | None = None  # (width, height) of the upright original
    error: str = ""


def work(
    pipeline: Pipeline,
    items: Sequence[Item],
    journal: Journal,
    batch_size: int,
    workers: int | None = None,
    keep: Save | None = None,
) -> Iterator[list[Row]]:
    """Describe the items that the journal lacks.

    To stop, ask for no more groups. Groups are cut from the missing items in order and saved
    completely or not at all. So a run that was stopped in any way continues with the same
    groups, and gives the same vectors to the last bit.

    Parameters
    ----------
    batch_size : pictures in a group
    workers : threads that open pictures; by default one for each core, at most 8
    keep : is told of each picture that was described, before its row is saved: so after a crash rather twice
        than never. What it raises ends the work.

    Yields
    ------
    The rows of each group, once they are saved.

    Raises
    ------
    DataError
        When the journal cannot be written.
    """
    missing = journal.missing(items)
    workers = workers or cores()
    # While the model describes one group, the threads open the next.
    opened = open_ahead(pipeline, missing, workers, ahead=batch_size + 1)
    for group in cut(missing, batch_size):
        rows = describe(pipeline, list(islice(opened, len(group))), keep)
        journal.add(group, rows)
        yield rows


def cut(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Cut items into groups of `size`, in order; the last may be shorter.

    Whichever groups are done, cutting the remaining items gives the remaining groups again.
    """
    return [items[start : start + size] for start in range(0, len(items), size)]


def describe(pipeline: Pipeline, group: Sequence[Opened], keep: Save | None = None) -> list[Row]:
    """Describe one group in one call of the model; pictures that fail get rows with errors.

    `keep` is told of each picture that was described.
    """
    pictures = [opened.picture for opened in group if opened.picture is not None]
    requests = [
        pipeline.request(opened.item.stem, opened.item.folder)
        for opened in group
        if opened.picture is not None
    ]
    results = iter(pipeline.describe_each(pictures, requests=requests))
    rows = []
    for opened in group:
        if opened.picture is None or opened.size is None:
            rows.append(Row(opened.item.name, error=opened.error))
            continue
        result = next(results)
        if isinstance(result, AnswerError):
            rows.append(Row(opened.item.name, error=str(result)))
            continue
        seen = see(result, opened.picture)
        if keep:
            keep(opened.picture, result, seen)
        rows.append(
            Row(
                name=opened.item.name,
                caption=result.caption,
                prompt=result.prompt,
                labels={
                    table: [(match.label, match.score) for match in matches]
                    for table, matches in result.labels.items()
                },
                alt_text=alt_text(seen),
                hashtags=hashtags(seen, Choices()),
                width=opened.size[0],
                height=opened.size[1],
                embedding=result.embedding,
                colours=seen.colours,
                stored=metadata.of(opened.picture).stored,
            )
        )
    return rows


def open_ahead(pipeline: Pipeline, items: Iterable[Item], workers: int, ahead: int) -> Iterator[Opened]:
    """Open pictures in threads and yield them in order, at most `ahead` of them in advance."""
    waiting: deque[Future[Opened]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="open")
    try:
        for item in items:
            waiting.append(pool.submit(open_item, pipeline, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def open_item(pipeline: Pipeline, item: Item) -> Opened:
    """Read and decode one picture; a failure becomes its `error`."""
    try:
        data = item.read(int(pipeline.settings.max_megabytes * 2**20) + 1)
        picture = pipeline.open(data)
    except ImageError as error:
        return Opened(item, error=str(error))
    return Opened(item, picture, _upright_size(data))


def _upright_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels of the picture in a file, turned upright; `Pipeline.open` may reduce it."""
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        orientation = 1
        with contextlib.suppress(Exception):  # broken EXIF data must not fail the picture
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def fingerprint(pipeline: Pipeline) -> str:
    """16 hexadecimal digits that change with anything but the picture that results depend on.

    These are the version, the weights, the ensemble, the label tables and the settings. With people as seen,
    and without what is in `SINCE`, it is what it was before there were these settings, as the results are.
    """
    engine = pipeline.engine
    tables = {table.name: digest(table.labels) for table in pipeline.tables}
    values = {name: value for name, value in asdict(pipeline.settings).items() if name not in ELSEWHERE}
    if values["people"] == "as-seen":
        del values["people"]
    for name in SINCE:
        if values[name] == getattr(Settings, name):
            del values[name]
    members = pipeline.members.digest if pipeline.members else ""
    text = json.dumps([__version__, engine.name, engine.weights_id, members, tables, values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cores() -> int:
    """Default number of threads that open pictures: one for each core, at most `MOST_WORKERS`."""
    return min(os.cpu_count() or 1, MOST_WORKERS)
