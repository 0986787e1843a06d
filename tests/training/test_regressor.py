"""Training of regressors on small real pictures."""

import json
import os
import shutil
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
from img2prompt.embeddings import cosines
from img2prompt.engines.device import Place
from img2prompt.engines.full.vit_regressor import VitRegressor
from img2prompt.errors import ConfigError, DataError, WeightsError
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.lite.backbone import imagenet_backbone
from img2prompt.training.regressor import train as training
from img2prompt.training.regressor.pictures import Batches, Pictures, Share, divide, targets
from img2prompt.training.regressor.train import TrainingConfig, build, regression_loss, train
from tests.helpers.train_pairs import QUICK, paint


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


@pytest.mark.slow
def test_overfits_and_is_loaded_by_the_engine(folder, tmp_path, cache, sentences):
    config = replace(QUICK, epochs=40, batch=32, rate=5e-3, augment=False, average=0)
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
    assert record["fingerprint"] == folder.fingerprint(folder.pairs * 2)
    assert record["best"]["cosine"] == found.best.cosine == max(e["cosine"] for e in record["epochs"])
    assert record["baseline"] < 0.95 and record["pictures"] == [32, 32]
    assert list((tmp_path / "logs").glob("events*"))


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory, cache, sentences):
    out = tmp_path_factory.mktemp("undisturbed")
    return out, run(folder, out, QUICK, cache, sentences)


class Stopped(Exception):
    """In place of a power cut."""


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 5, 11])
def test_a_stopped_run_ends_where_an_undisturbed_one_does(
    stop, undisturbed, folder, tmp_path, cache, sentences, monkeypatch
):
    make_step = training._Learner.step

    def step(self, number, *arguments):
        if number == stop:
            raise Stopped
        return make_step(self, number, *arguments)

    monkeypatch.setattr(training, "SAVE_EVERY", 1)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(training._Learner, "step", step)
        run(folder, tmp_path, QUICK, cache, sentences)
    found = run(folder, tmp_path, QUICK, cache, sentences)
    assert found.epochs == undisturbed[1].epochs
    assert all(map(equal, weights(tmp_path), weights(undisturbed[0])))


def command(pairs, out, *options):
    config = ["--model", QUICK.model, "--input", "32", "--epochs", "3", "--batch", "8", "--rate", "2e-3"]
    config += ["--average", "0.9", "--validation", "train", "--device", "cpu"]
    return ["img2prompt", "train", "regressor", str(pairs), "-o", str(out), *config, *options]


@pytest.mark.slow
def test_a_killed_run_ends_where_an_undisturbed_one_does(undisturbed, folder, tmp_path, cache, sentences):
    started = command(folder.path, tmp_path, "--workers", "1")
    process = subprocess.Popen([sys.executable, "-m", *started], start_new_session=True)
    record = tmp_path / "training.json"
    while process.poll() is None and not (record.exists() and json.loads(record.read_text())["epochs"]):
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was killed before it was done"
    found = run(folder, tmp_path, QUICK, cache, sentences)
    assert found.epochs == undisturbed[1].epochs
    assert all(map(equal, weights(tmp_path), weights(undisturbed[0])))


def test_a_finished_run_is_left_as_it_is(undisturbed, folder, cache, sentences):
    out, found = undisturbed
    before = (out / "model.safetensors").stat().st_mtime_ns
    told = []
    assert run(folder, out, QUICK, cache, sentences, after_epoch=told.append).epochs == found.epochs == told
    assert (out / "model.safetensors").stat().st_mtime_ns == before


def test_a_damaged_checkpoint_is_named(undisturbed, folder, tmp_path, cache, sentences):
    shutil.copytree(undisturbed[0], tmp_path / "run")
    file = tmp_path / "run" / "resume" / "last.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match="last.safetensors is damaged"):
        run(folder, tmp_path / "run", QUICK, cache, sentences)


def test_another_run_is_not_mixed_up_with_this_one(undisturbed, folder, cache, sentences):
    with pytest.raises(ConfigError, match="rate was 0.002 and is now 0.1"):
        run(folder, undisturbed[0], replace(QUICK, rate=0.1), cache, sentences)
    with pytest.raises(ConfigError, match="the data differ"):
        train(
            folder,
            folder.pairs[1:],
            folder.pairs,
            undisturbed[0],
            QUICK,
            cache=cache,
            sentences=sentences,
            device="cpu",
        )


