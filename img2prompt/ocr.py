"""Text in pictures: RapidOCR, whose package brings its networks along (PP-OCRv6, on ONNX Runtime).

https://github.com/RapidAI/RapidOCR; Apache-2.0, the networks too. Nothing is fetched: the files are named, so
that a missing one is an error.

What identifies somebody is never repeated: lines with long groups of digits, e-mail addresses and number plates are left
out, and so is all text of a picture that looks like a person's document.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from img2prompt.errors import ConfigError, WeightsError
from img2prompt.libraries import install, missing
from img2prompt.results import Line
from img2prompt.wording import reason

log = logging.getLogger(__name__)

NETWORKS = {  # of RapidOCR's package, by the step that uses them
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
SIDE = 960  # pixels of the longer side in which text is looked for
LEAST_SCORE = 0.5  # of a line; what is repeated in a caption has more, see `img2prompt.posts.quotes`
MOST_LINES = 100
LONGEST = 500  # characters of a line

# A number that belongs to somebody: seven digits or more, alone or in groups (telephone, account, card, passport).
_NUMBER = re.compile(r"\d(?:[ .\-–/()]{0,2}\d){6,}")
_ADDRESS = re.compile(r"\S+\s?@\s?\S+\.\w{2,}|\S+@\S+")
# A number plate: five to eight letters and digits, two or more of each, no word among them.
_PLATE = re.compile(
    r"(?=(?:.*[A-Z]){2})(?=(?:.*\d){2})(?!.*[A-Z]{4})(?=(?:[^A-Z\d]*[A-Z\d]){5,8}$)"
    r"[A-Z\d]{1,4}(?:[ \-·.]?[A-Z\d]{1,4}){1,2}"
)
_DOCUMENT = re.compile(
    r"passport|identity card|driver.?s? licen[cs]e|driving licen[cs]e|residence permit|social security"
    r"|date of birth|personalausweis|reisepass|passeport|여권|주민등록증|운전면허증|생년월일|外国人登録|身份证"
    r"|[A-Z0-9]<<[A-Z0-9<]|<<<",
    re.IGNORECASE,
)


def is_installed() -> bool:
    """Whether RapidOCR is there."""
    return not missing("rapidocr", "onnxruntime")


class TextReader:
    """Reads text in pictures. It loads RapidOCR when it is first asked; safe to call from several threads."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def read(self, pictures: Sequence[Image.Image]) -> list[list[Line]]:
        """The lines of text in each of N RGB pictures, as they are read.

        Raises
        ------
        ConfigError
            When RapidOCR is not installed.
        WeightsError
            When a file of its package is missing or damaged.
        """
        with self._turn:
            return [public(self._read(picture)) for picture in pictures]

    def _read(self, picture: Image.Image) -> list[Line]:
        networks = self._networks
        try:
            found = networks(np.asarray(picture.convert("RGB"))[:, :, ::-1])  # as OpenCV has the channels
        except Exception:  # whatever it raises, as for a picture as narrow as a line: nothing is read there
            log.warning("text could not be looked for in a picture", exc_info=True)
            return []
        if found.txts is None or found.boxes is None or found.scores is None:
            return []
        size = np.array(picture.size)
        rows = zip(found.txts, found.scores, found.boxes, strict=True)
        return [
            Line(text[:LONGEST], float(score), tuple((float(x), float(y)) for x, y in box / size))
            for text, score, box in rows
            if text.strip() and score >= LEAST_SCORE
        ][:MOST_LINES]

    @cached_property
    def _networks(self) -> Any:
        if absent := missing("rapidocr", "onnxruntime"):
            raise ConfigError(f"Reading text in pictures needs {', '.join(absent)}. {install(*absent)}")
        import rapidocr

        folder = Path(rapidocr.__file__).parent / "models"
        params: dict[str, Any] = {
            "Global.log_level": "error",
            "Det.limit_type": "max",
            "Det.limit_side_len": SIDE,
        }
        for step, name in NETWORKS.items():
            if not (folder / name).is_file():
                raise WeightsError(f"{folder / name} is missing. {install('rapidocr', '--force-reinstall')}")
            params[f"{step}.model_path"] = str(folder / name)
        try:
            return rapidocr.RapidOCR(params=params)
        except Exception as error:  # whatever it raises for a damaged installation
            raise WeightsError(f"RapidOCR cannot be used ({reason(error)}). {install('rapidocr')}") from error


def public(lines: Sequence[Line]) -> list[Line]:
    """The lines that may be repeated: none of a person's document, and none that identifies somebody."""
    if any(_DOCUMENT.search(line.text) for line in lines):
        return []
    return [line for line in lines if not _identifies(line.text)]


def _identifies(text: str) -> bool:
    return bool(_NUMBER.search(text) or _ADDRESS.search(text) or _PLATE.fullmatch(text.strip().upper()))
