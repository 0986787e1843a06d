"""Stage 5: how far the classifier can be trusted, which knows 1,000 classes and is sure of one too often.

Logistic regression of whether captions or labels name the class that it is most sure of, on the log odds
that it gives and an offset for each class, shrunk towards the common one. Animals share one: of those that
labels show, most look like others that they don't, and real zebras must not pay for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer
from torch import Tensor

from img2prompt.embeddings import TextEncoder
from img2prompt.engines.lite.imagenet import SUREST, Naming
from img2prompt.engines.lite.search import SOMEBODY
from img2prompt.training.lite.classes import incidental
from img2prompt.training.lite.examples import PEOPLE_SOURCES, SOURCES, Examples
from img2prompt.training.lite.joint import Data, Knowledge
from img2prompt.training.lite.pictures import plain

ANIMALS = 398  # the first classes
LEAST = 0.15  # probability from which a class is looked at
PICTURES = 14_000  # of each source, at most
SHRINK = 0.1  # C of the regression: the smaller, the nearer are the offsets to each other


def fit(
    knowledge: Knowledge,
    data: Data,
    learned: Examples,
    tokenizer: Tokenizer,
    class_names: Sequence[str],
    sentences: TextEncoder,
) -> dict[str, Any]:
    """The parameters of `img2prompt.engines.lite.imagenet.Trust`, from photos with captions or a label."""
    vectors = sentences.encode(list(class_names))
    embed = lru_cache(maxsize=20_000)(lambda word: sentences.encode([word])[0])
    naming = Naming(class_names, incidental(), lambda word, index: float(embed(word) @ vectors[index]))
    photos = [
        source for source in range(len(SOURCES)) if source < PEOPLE_SOURCES or SOURCES[source] == "gaps"
    ]
    indices, probabilities, right = [], [], []
    for rows in (data.rows[source][:PICTURES] for source in photos if len(data.rows[source])):
        for row, classes in zip(rows.tolist(), _classify(knowledge, data, rows), strict=True):
            thing = naming.find(classes, LEAST)
            if thing:
                captions = learned.tokens[learned.first[row] : learned.first[row + 1]]
                indices.append(thing.index)
                probabilities.append(thing.probability)
                right.append(any(naming.mentioned(_text(tokenizer, caption), thing) for caption in captions))
    return regress(np.array(indices), np.array(probabilities), np.array(right), len(class_names))


def regress(
    indices: np.ndarray, probabilities: np.ndarray, right: np.ndarray, classes: int
) -> dict[str, Any]:
    """Slope and offsets from N pictures: their class, its probability, and whether it is right (all (N,))."""
    sure = np.clip(probabilities, 1 - SUREST, SUREST)
    shared = np.where(indices < ANIMALS, 0, indices)
    of_class = csr_matrix((np.ones(len(shared)), (np.arange(len(shared)), shared)), (len(shared), classes))
    inputs = hstack([csr_matrix(np.log(sure / (1 - sure))[:, None]), of_class])
    fitted = LogisticRegression(C=SHRINK, max_iter=3000).fit(inputs, right)
    offsets = fitted.coef_[0, 1:] + fitted.intercept_[0]
    offsets[:ANIMALS] = offsets[0]
    return {
        "slope": round(float(fitted.coef_[0, 0]), 3),
        "offsets": [round(float(offset), 2) for offset in offsets],
    }


@torch.inference_mode()
def _classify(knowledge: Knowledge, data: Data, rows: Tensor) -> np.ndarray:
    """(N, 1000) probabilities of the classes."""
    found = []
    for part in rows.split(256):
        grid = knowledge.tail(knowledge.trunk(plain(data.pictures[part])))
        found.append(knowledge.classifier(grid.mean((2, 3)).float()).softmax(1).cpu().numpy())
    return np.concatenate(found)


def _text(tokenizer: Tokenizer, tokens: np.ndarray) -> str:
    """A caption's words."""
    return " ".join(str(tokenizer.id_to_token(token)) for token in tokens.tolist() if token > SOMEBODY)
