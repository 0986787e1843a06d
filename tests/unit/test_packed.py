"""Weights come back from eight bits as they were, but for a rounding."""

import pytest
import torch

from img2prompt.engines.lite import packed


def test_eight_bits_are_near_and_small():
    torch.manual_seed(0)
    weight = torch.randn(64, 32, 3, 3)
    stored = packed.pack({"tail.0.weight": weight, "tail.0.bias": torch.ones(64), "captioner.words": weight})
    assert stored["tail.0.weight"].dtype == torch.int8
    assert stored["tail.0.bias"].dtype == stored["captioner.words"].dtype == torch.float16
    back = packed.unpack(stored)
    assert back.keys() == {"tail.0.weight", "tail.0.bias", "captioner.words"}
    error = (back["tail.0.weight"] - weight).abs().flatten(1).amax(1)
    assert (error <= weight.abs().flatten(1).amax(1) / 254 * 1.01).all()
    assert torch.allclose(back["captioner.words"], weight, atol=2e-3)


def test_missing_factors_are_told():
    stored = packed.pack({"tail.0.weight": torch.randn(64, 128)})
    del stored["tail.0.weight" + packed.FACTOR]
    with pytest.raises(KeyError):
        packed.unpack(stored)
