import numpy as np
import pytest

from img2prompt.ensemble import combine
from img2prompt.errors import ConfigError


def test_members_count_by_weight_not_by_length():
    mixed = combine([np.array([[2.0, 0.0]]), np.array([[0.0, 0.1]])], [0.45, 0.55])
    assert mixed.dtype == np.float32
    assert mixed == pytest.approx(np.array([[0.45, 0.55]]) / np.hypot(0.45, 0.55))


def test_only_the_ratio_of_weights_matters():
    members = [np.random.default_rng(seed).normal(size=(5, 384)).astype(np.float32) for seed in (0, 1)]
    mixed = combine(members, [0.45, 0.55])
    assert np.linalg.norm(mixed, axis=1) == pytest.approx(1.0)
    assert mixed == pytest.approx(combine(members, [45, 55]), abs=1e-6)


def test_a_zero_row_has_no_opinion():
    mixed = combine([np.array([[0.0, 0.0], [0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]])], [0.9, 0.1])
    assert mixed == pytest.approx(np.array([[0.6, 0.8], [0.0, 0.0]]))


def test_no_rows():
    assert combine([np.zeros((0, 384)), np.zeros((0, 384))], [1, 1]).shape == (0, 384)


@pytest.mark.parametrize(
    "weights", [[1.0], [1.0, -0.1], [0.0, 0.0], [float("nan"), 1.0], [1.0, float("inf")]]
)
def test_unusable_weights(weights):
    with pytest.raises(ConfigError):
        combine([np.ones((1, 2)), np.ones((1, 2))], weights)


def test_different_shapes():
    with pytest.raises(ConfigError, match="shape"):
        combine([np.ones((1, 2)), np.ones((1, 3))], [1, 1])
