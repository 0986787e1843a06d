"""Training of regressors on small real pictures."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.engines.device import Place
from img2prompt.engines.vit_regressor import VitRegressor
from img2prompt.errors import ConfigError, DataError, WeightsError
from img2prompt.sentences import SentenceEncoder
from img2prompt.submission import cosines
from img2prompt.training import regressor
from img2prompt.training.pictures import Batches, Pictures, Share, divide, embed_texts
from img2prompt.training.regressor import TrainingConfig, build, regression_loss, train

THINGS = "dog cat horse car boat house tree flower".split()
PLACES = ("on a beach", "in the snow", "at night", "under a red sky")
QUICK = TrainingConfig(model="test_efficientnet", input=32, epochs=3, batch=8, rate=2e-3, average=0.9)


def paint(path, count=32, split="train", **further):
    """A pairs folder of coloured patterns: every thing in every place, each of its own look."""
    (path / "images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows = []
    for i in range(count):
        pixels = generator.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).resize((48, 40), Image.Resampling.NEAREST).save(path / "images" / f"{i}.png")
        rows.append(f"{i}.png,{split},a {THINGS[i % 8]} {PLACES[i // 8 % 4]}")
    (path / "captions.csv").write_text("\n".join(["image,split,caption", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def sentences():
    return SentenceEncoder()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return PairsFolder(paint(tmp_path_factory.mktemp("data") / "pairs"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def run(folder, out, config, cache, sentences, **options):
    options = {"device": "cpu", "workers": 0} | options
    return train(folder, folder.pairs, folder.pairs, out, config, cache=cache, sentences=sentences, **options)


def weights(out):
    return load_file(out / "model.safetensors"), load_file(out / "last" / "model.safetensors")


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_overfits_and_is_loaded_by_the_engine(folder, tmp_path, cache, sentences):
    config = replace(QUICK, epochs=60, batch=32, rate=5e-3, augment=False, average=0)
    found = run(folder, tmp_path, config, cache, sentences)
    assert found.best.cosine >= 0.95
    loaded = VitRegressor(tmp_path, Place(torch.device("cpu")), "fp32", 16)
    pictures = [
        Image.open(file).convert("RGB") for file in (folder.path / "images" / p.name for p in folder.pairs)
    ]
    predicted = loaded.regress([loaded.prepare(picture) for picture in pictures])
    truth = sentences.encode([pair.texts[0] for pair in folder.pairs])
    assert cosines(predicted, truth).mean() == pytest.approx(found.best.cosine, abs=1e-5)
    assert loaded.mean_embedding == pytest.approx(truth.mean(0) / np.linalg.norm(truth.mean(0)), abs=1e-6)
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["fingerprint"] == folder.fingerprint(folder.pairs)
    assert record["best"]["cosine"] == found.best.cosine == max(e["cosine"] for e in record["epochs"])
    assert record["baseline"] < 0.95 and record["pictures"] == [32, 32]
    assert list((tmp_path / "logs").glob("events*"))
