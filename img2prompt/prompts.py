"""Write prompts from captions and ranked labels, in the styles of clip-interrogator, and from embeddings."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from img2prompt import clip_tokens
from img2prompt.errors import ConfigError
from img2prompt.settings import STYLES

if TYPE_CHECKING:
    from img2prompt.results import Match

    Matches = Mapping[str, Sequence[Match]]
    Similar = Callable[[Sequence[Sequence[str]]], Sequence[np.ndarray]]
    Embed = Callable[[Sequence[str]], np.ndarray]

SHOWN = {"mediums": 3, "movements": 3, "flavors": 5}  # labels shown to people, whatever the style
SHOWN_OWN = 5  # labels shown of each table of the user's
FLAVORS = 3  # in a seed or classic prompt
FAST_TERMS = 32
CHAIN_TERMS = 32
NEAREST_TERMS = 8  # phrases after the subject of a nearest prompt, at most
NEAREST_TRIED = 16  # phrases embedded with the prompt at each step: those that promise most
SURE_TERMS = 8  # the first phrases of a chain, added even if they do not raise its score
FAST_TABLES = ("artists", "flavors", "mediums", "movements", "trendings")
CONTEXT = 77  # tokens CLIP reads, start and end included


def labels_needed(style: str, own: Sequence[str] = ()) -> dict[str, int]:
    """Table name → how many of its best labels are needed, to write the prompt and to show to people.

    Parameters
    ----------
    style : form of the prompt
    own : names of the user's tables

    Raises
    ------
    ConfigError
        For an unknown style.
    """
    if style not in STYLES:
        raise ConfigError(f"style is {style!r}; choose one of {', '.join(STYLES)}.")
    if style in ("fast", "best"):  # all terms may come from one table
        return dict.fromkeys([*FAST_TABLES, *own], FAST_TERMS)
    shown = SHOWN | dict.fromkeys(own, SHOWN_OWN)
    return shown | {"artists": 1, "trendings": 1} if style == "classic" else shown


def build(style: str, caption: str, labels: Matches) -> str:
    """Write the prompt of one picture, cut to the 77 tokens that CLIP reads, unless it is the caption alone.

    Parameters
    ----------
    style : ``seed`` (caption, medium, movement, 3 flavors), ``classic`` (artist and
        trending site besides), ``fast`` (the 32 best labels of all tables) or ``caption``
        (nothing else, and all of it); ``classic`` and ``fast`` are clip-interrogator's modes
        of those names
    caption : what the picture shows; may be empty
    labels : table name → matches, best first, as many as `labels_needed` says; a table
        that is missing or empty is left out of the prompt

    Raises
    ------
    ConfigError
        For any other style; `best`, `negative` and `nearest` are functions of their own.
    """
    if style == "caption":
        return caption
    forms = {"seed": _seed, "classic": _classic, "fast": _fast}
    if style not in forms:
        raise ConfigError(f"style is {style!r}; this is written in one go: {', '.join([*forms, 'caption'])}.")
    return truncate(forms[style](caption, labels).removeprefix(", "))


def best(
    captions: Sequence[str], labels: Sequence[Matches], pools: Sequence[Sequence[str]], similar: Similar
) -> list[str]:
    """The ``best`` prompts of N pictures: clip-interrogator's ``interrogate``.

    There are four candidates: the caption, a classic prompt with 32 flavors, the fast prompt,
    and the caption followed by a `chain` of phrases. The one most similar to the picture wins.

    Parameters
    ----------
    captions : what each picture shows
    labels : their matches, as many as `labels_needed` says
    pools : for each picture, the phrases that its chain may add
    similar : N rows of texts → for each row, the cosines of its texts with its picture; a row may be empty
    """
    scores = [float(row[0]) for row in similar([[caption] for caption in captions])]
    chains = chain(captions, scores, pools, similar)
    candidates = [
        [caption, truncate(_classic(caption, matches, FAST_TERMS)), build("fast", caption, matches), longest]
        for caption, matches, longest in zip(captions, labels, chains, strict=True)
    ]
    chosen = [texts[int(row.argmax())] for texts, row in zip(candidates, similar(candidates), strict=True)]
    return [text.removeprefix(", ") for text in chosen]  # where the caption is empty


def negative(pools: Sequence[Sequence[str]], similar: Similar) -> list[str]:
    """What is least like each of N pictures, for a generator's negative prompt.

    A chain as in `best`, but of phrases unlike the picture, beginning with the one least like it.
    This is clip-interrogator's ``interrogate_negative`` without its mistake: there the first
    phrase's score has the wrong sign, so that a phrase with a similarity above 0 is never
    beaten and stands alone. Here any longer prompt beats the first phrase.

    Parameters
    ----------
    pools : for each picture, the phrases to choose from
    similar : as for `best`
    """

    def unlike(texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        return [-row for row in similar(texts)]

    firsts = [pool[int(row.argmax())] for pool, row in zip(pools, unlike(pools), strict=True)]
    rest = [[phrase for phrase in pool if phrase != first] for pool, first in zip(pools, firsts, strict=True)]
    return chain(firsts, [-math.inf] * len(firsts), rest, unlike)


@dataclass
class _Link:
    """The state of one picture's chain."""

    text: str
    score: float
    best_text: str
    best_score: float
    phrases: list[str]  # those it may still add


