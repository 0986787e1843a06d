"""Score whether captions name the thing or the place that a picture is a picture of."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.evaluation.pictures import caption_pairs, choose, from_sources, mean_of, ranks_of_own
from img2prompt.posts.grammar import DETERMINERS, PREPOSITIONS, singular
from img2prompt.posts.people import caption_words

if TYPE_CHECKING:
    from img2prompt.pipeline import Pipeline

NEAREST = (1, 3, 5)


def evaluate_subjects(
    pipeline: Pipeline,
    folder: PairsFolder,
    split: str = "dev",
    limit: int | None = None,
    progress: bool = False,
    sources: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Look for the label of each picture in its caption, and among the labels nearest to the caption.

    Parameters
    ----------
    sources : use only pictures whose column ``source`` holds one of these

    Returns
    -------
    dict with

    - ``word``: the share of captions that name the label's thing, see `names`
    - ``nearest1``, ``nearest3``, ``nearest5``: the share whose own label is among so many nearest of the
      folder's ``labels`` (cosine of sentence embeddings)
    - ``sources``: these shares and ``n`` for each source by itself, where there are several
    - the number ``n`` of pictures and the ``seconds`` that captioning took

    with the 95 % interval of each share in ``…_interval``.

    Raises
    ------
    DataError
        For an unknown split or source, or a picture that cannot be read.
    """
    pairs = from_sources(folder, choose(folder, split, None), sources)[:limit]
    start = time.perf_counter()
    captions = caption_pairs(pipeline, folder, pairs, progress)
    seconds = time.perf_counter() - start
    own = [pair.texts[0] for pair in pairs]
    labels = sorted({pair.texts[0] for pair in folder.pairs})
    named = np.array([names(caption, label) for caption, label in zip(captions, own, strict=True)])
    ranks = ranks_of_own(
        pipeline.sentences.encode(captions),
        pipeline.sentences.encode(labels),
        np.array([labels.index(label) for label in own]),
    )
    scores = _shares(named, ranks)
    of_source = np.array([pair.notes.get("source", "") for pair in pairs])
    kinds = sorted(set(of_source))
    if len(kinds) > 1:
        scores["sources"] = {
            kind: _shares(named[of_source == kind], ranks[of_source == kind])
            | {"n": int((of_source == kind).sum())}
            for kind in kinds
        }
    return {**scores, "labels": len(labels), "n": len(pairs), "seconds": round(seconds, 1)}


def names(caption: str, label: str) -> bool:
    """Whether a caption names the thing that a label stands for, in the singular or plural.

    The thing is the label's main noun, the last before "with", "in" and the like, and after any "of": a
    "ball" will do for "a soccer ball", and for "the head of a flamingo" a "flamingo". Where
    ``synonyms.txt`` has a line for the noun, all its words will do ("ocean" for "the sea"); where it has one
    for the whole noun phrase, only these do ("rain", but no "day", for "a rainy day"). A wider term ("bird"
    for a flamingo, "food" for a pie) does not count.

    >>> names("two dogs on a couch", "a dalmatian dog"), names("a bird in the water", "a flamingo")
    (True, False)
    """
    text = f" {' '.join(_singulars(caption))} "
    return any(f" {form} " in text for form in forms(label))


@functools.cache
def forms(label: str) -> frozenset[str]:
    """The words and phrases, in the singular, that name a label's thing."""
    phrase = _main_phrase(label)
    known = _synonyms()
    return known.get(" ".join(phrase)) or known.get(phrase[-1]) or frozenset({phrase[-1]})


def _main_phrase(label: str) -> list[str]:
    words = caption_words(label)
    if "of" in words:
        words = words[len(words) - words[::-1].index("of") :]
    words = [word for i, word in enumerate(words) if i or word not in DETERMINERS]
    ends = (i for i, w in enumerate(words) if i and (w in PREPOSITIONS | {"holding"}))
    return [singular(word) for word in words[: next(ends, len(words))]]


def _singulars(text: str) -> list[str]:
    return [singular(word) for word in caption_words(text)]


@functools.cache
def _synonyms() -> dict[str, frozenset[str]]:
    """A label's thing → the phrases that name it, itself included; all in the singular."""
    lines = files(__package__).joinpath("synonyms.txt").read_text(encoding="utf-8").splitlines()
    phrases = [
        [" ".join(_singulars(phrase)) for phrase in line.split(",")]
        for line in lines
        if not line.startswith("#")
    ]
    return {things[0]: frozenset(things) for things in phrases}


def _shares(named: np.ndarray, ranks: np.ndarray) -> dict[str, Any]:
    shares = mean_of("word", named)
    for count in NEAREST:
        shares |= mean_of(f"nearest{count}", ranks < count)
    return shares
