import csv
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from safetensors.numpy import save_file

from img2prompt.errors import WeightsError
from img2prompt.graphs import Graph
from img2prompt.minilm import GRAPH, SentenceEncoder, installed_folder
from img2prompt.tensors import mapped

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
    reference = sentence_transformers.SentenceTransformer(
        str(installed_folder()), device="cpu", local_files_only=True
    )
    expected = reference.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    assert np.abs(encoder.encode(TEXTS) - expected).max() < 1e-6


def test_long_texts_are_shared_out_to_smaller_batches(encoder):
    texts = ["word " * 300, *["a dog " * count for count in (1, 50, 90, 120)] * 4]
    together = encoder.encode(texts, batch_size=100)
    assert together == pytest.approx(encoder.encode(texts, batch_size=1), abs=1e-6)


def test_the_graph_is_of_the_network():
    torch = pytest.importorskip("torch", reason="the network is not written without it")
    from img2prompt.training import minilm as network

    words = torch.from_numpy(np.random.default_rng(0).normal(0, 0.05, (2, 4, 384)).astype(np.float32))
    real = torch.tensor([[True] * 4, [True, True, False, False]])
    with torch.no_grad():
        expected = network.load()(words, real)
    graph = Graph(GRAPH, mapped(installed_folder() / "model.safetensors"))
    (vectors,) = graph.run(["vectors"], {"words": words.numpy(), "real": real.numpy()})
    assert vectors == pytest.approx(expected.numpy(), abs=1e-6)


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
    (tmp_path / "tokenizer.json").write_bytes((installed_folder() / "tokenizer.json").read_bytes())
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        SentenceEncoder(tmp_path).encode(["text"])
    save_file({"another.weight": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        SentenceEncoder(tmp_path).encode(["text"])
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      garbage")
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        SentenceEncoder(tmp_path).encode(["text"])


@pytest.mark.slow
def test_needs_no_heavy_imports():
    code = (
        "import sys; from img2prompt.minilm import SentenceEncoder; early = 'onnxruntime' in sys.modules;"
        "SentenceEncoder().encode(['text']);"
        "print(early, {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False set()"
