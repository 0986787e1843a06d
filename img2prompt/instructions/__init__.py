"""What an engine that follows instructions is told: presets, a person's own words, and what they leave open.

An instruction is plain words with placeholders, such as ``{name}``, which are filled for each picture.
"""

from __future__ import annotations

from img2prompt.instructions.preset import Preset, load_preset, presets, settings_for, words_of
from img2prompt.instructions.template import (
    begin_with,
    bind,
    check,
    check_placeholders,
    fill,
    labels_in_words,
    names,
    place_of,
)

__all__ = [
    "Preset",
    "begin_with",
    "bind",
    "check",
    "check_placeholders",
    "fill",
    "labels_in_words",
    "load_preset",
    "names",
    "place_of",
    "presets",
    "settings_for",
    "words_of",
]
