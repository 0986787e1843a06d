"""The pipeline with the bundled engine on real sample_photos."""

import gc
import io
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2prompt import Pipeline, Result, load_pipeline
from img2prompt.engines.base import Request
from img2prompt.engines.lite.choice import thing
from img2prompt.engines.lite.engine import MOST_THINGS
from img2prompt.engines.lite.search import UNK
from img2prompt.errors import ConfigError, ImageError, WeightsError
from img2prompt.labels.tables import read_labels
from img2prompt.pipeline import ON_CPU
from img2prompt.prompts import labels_needed
from img2prompt.settings import Settings


class Watched:
    """An engine that notes how many pictures it looks at together; all else is the real one's."""

    def __init__(self, engine, runs: list[int]):
        self._engine, self._runs = engine, runs

    def __getattr__(self, name: str):
        return getattr(self._engine, name)

    def encode(self, images):
        self._runs.append(len(images))
        return self._engine.encode(images)


def test_a_result_is_complete(pipeline, sample_photos):
    result = pipeline(sample_photos[0])[0]
    assert len(result.caption.split()) >= 3
    assert result.prompt.startswith(result.caption)
    assert result.embedding.shape == (384,) and result.embedding.dtype == np.float32
    assert np.linalg.norm(result.embedding) == pytest.approx(1.0, abs=1e-5)
    assert result.engine == result.model == "lite"
    assert result.details is None
    assert result.seconds == pytest.approx(sum(result.timings.values()))
    counts = {name: len(matches) for name, matches in result.labels.items()}
    assert 0 < counts.pop("things") <= MOST_THINGS
    assert counts == labels_needed("seed")
    for matches in result.labels.values():
        scores = [match.score for match in matches]
        assert scores == sorted(scores, reverse=True)


def test_things_are_things_and_guess_at_nobody(pipeline):
    things = {thing(word) for word in pipeline.engine.words} | set(pipeline.engine._named_labels.values())
    assert {"dog", "beach", "surf", "person", "child", "trumpet"} <= things
    assert things.isdisjoint("man woman boy girl lady guy asian elderly beautiful blonde red big".split())


def test_a_pipeline_that_nobody_needs_gives_its_weights_back(sample_photos):
    dropped = load_pipeline(engine="lite")
    dropped(sample_photos[0])
    left = [weakref.ref(each) for each in (dropped.engine, dropped.engine.networks, dropped.sentences)]
    del dropped
    gc.collect()
    assert [each() for each in left] == [None, None, None]


def test_an_engine_that_follows_no_instruction_says_so(pipeline, sample_photos):
    picture = pipeline.open(sample_photos[0])
    with pytest.raises(ConfigError, match="lite follows no instructions"):
        pipeline.describe([picture], requests=[Request("one word")])
    told = Pipeline(pipeline.engine, pipeline.sentences, pipeline.tables, Settings(instruction="one word"))
    with pytest.raises(ConfigError, match="lite follows no instructions"):
        told(sample_photos[0])
    assert (
        pipeline.describe([picture], requests=[Request()])[0].caption == pipeline(sample_photos[0])[0].caption
    )


def test_a_photo_is_a_photo(pipeline, sample_photos):
    """The flower; the temple's painted roof passes for a sculpture, see MODEL_CARD.md."""
    flower = next(photo for photo in sample_photos if "flower" in str(photo))
    assert "photo" in pipeline(flower)[0].labels["mediums"][0].label


def test_a_temple_is_named_and_a_lost_flower_gets_few_words(pipeline, sample_photos):
    """The dahlia looks like a honeycomb to the classifier, see MODEL_CARD.md."""
    captions = {str(photo).rpartition("/")[2]: pipeline(photo)[0].caption for photo in sample_photos}
    assert {"building", "tower", "temple"} & set(captions["china.jpg"].split())
    assert len(captions["flower.jpg"].split()) < 5


def test_where_no_name_is_sure_the_kind_of_thing_is_told(pipeline, sample_photos):
    engine = pipeline.engine
    features = engine.encode([pipeline.open(sample_photos[1])])
    words, labels = np.zeros_like(features.words), np.zeros_like(features.labels)
    words[0, engine.words["vegetable"]] = labels[0, -1] = 0.95
    lost = replace(features, words=words, labels=labels, classes=np.full_like(features.classes, 1e-3))
    assert "vegetables" in engine.describe(lost)[0].caption
    labels[0, engine.labels.index("potatoes")], labels[0, -1] = 0.9, 0.1
    assert "vegetables" not in engine.describe(lost)[0].caption


@pytest.mark.slow
def test_a_batch_says_what_single_pictures_say(pipeline, sample_photos):
    mirrored = [Image.open(photo).transpose(Image.Transpose.FLIP_LEFT_RIGHT) for photo in sample_photos]
    sources = [*sample_photos, *mirrored]
    together = pipeline(sources)
    for source, result in zip(sources, together, strict=True):
        alone = pipeline(source)[0]
        assert alone.caption == result.caption
        assert alone.embedding @ result.embedding > 0.999


