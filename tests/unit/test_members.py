"""What `train knn`, `train regressor` and `train ensemble` wrote, as parts of the bundled engine's pipeline."""

import numpy as np
import pytest
import torch

from img2prompt import load_pipeline
from img2prompt.batch import fingerprint
from img2prompt.engines.full.vit_regressor import save_regressor
from img2prompt.ensemble.blend import combine
from img2prompt.ensemble.knn import build_bank
from img2prompt.ensemble.recipe import Recipe, save_recipe
from img2prompt.errors import ConfigError, DataError
from img2prompt.training.regressor.train import build
from tests.helpers.train_pairs import QUICK

PROMPTS = ["a dog on a beach", "a vase of flowers", "a temple by the water", "a red flower on a black ground"]


@pytest.fixture
def runs(tmp_path, pipeline):
    """A folder with a bank and a regressor with fresh weights."""
    folder = tmp_path / "runs"
    build_bank(folder / "bank", PROMPTS, pipeline.engine, pipeline.sentences)
    torch.manual_seed(0)
    save_regressor(folder / "net", *build(QUICK))
    return folder


def load(file):
    return load_pipeline(engine="lite", device="cpu", ensemble=str(file))


def save(runs, weights, **sources):
    save_recipe(runs / "ensemble.json", Recipe(weights, {name: name for name in weights} | sources))
    return runs / "ensemble.json"


@pytest.mark.slow
def test_all_kinds_of_members_answer_together(runs, pipeline, sample_photos):
    weights = {"lite": 0.4, "words": 0.3, "bank": 0.2, "net": 0.1, "gone": 0.0}
    file = save(runs, weights, words="lite:prompt", bank=str(runs / "bank"), net=str(runs / "net"))
    mixed = load(file)
    found = mixed(sample_photos)
    alone = {
        name: np.stack(
            [result.embedding for result in load(save(runs, {name: 1.0}, **{name: source}))(sample_photos)]
        )
        for name, source in (("bank", str(runs / "bank")), ("net", str(runs / "net")))
    }
    usual = pipeline(sample_photos)
    features = pipeline.engine.encode([pipeline.open(photo) for photo in sample_photos])
    members = [
        pipeline.engine.regress(features),
        pipeline.sentences.encode([result.prompt for result in usual]),
        alone["bank"],
        alone["net"],
    ]
    wanted = combine(members, [0.4, 0.3, 0.2, 0.1])
    for result, vector, other in zip(found, wanted, usual, strict=True):
        assert result.embedding @ vector == pytest.approx(1.0, abs=1e-4)
        assert (result.caption, result.prompt) == (other.caption, other.prompt)
    assert alone["bank"][1] @ pipeline.sentences.encode(PROMPTS)[0] < 0.5 < alone["bank"][1] @ members[0][1]


@pytest.mark.slow
def test_results_of_another_ensemble_do_not_count(runs, pipeline):
    file = save(runs, {"lite": 0.5, "bank": 0.5}, bank=str(runs / "bank"))
    seen = {fingerprint(pipeline), fingerprint(load(file))}
    save(runs, {"lite": 0.4, "bank": 0.6}, bank=str(runs / "bank"))
    seen.add(fingerprint(load(file)))
    build_bank(runs / "bank", PROMPTS[1:], pipeline.engine, pipeline.sentences)
    seen.add(fingerprint(load(file)))
    assert len(seen) == 4
    moved = runs.rename(runs.with_name("moved"))
    assert fingerprint(load(moved / "ensemble.json")) in seen


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("full:prompt", "of the full engine, and this is lite"),
        ("runs/nowhere", "there is no 'runs/nowhere'"),
        ("submission.csv", "cannot be asked about new pictures"),
    ],
)
def test_members_that_a_pipeline_cannot_ask(runs, source, message):
    with pytest.raises(ConfigError, match=f"ensemble.json, member 'other': .*{message}"):
        load(save(runs, {"lite": 0.5, "other": 0.5}, other=source))


@pytest.mark.slow
def test_a_bank_of_another_space_or_in_pieces(runs):
    file = save(runs, {"lite": 0.5, "bank": 0.5}, bank=str(runs / "bank"))
    config = runs / "bank" / "bank.json"
    config.write_text(config.read_text().replace("all-MiniLM-L6-v2", "ViT-H-14"))
    with pytest.raises(ConfigError, match="built in the space of ViT-H-14"):
        load(file)
    (runs / "bank" / "joint.npy").unlink()
    with pytest.raises(DataError, match="holds no prompt bank"):
        load(file)
    with pytest.raises(ConfigError, match="nowhere.json"):
        load(runs / "nowhere.json")
