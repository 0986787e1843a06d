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

FILES = (knn.CONFIG, knn.JOINT, knn.SENTENCES)


def copy(bank, folder):
    for file in bank.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())


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
    for name in FILES:
        copy(bank, tmp_path)
        (tmp_path / name).write_bytes(b"\x80\x04cos\nsystem\n")
        with pytest.raises(DataError, match="holds no prompt bank"):
            PromptBank(tmp_path)
    build_bank(tmp_path, PROMPTS[:3], pipeline.engine, pipeline.sentences)
    (tmp_path / knn.JOINT).write_bytes((bank.folder / knn.JOINT).read_bytes())
    with pytest.raises(DataError, match="of another bank"):
        PromptBank(tmp_path)
    np.save(tmp_path / knn.JOINT, np.zeros((3, 8), "<f2"))
    with pytest.raises(DataError, match="of another bank"):
        PromptBank(tmp_path).predict(np.zeros((1, 384), np.float32))
    with pytest.raises(DataError, match="no prompts"):
        build_bank(tmp_path, [" "], pipeline.engine, pipeline.sentences)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompts": "12"},
        {"neighbours": 0},
        {"neighbours": 10**9},
        {"temperature": float("nan")},
        {"temperature": 1e-320},
    ],
)
def test_numbers_of_a_bank_that_make_no_sense(bank, tmp_path, wrong):
    copy(bank, tmp_path)
    stored = json.loads((tmp_path / knn.CONFIG).read_text())
    (tmp_path / knn.CONFIG).write_text(json.dumps(stored | wrong))
    with pytest.raises(DataError, match=next(iter(wrong))):
        PromptBank(tmp_path)


def test_any_damage_is_an_error_or_an_answer(bank, tmp_path):
    """Of a file in faiss's own format, a few bytes in ten thousand ended or hung the process."""
    random, errors = np.random.default_rng(0), 0
    asked = unit(random.normal(size=(2, 384))).astype(np.float32)
    for turn in range(150):
        copy(bank, tmp_path)
        file = tmp_path / FILES[turn % len(FILES)]
        content = bytearray(file.read_bytes())
        places = random.integers(min(len(content), (128, 10**6)[turn % 2]), size=4)
        for place in places:
            content[place] = random.integers(256)
        file.write_bytes(content[: random.integers(len(content))] if turn % 5 == 0 else content)
        try:
            assert np.isfinite(PromptBank(tmp_path).predict(asked)).all()
        except DataError:
            errors += 1
    assert 50 < errors < 150


@pytest.mark.parametrize("name", [knn.JOINT, knn.SENTENCES])
def test_vectors_that_are_no_numbers(bank, tmp_path, name):
    copy(bank, tmp_path)
    vectors = np.load(tmp_path / name)
    vectors[3] = np.nan
    np.save(tmp_path / name, vectors)
    damaged = PromptBank(tmp_path)
    damaged.config = knn.replace(damaged.config, neighbours=len(PROMPTS))
    with pytest.raises(DataError, match=f"{name} is damaged"):
        damaged.predict(np.load(bank.folder / knn.JOINT)[:1].astype(np.float32))


def test_a_bank_of_an_earlier_version_says_how_to_build_it_again(bank, pipeline, tmp_path):
    copy(bank, tmp_path)
    (tmp_path / knn.JOINT).rename(tmp_path / "index.faiss")
    with pytest.raises(DataError, match=f"img2prompt train knn PAIRS --output {tmp_path}"):
        PromptBank(tmp_path)
    build_bank(tmp_path, PROMPTS, pipeline.engine, pipeline.sentences)
    assert not (tmp_path / "index.faiss").exists()


def test_a_full_disk_leaves_the_earlier_bank(bank, pipeline, tmp_path, full_disk):
    copy(bank, tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with full_disk(2000), pytest.raises(DataError, match="cannot be written"):
        build_bank(tmp_path, PROMPTS[1:], pipeline.engine, pipeline.sentences)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


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
