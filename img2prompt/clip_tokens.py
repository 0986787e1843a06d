"""CLIP's tokenizer, taken out of open_clip without the rest of it."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from typing import Any

from img2prompt.errors import WeightsError
from img2prompt.libraries import install
from img2prompt.shortcut import holds

KNOWN = "A photo of CLIP's café, 3d!"
IDS = [320, 1125, 539, 9289, 568, 15304, 267, 274, 323, 256]  # what open_clip makes of it, without the ends


@functools.cache
def tokenizer() -> Any:
    """An `open_clip.SimpleTokenizer`.

    ``import open_clip`` loads every model family it knows, which takes seconds; the file with its
    tokenizer stands alone. To ask the public way would take those seconds as well, so it is held
    against what that is known to answer.

    Raises
    ------
    WeightsError
        When open_clip is not installed.
    """
    if importlib.util.find_spec("open_clip") is None:
        raise WeightsError(f"CLIP's tokenizer is not installed. {install('open_clip_torch')}")
    loaded: list[Any] = []

    def check() -> bool:
        loaded.append(_alone())
        return bool(loaded[0].encode(KNOWN) == IDS)

    if holds("Taking CLIP's tokenizer without the rest of open_clip", check):
        return loaded[0]
    import open_clip

    return open_clip.SimpleTokenizer()


def _alone() -> Any:
    module: Any = sys.modules.get("open_clip.tokenizer")
    if module is None:
        package = importlib.util.find_spec("open_clip")
        assert package is not None and package.origin is not None
        file = Path(package.origin).with_name("tokenizer.py")
        spec = importlib.util.spec_from_file_location("_open_clip_tokenizer", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module._tokenizer  # the one it makes for itself; another would take a tenth of a second
