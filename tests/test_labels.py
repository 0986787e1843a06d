"""Label tables: reading, cutting down, ranking, storing."""

import numpy as np
import pytest
from safetensors import safe_open

from img2prompt import labels
from img2prompt.labels import ASPECTS, LabelTable, Match
from img2prompt.sentences import SentenceEncoder


@pytest.fixture(scope="module")
def vocabulary() -> dict[str, int]:
    return SentenceEncoder().vocabulary


class TwoAxes:
    """The smallest engine that can embed labels: their vectors are given."""

    name = "test"
    label_file = None
    vocabulary = None

    def __init__(self, vectors: np.ndarray):
        self.vectors = vectors

    def embed_texts(self, texts):
        return self.vectors[: len(texts)]


def unit(rows: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, 384)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_every_table_of_the_package_is_read():
    sizes = {name: len(labels.read_labels(name)) for name in ASPECTS}
    assert sizes == {
        "mediums": 95,
        "movements": 200,
        "artists": 2 * 5265,
        "trendings": 72,
        "flavors": 100_969,
    }  # and a blank line


def test_ranking_equals_sorting_all_scores():
    vectors, pictures = unit(500), unit(3, seed=1)
    table = LabelTable("flavors", [f"label {i}" for i in range(500)], TwoAxes(vectors))
    exact = pictures @ table.vectors.T
    for row, matches in zip(exact, table.rank(pictures, 7), strict=True):
        order = np.argsort(-row)[:7]
        assert [m.label for m in matches] == [f"label {i}" for i in order]
        assert np.allclose([m.score for m in matches], row[order])


def test_asking_for_more_than_there_is_gives_all():
    table = LabelTable("mediums", ["a", "b"], TwoAxes(unit(2)))
    assert len(table.rank(unit(1), 10)[0]) == 2


def test_distinct_tables_do_not_say_the_same_twice():
    same = unit(1)[0]
    vectors = np.stack([same, same, *unit(3, seed=5)])
    words = ["running dog", "dog running", "beach", "beaches", "sun"]
    table = LabelTable("flavors", words, TwoAxes(vectors), distinct=True)
    found = [match.label for match in table.rank(same[None], 5)[0]]
    assert found[0] in ("running dog", "dog running")
    assert not {"running dog", "dog running"} <= set(found)
    assert not {"beach", "beaches"} <= set(found)


def test_packing_keeps_the_direction():
    vectors = unit(200)
    assert (labels.unpack(labels.pack(vectors)) * vectors).sum(1).min() > 0.999


def test_vectors_are_computed_once(tmp_path):
    engine = TwoAxes(unit(4))
    first = LabelTable("mediums", list("abcd"), engine).vectors
    engine.vectors = unit(4, seed=9)  # would be seen if they were computed again
    assert np.array_equal(first, LabelTable("mediums", list("abcd"), engine).vectors)
    assert not np.array_equal(first, LabelTable("mediums", list("abce"), engine).vectors)


def test_readable_flavors_are_plain_and_judge_no_one(vocabulary):
    kept = labels.readable_labels("flavors", vocabulary)
    assert 5_000 < len(kept) < 10_000
    assert {"golden hour", "sharp focus", "street scene"} <= set(kept)
    words = {word for flavor in kept for word in flavor.replace("-", " ").split()}
    assert words <= set(vocabulary)
    assert not words & labels.PRIVATE_WORDS
    assert "greg rutkowski" not in kept and "gary baseman" not in kept


def test_the_bundled_engine_ships_the_vectors_of_its_common_tables(pipeline):
    with safe_open(pipeline.engine.label_file, "np") as stored:
        keys = set(stored.keys())
    common = [table for table in pipeline.tables if table.name != "artists"]
    assert {f"{table.name}-{labels.digest(table.labels)}" for table in common} <= keys


def test_match_reads_as_label_and_score():
    label, score = Match("a photo", 0.5)
    assert (label, score) == ("a photo", 0.5)
