"""The captioner on freshly initialised weights: what must hold whatever it has learned."""

import copy
from itertools import pairwise

import pytest
import torch

from img2prompt.engines.lite import half_precision
from img2prompt.engines.lite.captioner import (
    BOS,
    EOS,
    NEVER_WRITTEN,
    NOBODY,
    PAD,
    SOMEBODY,
    Captioner,
    CaptionerConfig,
)
from img2prompt.engines.lite.tower import GRID, GRID_WIDTH


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    torch.manual_seed(0)
    config = CaptionerConfig(vocabulary=60, width=48, heads=4, feedforward=64, max_words=9)
    net = Captioner(config).eval()
    for parameter in net.parameters():  # sharper than the initial weights, so that captions differ
        torch.nn.init.normal_(parameter, std=0.3)
    return net


@pytest.fixture(scope="module")
def memory(captioner: Captioner) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.no_grad():
        return captioner.memory(torch.randn(5, GRID_WIDTH, GRID, GRID))


def test_word_by_word_equals_all_at_once(captioner, memory):
    tokens = torch.randint(6, 60, (5, 7))
    with torch.no_grad():
        together = captioner(memory, tokens)
        pictures, past, apart = captioner.prepare(memory), None, []
        for i in range(tokens.shape[1]):
            logits, past = captioner.decode(tokens[:, i : i + 1], pictures, past)
            apart.append(logits)
    assert torch.allclose(together, torch.cat(apart, dim=1), atol=1e-4)


def test_a_picture_gets_the_same_caption_alone_and_in_a_batch(captioner, memory):
    together = captioner.search(memory, beams=3)
    alone = [captioner.search(memory[i : i + 1], beams=3)[0] for i in range(len(memory))]
    assert [row[0][0] for row in together] == [row[0][0] for row in alone]


@pytest.mark.parametrize("beams", [1, 3, 5])
def test_search_returns_clean_captions_best_first(captioner, memory, beams):
    for row in captioner.search(memory, beams=beams):
        assert 1 <= len(row) <= beams
        scores = [score for _, score in row]
        assert scores == sorted(scores, reverse=True)
        for tokens, _ in row:
            assert len(tokens) <= captioner.config.max_words
            assert not {*NEVER_WRITTEN, EOS}.intersection(tokens)
            pairs = list(pairwise(tokens))
            assert len(pairs) == len(set(pairs)), "no pair of words twice"


def test_wider_search_finds_captions_at_least_as_likely(captioner, memory):
    def best(beams: int) -> list[float]:
        return [row[0][1] for row in captioner.search(memory, beams=beams, length_penalty=0.0)]

    assert sum(best(5)) >= sum(best(1))


def test_each_picture_keeps_its_prefix(captioner, memory):
    prefix = [[7 + i, 20, 30][: 1 + i % 3] for i in range(len(memory))]
    together = captioner.search(memory, beams=3, prefix=prefix)
    for i, (wanted, row) in enumerate(zip(prefix, together, strict=True)):
        assert all(tokens[: len(wanted)] == wanted for tokens, _ in row)
        alone = captioner.search(memory[i : i + 1], beams=3, prefix=[wanted])[0]
        assert [tokens for tokens, _ in alone] == [tokens for tokens, _ in row]


def test_captions_are_as_long_as_asked_for(captioner, memory):
    rows = captioner.search(memory, beams=3, shortest=6)
    assert all(len(tokens) >= 6 for row in rows for tokens, _ in row)


def test_each_picture_keeps_its_beginning(captioner, memory):
    starts = torch.tensor([NOBODY, SOMEBODY, BOS, NOBODY, SOMEBODY])
    together = captioner.search(memory, beams=3, starts=starts)
    for i, row in enumerate(together):
        alone = captioner.search(memory[i : i + 1], beams=3, starts=starts[i : i + 1])[0]
        assert [tokens for tokens, _ in alone] == [tokens for tokens, _ in row]
    plain = captioner.search(memory, beams=3)
    assert [row[0][0] for row in plain] != [row[0][0] for row in together], "it makes a difference"


@pytest.mark.skipif(not half_precision.supported(), reason="this torch has no FBGEMM")
def test_half_precision_weights_find_the_same_captions(captioner, memory):
    stored = copy.deepcopy(captioner).half().float()  # as if read from a file in half precision
    halved = copy.deepcopy(stored)
    halved.halve()
    assert not any(isinstance(part, torch.nn.Linear) for part in halved.modules())
    for slow, fast in zip(stored.search(memory), halved.search(memory), strict=True):
        assert [tokens for tokens, _ in fast] == [tokens for tokens, _ in slow]
        assert [score for _, score in fast] == pytest.approx([score for _, score in slow], abs=1e-4)


def test_samples_differ_and_stop_at_the_end(captioner, memory):
    torch.manual_seed(2)
    sampled = captioner.sample(memory, torch.full((len(memory),), BOS), count=4, length=9)
    assert len(sampled) == 20 and sampled.shape[1] <= 9
    assert len({tuple(row.tolist()) for row in sampled}) > 10
    for row in sampled.tolist():
        if EOS in row:
            assert set(row[row.index(EOS) + 1 :]) <= {PAD}


@pytest.mark.parametrize("wrong", ["raises", "answers otherwise"])
def test_single_precision_where_half_is_wrong(wrong, monkeypatch, caplog):
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this torch has no FBGEMM")
    assert half_precision.supported() and not caplog.records
    monkeypatch.setattr(
        half_precision.HalfLinear, "forward", lambda self, x: 1 / 0 if wrong == "raises" else x[:, :1] * 0
    )
    assert not half_precision.supported.__wrapped__()
    assert len(caplog.records) == 1
