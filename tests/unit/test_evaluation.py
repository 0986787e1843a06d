import csv
import json
import shutil
import sys

import numpy as np
import pytest

from img2prompt.cli.main import main
from img2prompt.datasets.pairs import PairsFolder
from img2prompt.embeddings import unit_means
from img2prompt.errors import ConfigError, DataError
from img2prompt.evaluation import captions, pictures
from img2prompt.evaluation.embeddings import evaluate_embeddings
from img2prompt.evaluation.people import (
    evaluate_people,
    score_people,
    somebody_there,
    with_more_texts,
    word_precision,
)
from img2prompt.evaluation.posts import evaluate_posts, named, posts_like, repeated
from img2prompt.evaluation.prompts import evaluate_prompts, score_prompts
from img2prompt.evaluation.styles import evaluate_styles
from img2prompt.evaluation.subjects import evaluate_subjects, forms, names
from img2prompt.posts import Choices, Draft, Seen, Variant
from img2prompt.posts.phrases import TONES, themes
from img2prompt.results import Match
from tests.helpers.pictures import PHOTOS

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR and the PTB tokenizer need Java")


@pytest.fixture
def photos(tmp_path):
    """A pairs folder of the two sample photos, without splits."""
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


@pytest.fixture
def labelled(tmp_path):
    """Makes a pairs folder of the same two photos from rows of a CSV with this name."""

    def make(name: str, *rows: str) -> PairsFolder:
        shutil.copytree(PHOTOS, tmp_path / "images", dirs_exist_ok=True)
        (tmp_path / name).write_text("\n".join(rows), encoding="utf-8")
        return PairsFolder(tmp_path)

    return make


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
    pytest.importorskip("pycocoevalcap")
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
    assert scores["top_tenth"] > 0.2
    assert scores["top1"] <= scores["top5"]


REFERENCES = ["a man on a horse", "a rider", "a cowboy", "a person on a horse", "a brown horse"]
ROOM = ["an empty room", "a room with a bed", "a bed", "a bed by a window"]


@pytest.mark.parametrize(
    ("references", "there"),
    [
        (REFERENCES, True),
        (REFERENCES[1:], None),  # three of four
        (ROOM, False),
        ([*ROOM, "a hand opens the curtain"], None),  # somebody's
        ([*ROOM, "a statue of a man"], False),
    ],
)
def test_references_say_whether_somebody_is_there(references, there):
    assert somebody_there(references) is there


def test_people_are_counted_by_hand():
    there = [False, False, False, False, True, True, None]
    said = ["a man in a kitchen", "a kitchen", "a bed", "a dog", "a woman", "a horse", "a man"]
    scores = score_people(there, said)
    assert (scores["false_people"], scores["n_without"]) == (0.25, 4)
    assert (scores["found_people"], scores["n_with"]) == (0.5, 2)
    low, high = scores["false_people_interval"]
    assert 0 <= low < 0.25 < high <= 1
    assert score_people([True], ["a man"])["false_people"] is None


@pytest.mark.parametrize(
    ("caption", "precision"),
    [
        ("two dogs run on the beach", 1),  # any form of a word
        ("a dog is running", 1),
        ("a cat sleeps on the beach", 1 / 3),
        ("of the and", 0),
        ("", 0),
    ],
)
def test_word_precision(caption, precision):
    assert word_precision(["A dog runs .", "a brown dog on a beach"], caption) == pytest.approx(precision)


def test_people_by_column(pipeline, labelled):
    folder = labelled(
        "labels.csv", "image,label,person", "china.jpg,a temple,no", "flower.jpg,a dahlia,unknown"
    )
    scores = evaluate_people(pipeline, folder)
    assert scores["n"] == scores["n_without"] == 1
    assert scores["false_people"] in (0, 1) and scores["found_people"] is None
    assert "word_precision" not in scores  # labels are no captions


def test_people_by_references(pipeline, labelled, tmp_path):
    texts = ["a temple by a lake", "a Chinese building", "a tower"]
    folder = labelled("captions.csv", "image,caption", *(f"china.jpg,{text}" for text in texts))
    with pytest.raises(DataError, match="column person"):
        evaluate_people(pipeline, folder)
    more = tmp_path / "more_captions.csv"
    more.write_text("image,caption\nchina.jpg,a roof\nother.jpg,a man\n")
    assert with_more_texts(folder.pairs, more)[0].texts == (*texts, "a roof")
    scores = evaluate_people(pipeline, folder, more=more)
    assert scores["n"] == scores["n_without"] == 1
    assert 0 <= scores["word_precision"] <= 1