def chain(
    starts: Sequence[str], scores: Sequence[float], pools: Sequence[Sequence[str]], similar: Similar
) -> list[str]:
    """Add to each of N prompts, again and again, the phrase that raises its score most.

    The first 8 phrases are added even if the score falls, later ones only while it rises. A
    chain ends after 32 phrases or when CLIP can read no more. All pictures advance together,
    with one call of `similar` at each step.

    Parameters
    ----------
    starts : N prompts to begin with
    scores : their N scores
    pools : the phrases that each prompt may add, each once; of equal scores the first wins
    similar : N rows of texts → for each row, the scores of its texts; a row may be empty

    Returns
    -------
    For each picture the prompt with the highest score among all steps.
    """
    links = [
        _Link(start, score, start, score, list(dict.fromkeys(pool)))
        for start, score, pool in zip(starts, scores, pools, strict=True)
    ]
    for step in range(CHAIN_TERMS):
        texts = [[f"{link.text}, {phrase}" for phrase in link.phrases] for link in links]
        if not any(texts):
            break
        for link, row, row_scores in zip(links, texts, similar(texts), strict=True):
            if not row:
                continue
            at = int(row_scores.argmax())
            text, score = row[at], float(row_scores[at])
            if score > link.best_score:
                link.best_text, link.best_score = text, score
            if (score > link.score or step < SURE_TERMS) and count_tokens(text) < CONTEXT:
                link.text, link.score = text, score
                del link.phrases[at]
            else:
                link.phrases = []  # this chain ends here
    return [link.best_text for link in links]


@dataclass(frozen=True)
class Phrases:
    """M phrases that prompts may be made of, and their embeddings, (M, 384) unit vectors."""

    texts: Sequence[str]
    vectors: np.ndarray


def nearest(
    captions: Sequence[str], targets: np.ndarray, mediums: Phrases, flavors: Phrases, embed: Embed
) -> list[str]:
    """N prompts whose own embeddings come as near as can be to given ones: text decoded from vectors.

    A prompt begins with the medium that brings the caption nearest. Then come up to 8 flavors, each
    the one that helps most, until none does; none repeats a word of the prompt. All pictures advance
    together, with one call of `embed` at each step.

    Parameters
    ----------
    captions : what each picture shows; may be empty
    targets : (N, 384) unit vectors, the embeddings to come near to
    mediums, flavors : phrases to choose from
    embed : M texts → (M, 384) unit vectors
    """
    texts, vectors = list(captions), embed(captions)
    growing = set(range(len(texts)))
    for step in range(1 + NEAREST_TERMS):
        phrases = flavors if step else mediums
        tried = {
            i: [
                _joined(texts[i], phrase) if step else _joined(phrase, texts[i])
                for phrase in _promising(texts[i], vectors[i], targets[i], phrases)
            ]
            for i in sorted(growing)
        }
        found = iter(embed([text for row in tried.values() for text in row]))
        for i, row in tried.items():
            near = [next(found) for _ in row]
            scores = [float(vector @ targets[i]) for vector in near]
            best = int(np.argmax(scores)) if scores else -1
            if scores and scores[best] > vectors[i] @ targets[i] and count_tokens(row[best]) < CONTEXT:
                texts[i], vectors[i] = row[best], near[best]
            elif step:
                growing.remove(i)
        if not growing:
            break
    return texts


