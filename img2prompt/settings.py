"""Every setting and variable in one place.

`Settings` holds what a pipeline is built from. The environment overrides the defaults, and the command
line or the app overrides both. Where things are kept, and what the app's visitors may do, is set by
environment variables only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from img2prompt.errors import ConfigError

AUTO = "auto"  # as engine: the best that is installed and fits the device; as style: by the kind of picture
ENGINES = ("lite", "full", "endpoint")  # each a package of img2prompt.engines
STYLES = (AUTO, "seed", "classic", "fast", "best", "nearest", "negative", "caption")
PEOPLE = ("neutral", "as-seen")
NONE = "none"  # instead of a part's name: do without that part
MOST_TRIGGER = 60  # characters
PRECISIONS = ("auto", "fp32", "fp16", "bf16")
CLIP_STATISTICS = ("clip", "half")
QUANTIZE = (NONE, "8bit", "4bit")
LITE = "lite"  # as clip_model or regressor: the bundled model's
PREFIX = "IMG2PROMPT_"
SECRETS = (
    "endpoint_key",
)  # settings that stand in no command line, which others can read, and in no file of ours

# Where things are kept
MODELS = "IMG2PROMPT_MODELS"  # folder of models, looked in first and fetched to; else the user's data folder
DATABASE_URL = "IMG2PROMPT_DATABASE_URL"  # of the history; else history.db in the user's data folder
RUNS = "IMG2PROMPT_RUNS"  # folder of the app's batches; else in the user's state folder
RUNS_GIGABYTES = "IMG2PROMPT_RUNS_GIGABYTES"  # that the uploads in it may take, of all visitors together

# What the app's visitors may do: yes or no to all; unset, those may who sit at the machine that it runs on
HISTORY = "IMG2PROMPT_HISTORY"  # keep a history: with yes one that all share; with sign-in each their own
SERVER_FOLDERS = "IMG2PROMPT_SERVER_FOLDERS"  # name folders of this machine

# Who of those who sign in may do besides what is for whoever sits at the machine: emails, with commas between
ADMINISTRATORS = "IMG2PROMPT_ADMINISTRATORS"

SWITCHES = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


@dataclass(frozen=True)
class Settings:
    """What a pipeline is built from.

    Each field can be set by an environment variable: ``IMG2PROMPT_ENGINE``,
    ``IMG2PROMPT_MAX_MEGAPIXELS`` and so on.
    """

    engine: str = "auto"  # auto, lite, full, endpoint
    style: str = "auto"  # form of the prompt: auto (nearest if machine-made, else seed), classic, fast, best…
    instruction: str = ""  # how the picture is to be described, in plain words, for engines that follow
    trigger: str = ""  # a word that captions begin with, for training a model on them
    people: str = (
        "neutral"  # in captions: neutral (a person, they), as-seen (a man or a woman, as the engine has it)
    )
    read_text: bool = (
        False  # read text in pictures, and repeat it in captions and alt texts; needs the extra ocr
    )
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    ratio: float = 0.45  # share of the prompt's embedding in the ensemble; the regressor has the rest
    ensemble: str = ""  # a file that `train ensemble` wrote, whose members then count in place of ratio
    beams: int = 0  # width of the caption search, 1–10; 0: 4 for lite, the model's own for full
    stored: bool = True  # give the prompt that a picture's file holds, in results and exports
    labels: tuple[str, ...] = ()  # text files, tables of your own; in a variable with : between (Windows ;)
    label_cache: str = ""  # clip-interrogator's cache_path, whose label vectors are then used
    max_megabytes: float = 25.0  # largest encoded picture
    max_megapixels: float = 100.0  # largest decoded picture

    # of the full engine; a part is a published name, a folder, or "none" to go without it; clip_model and
    # regressor may be "lite", which takes labels or embedding from the bundled model
    caption_model: str = "blip-large"
    clip_model: str = "ViT-H-14/laion2b_s32b_b79k"  # open_clip's name/tag
    regressor: str = NONE  # a folder that the train command wrote
    clip_statistics: str = "clip"  # clip: normalise with CLIP's mean and deviation; half: with 0.5 and 0.5
    mirror: bool = False  # average the regressor's answers for a picture and its mirror image
    precision: str = "auto"  # auto (fp16 on a GPU, fp32 on a CPU), fp32, fp16, bf16
    batch_size: int = 64  # pictures through a network together, at most; halved when memory runs out
    quantize: str = NONE  # bits of a weight of the caption model, on an NVIDIA GPU: none, 8bit, 4bit
    details: bool = False  # also a paragraph, and the text in the picture, where the caption model can
    low_vram: bool = False  # keep on the GPU only the network that is running

    # of the endpoint engine
    endpoint_url: str = ""  # of a server that speaks OpenAI's protocol: http://localhost:11434/v1
    endpoint_model: str = ""  # its name there; empty: the only or first one that the server has
    endpoint_key: str = field(default="", repr=False)  # a secret, if the server asks for one
    endpoint_timeout: float = 120.0  # seconds that one answer may take
    endpoint_parallel: int = 4  # questions that the server is asked at a time
    endpoint_remote: bool = False  # whether pictures may go to a server beyond this machine

    def __post_init__(self) -> None:
        files = [self.labels] if isinstance(self.labels, str | Path) else self.labels
        object.__setattr__(self, "labels", tuple(str(file) for file in files))
        if self.engine not in (AUTO, *ENGINES):
            raise ConfigError(f"engine is {self.engine!r}; choose one of {', '.join((AUTO, *ENGINES))}.")
        if self.style not in STYLES:
            raise ConfigError(f"style is {self.style!r}; choose one of {', '.join(STYLES)}.")
        if self.people not in PEOPLE:
            raise ConfigError(f"people is {self.people!r}; choose one of {', '.join(PEOPLE)}.")
        if len(self.trigger) > MOST_TRIGGER or not self.trigger.isprintable():
            raise ConfigError(
                f"trigger is {self.trigger[:MOST_TRIGGER]!r}; it must be one line of at most {MOST_TRIGGER} characters."
            )
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision is {self.precision!r}; choose one of {', '.join(PRECISIONS)}.")
        if self.clip_statistics not in CLIP_STATISTICS:
            raise ConfigError(
                f"clip_statistics is {self.clip_statistics!r}; choose one of {', '.join(CLIP_STATISTICS)}."
            )
        if self.quantize not in QUANTIZE:
            raise ConfigError(f"quantize is {self.quantize!r}; choose one of {', '.join(QUANTIZE)}.")
        if self.quantize != NONE and self.low_vram:
            raise ConfigError("quantize and low_vram exclude each other: quantized weights stay on the GPU.")
        for part in ("caption_model", "clip_model", "regressor"):
            if not getattr(self, part):
                raise ConfigError(f'{part} is empty; name a model or its folder, or "none" to go without.')
        if {self.caption_model, self.clip_model, self.regressor} == {NONE}:
            raise ConfigError("caption_model, clip_model and regressor are all none; nothing could be said.")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}; it must be 1 or more.")
        if not 0.0 <= self.ratio <= 1.0:
            raise ConfigError(f"ratio is {self.ratio}; it must lie between 0 and 1.")
        if not 0 <= self.beams <= 10:
            raise ConfigError(f"beams is {self.beams}; it must lie between 0 and 10.")
        for name in ("max_megabytes", "max_megapixels", "endpoint_timeout"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be a number above 0.")
        if self.endpoint_parallel < 1:
            raise ConfigError(f"endpoint_parallel is {self.endpoint_parallel}; it must be 1 or more.")

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
        for setting in fields(cls):
            text = environment.get(PREFIX + setting.name.upper())
            kind: Any = type(setting.default)
            if not text:
                continue
            if kind is bool:
                values[setting.name] = switch(PREFIX + setting.name.upper(), environment)
                continue
            try:
                values[setting.name] = text.split(os.pathsep) if kind is tuple else kind(text)
            except ValueError:
                number = "a whole number" if kind is int else "a number"
                raise ConfigError(
                    f"{setting.name} ({PREFIX}{setting.name.upper()}) is {text!r}; give {number}."
                ) from None
        values.update({name: value for name, value in overrides.items() if value is not None})
        try:
            return replace(cls(), **values)
        except TypeError as error:
            raise ConfigError(f"Unknown setting: {error}.") from None


def variable(name: str) -> str | None:
    """The value of an environment variable; None where it is unset or empty."""
    return os.environ.get(name) or None


def switch(name: str, environment: Mapping[str, str] | None = None) -> bool | None:
    """Whether an environment variable says yes (True) or no (False); None where it is unset or empty.

    Raises
    ------
    ConfigError
        When it says neither.
    """
    text = (os.environ if environment is None else environment).get(name, "")
    if not text.strip():
        return None
    try:
        return SWITCHES[text.strip().lower()]
    except KeyError:
        raise ConfigError(f"{name} is {text!r}; expected one of {', '.join(SWITCHES)}.") from None
