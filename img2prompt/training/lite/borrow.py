"""Captions for pictures that only have a label or a prompt, borrowed from photos that people described.

A labelled photo borrows those captions that name the same thing, mention nobody and are nearest to
what the joint stage sees in it; a generated picture those nearest to its prompt's subject. They make
the captioner write about such pictures as people do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tokenizers import Tokenizer

from img2prompt.embeddings import unit
from img2prompt.engines.lite.choice import content_words
from img2prompt.engines.lite.search import EOS, SOMEBODY
from img2prompt.training.lite.examples import SOURCES, Examples
from img2prompt.training.lite.vocabulary import clean

CAPTIONS = 3  # borrowed for each picture
ENOUGH = 4  # captions that must name a thing, else those that name its last word will do
LOOKS_ALIKE = 0.3  # least cosine of a caption with a labelled photo
MEANS_THE_SAME = 0.6  # least cosine of a caption with a prompt's subject
LABELLED, GENERATED = SOURCES.index("gaps"), SOURCES.index("ai_pairs")


def borrow(examples: Examples, seen: np.ndarray, tokenizer: Tokenizer) -> Examples:
    """The same pictures, with borrowed captions where there are some.

    Parameters
    ----------
    seen : (N, 384) vectors of the pictures in MiniLM space, of any length
    """
    vectors = unit(examples.vectors.astype(np.float32))
    owner = np.repeat(np.arange(len(examples)), np.diff(examples.first))
    whole = np.flatnonzero((examples.source[owner] < LABELLED) & (examples.tokens == EOS).any(1))
    nobody = whole[examples.mention[whole] == 0]
    texts = [_text(tokenizer, examples.tokens[caption]) for caption in nobody]
    naming: dict[str, set[int]] = {}
    for caption, text in zip(nobody, texts, strict=True):
        for word in content_words(text):
            naming.setdefault(word, set()).add(int(caption))
    about = [np.array(sorted(_about(clean(str(label)), naming)), int) for label in examples.label_names]

    captions: list[np.ndarray] = []
    still_open = examples.open_end.copy()
    for picture in range(len(examples)):
        own = np.arange(examples.first[picture], examples.first[picture + 1])
        found = np.array([], int)
        is_known = 0 <= examples.label[picture] < len(about)
        if examples.source[picture] == LABELLED and is_known and examples.people[picture, 0] > 0.5:
            found = _nearest(about[examples.label[picture]], vectors, unit(seen[picture]), LOOKS_ALIKE)
        elif examples.source[picture] == GENERATED:
            found = _nearest(whole, vectors, vectors[own[0]], MEANS_THE_SAME)
        if len(found):
            still_open[picture] = False
        captions.append(found if len(found) else own)
    chosen = np.concatenate(captions)
    return replace(
        examples,
        first=np.concatenate([[0], np.cumsum([len(own) for own in captions])]),
        tokens=examples.tokens[chosen],
        mention=examples.mention[chosen],
        vectors=examples.vectors[chosen],
        open_end=still_open,
    )


def _text(tokenizer: Tokenizer, tokens: np.ndarray) -> str:
    return " ".join(str(tokenizer.id_to_token(int(token))) for token in tokens if token > SOMEBODY)


def _about(label: str, naming: dict[str, set[int]]) -> set[int]:
    """The captions that have all words of a label, or its last word where these are too few."""
    every = [naming.get(word, set()) for word in content_words(label)]
    captions = set.intersection(*every) if every else set()
    if len(captions) < ENOUGH:
        last = content_words(label.split()[-1])
        captions = naming.get(next(iter(last), ""), set())
    return captions if len(captions) >= ENOUGH else set()


def _nearest(captions: np.ndarray, vectors: np.ndarray, to: np.ndarray, least: float) -> np.ndarray:
    """Of these captions, the few whose cosine with a vector is largest and not below `least`."""
    cosines = vectors[captions] @ to
    best = np.argsort(-cosines)[:CAPTIONS]
    return captions[best[cosines[best] > least]]
