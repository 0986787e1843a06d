"""Describe folders, archives and lists of pictures: discover, work, resume, export.

    discover ──▶ items ──▶ work (open in threads ▶ pipeline) ──▶ journal ──▶ export

The journal is the only state. A run that was stopped, by a click or a power cut, continues from
it, and every output is written from it.
"""

from __future__ import annotations

from img2prompt.batch.formats import (
    FORMATS,
    check_output,
    export,
    export_errors,
    guess_format,
)
from img2prompt.batch.journal import Journal, Line
from img2prompt.batch.photos import ORIGINALS, PhotoFiles, export_photos
from img2prompt.batch.ray_pool import work_on_ray
from img2prompt.batch.rows import Row
from img2prompt.batch.sources import Item, discover, in_archive, is_picture_path, on_disk, passed_over
from img2prompt.batch.texts import TextFiles, export_text, foreign_texts, text_exists
from img2prompt.batch.work import fingerprint, work
from img2prompt.pipeline import batch_size_for

__all__ = [
    "FORMATS",
    "ORIGINALS",
    "Item",
    "Journal",
    "Line",
    "PhotoFiles",
    "Row",
    "TextFiles",
    "batch_size_for",
    "check_output",
    "discover",
    "export",
    "export_errors",
    "export_photos",
    "export_text",
    "fingerprint",
    "foreign_texts",
    "guess_format",
    "in_archive",
    "is_picture_path",
    "on_disk",
    "passed_over",
    "text_exists",
    "work",
    "work_on_ray",
]
