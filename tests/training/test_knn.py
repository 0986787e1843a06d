"""Prompt banks in the bundled engine's joint space, and ensembles of what answers."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from img2prompt.cli.main import app
from img2prompt.datasets.pairs import PairsFolder
from img2prompt.ensemble import knn
from img2prompt.ensemble.blend import combine
from img2prompt.ensemble.knn import PromptBank, build_bank
from img2prompt.ensemble.recipe import load_recipe
from img2prompt.errors import ConfigError, DataError
from img2prompt.evaluation import ensembles
from tests.helpers.train_pairs import paint

PROMPTS = [
    f"{many} {thing}" for thing in ("dog", "cat", "castle", "spaceship") for many in ("a", "two", "a red")
]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def bank(pipeline, tmp_path_factory):
    return build_bank(
        tmp_path_factory.mktemp("bank"), [*PROMPTS, "a  dog", " "], pipeline.engine, pipeline.sentences
    )


def test_answers_are_what_the_definition_says(bank, pipeline):
    assert (bank.folder / "prompts.txt").read_text().splitlines() == PROMPTS, "each once"
    vectors = pipeline.sentences.encode(PROMPTS)
    asked = unit(np.random.default_rng(0).normal(size=(40, 384)) + 20 * vectors[3]).astype(np.float32)
    similar = asked @ vectors.T
    config = bank.config
    for count, temperature in ((1, 1.0), (5, 0.05), (100, 0.5)):
        bank.config = knn.replace(config, neighbours=count, temperature=temperature)
        wanted = []
        for row in similar:
            near = np.argsort(-row)[:count]
            weights = np.exp(row[near] / temperature)
            wanted.append(weights @ vectors[near])
        np.testing.assert_allclose(bank.predict(asked), unit(np.array(wanted)), atol=2e-3)
    bank.config = config


def test_a_space_other_than_minilm_is_embedded_apart(pipeline, tmp_path, monkeypatch):
    """The full engine's case: prompts are found in one space and answered in another."""
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(384, 64)))[0].astype(np.float32)

    class Turned:
        name, space = "turned", "turned MiniLM"

        def embed_texts(self, texts):
            return unit(pipeline.sentences.encode(texts) @ turn)

    monkeypatch.setattr(knn, "BATCH", 5)
    bank = build_bank(tmp_path, PROMPTS, Turned(), pipeline.sentences)
    bank.config = knn.replace(bank.config, neighbours=1)
    assert bank.index.d == 64
    np.testing.assert_allclose(
        bank.predict(Turned().embed_texts(PROMPTS)), pipeline.sentences.encode(PROMPTS), atol=1e-3
    )
    bank.check(Turned())
    with pytest.raises(ConfigError, match="turned MiniLM, and the lite engine works in all-MiniLM-L6-v2"):
        bank.check(pipeline.engine)


def test_tuning_finds_the_best_choice(bank, pipeline):
    vectors = pipeline.sentences.encode(PROMPTS)
    random = np.random.default_rng(2)
    own = random.integers(len(PROMPTS), size=60)
    asked = unit(vectors[own] + 0.02 * random.normal(size=(60, 384))).astype(np.float32)
    found = bank.tune(asked, vectors[own])
    assert found.held_out == pytest.approx(1.0, abs=0.01)
    assert found.neighbours == 1 or found.temperature <= 0.05
    again = PromptBank(bank.folder)
    assert (again.config.neighbours, again.config.temperature) == (found.neighbours, found.temperature)
    assert (again.predict(asked) == bank.predict(asked)).all()
    with pytest.raises(DataError, match="fewer than two"):
        bank.tune(asked[:1], vectors[:1])


def test_damaged_banks(bank, pipeline, tmp_path):
    with pytest.raises(DataError, match="holds no prompt bank"):
        PromptBank(tmp_path)
    for name in (knn.CONFIG, knn.INDEX, knn.SENTENCES):
        for other in (knn.CONFIG, knn.INDEX, knn.SENTENCES):
            (tmp_path / other).write_bytes((bank.folder / other).read_bytes())
        (tmp_path / name).write_bytes(b"\x80\x04cos\nsystem\n")
        with pytest.raises(DataError, match="holds no prompt bank"):
            PromptBank(tmp_path)
    build_bank(tmp_path, PROMPTS[:3], pipeline.engine, pipeline.sentences)
    (tmp_path / knn.INDEX).write_bytes((bank.folder / knn.INDEX).read_bytes())
    with pytest.raises(DataError, match="different banks"):
        PromptBank(tmp_path)
    with pytest.raises(DataError, match="no prompts"):
        build_bank(tmp_path, [" "], pipeline.engine, pipeline.sentences)


