"""Every setting in one place: defaults < environment < command line or app."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from img2prompt.errors import ConfigError

ENGINES = ("auto", "lite", "full")
STYLES = ("seed", "classic", "fast", "best", "negative")
PREFIX = "IMG2PROMPT_"


@dataclass(frozen=True)
class Settings:
    """What a pipeline is built from.

    Each field can be set by an environment variable: ``IMG2PROMPT_ENGINE``,
    ``IMG2PROMPT_MAX_MEGAPIXELS`` and so on.
    """

    engine: str = "auto"  # auto, lite, full
    style: str = "seed"  # form of the prompt: seed, classic, fast, best, negative
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    ratio: float = 0.45  # share of the prompt's embedding in the ensemble; the regressor has the rest
    beams: int = 4  # width of the caption search, 1–10
    labels: tuple[str, ...] = ()  # text files, tables of your own; in a variable with : between (Windows ;)
    label_cache: str = ""  # clip-interrogator's cache_path, whose label vectors are then used
    max_megabytes: float = 25.0  # largest encoded picture
    max_megapixels: float = 100.0  # largest decoded picture

    def __post_init__(self) -> None:
        files = [self.labels] if isinstance(self.labels, str | Path) else self.labels
        object.__setattr__(self, "labels", tuple(str(file) for file in files))
        if self.engine not in ENGINES:
            raise ConfigError(f"engine is {self.engine!r}; choose one of {', '.join(ENGINES)}.")
        if self.style not in STYLES:
            raise ConfigError(f"style is {self.style!r}; choose one of {', '.join(STYLES)}.")
        if not 0.0 <= self.ratio <= 1.0:
            raise ConfigError(f"ratio is {self.ratio}; it must lie between 0 and 1.")
        if not 1 <= self.beams <= 10:
            raise ConfigError(f"beams is {self.beams}; it must lie between 1 and 10.")
        if self.max_megabytes <= 0 or self.max_megapixels <= 0:
            raise ConfigError("max_megabytes and max_megapixels must be above 0.")

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Defaults, then ``IMG2PROMPT_*`` variables, then overrides that are not None.

        Raises
        ------
        ConfigError
            For a value that cannot be used, with the name of the setting or variable.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for field in fields(cls):
            text = environment.get(PREFIX + field.name.upper())
            kind: Any = type(field.default)
            if text:
                try:
                    values[field.name] = text.split(os.pathsep) if kind is tuple else kind(text)
                except ValueError:
                    raise ConfigError(
                        f"{PREFIX}{field.name.upper()} is {text!r}; expected {kind.__name__}."
                    ) from None
        values.update({name: value for name, value in overrides.items() if value is not None})
        try:
            return replace(cls(), **values)
        except TypeError as error:
            raise ConfigError(f"Unknown setting: {error}.") from None
