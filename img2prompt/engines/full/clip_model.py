"""CLIP through open_clip: pictures and texts → unit vectors in one joint space.

Radford et al., *Learning Transferable Visual Models From Natural Language Supervision*,
ICML 2021; https://github.com/mlfoundations/open_clip.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from img2prompt.embeddings import unit
from img2prompt.engines.device import Batches, Place, SkipInit, resolve_precision
from img2prompt.engines.full import clip_text
from img2prompt.engines.full.architecture import check_architecture
from img2prompt.errors import WeightsError
from img2prompt.wording import reason

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
SAMPLES, SAMPLE_BYTES = 64, 4096  # pieces of a file, evenly spaced, that tell it from another
# For tokenizers of transformers, whatever the folder's own options say.
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
HALF = (0.5, 0.5, 0.5)
TEXTS_PER_PICTURE = 16  # a label is a few tokens long, a picture some 257


class ClipModel:
    """A CLIP model from its folder as open_clip publishes it.

    Parameters
    ----------
    folder : ``open_clip_config.json`` and ``open_clip_model.safetensors``
    place : where it runs
    precision : ``auto``, ``fp32``, ``fp16`` or ``bf16``
    batch_size : pictures at a time, at most; of texts 16 times as many
    statistics : what pixels are normalised with: ``clip`` for the model's own mean and
        deviation, ``half`` for 0.5 and 0.5
    quick_gelu : use OpenAI's approximate GELU even if the folder does not ask for it, see `has_quick_gelu`

    Raises
    ------
    WeightsError
        When a file is missing or damaged, or the model needs files from elsewhere.
    """

    def __init__(
        self,
        folder: Path,
        place: Place,
        precision: str,
        batch_size: int,
        statistics: str = "clip",
        quick_gelu: bool = False,
    ):
        import open_clip

        precision = resolve_precision(precision, place.device)
        self._name = f"local-dir:{folder}"
        half = HALF if statistics == "half" else None
        try:
            text_config = _check(folder)
            with SkipInit():
                net, _, prepare = open_clip.create_model_and_transforms(
                    self._name,
                    precision=precision,
                    image_mean=half,
                    image_std=half,
                    force_quick_gelu=quick_gelu,
                )
            self._tokenizer_options = LOCAL if text_config.get("hf_tokenizer_name") else {}
            if self._tokenizer_options:  # its files may not be there; better to hear of it now
                _ = self._tokenize
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise WeightsError(
                f"{folder} holds no CLIP model that can be used ({reason(error)}). Run: img2prompt models verify"
            ) from error
        self.digest = digest(folder / WEIGHTS)
        self.prepare: Callable[[Image.Image], Tensor] = prepare  # RGB picture → pixels (3, H, W) on the CPU
        self._net: Any = place.settle(net)
        self._dtype = open_clip.get_input_dtype(precision)
        self._place = place
        self._images = Batches(place, net, batch_size)
        self._texts = Batches(place, net, batch_size * TEXTS_PER_PICTURE)

    @cached_property
    def _tokenize(self) -> Callable[[list[str]], Tensor]:
        # Made for the first text: a start with kept label vectors meets none, and this takes a tenth of a second.
        import open_clip

        return open_clip.get_tokenizer(self._name, **self._tokenizer_options)

    @cached_property
    def _encode(self) -> Callable[[Tensor], Tensor]:
        # For the first text too, as its check reads the text tower.
        return clip_text.encoder(self._net)

    def embed_images(self, pixels: Sequence[Tensor]) -> np.ndarray:
        """N prepared pictures (3, H, W) → (N, D) float32 unit vectors."""
        return np.stack(self._images(self._encode_images, pixels))

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """M texts, each cut to the 77 tokens that CLIP reads → (M, D) float32 unit vectors."""
        tokens = self._tokenize(list(texts))
        # Neighbours in length share a batch, so that little is computed on padding.
        order = torch.argsort((tokens != 0).sum(1), descending=True, stable=True)
        sorted_vectors = np.stack(self._texts(self._encode_texts, list(tokens[order])))
        vectors = np.empty_like(sorted_vectors)
        vectors[order.numpy()] = sorted_vectors
        return vectors

    def _encode_images(self, pixels: Sequence[Tensor]) -> Iterable[np.ndarray]:
        return unit(self._net.encode_image(self._place.send(pixels, self._dtype)).float().cpu().numpy())

    def _encode_texts(self, tokens: Sequence[Tensor]) -> Iterable[np.ndarray]:
        return unit(self._encode(self._place.send(tokens)).float().cpu().numpy())


def has_quick_gelu(name: str) -> bool:
    """Whether the weights of a published ``name/tag`` were trained with OpenAI's approximate GELU.

    open_clip notes it at the tag; its configuration ``ViT-L-14`` alone says otherwise, and then
    open_clip 3 only warns.
    """
    from open_clip import get_pretrained_cfg

    architecture, _, tag = name.partition("/")
    return bool((get_pretrained_cfg(architecture, tag) or {}).get("quick_gelu"))


def digest(file: Path) -> str:
    """16 hexadecimal digits that change with the weights, without reading gigabytes: see `SAMPLES`."""
    size = file.stat().st_size
    sha256 = hashlib.sha256(str(size).encode())
    with open(file, "rb") as weights:
        for sample in range(SAMPLES):
            weights.seek(size * sample // SAMPLES)
            sha256.update(weights.read(SAMPLE_BYTES))
    return sha256.hexdigest()[:16]


def _check(folder: Path) -> dict[str, Any]:
    """The text tower's configuration. Refuses what open_clip would read from elsewhere: pickles, hub models."""
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"{WEIGHTS} is missing")
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    text_config: dict[str, Any] = config["model_cfg"]["text_cfg"]
    text_model = text_config.get("hf_model_name")
    if text_model:
        raise ValueError(f"its text tower {text_model} would have to be fetched; choose a model without one")
    if "timm_model_name" in config["model_cfg"]["vision_cfg"]:
        check_architecture(config["model_cfg"]["vision_cfg"]["timm_model_name"])
    return text_config
