"""The same words as clip-interrogator 0.6 on the same weights, in every mode.

Both sides read one freshly initialised BLIP and CLIP from the same files, in single
precision; ours through `load_pipeline`, as a user's. Two things make their answers equal
to the letter: label vectors rounded to half precision and compared in single (what the
reference keeps on disk, and what it makes of that), and the same choice of phrases for a
chain: the nearest few of every 2,048 labels, not the nearest of all. The size of a batch
moves a cosine by about 1e-7, so the weights are drawn wide enough that hardly two texts
come that near to each other. Of two that are the same to CLIP, which reads 77 tokens, the
reference takes one at random: its phrases are a `set`, here one that keeps its order.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from clip_interrogator import clip_interrogator as reference
from PIL import Image, ImageEnhance
from transformers import AutoProcessor, BlipForConditionalGeneration

from img2prompt import Pipeline, load_pipeline, prompts
from img2prompt.engines.full.engine import FullEngine
from img2prompt.labels import ranking, tables
from img2prompt.labels.ranking import LabelTable
from tests.helpers import fresh_models

BLIP, CLIP = "blip-base", "ViT-B-32/fresh"
PICTURES = 24
TABLES = ("artists", "flavors", "mediums", "movements", "trendings")


class OrderedSet(dict):
    """A set whose order is the same in every process."""

    def __init__(self, items):
        super().__init__(dict.fromkeys(items))

    remove = dict.pop


def save_models(folder: Path, width: int = 64) -> None:
    """A small CLIP whose texts and pictures lie well apart, and a small BLIP, as they are published."""
    torch.manual_seed(2)  # every picture is unlike some phrase, see the last test
    vision = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": width, "heads": 2, "layers": width // 32}
    config = {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text}
    net = open_clip.CLIP(**config)
    with torch.no_grad():
        net.token_embedding.weight.mul_(50)
        net.visual.conv1.weight.mul_(4)
    fresh_models.save_clip(folder / "clip" / CLIP.replace("/", "--"), config, net)
    size = {"intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = {"hidden_size": 48, "image_size": 64, "patch_size": 16, **size}
    fresh_models.save_blip(folder / "caption" / BLIP, vision, {"hidden_size": 64, **size}, stop=2.0)


def interrogator(folder: Path, cache: Path, **settings) -> reference.Interrogator:
    """The reference on these weights, on the CPU; it keeps its label vectors in the cache."""
    config = reference.Config(
        caption_model_name=BLIP,
        clip_model_name=CLIP,
        cache_path=str(cache),
        download_cache=False,
        device="cpu",
        quiet=True,
        **settings,
    )
    clip = f"local-dir:{folder / 'clip' / CLIP.replace('/', '--')}"
    config.clip_model, _, config.clip_preprocess = open_clip.create_model_and_transforms(clip)
    blip = folder / "caption" / BLIP
    config.caption_model = BlipForConditionalGeneration.from_pretrained(blip)
    config.caption_processor = AutoProcessor.from_pretrained(blip)
    return reference.Interrogator(config)


def ours(cache: Path) -> Pipeline:
    """What a user gets who has these weights installed."""
    return load_pipeline(
        engine="full", device="cpu", caption_model=BLIP, clip_model=CLIP, label_cache=str(cache)
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_models(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(sample_photos) -> list[Image.Image]:
    """Crops of two photos, some of them in odd colours."""
    chance = random.Random(0)
    made = []
    for i in range(PICTURES):
        photo = Image.open(sample_photos[i % 2]).convert("RGB")
        left, top = chance.randrange(photo.width - 160), chance.randrange(photo.height - 160)
        side = chance.randrange(40, 160)
        crop = photo.crop((left, top, left + side, top + side))
        made.append(ImageEnhance.Color(crop).enhance(chance.choice([-2, 0, 1, 3])))
    return made


@pytest.fixture(scope="module")
def few_labels(tmp_path_factory) -> Path:
    """A folder with the package's tables cut down to at most 60 labels each."""
    folder = tmp_path_factory.mktemp("tables")
    chance = random.Random(2)
    for name in ("artists", "flavors", "mediums", "movements", "negative"):
        lines = [line for line in tables.read_labels(name) if line and not line.startswith("inspired by ")]
        kept = chance.sample(lines, min(60, len(lines)))
        text = "\n".join(line.removeprefix("by ") if name == "artists" else line for line in kept)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def same_ground(tmp_path, models, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "ours"))
    monkeypatch.setenv("IMG2PROMPT_MODELS", str(models))
    monkeypatch.setattr(reference, "set", OrderedSet, raising=False)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["classic", "fast", "best", "negative"])
