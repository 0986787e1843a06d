"""Uploads as a browser sends them, and batches that come to their end."""

import io
import time

from PIL import Image

from img2prompt.batch.runs import Run
from tests.helpers.pictures import CHINA, FLOWER

PATIENCE = 300  # seconds


def crop(number: int) -> bytes:
    """A part of a real photo, another one for each number, as JPEG."""
    photo = Image.open((CHINA, FLOWER)[number % 2])
    left, top = 37 * number % 400, 23 * number % 200
    buffer = io.BytesIO()
    photo.crop((left, top, left + 240, top + 200)).save(buffer, "JPEG")
    return buffer.getvalue()


def uploads(count: int = 5, broken: int | None = 3) -> list[tuple[str, io.BytesIO]]:
    """A folder as a browser sends it, one file of it broken."""
    files = [(f"trip/{number}.jpg", crop(number)) for number in range(count)]
    if broken is not None:
        files[broken] = (f"trip/{broken}.jpg", b"no picture")
    return [(name, io.BytesIO(data)) for name, data in files]


def finish(run: Run) -> None:
    """Wait until a batch is done or has stopped."""
    end = time.monotonic() + PATIENCE
    while run.working:
        assert time.monotonic() < end
        time.sleep(0.05)