def test_path_bytes_and_picture_are_the_same(pipeline, sample_photos):
    path = Path(sample_photos[0])
    results = [pipeline(source)[0] for source in (str(path), path, path.read_bytes(), Image.open(path))]
    assert len({result.caption for result in results}) == 1
    assert len({result.prompt for result in results}) == 1


@pytest.mark.slow
def test_threads_get_their_own_answers(pipeline, sample_photos):
    expected = [pipeline(photo)[0].caption for photo in sample_photos]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: pipeline(sample_photos[i % 2])[0].caption, range(8)))
    assert answers == [expected[i % 2] for i in range(8)]


def test_callers_at_a_time_share_batches_and_get_what_they_get_alone(pipeline, sample_photos):
    """With two styles and two ways to speak of people; the pipeline is the one on the bundled weights."""
    pictures = [pipeline.open(photo) for photo in sample_photos]
    as_seen = pipeline.with_people("as-seen")
    ways = [(pipeline, "seed"), (pipeline, "classic"), (as_seen, "seed")]
    expected = [[way.describe([picture], style)[0] for picture in pictures] for way, style in ways]
    begin, runs = threading.Barrier(12), []
    engine = Watched(pipeline.engine, runs)
    shared = Pipeline(engine, pipeline.sentences, pipeline.tables, pipeline.settings)
    as_seen = shared.with_people("as-seen")

    def call(number: int) -> Result:
        way, style = [(shared, "seed"), (shared, "classic"), (as_seen, "seed")][number % 3]
        begin.wait()
        return way.describe([pictures[number % 2]], style)[0]

    with ThreadPoolExecutor(12) as pool:
        results = list(pool.map(call, range(12)))
    for number, result in enumerate(results):
        alone = expected[number % 3][number % 2]
        assert (result.caption, result.prompt) == (alone.caption, alone.prompt)
        assert result.embedding @ alone.embedding > 0.999
        assert result.seconds == pytest.approx(sum(result.timings.values()))
        assert result.timings["wait"] >= 0
    assert sum(runs) == 12 and len(runs) < 12


def test_many_pictures_go_through_the_model_a_few_at_a_time(pipeline, sample_photos):
    runs: list[int] = []
    shared = Pipeline(
        Watched(pipeline.engine, runs), pipeline.sentences, pipeline.tables, Settings.load(beams=1)
    )
    results = shared([sample_photos[i % 2] for i in range(ON_CPU + 2)])
    assert runs == [ON_CPU, 2]
    assert [result.caption for result in results] == [results[i % 2].caption for i in range(ON_CPU + 2)]
    assert {"open", "wait", "look"} <= set(results[0].timings)


def test_the_ensemble_weighs_prompt_and_regressor(pipeline, sample_photos):
    result = pipeline(sample_photos[0])[0]
    features = pipeline.engine.encode([pipeline.open(sample_photos[0])])
    written, regressed = pipeline.sentences.encode([result.prompt])[0], pipeline.engine.regress(features)[0]
    (made,) = pipeline.engine.generated(features)
    mixed = 0.45 * (1 - made) * written + 0.55 * regressed
    assert result.embedding @ (mixed / np.linalg.norm(mixed)) == pytest.approx(1.0, abs=1e-4)


def test_styles_change_the_prompt_only(pipeline, sample_photos):
    seed, classic = pipeline(sample_photos[0])[0], pipeline(sample_photos[0], style="classic")[0]
    assert seed.caption == classic.caption
    assert " by " in classic.prompt and " by " not in seed.prompt


@pytest.mark.slow
def test_best_is_at_least_as_near_as_its_parts(pipeline, sample_photos):
    best, fast = pipeline(sample_photos[0], style="best")[0], pipeline(sample_photos[0], style="fast")[0]
    assert best.caption == fast.caption and best.prompt.startswith(best.caption)
    features = pipeline.engine.encode([pipeline.open(sample_photos[0])])
    (picture,) = pipeline.engine.embed_images(features)
    chosen, *parts = pipeline.engine.embed_texts([best.prompt, best.caption, fast.prompt]) @ picture
    assert chosen > max(parts) - 1e-5


def test_the_nearest_prompt_is_decoded_from_the_embedding(pipeline, sample_photos):
    seeds, found = pipeline(sample_photos), pipeline(sample_photos, style="nearest")
    for seed, nearest in zip(seeds, found, strict=True):
        assert nearest.caption == seed.caption and nearest.labels == seed.labels
        assert nearest.embedding @ seed.embedding > 0.999
        medium_or_caption, *flavors = nearest.prompt.split(f"{nearest.caption}, ")[-1].split(", ")
        assert nearest.caption in nearest.prompt and 1 <= len([medium_or_caption, *flavors]) <= 8
        texts = [nearest.prompt, nearest.prompt.rpartition(", ")[0], nearest.caption]
        near = pipeline.sentences.encode(texts) @ nearest.embedding
        assert near[0] > near[1] > near[2], "every part brings it nearer"
    alone = pipeline(sample_photos[1], style="nearest")[0]
    assert alone.prompt == found[1].prompt