@pytest.mark.parametrize(
    ("label", "caption", "named"),
    [
        ("a soccer ball", "a dog with a ball", True),
        ("a dalmatian dog", "two dogs on the grass", True),
        ("the head of a flamingo", "a flamingo", True),
        ("a flamingo", "a bird in the water", False),  # right, but wider
        ("a hand holding a carton of milk", "a bottle of milk", True),
        ("the sea", "waves in the ocean", True),
        ("a rainy day", "a dog on a sunny day", False),
        ("a rainy day", "an umbrella in the rain", True),
        ("chicken with apples", "a plate of chicken", True),
        ("chicken with apples", "a bowl of apples", False),
        ("mangoes", "a mango", True),
        ("a pair of scissors", "scissors on a table", True),
        ("a cup", "cupcakes", False),
    ],
)
def test_caption_names_the_label(label, caption, named):
    assert names(caption, label) is named


def test_synonyms_are_for_the_label_alone():
    assert "bonsai" in forms("a bonsai tree") and "bonsai" not in forms("a Joshua tree")


def test_subjects_of_two_photos(pipeline, labelled):
    folder = labelled(
        "labels.csv",
        "image,label,source",
        "flower.jpg,a locomotive,one",  # which it isn't
        "china.jpg,a building,two",
    )
    scores = evaluate_subjects(pipeline, folder)
    assert scores["word"] == 0.5 and scores["nearest1"] >= 0.5 and scores["nearest3"] == 1
    assert scores["sources"]["two"]["word"] == 1
    assert evaluate_subjects(pipeline, folder, sources=["one"])["word"] == 0
    with pytest.raises(DataError, match="three; it has: one, two"):
        evaluate_subjects(pipeline, folder, sources=["three"])


def test_prompts_by_hand():
    known = np.eye(384, dtype=np.float32)[:7]
    right = known[[0, 1]]
    scores = score_prompts(right, known[[0, 2]], known, np.array([0, 1]), known[0])
    assert scores["cosine"] == scores["first"] == scores["among5"] == 1
    assert scores["written_cosine"] == scores["constant_cosine"] == 0.5
    wrong = score_prompts(known[[6, 6]], right, known, np.array([0, 1]), None)
    assert wrong["cosine"] == wrong["first"] == wrong["among5"] == 0
    assert wrong["constant_cosine"] is None


def test_prompts_of_two_photos(pipeline, labelled):
    folder = labelled(
        "prompts.csv",
        "image,split,prompt,kind,source",
        "flower.jpg,dev,a close-up photo of a pink flower,prompt,one",
        "china.jpg,dev,style of an artist,style,one",
        "elsewhere.jpg,train,a car,prompt,one",
        "elsewhere-2.jpg,train,a yellow blossom,prompt,two",
    )
    scores = evaluate_prompts(pipeline, folder)
    assert scores["n"] == scores["prompts"] == 1
    assert scores["cosine"] > scores["constant_cosine"] > 0
    assert 0 < scores["written_cosine"] <= 1
    left_out = evaluate_prompts(pipeline, folder, sources=["one"])  # the guess knows only of blossoms
    assert left_out["constant_cosine"] > scores["constant_cosine"]


DOG = Seen("a brown dog on the beach", {"things": [Match("dog", 0.97), Match("beach", 0.95)]})


def test_a_theme_is_right_if_some_text_names_it_or_one_below_it():
    def right(theme: str, *texts: str) -> bool:
        return named(themes()[theme], texts)

    assert right("dogs", "a cat", "two puppies") and right("animals", "two puppies")
    assert not right("puppies", "a dog") and not right("dogs", "a cat") and not right("dogs")


def test_a_post_repeats_a_caption_with_more_than_half_of_its_nouns():
    def repeats(text: str) -> bool:
        return repeated(Variant(f"{text}\n\n#dog #beach", text, ("#dog", "#beach")), DOG)

    assert repeats("A brown dog on the beach.") and repeats("dogs at beaches")
    assert not repeats("fluent in the word walk") and not repeats("such a dog")


def test_posts_by_hand():
    class Same:
        """Writes one line, with a fault, for every picture."""

        def write(self, seen, choices):
            return [Draft("a apple! I saw it", ("A brown dog on the beach",))] * choices.variants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["img2prompt.posts.compose"], "PhrasebookRewriter", Same)
        scores = posts_like([DOG, DOG], Choices(emoji="off", variants=2))
    assert scores["repeats"] == scores["cries"] == scores["small"] == scores["first_person"] == 1.0
    assert scores["commonest"] == 1.0 and scores["distinct"] == 0.25  # one of four
    assert (scores["words"], scores["emoji"], scores["faults"]) == (11, 0.0, 4)


def test_posts_of_two_photos(pipeline, photos):
    scores = evaluate_posts(pipeline, photos, "all", choices=Choices(variants=2))
    assert scores["n"] == 2 and 0 <= scores["theme_used"] <= 1
    for language in ("en", "ko"):
        assert list(scores[language]) == list(TONES)
        for tone in scores[language].values():
            assert tone["faults"] == 0 and 0 < tone["distinct"] <= 1
    assert "first_person" in scores["en"]["plain"] and "first_person" not in scores["ko"]["plain"]


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
