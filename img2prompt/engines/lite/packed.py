"""How the model file stores weights: half precision, and the image towers' in eight bits.

A weight in eight bits is a whole number from -127 to 127, times one factor for each output channel,
which costs half the room of half precision and changes a feature by less than a hundredth.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FACTOR = ".factor"  # name of a weight's factors, after its own
IN_EIGHT_BITS = ("tail.", "imagenet_tail.", "classifier.", "evidence.")
FEW = 4096  # numbers; smaller arrays stay in half precision


def pack(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights as they are stored: float16, or int8 with a second array of factors."""
    packed = {}
    for name, value in weights.items():
        if name.startswith(IN_EIGHT_BITS) and value.ndim > 1 and value.size > FEW:
            rows = value.astype(np.float32).reshape(len(value), -1)
            factor = np.maximum(np.abs(rows).max(axis=1), 1e-8) / 127
            packed[name] = np.rint(rows / factor[:, None]).astype(np.int8).reshape(value.shape)
            packed[name + FACTOR] = factor
        else:
            packed[name] = value.astype(np.float16)
    return packed


def unpack(packed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights in single precision.

    Raises
    ------
    KeyError
        When the factors of a weight are missing.
    """
    weights = {}
    for name, value in packed.items():
        if value.dtype == np.int8:
            factor = packed[name + FACTOR]
            weights[name] = value * factor.reshape(-1, *[1] * (value.ndim - 1))
        elif not name.endswith(FACTOR):
            weights[name] = value.astype(np.float32)
    return weights