def test_prompts_from_files(tmp_path):
    (tmp_path / "prompts.txt").write_text("one\ntwo, three\n")
    (tmp_path / "prompts.csv").write_text('imgId,prompt\na,one\nb,"two, three"\n')
    for name in ("prompts.txt", "prompts.csv"):
        assert ensembles.read_prompts(tmp_path / name) == ["one", "two, three"]
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for name in ("other.csv", "nowhere.txt"):
        with pytest.raises(DataError, match=name):
            ensembles.read_prompts(tmp_path / name)


def test_a_bank_never_holds_the_texts_it_is_asked_for(tmp_path):
    folder = PairsFolder(paint(tmp_path / "pairs", 6))
    assert len(ensembles.own_prompts(folder, "train", folder.pairs[:2])) == 4
    with pytest.raises(DataError, match="leaves no texts"):
        ensembles.own_prompts(folder, "train", folder.pairs)


def test_weights_are_tuned_on_one_fold_and_reported_on_the_other():
    random = np.random.default_rng(0)
    truth = unit(random.normal(size=(300, 384)))
    noisy = {
        name: combine([truth, random.normal(size=truth.shape)], [1, noise])
        for name, noise in (("good", 1.0), ("fair", 1.5), ("poor", 4.0))
    }
    found = ensembles.compare(noisy, truth, 200)
    rows = {row.name: row for row in found.rows}
    assert list(rows)[:4] == ["good", "fair", "poor", "equal weights (0.33 0.33 0.33)"]
    assert found.weights["good"] > found.weights["fair"] > found.weights["poor"]
    tuned, best = found.rows[-1], rows["good"]
    assert tuned.cosine - best.cosine > (best.high - best.low) / 2, "the ensemble beats its best member"
    assert found.gain.name == "good" and found.gain.cosine == pytest.approx(tuned.cosine - best.cosine)
    assert 0 < found.gain.low < found.gain.cosine < found.gain.high
    assert found.gain.high - found.gain.low < best.high - best.low, "both are asked about the same pictures"
    assert all(row.low < row.cosine < row.high for row in found.rows)
    spoilt = {name: np.concatenate([-rows[:200], rows[200:]]) for name, rows in noisy.items()}
    assert ensembles.compare(spoilt, truth, 200).weights != found.weights, "tuned on the first"


def test_names_of_members():
    assert ensembles.named(["lite", "vit=runs/vit", "runs/bank"]) == {
        "lite": "lite",
        "vit": "runs/vit",
        "bank": "runs/bank",
    }
    for wrong in (["lite"], ["a/x", "b/x"]):
        with pytest.raises(ConfigError, match="two members or more"):
            ensembles.named(wrong)


@pytest.mark.slow
def test_knn_and_ensemble_by_command(tmp_path, pipeline):
    folder = paint(tmp_path / "pairs", 24)
    text = (folder / "captions.csv").read_text().splitlines()
    splits = ["train"] * 8 + ["dev"] * 8 + ["test"] * 8
    rows = [line.replace(",train,", f",{split},") for line, split in zip(text[1:], splits, strict=True)]
    (folder / "captions.csv").write_text("\n".join([text[0], *rows]) + "\n")
    runner = CliRunner()
    result = runner.invoke(
        app,
        ["train", "knn", str(folder), "-o", str(tmp_path / "bank"), "--engine", "lite", "--device", "cpu"],
    )
    assert result.exit_code == 0, result.output
    assert "mean cosine of 8 pictures" in result.output and "8 prompts, k = " in result.output
    pictures = [Image.open(folder / "images" / f"{i}.png").convert("RGB") for i in range(24)]
    vectors = pipeline.engine.regress(pipeline.engine.encode(pictures))
    np.savez(tmp_path / "embedded.npz", ids=np.array([str(i) for i in range(24)]), embeddings=vectors)
    sources = ["lite", f"knn={tmp_path / 'bank'}", f"file={tmp_path / 'embedded.npz'}"]
    arguments = [
        "train",
        "ensemble",
        str(folder),
        "-o",
        str(tmp_path / "ensemble.json"),
        "--device",
        "cpu",
        "--json",
    ]
    result = runner.invoke(app, [*arguments, *(part for source in sources for part in ("-m", source))])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (
        set(load_recipe(tmp_path / "ensemble.json").weights)
        == {"lite", "knn", "file"}
        == set(report["weights"])
    )
    alone = {row["name"]: row["cosine"] for row in report["rows"]}
    assert alone["lite"] == pytest.approx(alone["file"], abs=1e-5)
    assert (report["tuned_on"], report["reported_on"]) == (8, 8)
    result = runner.invoke(app, [*arguments, "-m", "lite", "-m", "nonsense"])
    assert isinstance(result.exception, ConfigError) and "there is no" in str(result.exception)