@pytest.mark.slow
def test_two_processes_train_as_one_does(folder, tmp_path, cache, sentences):
    """The network has no batch norm, whose statistics would be each process' own."""
    config = replace(QUICK, model="test_convnext", epochs=2, batch=16, contrast=0.1)
    alone = run(folder, tmp_path / "one", config, cache, sentences)
    pieces = run(folder, tmp_path / "pieces", config, cache, sentences, passes=4)
    started = command(folder.path, tmp_path / "two", "--workers", "0", "--passes", "2")
    changed = {"--model": "test_convnext", "--epochs": "2", "--batch": "16"}
    for name, value in changed.items():
        started[started.index(name) + 1] = value
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    subprocess.run([*launch, *started, "--contrast", "0.1"], check=True, timeout=500)
    both = json.loads((tmp_path / "two" / "training.json").read_text())["epochs"]
    for epoch, piece, two in zip(alone.epochs, pieces.epochs, both, strict=True):
        assert piece.loss == pytest.approx(epoch.loss, abs=1e-4)
        assert two["loss"] == pytest.approx(epoch.loss, abs=1e-4)
        assert two["cosine"] == pytest.approx(epoch.cosine, abs=1e-3)


def test_a_batch_is_shared_out_completely():
    batches = Batches(10, 8, start=1, steps=4, seed=3)
    shares = [list(batches.keys(Share(rank, 2, 2))) for rank in (0, 1)]
    whole = list(batches)
    assert [step for step, _ in whole] == [1, 2, 3]
    for number, (step, indices) in enumerate(whole):
        pieces = [piece for share in shares for piece in share[2 * number : 2 * number + 2]]
        assert {len(piece) for piece in pieces} == {2}
        assert sorted(key for piece in pieces for key in piece) == sorted((index, step) for index in indices)
    assert whole == list(Batches(10, 8, start=0, steps=4, seed=3))[1:]


def test_augmentation_depends_on_the_seed_and_step_alone(folder):
    shape, _ = build(QUICK)
    pictures = Pictures(folder, folder.pairs, shape, seed=1)
    state = torch.get_rng_state()
    assert torch.equal(pictures[3, 7], pictures[3, 7])
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(pictures[3, 7], pictures[3, 8])
    assert not torch.equal(pictures[3, 7], Pictures(folder, folder.pairs, shape, seed=2)[3, 7])
    plain = Pictures(folder, folder.pairs, shape)
    assert torch.equal(plain[3, 7], plain[3, 8])


def test_pictures_of_left_and_right_are_not_mirrored(tmp_path):
    (tmp_path / "images").mkdir()
    half = Image.new("RGB", (40, 40))
    half.paste((255, 255, 255), (0, 0, 20, 40))
    for name in "ab":
        half.save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "captions.csv").write_text("image,caption\na.png,light to the left\nb.png,light\n")
    shape, _ = build(QUICK)
    folder = PairsFolder(tmp_path)
    pictures = Pictures(folder, folder.pairs, shape, seed=0)
    mirrored = [
        [bool(p[..., -1].mean() > p[..., 0].mean()) for p in (pictures[index, step] for step in range(20))]
        for index in (0, 1)
    ]
    assert not any(mirrored[0]) and 5 <= sum(mirrored[1]) <= 15


def test_targets_are_the_unit_means_of_a_pictures_texts(tmp_path, sentences):
    (tmp_path / "captions.csv").write_text("image,caption\na,a dog\nb,a cat\na,a puppy\n")
    folder = PairsFolder(tmp_path)
    found = targets(folder, folder.pairs, tmp_path / "cache", sentences)
    dog, puppy, cat = sentences.encode(["a dog", "a puppy", "a cat"])
    assert found[0] == pytest.approx((dog + puppy) / np.linalg.norm(dog + puppy), abs=1e-6)
    assert found[1] == pytest.approx(cat, abs=1e-6)

    class Unused:
        def encode(self, texts, progress=False):
            raise AssertionError("embedded already")

    assert (targets(folder, folder.pairs, tmp_path / "cache", Unused()) == found).all()


def test_losses():
    texts = torch.nn.functional.normalize(torch.randn(6, 8, generator=torch.manual_seed(0)), dim=1)
    own = torch.arange(6)
    assert float(regression_loss(3 * texts, texts, own)) == pytest.approx(0, abs=1e-6)
    assert float(regression_loss(-texts, texts, own)) == pytest.approx(2)
    predicted = torch.randn(6, 8)
    wanted = torch.nn.functional.cross_entropy(
        torch.nn.functional.normalize(predicted, dim=1) @ texts.T / training.TEMPERATURE, own
    )
    cosine = regression_loss(predicted, texts, own)
    assert float(regression_loss(predicted, texts, own, 0.5)) == pytest.approx(
        float(cosine + wanted / 2), rel=1e-5
    )
    parts = [regression_loss(predicted[i : i + 2], texts, own[i : i + 2], 0.5) for i in (0, 2, 4)]
    assert float(sum(parts) / 3) == pytest.approx(float(cosine + wanted / 2), rel=1e-5)
    twice = torch.cat([texts[:1], texts])  # the first text is there twice and is not held against itself
    assert float(regression_loss(twice[:2], twice, torch.arange(2), 1.0)) < 0.1


