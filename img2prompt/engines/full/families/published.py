"""Load a network and its processor from a folder as Hugging Face publishes them; no code of the folder runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError

from img2prompt.engines.device import DTYPES, Place, resolve_precision
from img2prompt.errors import ConfigError, WeightsError
from img2prompt.libraries import install, missing
from img2prompt.wording import reason

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")
NEEDS = {"smolvlm": "num2words"}  # model_type → a library that its processor asks for
NONE = "none"


class Published(NamedTuple):
    """What a folder holds, on its device and ready to generate."""

    net: Any
    processor: Any
    dtype: torch.dtype  # of its pixels


def unusable(folder: Path, error: Exception) -> WeightsError:
    """The error to raise for a folder that cannot be loaded."""
    return WeightsError(
        f"{folder} holds no caption model that can be used ({reason(error)}). Run: img2prompt models verify"
    )


def model_type(folder: Path) -> object:
    """The architecture that ``config.json`` names.

    Raises
    ------
    WeightsError
        When it cannot be read.
    """
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise unusable(folder, error) from error


def load(folder: Path, place: Place, precision: str, quantize: str = NONE) -> Published:
    """Load network and processor through transformers' public classes.

    Parameters
    ----------
    precision : ``auto``, ``fp32``, ``fp16`` or ``bf16``
    quantize : ``none``, ``8bit`` or ``4bit``

    Raises
    ------
    WeightsError
        When a file or a library is missing, or a file is damaged.
    ConfigError
        When the weights cannot be quantized here.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    kind = str(model_type(folder))
    if kind in NEEDS and (absent := missing(NEEDS[kind])):
        raise WeightsError(f"A {kind} model needs {absent[0]}. {install(*absent)}")
    dtype = DTYPES[resolve_precision(precision, place.device)]
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    bits = _quantized(quantize, dtype, place.device)
    try:
        if not any((folder / file).is_file() for file in VOCABULARIES):  # else captions would be empty
            raise ValueError(f"the vocabulary is missing, one of {', '.join(VOCABULARIES)}")
        with _quiet():
            processor = AutoProcessor.from_pretrained(folder, **local)
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **bits, **local
            )
            net, report = loaded
        # transformers fills gaps with random numbers, as of a folder that is made for code of its own
        if lacking := sorted(report["missing_keys"]):
            raise ValueError(f"the weights lack {lacking[0]} and {len(lacking) - 1} more")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
        raise unusable(folder, error) from error
    net = net.eval().requires_grad_(False) if bits else place.settle(net)
    return Published(net, processor, dtype)


def _quantized(quantize: str, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Arguments that load the weights in fewer bits."""
    if quantize == NONE:
        return {}
    if device.type != "cuda":
        raise ConfigError(
            f"quantize is {quantize!r}, which needs an NVIDIA GPU, but the device is {device}. Leave quantize "
            "out, or choose a smaller caption_model."
        )
    if absent := missing("bitsandbytes", "accelerate"):
        raise ConfigError(f"quantize is {quantize!r}, which needs {', '.join(absent)}. {install(*absent)}")
    from transformers import BitsAndBytesConfig

    # Of bf16 it says for each layer and word that its inputs are cast.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if quantize == "8bit":
        bits = BitsAndBytesConfig(load_in_8bit=True)
    else:
        bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": bits, "device_map": {"": device}}


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar of transformers while weights load, which takes a second or two."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