def test_writes_what_clip_interrogator_writes(mode, models, pictures, few_labels, tmp_path):
    # Chains choose from several chunks of labels, as they do from the whole tables; of each the
    # reference must keep as many as the fast prompt has, or that differs as it never really does.
    size = {"best": 96, "negative": 32}.get(mode, 2048)
    if size < 2048:
        pictures = pictures[::2]  # a chain compares hundreds of texts with each
    sizes = {"chunk_size": size, "flavor_intermediate_count": size}
    theirs = interrogator(models, tmp_path, data_path=str(few_labels), **sizes)
    pipeline = ours(tmp_path)
    assert isinstance(pipeline.engine, FullEngine)
    pipeline.engine.pool = size
    pipeline.tables = [
        LabelTable(name, getattr(theirs, name).labels, pipeline.engine, found_in=str(tmp_path))
        for name in TABLES
    ]
    results = pipeline(pictures, style=mode)
    method = getattr(theirs, "interrogate" if mode == "best" else f"interrogate_{mode}")
    for picture, result in zip(pictures, results, strict=True):
        assert result.caption == theirs.generate_caption(picture)
        assert result.prompt == method(picture)
    assert len({result.caption for result in results}) > len(pictures) / 3
    assert len({result.prompt.removeprefix(result.caption) for result in results}) > len(pictures) / 3


@pytest.mark.slow
def test_all_labels_are_ranked_like_there(pictures, tmp_path, monkeypatch):
    """111,867 labels, with the vectors that the reference kept."""
    monkeypatch.setenv("IMG2PROMPT_MODELS", str(tmp_path / "models"))
    save_models(tmp_path / "models", width=32)
    theirs = interrogator(tmp_path / "models", tmp_path)
    pipeline = ours(tmp_path)
    engine, tables = pipeline.engine, pipeline.tables
    embedded: list[str] = []
    embed_texts = engine.embed_texts
    monkeypatch.setattr(engine, "embed_texts", lambda texts: embedded.extend(texts) or embed_texts(texts))
    for mode in ("classic", "fast"):
        method = getattr(theirs, f"interrogate_{mode}")
        for picture, result in zip(pictures, pipeline(pictures, style=mode), strict=True):
            expected = method(picture)
            if result.caption:
                assert result.prompt == expected
            else:  # this fresh model's words ended at once: there they begin with a comma, which takes a token
                assert result.prompt.startswith(expected.removeprefix(", "))
    assert 0 < len(embedded) < 100  # a few of each table, to see whose vectors they are
    assert sum(len(table.labels) for table in tables) == 111_867
    looks = ranking.picture_vectors(engine, engine.encode(pictures[:2]))
    joined = sorted(tables, key=lambda table: table.name)
    merged = reference._merge_tables([getattr(theirs, table.name) for table in joined], theirs)
    for picture, pool in zip(pictures, ranking.pools(looks, joined, 2048), strict=False):
        expected = merged.rank(theirs.image_to_features(picture), 2048)
        assert len(expected) > 2000
        assert set(pool) == {label for label in expected if label}  # a blank is no flavor


@pytest.mark.slow
def test_the_farthest_of_a_large_table(models, few_labels, tmp_path):
    """The reference ranks a large table in two stages and forgets `reverse` in the second.

    So it gives the nearest of the farthest. That shows only where fewer are asked for than
    the first stage keeps, which its negative mode never does.
    """
    engine, words = ours(tmp_path).engine, tables.read_labels("flavors")[:300]
    settings = {"chunk_size": 64, "data_path": str(few_labels)}
    theirs = reference.LabelTable(words, "words", interrogator(models, tmp_path, **settings))
    features = engine.embed_texts(["a dog"])
    table = LabelTable("words", words, engine)
    farthest = [words[i] for i in table.scores(features)[0].argsort()[:5]]
    (pool,) = ranking.pools({"both": features}, [table], 64, least=True)
    assert pool[:5] == farthest
    assert set(farthest).isdisjoint(theirs.rank(torch.from_numpy(features), 5, reverse=True))


def test_a_negative_prompt_is_longer_than_a_phrase(models, few_labels, tmp_path):
    """The reference turns the sign of every similarity but the first phrase's.

    Where all phrases are a little like the picture, as in CLIP spaces they often are, it
    therefore never gets beyond that one. No such thing happens here.
    """
    engine, phrases = ours(tmp_path).engine, tables.read_labels("flavors")[:40]
    vectors = engine.embed_texts(phrases)
    picture = vectors.mean(0, keepdims=True) / np.linalg.norm(vectors.mean(0))
    assert (vectors @ picture[0]).min() > 0
    theirs = interrogator(models, tmp_path, data_path=str(few_labels))
    alone = theirs.chain(torch.from_numpy(picture), phrases, max_count=32, reverse=True)
    (found,) = prompts.negative([phrases], partial(ranking.similarities, engine, picture))
    assert alone in phrases and found.startswith(alone + ", ")
    assert len(found.split(", ")) > 1