def test_only_a_picture_of_a_machine_gets_the_nearest_prompt_by_default(pipeline, sample_photos, shared_data):
    generated = str(shared_data / "kaggle_sample" / "images" / "c98f79f71.png")
    photo, picture = pipeline([sample_photos[0], generated])
    seeds, nearest = (pipeline([sample_photos[0], generated], style=style) for style in ("seed", "nearest"))
    assert photo.prompt == seeds[0].prompt != nearest[0].prompt
    assert picture.prompt == nearest[1].prompt != seeds[1].prompt
    assert picture.embedding @ nearest[1].embedding > 0.999


def test_words_count_less_for_a_picture_of_a_machine(pipeline, sample_photos, shared_data):
    sources = [sample_photos[1], str(shared_data / "kaggle_sample" / "images" / "c98f79f71.png")]
    features = pipeline.engine.encode([pipeline.open(source) for source in sources])
    regressed, results = pipeline.engine.regress(features), pipeline(sources)
    photo, picture = (result.embedding @ vector for result, vector in zip(results, regressed, strict=True))
    assert photo < 0.99
    assert picture > 0.999
    only_words = load_pipeline(engine="lite", device="cpu", ratio=1.0)(sources)
    vectors = pipeline.sentences.encode([result.prompt for result in pipeline(sources, style="seed")])
    for result, vector in zip(only_words, vectors, strict=True):
        assert result.embedding @ vector > 0.99


@pytest.mark.slow
def test_a_negative_prompt_leaves_the_rest_alone(pipeline, sample_photos):
    seed, negative = pipeline(sample_photos[0])[0], pipeline(sample_photos[0], style="negative")[0]
    assert set(negative.prompt.split(", ")) <= set(read_labels("negative"))
    assert len(negative.prompt.split(", ")) > 1
    assert negative.caption == seed.caption and negative.labels == seed.labels
    assert negative.embedding @ seed.embedding > 0.999


@pytest.mark.slow
def test_own_labels_are_ranked_beside_the_others(sample_photos, tmp_path):
    (tmp_path / "flowers.txt").write_text("a vase of flowers\na steam engine\n", encoding="utf-8")
    pipeline = load_pipeline(engine="lite", device="cpu", labels=[tmp_path / "flowers.txt"])
    result = pipeline(sample_photos[1])[0]
    assert [match.label for match in result.labels["flowers"]] == ["a vase of flowers", "a steam engine"]
    assert list(result.labels)[-2:] == ["flowers", "things"]


def test_nothing_in_nothing_out(pipeline):
    assert pipeline([]) == []


def test_a_bad_picture_is_an_image_error(pipeline):
    with pytest.raises(ImageError):
        pipeline(b"not a picture")


def test_odd_shapes_and_modes_work(pipeline):
    odd = [
        Image.new("L", (20, 20), 128),
        Image.new("RGBA", (2000, 63), (255, 0, 0, 10)),
        Image.new("1", (29, 900)),
    ]
    assert all(result.caption for result in pipeline(odd))


def test_encoded_picture_in_memory(pipeline, sample_photos):
    buffer = io.BytesIO()
    Image.open(sample_photos[1]).save(buffer, "WEBP")
    assert pipeline(buffer.getvalue())[0].caption


def test_full_engine_says_what_to_do_instead():
    pytest.importorskip("torch")  # without it the sentence says what to install
    with pytest.raises(WeightsError, match="--engine lite"):
        load_pipeline(engine="full")


def test_damaged_weights_are_a_weights_error(tmp_path, monkeypatch):
    folder = tmp_path / "lite"
    folder.mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json", "labels.safetensors"):
        (folder / name).write_bytes(b"{}")
    monkeypatch.setenv("IMG2PROMPT_MODELS", str(tmp_path))
    with pytest.raises(WeightsError, match="lite"):
        load_pipeline()


def test_the_full_engine_without_transformers_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        WeightsError, match=r'-m pip install (?:torch\S+ torchvision\S+ "timm\S+" )?"transformers<\S+"'
    ):
        load_pipeline(engine="full", device="cpu", caption_model=str(tmp_path), clip_model=str(tmp_path))


def test_the_captioner_knows_every_word_of_the_labels(pipeline):
    engine = pipeline.engine
    assert [label for label in engine.labels if UNK in engine.tokenizer.encode(label.lower()).ids] == []


def test_captions_name_what_is_there_and_nobody_who_is_not(pipeline, sample_photos):
    features = pipeline.engine.encode([Image.open(photo).convert("RGB") for photo in sample_photos])
    assert (features.somebody < 0.5).all()
    assert (
        features.words[0, pipeline.engine.words["building"]]
        > features.words[1, pipeline.engine.words["building"]]
    )
    assert np.allclose(features.labels.sum(1), 1, atol=1e-4)
