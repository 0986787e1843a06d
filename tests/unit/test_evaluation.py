import csv
import json
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from img2prompt.cli.main import main
from img2prompt.datasets.pairs import PairsFolder
from img2prompt.embeddings import unit_means
from img2prompt.errors import ConfigError, DataError
from img2prompt.evaluation import captions, pictures
from img2prompt.evaluation.embeddings import evaluate_embeddings
from img2prompt.evaluation.styles import evaluate_styles

PHOTOS = Path(str(files("sklearn.datasets") / "images"))
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR and the PTB tokenizer need Java")


@pytest.fixture
def photos(tmp_path):
    """A pairs folder of scikit-learn's two photos, without splits."""
    shutil.copytree(PHOTOS, tmp_path / "images")
    rows = [
        ("image", "caption"),
        ("china.jpg", "a temple with a tiled roof"),
        ("china.jpg", "an old palace in China"),
        ("flower.jpg", "a close-up of a pink flower"),
        ("flower.jpg", "a blossom with yellow petals"),
    ]
    with open(tmp_path / "captions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return PairsFolder(tmp_path)


def test_rank_counts_the_items_ahead():
    items = np.eye(3, dtype=np.float32)
    queries = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.9, 0.5, 0.1]], dtype=np.float32)
    assert pictures.ranks_of_own(queries, items, np.array([0, 1, 2])).tolist() == [0, 1, 2]


def test_answering_all_the_same_ranks_last():
    same = np.ones((4, 2), dtype=np.float32)
    assert pictures.ranks_of_own(same, same, np.arange(4)).tolist() == [3, 3, 3, 3]


def test_ranks_do_not_depend_on_the_chunk(monkeypatch):
    generator = np.random.default_rng(0)
    queries, items = generator.normal(size=(50, 8)), generator.normal(size=(20, 8))
    own = generator.integers(20, size=50)
    whole = pictures.ranks_of_own(queries, items, own)
    monkeypatch.setattr(pictures, "QUERIES", 7)
    assert (pictures.ranks_of_own(queries, items, own) == whole).all()


def test_unit_means():
    vectors = np.array([[1, 0], [0, 1], [0, 2]], dtype=np.float32)
    means = unit_means(vectors, np.array([0, 0, 1]))
    np.testing.assert_allclose(means, [[0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-6)


@pytest.mark.slow
@needs_java
def test_scores_of_captions_by_hand(capfd):
    references = [["A dog runs on the beach .", "a dog"], ["Two men play the guitar", "some music"]]
    perfect = captions.score_captions(references, ["a dog runs on the beach", "two men play the guitar"])
    assert perfect["bleu4"] == pytest.approx(1, abs=1e-6)
    assert perfect["meteor"] == pytest.approx(1, abs=1e-6)
    # 5/7 · 4/5 · 3/3 · 2/2 matching n-grams, times the brevity penalty for 7 words, where the nearest
    # references have 6 and 2
    half = captions.score_captions(references, ["a dog runs on the", "red car"])
    assert half["bleu4"] == pytest.approx((4 / 7) ** 0.25 * np.exp(1 - 8 / 7), abs=1e-6)
    assert 0 < half["meteor"] < 0.6
    assert 0 < half["cider"] < 0.6 * perfect["cider"]
    assert capfd.readouterr() == ("", "")  # stdout is for the numbers


@pytest.mark.slow
@needs_java
def test_more_words_than_lines_do_not_shift_the_captions():
    texts = [["a dog runs\non the beach"], ["two men play\r\nthe guitar", "some music ."]]
    assert captions.tokenize(texts) == [
        ["a dog runs on the beach"],
        ["two men play the guitar", "some music"],
    ]


def test_says_that_java_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="needs Java"):
        captions.check_scorers()


def test_a_folder_without_splits_is_used_whole(photos):
    assert len(pictures.choose(photos, "test", None)) == 2
    assert len(pictures.choose(photos, "test", 1)) == 1


def test_an_unknown_split_is_an_error(tmp_path):
    (tmp_path / "captions.csv").write_text("image,split,caption\na.jpg,dev,x\n")
    folder = PairsFolder(tmp_path)
    with pytest.raises(DataError, match="no split 'test'; it has: dev"):
        pictures.choose(folder, "test", None)
    assert len(pictures.choose(folder, "all", None)) == 1


def test_a_damaged_picture_is_named(pipeline, photos):
    (photos.path / "images" / "china.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="china.jpg"):
        evaluate_embeddings(pipeline, PairsFolder(photos.path))


def test_embeddings_of_two_photos(pipeline, photos):
    scores = evaluate_embeddings(pipeline, photos)
    assert scores["n"] == 2
    assert scores["r1"] == scores["r10"] == 1  # every caption finds its photo
    assert 0 < scores["mean_cosine"] <= 1 and 0 < scores["baseline_cosine"] <= 1


@pytest.mark.slow
@needs_java
def test_captions_of_two_photos(pipeline, photos):
    scores = captions.evaluate_captions(pipeline, photos)
    assert set(scores) == {"bleu4", "meteor", "cider", "n", "seconds"}
    assert scores["n"] == 2
    assert 0 < scores["meteor"] < 1


def test_embeddings_beat_the_mean_answer(pipeline, shared_data):
    scores = evaluate_embeddings(pipeline, PairsFolder(shared_data / "flickr8k"), "dev", limit=48)
    assert scores["mean_cosine"] > scores["baseline_cosine"] > 0
    assert scores["r10"] > 10 / 48


def test_styles_beat_chance(pipeline, shared_data):
    scores = evaluate_styles(pipeline, PairsFolder(shared_data / "sdxl_styles"), limit=48)
    assert scores["chance"] == pytest.approx(5 / 285, abs=1e-4)
    assert scores["ratio"] > 2
    assert scores["top1"] <= scores["top5"]


@pytest.mark.slow
def test_command_prints_one_object(photos, capsys):
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "embeddings", str(photos.path), "--engine", "lite", "--json"])
    assert left.value.code == 0
    scores = json.loads(capsys.readouterr().out)
    assert {"mean_cosine", "baseline_cosine", "r1", "r10", "n", "engine"} <= set(scores)


def test_command_refuses_a_folder_that_is_none(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "captions", str(tmp_path / "nowhere")])
    assert left.value.code == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
