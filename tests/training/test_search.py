"""The hyper-parameter search on tiny runs."""

import json
from dataclasses import replace

import optuna
import pytest
import timm
from typer.testing import CliRunner

from img2prompt.cli.main import app
from img2prompt.datasets.pairs import PairsFolder
from img2prompt.errors import ConfigError
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.regressor import search as searching
from img2prompt.training.regressor.search import Space, ranked, save_plots, search
from tests.helpers.train_pairs import QUICK, paint

# timm's test models are numbered, which serves as a patch size
SMALL = Space(batch=(4, 8), patch=(2, 3), rate=(1e-4, 3e-3), model="test_convnext{patch}")


@pytest.fixture(scope="module")
def sentences():
    return SentenceEncoder()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return PairsFolder(paint(tmp_path_factory.mktemp("data") / "pairs", 8))


def look_for(folder, out, sentences, space=SMALL, **options):
    options = {"pruning": False} | options
    return search(
        folder,
        folder.pairs,
        folder.pairs,
        out,
        replace(QUICK, epochs=1, average=0.0),
        space,
        sentences=sentences,
        device="cpu",
        workers=0,
        **options,
    )


def test_the_grid_is_the_seeds():
    grid = Space().grid()
    assert len(grid) == 45
    assert {"batch": 256, "patch": 8, "rate": 1e-3} in grid
    for point in grid:
        assert timm.is_model(Space().model.format(patch=point["patch"]))


@pytest.mark.slow
def test_a_stopped_search_goes_on(folder, tmp_path, sentences, monkeypatch):
    tried = []
    train = searching.train

    def stop_at_third(*arguments, **options):
        tried.append(arguments[4])
        if len(tried) == 3:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(searching, "train", stop_at_third)
        look_for(folder, tmp_path, sentences)
    study = look_for(folder, tmp_path, sentences)
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert sorted(map(str, (trial.params for trial in done))) == sorted(map(str, SMALL.grid()))
    best = ranked(study)
    assert best[0].value == study.best_value >= best[-1].value
    record = json.loads((tmp_path / best[0].user_attrs["folder"] / "training.json").read_text())
    assert record["best"]["cosine"] == best[0].value
    assert {key: record["config"][key] for key in ("batch", "rate")} == {
        key: best[0].params[key] for key in ("batch", "rate")
    }
    assert record["config"]["model"] == f"test_convnext{best[0].params['patch']}"
    count = len(study.trials)
    assert len(look_for(folder, tmp_path, sentences).trials) == count, "all is done"
    for file in save_plots(study, tmp_path):
        assert file.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="other settings or data"):
        look_for(folder, tmp_path, sentences, space=Space(patch=(2,), model="test_convnext2"))


def test_a_queue_has_each_combination_once_and_failed_ones_again():
    study = optuna.create_study()
    grid = SMALL.grid()
    study.enqueue_trial(grid[0])  # as earlier versions queued it
    searching._queue(study, grid[:3])
    searching._queue(study, grid[:3])
    assert len(study.trials) == 3
    for state in ("COMPLETE", "FAIL", "RUNNING"):
        trial = study.ask()
        if state != "RUNNING":  # that one was stopped before it learned its combination
            SMALL.suggest(trial)
            values = 0.5 if state == "COMPLETE" else None
            study.tell(trial, values, optuna.trial.TrialState[state])
    searching._queue(study, grid[:3])
    waiting = [trial for trial in study.trials if trial.state.name == "WAITING"]
    assert [trial.user_attrs["queued"] for trial in waiting] == [grid[2], grid[1]]


@pytest.mark.slow
def test_tpe_draws_rates_between(folder, tmp_path, sentences):
    space = Space(batch=(8,), patch=(2,), rate=(1e-4, 1e-2), model="test_convnext{patch}")
    study = look_for(folder, tmp_path, sentences, space, mode="tpe", trials=2)
    study = look_for(folder, tmp_path, sentences, space, mode="tpe", trials=3)
    rates = [trial.params["rate"] for trial in study.trials]
    assert len(rates) == len(set(rates)) == 3
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)


@pytest.mark.slow
def test_runs_that_fall_behind_are_given_up(folder, tmp_path, sentences, monkeypatch):
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: trial.number == 1)
    space = Space(batch=(8,), patch=(2,), rate=(1e-4, 1e-3), model="test_convnext{patch}")
    study = look_for(folder, tmp_path, sentences, space, pruning=True)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED"]
    assert len(ranked(study)) == 2


@pytest.mark.slow
def test_by_command(folder, tmp_path):
    arguments = ["train", "search", str(folder.path), "-o", str(tmp_path), "--validation", "train"]
    arguments += ["--model", "test_convnext{patch}", "--batch", "8", "--patch", "2", "--rate", "1e-3,5e-3"]
    arguments += ["--input", "32", "--epochs", "1", "--device", "cpu", "--workers", "0"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "0.005" in result.output and str(tmp_path / "slice.png") in result.output.replace("\n", "")
    wrong = CliRunner().invoke(app, [*arguments, "--rate", "fast"])
    assert isinstance(wrong.exception, ConfigError) and "rate is 'fast'" in str(wrong.exception)


def test_spaces_that_make_no_sense(folder, tmp_path, sentences):
    with pytest.raises(ConfigError, match="has no patch size"):
        Space(model="resnet50")
    with pytest.raises(ConfigError, match="at least one value"):
        Space(rate=())
    with pytest.raises(ConfigError, match="mode is 'random'"):
        look_for(folder, tmp_path, sentences, mode="random")
