"""The captioner on freshly initialised weights: what must hold whatever it has learned."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch

from img2prompt.engines.lite.search import BOS, EOS, NEVER_WRITTEN, NOBODY, PAD, SOMEBODY, Caption, search
from img2prompt.training.lite.deploy import writer
from img2prompt.training.lite.net.captioner import Captioner, CaptionerConfig
from img2prompt.training.lite.net.network import Write
from img2prompt.training.lite.net.tower import GRID, GRID_WIDTH


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


def find(
    captioner: Captioner,
    memory: torch.Tensor,
    beams: int = 3,
    starts: Sequence[int] | None = None,
    **how,
) -> list[list[Caption]]:
    """Search with this captioner; by default captions begin with BOS."""
    with torch.no_grad():
        pictures = [part.numpy() for cache in captioner.prepare(memory) for part in cache]
    step = writer(Write(captioner), pictures)
    return search(step, starts or [BOS] * len(memory), beams, captioner.config.max_words, **how)


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
    together = find(captioner, memory, beams=3)
    alone = [find(captioner, memory[i : i + 1], beams=3)[0] for i in range(len(memory))]
    assert [row[0][0] for row in together] == [row[0][0] for row in alone]


@pytest.mark.parametrize("beams", [1, 3, 5])
def test_search_returns_clean_captions_best_first(captioner, memory, beams):
    for row in find(captioner, memory, beams=beams):
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
        return [row[0][1] for row in find(captioner, memory, beams=beams, length_penalty=0.0)]

    assert sum(best(5)) >= sum(best(1))


def test_each_picture_keeps_its_prefix(captioner, memory):
    prefix = [[7 + i, 20, 30][: 1 + i % 3] for i in range(len(memory))]
    together = find(captioner, memory, beams=3, prefix=prefix)
    for i, (wanted, row) in enumerate(zip(prefix, together, strict=True)):
        assert all(tokens[: len(wanted)] == wanted for tokens, _ in row)
        alone = find(captioner, memory[i : i + 1], beams=3, prefix=[wanted])[0]
        assert [tokens for tokens, _ in alone] == [tokens for tokens, _ in row]


def test_captions_are_as_long_as_asked_for(captioner, memory):
    rows = find(captioner, memory, beams=3, shortest=6)
    assert all(len(tokens) >= 6 for row in rows for tokens, _ in row)


def test_each_picture_keeps_its_beginning(captioner, memory):
    starts = [NOBODY, SOMEBODY, BOS, NOBODY, SOMEBODY]
    together = find(captioner, memory, beams=3, starts=starts)
    for i, row in enumerate(together):
        alone = find(captioner, memory[i : i + 1], beams=3, starts=starts[i : i + 1])[0]
        assert [tokens for tokens, _ in alone] == [tokens for tokens, _ in row]
    plain = find(captioner, memory, beams=3)
    assert [row[0][0] for row in plain] != [row[0][0] for row in together], "it makes a difference"


def test_samples_differ_and_stop_at_the_end(captioner, memory):
    torch.manual_seed(2)
    sampled = captioner.sample(memory, torch.full((len(memory),), BOS), count=4, length=9)
    assert len(sampled) == 20 and sampled.shape[1] <= 9
    assert len({tuple(row.tolist()) for row in sampled}) > 10
    for row in sampled.tolist():
        if EOS in row:
            assert set(row[row.index(EOS) + 1 :]) <= {PAD}


def test_many_pictures_that_end_at_different_lengths_get_what_each_gets_alone(captioner):
    torch.manual_seed(3)
    with torch.no_grad():
        memory = captioner.memory(torch.randn(24, GRID_WIDTH, GRID, GRID))
    prefix = [[7 + i % 40] * (i % 2) for i in range(24)]
    together = find(captioner, memory, beams=2, prefix=prefix)
    lengths = {max(len(tokens) for tokens, _ in row) for row in together}
    assert len(lengths) > 1, "else no picture is left out early"
    for i, row in enumerate(together):
        alone = find(captioner, memory[i : i + 1], beams=2, prefix=prefix[i : i + 1])[0]
        assert [tokens for tokens, _ in alone] == [tokens for tokens, _ in row]


def test_it_finds_what_a_search_through_everything_finds(captioner, memory):
    """A beam as wide as the vocabulary, of captions of two words at most: the best is the best of all."""
    config = captioner.config
    beams = config.vocabulary - len({*NEVER_WRITTEN, EOS})
    with torch.no_grad():
        pictures = [part.numpy() for cache in captioner.prepare(memory[:1]) for part in cache]
    step = writer(Write(captioner), pictures)
    found = search(step, [BOS], beams, 3, length_penalty=0.0)[0][0]
    best = (-torch.inf, [])
    with torch.no_grad():
        for first in range(6, config.vocabulary):
            for rest in ([], *([second] for second in range(6, config.vocabulary) if second != first)):
                tokens = torch.tensor([[BOS, first, *rest, EOS]])
                logp = captioner.allowed(captioner(memory[:1], tokens[:, :-1])).log_softmax(-1)
                best = max(best, (float(logp[0].gather(1, tokens[0, 1:, None]).sum()), [first, *rest]))
    assert found[0] == best[1]
    assert found[1] == pytest.approx(best[0], abs=1e-4)