def test_deeper_layers_learn_slower_and_the_rate_rises_and_falls(
    folder, tmp_path, cache, sentences, monkeypatch
):
    rates = []
    make_step = training._Learner.step

    def step(self, *arguments):
        loss = make_step(self, *arguments)
        rates.append([group["lr"] for group in self.optimizer.param_groups])
        return loss

    monkeypatch.setattr(training._Learner, "step", step)
    config = replace(QUICK, layer_decay=0.5, epochs=2, warmup=0.5, patience=1)
    run(folder, tmp_path, config, cache, sentences)
    assert len(rates) == 8 and len(set(rates[3])) > 3
    assert max(max(row) for row in rates) == max(rates[3]) <= QUICK.rate
    tops = [max(row) for row in rates]
    assert tops[:4] == sorted(tops[:4]) and tops[3:] == sorted(tops[3:], reverse=True)


@pytest.mark.slow
def test_stops_early_without_progress(folder, tmp_path, cache, sentences, monkeypatch):
    answers = iter([0.5, 0.6, 0.55, 0.6, 0.7])
    monkeypatch.setattr(training._Learner, "validate", lambda *_: next(answers))
    found = run(folder, tmp_path, replace(QUICK, epochs=5, patience=2), cache, sentences)
    assert [epoch.cosine for epoch in found.epochs] == [0.5, 0.6, 0.55, 0.6]
    assert found.best.epoch == 2
    best, last = weights(tmp_path)
    assert not equal(best, last)


def test_goes_on_from_a_backbone_on_disk(undisturbed, tmp_path):
    stored = load_file(undisturbed[0] / "model.safetensors")
    stored["classifier.weight"] = torch.zeros(1000, 256)  # another task's
    stored["classifier.bias"] = torch.zeros(1000)
    save_file(stored, tmp_path / "model.safetensors")
    _, net = build(replace(QUICK, init=str(tmp_path)))
    got = net.state_dict()
    assert all(torch.equal(got[n], v) for n, v in stored.items() if n in got and "classifier" not in n)
    assert got["classifier.weight"].shape[0] == 384 and got["classifier.weight"].abs().sum() > 0
    with pytest.raises(WeightsError, match="does not fit test_vit"):
        build(replace(QUICK, model="test_vit", input=160, init=str(tmp_path)))
    with pytest.raises(WeightsError, match="Name a folder"):
        build(replace(QUICK, init=str(tmp_path / "nowhere")))


def test_imagenet_backbone_from_the_package_index():
    shape, net = build(TrainingConfig(model="tf_efficientnet_lite2", init="lite", input=64))
    _, fresh = build(TrainingConfig(model="tf_efficientnet_lite2", input=64))
    trunk, *_ = imagenet_backbone()
    pixels = torch.randn(2, 3, 64, 64)
    stem = net.eval().bn1(net.conv_stem(pixels))
    assert torch.allclose(stem, trunk[1](trunk[0](pixels)), atol=1e-4)
    assert not torch.allclose(stem, fresh.eval().bn1(fresh.conv_stem(pixels)), atol=0.1)
    assert shape.mean == (0.5, 0.5, 0.5)
    with pytest.raises(ConfigError, match="tf_efficientnet_lite2 only"):
        build(replace(QUICK, init="lite"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "vit_enormous"}, "no model 'vit_enormous'; its names look like vit_"),
        ({"model": "test_vit", "input": 50}, "test_vit takes no pictures of 50 pixels"),
        ({"epochs": 0}, "epochs is 0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"average": 1.5}, "average is 1.5"),
        ({"average": 1.0}, "average is 1,"),
        ({"precision": "int8"}, "precision is 'int8'"),
    ],
)
def test_settings_that_cannot_be_used(options, message):
    with pytest.raises(ConfigError, match=message):
        build(replace(QUICK, **options))


def test_what_cannot_be_done_here_is_said_first(folder, tmp_path, cache, sentences):
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        run(folder, tmp_path, replace(QUICK, precision="fp16"), cache, sentences)
    with pytest.raises(ConfigError, match="multiple of processes × passes = 1 × 3"):
        run(folder, tmp_path, QUICK, cache, sentences, passes=3)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_is_named(workers, tmp_path, cache, sentences):
    folder = PairsFolder(paint(tmp_path / "pairs", 4))
    (tmp_path / "pairs" / "images" / "2.png").write_bytes(b"no picture")
    folder = PairsFolder(folder.path)
    with pytest.raises(DataError, match=r"^[^ ]+captions.csv, line 4: '2.png' cannot be read"):
        run(folder, tmp_path / "out", replace(QUICK, batch=4), cache, sentences, workers=workers)


def test_pictures_are_held_out_by_name(tmp_path):
    folder = PairsFolder(paint(tmp_path / "pairs", 1))
    rows = "".join(f"{i:05},text\n" for i in range(1000))
    (folder.path / "captions.csv").write_text("image,caption\n" + rows)
    for i in range(1000):
        (folder.path / "images" / f"{i:05}.png").touch()
    learned, held = divide(PairsFolder(folder.path))
    assert len(learned) + len(held) == 1000 and 30 <= len(held) <= 70
    assert {p.name for p in learned}.isdisjoint(p.name for p in held)
