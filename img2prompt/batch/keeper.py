"""Keep the pictures of a batch somewhere else besides, such as in a history, while they are described."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from img2prompt.errors import Img2PromptError

if TYPE_CHECKING:
    from PIL import Image

    from img2prompt.posts import Seen
    from img2prompt.results import Result

    Save = Callable[[Image.Image, Result, Seen], None]

log = logging.getLogger(__name__)

MOST_IN_A_ROW = 3  # failures, after which no further picture is tried: each may take seconds


class Keeper:
    """Saves each picture; those that cannot be saved are counted, and stop no batch.

    Parameters
    ----------
    save : saves a picture with what is known about it; may raise anything
    """

    def __init__(self, save: Save):
        self.lost = 0  # pictures that could not be saved
        self.problem = ""  # why the last of them could not
        self._save = save
        self._in_a_row = 0

    def __call__(self, picture: Image.Image, result: Result, seen: Seen) -> None:
        """Save a picture, unless saving has failed too often."""
        if self._in_a_row < MOST_IN_A_ROW:
            try:
                self._save(picture, result, seen)
            except Exception as error:
                if not isinstance(error, Img2PromptError):
                    log.exception("a picture of a batch cannot be kept")
                self.problem = str(error)
                self._in_a_row += 1
            else:
                self._in_a_row = 0
                return
        self.lost += 1
