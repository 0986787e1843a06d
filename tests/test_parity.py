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
from pathlib import Path

import open_clip
import pytest
import torch
from clip_interrogator import clip_interrogator as reference
from open_clip.transform import image_transform
from PIL import Image, ImageEnhance

from img2prompt import labels
from img2prompt.labels import LabelTable
from img2prompt.pipeline import Pipeline
from img2prompt.settings import Settings

PICTURES = 24
TABLES = ("artists", "flavors", "mediums", "movements", "trendings")


class ClipEngine:
    """CLIP behind the engine protocol; its captions are given."""

    name = "clip"
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


def fresh_clip(seed: int = 0) -> torch.nn.Module:
    """A small CLIP whose texts and pictures lie well apart."""
    torch.manual_seed(seed)
    vision = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
    model = open_clip.CLIP(64, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg(**text)).eval()
    with torch.no_grad():
        model.token_embedding.weight.mul_(50)
        model.visual.conv1.weight.mul_(4)
    return model


def interrogator(model, folder: Path, data: Path | None, **settings) -> reference.Interrogator:
    """The reference on these weights, on the CPU; `data` holds its tables if not the package's."""
    config = reference.Config(
        caption_model_name=None,
        clip_model_name="ViT-B-32/fresh",
        cache_path=str(folder),
        download_cache=False,
        device="cpu",
        quiet=True,
        **({"data_path": str(data)} if data else {}),
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


@pytest.fixture(autouse=True)
def same_ground(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "ours"))
    monkeypatch.setattr(reference, "set", OrderedSet, raising=False)


def ours(engine, pipeline, tables) -> Pipeline:
    return Pipeline(engine, pipeline.sentences, tables, Settings(engine="full"))


@pytest.mark.parametrize("mode", ["classic", "fast", "best", "negative"])
def test_writes_what_clip_interrogator_writes(mode, pictures, captions, pipeline, tmp_path):
    model = fresh_clip()
    chance = random.Random(2)
    for name in ("artists", "flavors", "mediums", "movements", "negative"):
        own = (line for line in labels.read_labels(name) if not line.startswith("inspired by "))
        lines = [line.removeprefix("by ") if name == "artists" else line for line in own if line]
        kept = chance.sample(lines, min(300, len(lines)))
        (tmp_path / f"{name}.txt").write_text("\n".join(kept), encoding="utf-8")
    theirs = interrogator(model, tmp_path, tmp_path, chunk_size=128, flavor_intermediate_count=128)
    engine = ClipEngine(model, captions, f"ViT-B-32/fresh@{mode}", pool=128)
    tables = [LabelTable(name, getattr(theirs, name).labels, engine) for name in TABLES]
    results = ours(engine, pipeline, tables)(pictures, style=mode)
    methods = {"best": theirs.interrogate, "negative": theirs.interrogate_negative}
    method = methods.get(mode) or getattr(theirs, f"interrogate_{mode}")
    said = {} if mode == "negative" else {"caption": None}
    for picture, caption, result in zip(pictures, captions, results, strict=True):
        assert result.prompt == method(picture, **dict.fromkeys(said, caption))
    assert len({result.prompt.removeprefix(result.caption) for result in results}) > PICTURES / 2
