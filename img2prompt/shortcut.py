"""Faster ways that reach inside other libraries: each is held against the public way before it is used."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


def holds(name: str, check: Callable[[], bool]) -> bool:
    """Whether a faster way may be used. If not, the public way has to do, and one line is logged.

    Parameters
    ----------
    name : what the way does, for the log
    check : runs both ways on a tiny input and says whether they agree; may raise anything
    """
    try:
        wrong = "" if check() else "it answers otherwise than the public way"
    except Exception as error:  # noqa: BLE001 - whatever another version of the library makes of it
        wrong = f"{type(error).__name__}: {error}"
    if wrong:
        logger.warning("%s is left out, which is slower: %s", name, wrong)
    return not wrong
