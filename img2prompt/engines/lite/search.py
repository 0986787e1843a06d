"""Beam search: captions word by word, for many pictures at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

# A caption begins with BOS, or with a word on whether it mentions people.
PAD, BOS, EOS, UNK, NOBODY, SOMEBODY = range(6)
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>", "<nobody>", "<somebody>")
NEVER_WRITTEN = (PAD, BOS, UNK, NOBODY, SOMEBODY)
OFFERED = 64  # likeliest next words that a step offers, enough for 10 beams whatever is forbidden
FEWER = 0.75  # share of the pictures that are still searched for, from which the others are left out

# Words chosen last (P, K), the rows of the last call (counted through all pictures) that they continue, and
# the places that these pictures had then → for each of P · K rows log probabilities of the OFFERED likeliest
# next words, best first, these words, and the log probability (P, K) of an end.
Step = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
Caption = tuple[list[int], float]  # tokens and score


def search(
    step: Step,
    starts: Sequence[int],
    beams: int,
    words: int,
    prefix: Sequence[Sequence[int]] | None = None,
    shortest: int = 1,
    length_penalty: float = 1.0,
) -> list[list[Caption]]:
    """For each of P pictures its candidates, best first.

    The score is the log probability divided by length ** length_penalty. No caption holds the
    same pair of consecutive words twice, nor a word twice in a row.

    Parameters
    ----------
    step : the captioner with its pictures, nothing written yet
    starts : for each picture BOS, NOBODY or SOMEBODY
    beams : K, width of the search, and number of candidates
    words : that a caption has at most, the end among them
    prefix : for each picture, the ids of the words that its captions begin with, at no cost
    shortest : words that a caption has at least
    """
    count = len(starts)
    done: list[list[Caption]] = [[] for _ in range(count)]
    alive = np.arange(count)  # pictures that are searched for
    tokens = np.repeat(np.asarray(starts, np.int64), beams).reshape(count, beams, 1)
    scores = np.full((count, beams), -np.inf, np.float32)
    scores[:, 0] = 0.0  # the beams start equal: let one of them branch
    parents, places = np.tile(np.arange(beams), (count, 1)), np.arange(count)
    for length in range(1, words + 1):
        rows = parents + places[:, None] * beams
        logp, offered, end = step(tokens[:, :, -1], rows, places)
        if length <= shortest:
            logp = np.where(offered == EOS, -np.inf, logp)
        if length == words:  # no room left: only an end will do
            logp, offered = _only(EOS, logp, offered, -np.inf if length <= shortest else end)
        logp = np.where(_repeats(offered, tokens), -np.inf, logp)
        for place, picture in enumerate(alive.tolist()):
            begun = prefix[picture] if prefix else ()
            if length <= len(begun):
                logp[place], offered[place] = _only(begun[length - 1], logp[place], offered[place], 0.0)

        total = (scores[:, :, None] + logp).reshape(len(alive), -1)
        best = np.argsort(-total, axis=1, kind="stable")[:, : 2 * beams]
        scores = np.take_along_axis(total, best, axis=1)
        chosen = np.take_along_axis(offered.reshape(len(alive), -1), best, axis=1)
        parents = best // offered.shape[2]
        ended = (chosen == EOS) & np.isfinite(scores)
        for place, j in zip(*np.nonzero(ended), strict=True):
            captions = done[alive[place]]
            if j < beams and len(captions) < beams:  # else the batch would matter
                row = tokens[place, parents[place, j], 1:].tolist()
                captions.append((row, float(scores[place, j]) / (len(row) + 1) ** length_penalty))

        scores = np.where(ended, -np.inf, scores)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :beams]
        scores, chosen, parents = (np.take_along_axis(of, order, axis=1) for of in (scores, chosen, parents))
        tokens = np.concatenate(
            [np.take_along_axis(tokens, parents[:, :, None], axis=1), chosen[:, :, None]], axis=2
        )
        places = np.flatnonzero([len(done[picture]) < beams for picture in alive])
        if not len(places):
            break
        if len(places) > FEWER * len(alive):
            places = np.arange(len(alive))
        alive, tokens, scores, parents = alive[places], tokens[places], scores[places], parents[places]
    return [sorted(captions, key=lambda caption: -caption[1])[:beams] for captions in done]


def _only(
    word: int, logp: np.ndarray, offered: np.ndarray, value: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Offer this word alone, with this log probability."""
    logp, offered = np.full_like(logp, -np.inf), offered.copy()
    logp[..., 0], offered[..., 0] = value, word
    return logp, offered


def _repeats(offered: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Which words (P, K, M) would repeat the last of the tokens (P, K, T), or a pair of consecutive ones."""
    last = tokens[:, :, -1:]
    after = np.where(tokens[:, :, :-1] == last, tokens[:, :, 1:], -1)
    if tokens.shape[2] > 1:
        after = np.concatenate([after, last], axis=2)
    return (offered[:, :, :, None] == after[:, :, None, :]).any(axis=3)
