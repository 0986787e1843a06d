"""Use a history on a disk that is full: python -m tests.helpers.full_disk FOLDER running|restart|bare

FOLDER must be on a small disk of its own, as it is filled: while the history is
open, before it is opened, or without a reserve. Prints what happened as JSON.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from img2prompt.errors import HistoryError
from img2prompt.history import History, open_database, space
from img2prompt.history.record import thumbnail
from tests.helpers.history_database import make_post

space.AMPLE = space.RESERVE  # as the disk is small
space.SMALLEST = 0
folder = Path(sys.argv[1])
url = f"sqlite:///{folder / 'history.db'}"
noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
webp = thumbnail(Image.fromarray(noise))


def open_history() -> History:
    return History(open_database(url), "local")


def fill(left: int) -> None:
    """Leave this many bytes of the disk."""
    with open(folder / "others", "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - left))


def save_until_full(history: History, first: int) -> str:
    try:
        for number in range(first, first + 1000):
            history.save(make_post(number, thumbnail=webp))
    except HistoryError as error:
        return str(error)
    return "never full"


said: dict[str, object] = {}
history = open_history()
for number in range(50):
    history.save(make_post(number, thumbnail=webp))
history.engine.dispose()
history = open_history()  # makes the reserve
assert (folder / "history.db-reserve").stat().st_size == space.RESERVE
if sys.argv[2] == "bare":
    space.release(folder / "history.db")
if sys.argv[2] == "restart":
    history.engine.dispose()
    fill(left=0)
    history = open_history()
    said["posts"] = history.count()
    said["deleted"] = history.delete_all()
else:
    fill(left=1_000_000 if sys.argv[2] == "running" else 0)
    said["full"] = save_until_full(history, 1000)
    said["posts"] = history.count()
    oldest = [post.id for post in history.posts(limit=1000)][-30:]
    try:
        said["deleted"] = history.delete(oldest)
    except HistoryError as error:
        print(json.dumps(said | {"error": str(error), "left": history.count()}))
        sys.exit()
said["left"] = history.count()
assert [post.cover.thumbnail for post in history.posts()] == [webp] * min(24, history.count())
history.save(make_post(5000, thumbnail=webp))
said["saved"] = history.count()
print(json.dumps(said))
