"""A timm network that predicts the embedding of the prompt that made a picture.

A regressor is a folder of two files. ``config.json``::

    {"model": "vit_base_patch16_224", "width": 384, "input": 224,
     "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}

and ``model.safetensors``, which holds the weights by timm's names and, where it is known,
``mean_embedding``: (384,), the mean of the training prompts' embeddings.

Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021;
https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from img2prompt.embeddings import WIDTH, unit
from img2prompt.engines.device import DTYPES, Batches, Place, SkipInit, resolve_precision
from img2prompt.engines.full.architecture import check_architecture
from img2prompt.errors import WeightsError
from img2prompt.files import replacing, replacing_path
from img2prompt.wording import reason

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MEAN_EMBEDDING = "mean_embedding"


@dataclass(frozen=True)
class RegressorConfig:
    """The architecture of a regressor and how pictures are prepared for it."""

    model: str = "vit_base_patch16_224"  # timm's name
    width: int = WIDTH  # of the embedding
    input: int = 224  # pixels a side of the model's input; pictures are squeezed to a square
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)  # of each channel, 0 to 1; these are ImageNet's
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def build(self) -> nn.Module:
        """The network, pixels (N, 3, input, input) → (N, width), freshly initialised.

        Raises
        ------
        ValueError
            When timm has no such model.
        """
        import timm

        check_architecture(self.model)
        return timm.create_model(self.model, pretrained=False, num_classes=self.width)

    def prepare(self, image: Image.Image) -> Tensor:
        """RGB picture → pixels (3, input, input) float32."""
        resized = image.resize((self.input, self.input), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(resized, dtype=np.float32) / 255.0)
        return ((pixels - torch.tensor(self.mean)) / torch.tensor(self.std)).permute(2, 0, 1).contiguous()


class VitRegressor:
    """A trained regressor: pictures → predicted prompt embeddings in MiniLM space.

    Parameters
    ----------
    folder : ``config.json`` and ``model.safetensors``
    place : where it runs
    precision : ``auto``, ``fp32``, ``fp16`` or ``bf16``
    batch_size : pictures at a time, at most
    mirror : average the answers for each picture and its mirror image

    Raises
    ------
    WeightsError
        When a file is missing, damaged or does not fit the other.
    """

    def __init__(self, folder: Path, place: Place, precision: str, batch_size: int, mirror: bool = False):
        self._dtype = DTYPES[resolve_precision(precision, place.device)]
        try:
            config = RegressorConfig(**json.loads((folder / CONFIG).read_text(encoding="utf-8")))
            weights = load_file(folder / WEIGHTS)
            mean = weights.pop(MEAN_EMBEDDING, None)
            with SkipInit():
                net = config.build()
            net.load_state_dict(weights, assign=True)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise WeightsError(
                f"{folder} holds no regressor that can be used ({reason(error)}). It should be a folder that "
                "img2prompt train wrote."
            ) from error
        self.prepare = config.prepare
        self.mirror = mirror
        self.mean_embedding = None if mean is None else unit(mean.float().numpy())
        self._net = place.settle(net.to(self._dtype))
        self._place = place
        self._batches = Batches(place, net, batch_size)

    def regress(self, pixels: Sequence[Tensor]) -> np.ndarray:
        """N prepared pictures (3, input, input) → (N, width) float32 unit vectors."""
        return np.stack(self._batches(self._predict, pixels))

    def _predict(self, pixels: Sequence[Tensor]) -> Iterable[np.ndarray]:
        batch = self._place.send(pixels, self._dtype)
        predicted = F.normalize(self._net(batch).float(), dim=-1)
        if self.mirror:
            predicted = predicted + F.normalize(self._net(batch.flip(-1)).float(), dim=-1)
        return unit(predicted.cpu().numpy())


def save_regressor(
    folder: Path, config: RegressorConfig, net: nn.Module, mean_embedding: np.ndarray | None = None
) -> None:
    """Write a trained regressor so that `VitRegressor` can read it.

    Each of the two files replaces an earlier one whole: a reader never sees half of one.

    Parameters
    ----------
    folder : made where it does not exist
    config : what `net` was built from
    net : the network
    mean_embedding : (width,), the mean of the training prompts' embeddings
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in net.state_dict().items()}
    if mean_embedding is not None:
        weights[MEAN_EMBEDDING] = torch.from_numpy(mean_embedding)
    with replacing_path(folder / WEIGHTS, durable=False) as part:
        save_file(weights, part)
    with replacing(folder / CONFIG, durable=False) as file:
        file.write(json.dumps(asdict(config), indent=1).encode() + b"\n")
