import numpy as np
import pytest

from img2prompt.embeddings import cosines
from img2prompt.ensemble.blend import combine, tune
from img2prompt.ensemble.recipe import Recipe, load_recipe, save_recipe
from img2prompt.errors import ConfigError, DataError


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


def unit(seed, rows=60):
    vectors = np.random.default_rng(seed).normal(size=(rows, 384)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_tuning_finds_the_weights_that_made_the_truth():
    members = [unit(seed) for seed in (0, 1, 2)]
    for weights in ([0.3, 0.7], [1.0, 0.0], [0.2, 0.5, 0.3], [0.0, 0.6, 0.4]):
        chosen = members[: len(weights)]
        found = tune(chosen, combine(chosen, weights))
        assert found.weights == pytest.approx(weights, abs=2e-3)
        assert found.halves[0] == pytest.approx(weights, abs=2e-3) == found.halves[1]
        assert found.held_out == pytest.approx(1.0, abs=1e-4)
        assert sum(found.weights) == pytest.approx(1.0) and min(found.weights) >= 0


def test_tuning_counts_as_combine_and_score_do():
    truth = unit(0)
    first, second = combine([truth, unit(1)], [1, 1.5]), combine([truth, unit(2)], [1, 2.5])
    first[3] = 0.0  # no opinion
    found = tune([first, second], truth)
    means = [cosines(combine([first, second], [r, 1 - r]), truth).mean() for r in np.linspace(0, 1, 101)]
    assert 0 < found.weights[0] < 1
    assert found.weights[0] == pytest.approx(int(np.argmax(means)) / 100, abs=0.01)
    assert found.alone == pytest.approx((means[-1], means[0]), abs=1e-5)
    assert found.held_out == pytest.approx(max(means), abs=0.01)


def test_a_useless_member_gets_no_weight():
    truth = unit(0, 200)
    good = [combine([truth, unit(seed, 200)], [1, 1]) for seed in (1, 2)]
    found = tune([*good, -truth], truth)
    assert found.weights == pytest.approx((0.5, 0.5, 0), abs=0.05)


def test_what_tuning_promises_was_not_searched_on():
    """Two guessers and few pictures: whatever the search finds on one half, the other half gainsays."""
    promised, searched = [], []
    for seed in range(20):
        *members, truth = (unit(3 * seed + i, 4) for i in range(3))
        found = tune(members, truth)
        promised.append(found.held_out)
        searched.append(cosines(combine(members, found.weights), truth).mean())
    assert np.mean(promised) < np.mean(searched)


def test_one_picture_is_not_enough():
    with pytest.raises(DataError, match="fewer than two"):
        tune([unit(0, 1), unit(1, 1)], unit(2, 1))


def test_weights_in_a_file(tmp_path):
    file = tmp_path / "runs" / "ensemble.json"
    (file.parent / "lite").mkdir(parents=True)  # a folder may have an engine's name
    sources = {"words": "lite:prompt", "lite": "lite", "vit": str(file.parent / "lite")}
    weights = {"words": 0.25, "lite": 0.25, "vit": 0.5}
    save_recipe(file, Recipe(weights, sources, mirror=True), held_out=0.5)
    moved = file.parent.rename(tmp_path / "moved")
    expected = Recipe(weights, {**sources, "vit": str(moved / "lite")}, mirror=True)
    assert load_recipe(moved / "ensemble.json") == expected


@pytest.mark.parametrize(
    "text",
    ["{}", "not JSON", '{"weights": [1]}', '{"weights": {"a": -1, "b": 2}}', '{"weights": {"a": 0.5}}']
    + ['{"weights": {"a": "much"}}', '{"weights": {}}', '{"weights": {"a": NaN}}'],
)
def test_damaged_weights(tmp_path, text):
    (tmp_path / "ensemble.json").write_text(text)
    with pytest.raises(ConfigError, match="ensemble.json"):
        load_recipe(tmp_path / "ensemble.json")
