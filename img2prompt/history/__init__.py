"""The history of posts: save them, search them, export them, delete them.

>>> from img2prompt.history import History, open_database
>>> history = History(open_database(), owner="local")
>>> history.posts("dog beach", starred=True)
"""

from __future__ import annotations

from img2prompt.history.database import open_database, prepare
from img2prompt.history.record import Picture, Post, Variant, picture_of, record_of
from img2prompt.history.store import History

__all__ = [
    "History",
    "Picture",
    "Post",
    "Variant",
    "open_database",
    "picture_of",
    "prepare",
    "record_of",
]
