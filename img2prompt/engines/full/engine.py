"""The engine for a GPU: a published caption model, CLIP and a trained regressor, each optional."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from img2prompt.engines.base import Aspect, Question, Request
from img2prompt.engines.device import Ahead, Place
from img2prompt.engines.full.clip_model import ClipModel, digest, has_quick_gelu
from img2prompt.engines.full.families import CaptionModel, ChatModel, load_captioner
from img2prompt.engines.full.memory import check_memory
from img2prompt.engines.full.vit_regressor import VitRegressor
from img2prompt.errors import WeightsError
from img2prompt.results import Description
from img2prompt.settings import Settings

MOST_THREADS = 16


@dataclass(frozen=True)
class Features:
    """What `FullEngine.encode` returns for N pictures; None for parts that the engine lacks."""

    prepared: Ahead[Any] | None  # N, input of the caption model
    embedded: np.ndarray | None  # (N, D) unit vectors in CLIP's space
    regressed: np.ndarray | None  # (N, 384) unit vectors


class FullEngine:
    """The full engine; see `img2prompt.engines.base.Engine` for what each method returns.

    Threads resize pictures while the networks run. Safe to call from several threads: the
    networks take turns.

    Parameters
    ----------
    settings : names of the parts, precision, batch size and so on
    folders : kind (``caption``, ``clip``, ``regressor``) → folder, for each part to load
    device : for example ``"cuda"``

    Raises
    ------
    WeightsError
        When a file of a part is missing or damaged.
    """

    name = "full"
    pool = 2048  # clip-interrogator's flavor_intermediate_count
    vocabulary: Mapping[str, int] | None = None
    label_file: Path | None = None

    def __init__(self, settings: Settings, folders: Mapping[str, Path], device: str = "cpu"):
        self.device = device
        place = Place(torch.device(device), settings.low_vram)
        precision, size = settings.precision, settings.batch_size
        check_memory(settings, folders, device)
        self._captioner: CaptionModel | None = None
        self._clip = self._regressor = None
        if "caption" in folders:
            self._captioner = load_captioner(
                folders["caption"], place, precision, size, settings.quantize, settings.details
            )
        if "clip" in folders:
            self._clip = ClipModel(
                folders["clip"],
                place,
                precision,
                size,
                settings.clip_statistics,
                quick_gelu=has_quick_gelu(settings.clip_model),
            )
        if "regressor" in folders:
            self._regressor = VitRegressor(folders["regressor"], place, precision, size, settings.mirror)
        self.captioner = settings.caption_model if self._captioner else None
        self.follows = bool(self._captioner and self._captioner.follows)
        self.chats = isinstance(self._captioner, ChatModel)
        self.space = f"{settings.clip_model}@{self._clip.digest}" if self._clip else None
        files = [
            file for kind in sorted(folders) for file in sorted(folders[kind].iterdir()) if file.is_file()
        ]
        self.weights_id = " ".join(digest(file) for file in files)
        self._threads = ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS), "prepare")

    @property
    def mean_embedding(self) -> np.ndarray | None:
        """(384,) unit vector, the mean of the training prompts' embeddings; None if no regressor holds it."""
        return self._regressor.mean_embedding if self._regressor else None

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """Look at N RGB pictures of any size."""
        # All pictures go to the threads at once, in the order in which the networks will need them.
        clip, regressor, captioner = (
            Ahead(self._threads, part.prepare, images) if part else None
            for part in (self._clip, self._regressor, self._captioner)
        )
        return Features(
            prepared=captioner,
            embedded=self._clip.embed_images(clip) if self._clip and clip is not None else None,
            regressed=self._regressor.regress(regressor)
            if self._regressor and regressor is not None
            else None,
        )

    def chat(self, question: Question) -> Iterator[str]:
        """The caption model's answer, as it is written."""
        if not isinstance(self._captioner, ChatModel):
            raise WeightsError(
                f"{self.captioner or self.name} cannot chat. Choose a chat model as caption_model, for example "
                '"qwen3-vl-2b".'
            )
        return self._captioner.chat(question)

    def describe(
        self, features: Features, beams: int = 0, requests: Sequence[Request] | None = None
    ) -> list[Description]:
        """What the caption model says; with `beams` 0 in its own search."""
        if self._captioner is None or features.prepared is None:
            raise WeightsError('No caption model is loaded. Set caption_model, for example to "blip-large".')
        return self._captioner.describe(features.prepared, beams, requests)

    def embed_images(self, features: Features, aspect: Aspect = "content") -> np.ndarray:
        """CLIP has one vector for what a picture shows and how it looks: `aspect` changes nothing."""
        if features.embedded is None:
            raise _no_clip()
        return features.embedded

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        if self._clip is None:
            raise _no_clip()
        return self._clip.embed_texts(texts)

    def things(self, features: Features) -> None:
        """Unknown: nothing in this engine has learned it."""

    def generated(self, features: Features) -> None:
        """Unknown: nothing in this engine has learned it."""

    def regress(self, features: Features) -> np.ndarray | None:
        return features.regressed


def _no_clip() -> WeightsError:
    return WeightsError(
        'No CLIP model is loaded. Set clip_model, for example to "ViT-H-14/laion2b_s32b_b79k".'
    )
