import csv
import json
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from img2prompt import minilm_onednn
from img2prompt.errors import WeightsError
from img2prompt.minilm import ROUGH_ERROR, SentenceEncoder

TEXTS = [
    "a dog runs on a beach",
    "",
    "   ",
    "Ünïcödé 写真 😀 ﬁ",
    "a portrait of a woman, oil on canvas, trending on artstation",
    "word " * 600,  # longer than the model reads
    "[CLS] [MASK]",
    "don't stop!!! 1,000 %",
]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder()


def test_unit_rows_in_the_order_given(encoder):
    vectors = encoder.encode(TEXTS, batch_size=3)
    assert vectors.shape == (len(TEXTS), 384) and vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert vectors == pytest.approx(alone, abs=1e-6)


def test_no_texts(encoder):
    assert encoder.encode([]).shape == (0, 384)


@pytest.mark.slow
def test_equals_sentence_transformers(encoder):
    sentence_transformers = pytest.importorskip(
        "sentence_transformers", reason="the reference is not installed"
    )
    from img2prompt.minilm import _installed_folder

    reference = sentence_transformers.SentenceTransformer(
        str(_installed_folder()), device="cpu", local_files_only=True
    )
    expected = reference.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert np.abs(encoder.encode(TEXTS) - expected).max() < 1e-6


@pytest.mark.slow
def test_equal_on_processors_without_packed_weights(encoder, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    plain = SentenceEncoder()
    assert isinstance(plain._load()[1].layers[0].qkv, torch.nn.Linear)
    assert np.abs(encoder.encode(TEXTS) - plain.encode(TEXTS)).max() < 1e-6


@pytest.mark.slow
@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or not torch.backends.mkldnn.is_available(),
    reason="no weights are packed here",
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("wrong", ["raises", "answers otherwise"])
def test_plain_where_packed_weights_are_wrong(encoder, wrong, dtype, monkeypatch, caplog):
    expected = encoder.encode(TEXTS)
    packed = SentenceEncoder()._load()[1]
    assert isinstance(packed.layers[5].up, minilm_onednn.Packed) and not caplog.records
    right = minilm_onednn.Packed.forward

    def forward(self, x):
        return right(self, x)[0] if wrong == "raises" else right(self, x) * 1.1

    monkeypatch.setattr(minilm_onednn.Packed, "forward", forward)
    plain = SentenceEncoder(dtype=dtype)
    assert np.abs(expected - plain.encode(TEXTS)).max() < 1e-6
    assert isinstance(plain._load()[1].layers[5].qkv, torch.nn.Linear)
    assert len(caplog.records) == 1


def test_rough_vectors_are_near(encoder, shared_data):
    rough = encoder.rough()
    if rough is None:
        pytest.skip("this processor has no fast bfloat16")
    prompts = (shared_data / "sd_prompts" / "prompts.txt").read_text("utf-8").splitlines()[:100]
    texts = [*TEXTS, *prompts, *(prompt[: len(prompt) * 4 // 5] for prompt in prompts)]
    exact, near = encoder.encode(texts), rough.encode(texts)
    assert near.dtype == np.float32
    assert np.linalg.norm(near, axis=1) == pytest.approx(1.0, abs=1e-5)
    error = np.abs(near @ near.T - exact @ exact.T).max()
    assert 1e-5 < error < ROUGH_ERROR / 2


def test_rough_only_where_that_is_faster(monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert SentenceEncoder().rough() is not None
    assert SentenceEncoder(device="cuda").rough() is None
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True})
    assert SentenceEncoder().rough() is None
    monkeypatch.delattr("torch.cpu.get_capabilities")
    assert SentenceEncoder().rough() is None


def test_sample_prompts_equal_the_competition(encoder, shared_data):
    folder = shared_data / "kaggle_sample"
    with open(folder / "prompts.csv", newline="", encoding="utf-8") as handle:
        prompts = {row["imgId"]: row["prompt"] for row in csv.DictReader(handle)}
    with open(folder / "sample_submission.csv", newline="", encoding="utf-8") as handle:
        truth = {row["imgId_eId"]: float(row["val"]) for row in csv.DictReader(handle)}
    vectors = encoder.encode(list(prompts.values()))
    expected = np.array([[truth[f"{name}_{i}"] for i in range(384)] for name in prompts])
    assert len(prompts) == 7
    assert np.abs(vectors - expected).max() < 1e-5


def test_progress_only_when_asked(encoder, capfd):
    encoder.encode(["quiet"])
    assert capfd.readouterr() == ("", "")
    encoder.encode(["loud"], progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "Embedding" in err


def test_threads_share_one_model():
    encoder = SentenceEncoder()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: encoder.encode(["a dog runs on a beach"]), range(8)))
    for answer in answers[1:]:
        assert answer == pytest.approx(answers[0], abs=1e-6)


def test_missing_and_damaged_weights(tmp_path):
    with pytest.raises(WeightsError, match=r"tokenizer\.json"):
        SentenceEncoder(tmp_path).encode(["text"])
    from img2prompt.minilm import _installed_folder

    (tmp_path / "tokenizer.json").write_bytes((_installed_folder() / "tokenizer.json").read_bytes())
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        SentenceEncoder(tmp_path).encode(["text"])
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      garbage")
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        SentenceEncoder(tmp_path).encode(["text"])


@pytest.mark.slow
def test_needs_no_heavy_imports():
    code = (
        "import json, sys; from img2prompt.minilm import SentenceEncoder; early = 'torch' in sys.modules;"
        "SentenceEncoder().encode(['text']);"
        "print(json.dumps([early, 'transformers' in sys.modules, 'sentence_transformers' in sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == [False, False, False]
