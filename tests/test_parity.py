"""The same words as clip-interrogator 0.6 on the same weights, in every mode.

Both sides share one freshly initialised CLIP in single precision. Two things make their
answers equal to the letter: label vectors rounded to half precision and compared in
single (what the reference keeps on disk, and what it makes of that), and the same choice
of phrases for a chain: the nearest few of every 2,048 labels, not the nearest of all. The
size of a batch moves a cosine by about 1e-7, so the weights are drawn wide enough that
hardly two texts come that near to each other. Of two that are the same to CLIP, which
reads 77 tokens, the reference takes one at random: its phrases are a `set`, here one
that keeps its order.
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
from open_clip.transform import image_transform
from PIL import Image, ImageEnhance

from img2prompt import labels, prompts
from img2prompt.labels import LabelTable
from img2prompt.pipeline import Pipeline
from img2prompt.settings import Settings

PICTURES = 24
TABLES = ("artists", "flavors", "mediums", "movements", "trendings")


class ClipEngine:
    """CLIP behind the engine protocol; its captions are given."""

    name = "clip"
    captioner = "given"
    weights_id = "fresh"
    label_file = None
    vocabulary = None
    mean_embedding = None
    device = torch.device("cpu")

    def __init__(self, model: torch.nn.Module, captions: list[str], space: str, pool: int = 2048):
        self.model, self.captions, self.space, self.pool = model, captions, space, pool
        self.preprocess = image_transform(model.visual.image_size, is_train=False)
        self.tokenize = open_clip.get_tokenizer("ViT-B-32")

    @torch.inference_mode()
    def encode(self, images):
        pixels = torch.stack([self.preprocess(image) for image in images])
        return self.model.encode_image(pixels, normalize=True).numpy()

    def describe(self, features, beams=4):
        return self.captions[: len(features)]

    def embed_images(self, features, aspect="content"):
        return features

    @torch.inference_mode()
    def embed_texts(self, texts):
        parts = [self.tokenize(texts[i : i + 256]) for i in range(0, len(texts), 256)]
        return torch.cat([self.model.encode_text(part, normalize=True) for part in parts]).numpy()

    def regress(self, features):
        return None


class OrderedSet(dict):
    """A set whose order is the same in every process."""

    def __init__(self, items):
        super().__init__(dict.fromkeys(items))

    remove = dict.pop


def fresh_clip(width: int = 64) -> torch.nn.Module:
    """A small CLIP whose texts and pictures lie well apart."""
    torch.manual_seed(2)  # every picture is unlike some phrase, see the last test
    vision = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": width, "heads": 2, "layers": width // 32}
    model = open_clip.CLIP(64, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg(**text)).eval()
    with torch.no_grad():
        model.token_embedding.weight.mul_(50)
        model.visual.conv1.weight.mul_(4)
    return model


def interrogator(model, folder: Path, **settings) -> reference.Interrogator:
    """The reference on these weights, on the CPU; it keeps its label vectors in the folder."""
    config = reference.Config(
        caption_model_name=None,
        clip_model_name="ViT-B-32/fresh",
        cache_path=str(folder),
        download_cache=False,
        device="cpu",
        quiet=True,
        **settings,
    )
    config.clip_model = model
    config.clip_preprocess = image_transform(model.visual.image_size, is_train=False)
    return reference.Interrogator(config)


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
def captions() -> list[str]:
    chance = random.Random(1)
    words = ["a painting of", "a dog", "on a beach", "two people", "at night", "a castle", "with a red hat"]
    made = [" ".join(chance.sample(words, chance.randint(1, 4))) for _ in range(PICTURES)]
    return ["a charcoal drawing of a dog", *made[1:]]


@pytest.fixture(scope="module")
def few_labels(tmp_path_factory) -> Path:
    """A folder with the package's tables cut down to at most 60 labels each."""
    folder = tmp_path_factory.mktemp("tables")
    chance = random.Random(2)
    for name in ("artists", "flavors", "mediums", "movements", "negative"):
        lines = [line for line in labels.read_labels(name) if line and not line.startswith("inspired by ")]
        kept = chance.sample(lines, min(60, len(lines)))
        text = "\n".join(line.removeprefix("by ") if name == "artists" else line for line in kept)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def same_ground(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "ours"))
    monkeypatch.setattr(reference, "set", OrderedSet, raising=False)


def ours(engine, pipeline, tables) -> Pipeline:
    return Pipeline(engine, pipeline.sentences, tables, Settings(engine="full"))


