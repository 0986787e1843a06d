"""Weights come back from eight bits as they were, but for a rounding."""

import numpy as np
import pytest

from img2prompt.engines.lite import packed


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_eight_bits_are_near_and_small():
    weight = random(64, 32, 3, 3)
    stored = packed.pack(
        {"tail.0.weight": weight, "tail.0.bias": np.ones(64, np.float32), "captioner.words": weight}
    )
    assert stored["tail.0.weight"].dtype == np.int8
    assert stored["tail.0.bias"].dtype == stored["captioner.words"].dtype == np.float16
    back = packed.unpack(stored)
    assert back.keys() == {"tail.0.weight", "tail.0.bias", "captioner.words"}
    assert {value.dtype for value in back.values()} == {np.dtype(np.float32)}
    error = np.abs(back["tail.0.weight"] - weight).reshape(64, -1).max(1)
    assert (error <= np.abs(weight).reshape(64, -1).max(1) / 254 * 1.01).all()
    assert np.allclose(back["captioner.words"], weight, atol=2e-3)


def test_missing_factors_are_told():
    stored = packed.pack({"tail.0.weight": random(64, 128)})
    del stored["tail.0.weight" + packed.FACTOR]
    with pytest.raises(KeyError):
        packed.unpack(stored)
