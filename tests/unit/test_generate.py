"""dataset generate, on tiny models that the real libraries built, saved and load."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("diffusers", reason="needs img2prompt[generate]")

from img2prompt.cli.main import main
from img2prompt.datasets import diffusion
from img2prompt.datasets.diffusion import SCHEDULERS, Recipe
from img2prompt.datasets.generate import Workshop
from img2prompt.datasets.pairs import PairsFolder
from img2prompt.errors import ConfigError, DataError, WeightsError
from tests.helpers import ROOT
from tests.helpers.tiny_generators import save_gpt2, save_stable_diffusion

PROMPTS = ["a fox, in snow", "a castle\nby the sea", "写真 of a lighthouse", "a bowl of soup", "two boats"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return save_gpt2(folder / "gpt2"), save_stable_diffusion(folder / "sd")


@pytest.fixture
def make(models, tmp_path, capsys):
    """Run `dataset generate`, by default with a file of prompts: (exit code, stderr, pairs by id)."""
    source = tmp_path / "prompts.csv"
    with open(source, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("imgId", "prompt"), *enumerate(PROMPTS)])

    def make(out, *options, prompts=True):
        given = ["--prompts", source] if prompts else ["--text-model", models[0]]
        arguments = ["dataset", "generate", tmp_path / out, "--image-model", models[1], *given]
        arguments += ["--steps", 2, "--size", 16, "--device", "cpu", *options]
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        return left.value.code, capsys.readouterr().err, read(tmp_path / out)

    return make


def read(folder):
    """imgId → (prompt, seed, pixels)."""
    if not (folder / "prompts.csv").exists():
        return {}
    with open(folder / "prompts.csv", newline="", encoding="utf-8") as file:
        rows = {row["imgId"]: (row["prompt"], row["seed"]) for row in csv.DictReader(file)}
    return {
        name: (*row, np.array(Image.open(folder / "images" / f"{name}.png")).astype(int))
        for name, row in rows.items()
    }


def same(first, second):
    return first.keys() == second.keys() and all(
        first[name][:2] == second[name][:2] and np.abs(first[name][2] - second[name][2]).max() <= 1
        for name in first
    )


def test_prompts_of_a_file_become_pairs(make, tmp_path):
    code, err, pairs = make("out", "--size", "24x16")
    assert code == 0 and "5 of 5 pairs" in err
    assert [row[0] for row in pairs.values()] == PROMPTS
    assert [row[1] for row in pairs.values()] == ["0", "1", "2", "3", "4"]
    assert all(row[2].shape == (16, 24, 3) for row in pairs.values())
    assert len({row[2].tobytes() for row in pairs.values()}) == 5
    folder = PairsFolder(tmp_path / "out")
    assert len(folder) == 5 and folder.read("000004")[1:4] == b"PNG"


def test_a_picture_depends_on_its_seed_and_not_on_its_batch(make):
    alone, together = make("one", "--batch-size", 1)[2], make("four", "--batch-size", 4)[2]
    assert same(alone, together)
    shifted = make("shifted", "--seed", 1)[2]
    assert not same(alone, shifted)


def test_gpt2_continues_the_stem(make, tmp_path):
    code, _, pairs = make("out", "--count", 3, "--stem", "A photo of", prompts=False)
    prompts = [row[0] for row in pairs.values()]
    assert code == 0 and len(set(prompts)) == 3
    assert all(prompt.startswith("A photo of") and len(prompt) > 10 for prompt in prompts)
    code, _, more = make("out", "--count", 5, "--stem", "A photo of", prompts=False)
    assert code == 0 and len(more) == 5 and same(pairs, {name: more[name] for name in pairs})
    assert same(more, make("other", "--count", 5, "--stem", "A photo of", prompts=False)[2])


def test_drawing_goes_on_with_the_next_draw(models, tmp_path, monkeypatch):
    monkeypatch.setattr(diffusion, "DRAWN", 2)
    recipe = Recipe(str(models[1]), str(models[0]))
    whole = Workshop(tmp_path / "whole", recipe)
    assert list(whole.draw_prompts(6, "cpu"))[-1] == 6
    for count in (1, 4, 6):
        part = Workshop(tmp_path / "parts", recipe)
        list(part.draw_prompts(count, "cpu"))
        part.close()
    assert part.plan == whole.plan
    assert len({planned.draw for planned in whole.plan}) > 1


def test_makes_again_only_what_is_missing(make, tmp_path):
    first = make("out")[2]
    images = tmp_path / "out" / "images"
    (images / "000001.png").unlink()
    before = {file.name: file.stat().st_mtime_ns for file in images.glob("*.png")}
    code, _, again = make("out")
    assert code == 0 and same(first, again)
    assert {name: (images / name).stat().st_mtime_ns for name in before} == before


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers(make, scheduler):
    code, _, pairs = make("out", "--count", 1, "--scheduler", scheduler, "--steps", 3)
    assert code == 0 and pairs["000000"][2].std() > 0


def test_half_precision(make):
    code, _, pairs = make("out", "--count", 1, "--precision", "bf16")
    assert code == 0 and pairs["000000"][2].std() > 0


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on(models, tmp_path):
    command = [sys.executable, "-m", "tests.helpers.kill_generate", *map(str, models), str(tmp_path), "6"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["pairs"] == 9 and report["equal"] is True
    assert report["kept"] == sorted(report["kept"]) and len(set(report["kept"]) - {9}) >= 3


def test_counts_what_is_done_before_everything_is_planned(tmp_path):
    workshop = Workshop(tmp_path, Recipe("sd"))
    workshop.take_prompts(PROMPTS[:3])
    assert (workshop.done(1000), len(workshop.missing(1000)), workshop.export()) == (0, 3, 0)
    (tmp_path / "images" / "000001.png").write_bytes(b"there")
    assert (workshop.done(1000), workshop.done(1), workshop.export()) == (1, 0, 1)


def test_one_run_at_a_time(tmp_path):
    first = Workshop(tmp_path, Recipe("sd"))
    with pytest.raises(DataError, match="another run"):
        Workshop(tmp_path, Recipe("sd"))
    first.close()
    Workshop(tmp_path, Recipe("sd")).close()


def test_a_folder_keeps_its_recipe_and_prompts(make, tmp_path):
    make("out", "--count", 1)
    code, err, _ = make("out", "--scheduler", "ddim")
    assert code == 2 and "begun with scheduler = 'own', not 'ddim'" in err
    (tmp_path / "prompts.csv").write_text("imgId,prompt\n1,another prompt\n")
    code, err, _ = make("out")
    assert code == 2 and "begun with other prompts" in err
    (tmp_path / "foreign" / "images").mkdir(parents=True)
    (tmp_path / "foreign" / "images" / "mine.png").write_bytes(b"x")
    code, err, _ = make("foreign")
    assert code == 2 and "not made here" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scheduler", "magic"], "choose own or one of"),
        (["--size", "500x3"], "multiples of 8"),
        (["--size", "big"], "size is 'big'"),
        (["--precision", "int8"], "precision is 'int8'"),
        (["--count", "6"], "has 5 prompts"),
        (["--text-model", "gpt2"], "either --text-model or --prompts"),
        (["--device", "abacus"], "device 'abacus' cannot be used"),
    ],
)
def test_bad_options(make, options, message):
    code, err, _ = make("out", *options)
    assert code == 2 and message in err, err


def test_models_that_are_not_there(models, tmp_path):
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="nowhere is no language model"):
        list(Workshop(tmp_path / "a", Recipe(str(models[1]), nowhere)).draw_prompts(1, "cpu"))
    pickled = tmp_path / "pickled"
    save_stable_diffusion(pickled)
    weights = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))  # pickles are not looked for
    for name in (nowhere, str(pickled)):
        workshop = Workshop(tmp_path / "b" / Path(name).name, Recipe(name, width=16, height=16, steps=1))
        workshop.take_prompts(["a prompt of some length"])
        with pytest.raises(WeightsError, match="is no Stable Diffusion pipeline"):
            list(workshop.render(1, 1, "cpu"))
        assert read(workshop.folder) == {}


def test_seed_and_size_limits():
    with pytest.raises(ConfigError):
        Recipe("sd", steps=0)
    with pytest.raises(ConfigError):
        Recipe("sd", width=7)
