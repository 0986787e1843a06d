"""How the model file stores weights: half precision, and the image towers' in eight bits.

A weight in eight bits is a whole number from -127 to 127, times one factor for each output channel,
which costs half the room of half precision and changes a feature by less than a hundredth.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FACTOR = ".factor"  # name of a weight's factors, after its own
IN_EIGHT_BITS = ("tail.", "imagenet_tail.", "classifier.", "evidence.")
FEW = 4096  # numbers; smaller tensors stay in half precision


def pack(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored: float16, or int8 with a second tensor of factors."""
    packed = {}
    for name, value in weights.items():
        if name.startswith(IN_EIGHT_BITS) and value.dim() > 1 and value.numel() > FEW:
            rows = value.float().flatten(1)
            factor = rows.abs().amax(1).clamp(min=1e-8) / 127
            packed[name] = (rows / factor[:, None]).round().to(torch.int8).view(value.shape)
            packed[name + FACTOR] = factor
        else:
            packed[name] = value.half().contiguous()
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in single precision.

    Raises
    ------
    KeyError
        When the factors of a weight are missing.
    """
    weights = {}
    for name, value in packed.items():
        if value.dtype == torch.int8:
            factor = packed[name + FACTOR]
            weights[name] = value.float() * factor.view(-1, *[1] * (value.dim() - 1))
        elif not name.endswith(FACTOR):
            weights[name] = value.float()
    return weights