@pytest.mark.parametrize("mode", ["classic", "fast", "best", "negative"])
def test_writes_what_clip_interrogator_writes(mode, pictures, captions, few_labels, pipeline, tmp_path):
    model = fresh_clip()
    # Chains choose from several chunks of labels, as they do from the whole tables; of each the
    # reference must keep as many as the fast prompt has, or that differs as it never really does.
    size = {"best": 96, "negative": 32}.get(mode, 2048)
    sizes = {"chunk_size": size, "flavor_intermediate_count": size}
    theirs = interrogator(model, tmp_path, data_path=str(few_labels), **sizes)
    engine = ClipEngine(model, captions, "ViT-B-32/fresh", pool=size)
    tables = [LabelTable(name, getattr(theirs, name).labels, engine) for name in TABLES]
    results = ours(engine, pipeline, tables)(pictures, style=mode)
    for picture, caption, result in zip(pictures, captions, results, strict=True):
        assert result.caption == caption
        if mode == "negative":
            assert result.prompt == theirs.interrogate_negative(picture)
        else:
            method = theirs.interrogate if mode == "best" else getattr(theirs, f"interrogate_{mode}")
            assert result.prompt == method(picture, caption=caption)
    assert len({result.prompt.removeprefix(result.caption) for result in results}) > PICTURES / 3


def test_all_labels_are_ranked_like_there(pictures, captions, pipeline, tmp_path, monkeypatch):
    """111,867 labels, with the vectors that the reference kept."""
    model = fresh_clip(width=32)
    theirs = interrogator(model, tmp_path)
    engine = ClipEngine(model, captions, "ViT-B-32/fresh@1")
    embedded: list[str] = []
    embed_texts = engine.embed_texts
    monkeypatch.setattr(engine, "embed_texts", lambda texts: embedded.extend(texts) or embed_texts(texts))
    tables = labels.load_tables(engine, {}, str(tmp_path))
    asked = ours(engine, pipeline, tables)
    for mode in ("classic", "fast"):
        method = getattr(theirs, f"interrogate_{mode}")
        for picture, caption, result in zip(pictures, captions, asked(pictures, style=mode), strict=True):
            assert result.prompt == method(picture, caption=caption)
    assert 0 < len(embedded) < 100  # a few of each table, to see whose vectors they are
    assert sum(len(table.labels) for table in tables) == 111_867
    looks = dict.fromkeys(("content", "style"), engine.encode(pictures[:2]))
    joined = sorted(tables, key=lambda table: table.name)
    merged = reference._merge_tables([getattr(theirs, table.name) for table in joined], theirs)
    for picture, pool in zip(pictures, labels.pools(looks, joined, 2048), strict=False):
        expected = merged.rank(theirs.image_to_features(picture), 2048)
        assert len(expected) > 2000
        assert set(pool) == {label for label in expected if label}  # a blank is no flavor


def test_the_farthest_of_a_large_table(few_labels, tmp_path):
    """The reference ranks a large table in two stages and forgets `reverse` in the second.

    So it gives the nearest of the farthest. That shows only where fewer are asked for than
    the first stage keeps, which its negative mode never does.
    """
    model, words = fresh_clip(), labels.read_labels("flavors")[:300]
    settings = {"chunk_size": 64, "data_path": str(few_labels)}
    theirs = reference.LabelTable(words, "words", interrogator(model, tmp_path, **settings))
    features = model.encode_text(open_clip.get_tokenizer("ViT-B-32")(["a dog"]), normalize=True).detach()
    table = LabelTable("words", words, ClipEngine(model, [], "fresh"))
    farthest = [words[i] for i in table.scores(features.numpy())[0].argsort()[:5]]
    (pool,) = labels.pools({"both": features.numpy()}, [table], 64, least=True)
    assert pool[:5] == farthest
    assert set(farthest).isdisjoint(theirs.rank(features, 5, reverse=True))


def test_a_negative_prompt_is_longer_than_a_phrase(few_labels, tmp_path):
    """The reference turns the sign of every similarity but the first phrase's.

    Where all phrases are a little like the picture, as in CLIP spaces they often are, it
    therefore never gets beyond that one. No such thing happens here.
    """
    model, phrases = fresh_clip(), labels.read_labels("flavors")[:40]
    engine = ClipEngine(model, [], "fresh")
    vectors = engine.embed_texts(phrases)
    picture = vectors.mean(0, keepdims=True) / np.linalg.norm(vectors.mean(0))
    assert (vectors @ picture[0]).min() > 0
    theirs = interrogator(model, tmp_path, data_path=str(few_labels))
    alone = theirs.chain(torch.from_numpy(picture), phrases, max_count=32, reverse=True)
    (found,) = prompts.negative([phrases], partial(labels.similarities, engine, picture))
    assert alone in phrases and found.startswith(alone + ", ")
    assert len(found.split(", ")) > 1