def _promising(text: str, vector: np.ndarray, target: np.ndarray, phrases: Phrases) -> list[str]:
    """The phrases that may bring a prompt nearest to the target, best first, without words that it has.

    MiniLM averages over words, so the prompt with the phrase lies about where the average of the two
    lies, weighted by their lengths.
    """
    words = _long_words(text)
    length = max(1, len(text.split()))
    shares = np.array([len(phrase.split()) for phrase in phrases.texts]) / length
    along, across = phrases.vectors @ target, phrases.vectors @ vector
    guesses = (vector @ target + shares * along) / np.sqrt(1 + 2 * shares * across + shares**2)
    chosen: list[str] = []
    for j in np.argsort(-guesses, kind="stable"):
        phrase = phrases.texts[int(j)]
        if phrase and not words & _long_words(phrase):
            chosen.append(phrase)
        if len(chosen) == NEAREST_TRIED:
            break
    return chosen


def _joined(first: str, second: str) -> str:
    return ", ".join(filter(None, (first, second)))


def _long_words(text: str) -> set[str]:
    """The words that say something, as far as their length tells: of four letters and more."""
    return {word for word in re.split(r"[^\w]+", text.lower()) if len(word) > 3}


def _seed(caption: str, labels: Matches) -> str:
    return ", ".join(
        [_with_medium(caption, labels), *_top(labels, "movements"), *_top(labels, "flavors", FLAVORS)]
    )


def _classic(caption: str, labels: Matches, flavors: int = FLAVORS) -> str:
    subject = " ".join([_with_medium(caption, labels), *_top(labels, "artists")])
    terms = [*_top(labels, "trendings"), *_top(labels, "movements"), *_top(labels, "flavors", flavors)]
    return ", ".join([subject, *terms])


def _fast(caption: str, labels: Matches) -> str:
    tables = dict.fromkeys([*FAST_TABLES, *labels])  # the order of labels with equal scores
    matches = [match for table in tables for match in labels.get(table, ())]
    nearest = sorted(matches, key=lambda match: match.score, reverse=True)[:FAST_TERMS]
    return ", ".join([caption, *(match.label for match in nearest)])


def _top(labels: Matches, table: str, count: int = 1) -> list[str]:
    return [match.label for match in labels.get(table, ())[:count]]


def _with_medium(caption: str, labels: Matches) -> str:
    return ", ".join(
        [caption, *(medium for medium in _top(labels, "mediums") if not caption.startswith(medium))]
    )


def recaption(prompt: str, before: str, after: str) -> str:
    """A prompt with another caption in place of its own; one that does not have it stays, as negative ones.

    Parameters
    ----------
    before, after : the caption that the prompt was written with, and the one to put there
    """
    if not before or before == after:
        return prompt
    if prompt == before:
        return after
    return truncate(prompt.replace(before, after, 1)) if before in prompt else prompt


def truncate(prompt: str) -> str:
    """Keep as many whole comma-separated parts as CLIP reads; the first always stays.

    A part stays if it and the parts before it take fewer than 77 tokens, not counting the comma
    between them. clip-interrogator cuts at the same place.
    """
    first, *parts = prompt.split(", ")
    kept = first
    for part in parts:
        if count_tokens(kept + part) >= CONTEXT:
            break
        kept += ", " + part
    return kept


def count_tokens(text: str) -> int:
    """Tokens CLIP makes of a text, start and end included."""
    return len(clip_tokens.tokenizer().encode(text)) + 2
