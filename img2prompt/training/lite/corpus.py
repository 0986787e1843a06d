"""The data that the training stages share: cached features, captions as tokens, caption vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from img2prompt.datasets.pairs import Pair, PairsFolder
from img2prompt.files import replacing
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.lite.features import FeatureCache
from img2prompt.training.lite.vocabulary import encode


@dataclass
class Corpus:
    """Pictures of one source with their captions, ready for training."""

    pairs: list[Pair]
    views: list[FeatureCache]
    tokens: list[torch.Tensor]  # for each picture (captions, length) token ids
    vectors: list[torch.Tensor]  # for each picture (captions, 384) unit vectors

    def __len__(self) -> int:
        return len(self.pairs)

    def features(self, indices: list[int], view: int | None = None) -> torch.Tensor:
        """(len(indices), 120, 14, 14) from a random view, or from the given one."""
        if view is None:
            view = int(torch.randint(len(self.views), ()))
        return self.views[view].get([self.pairs[i].name for i in indices])

    def means(self) -> torch.Tensor:
        """(len(self), 384) unit vectors: the mean of each picture's captions."""
        return torch.stack([F.normalize(vectors.mean(0), dim=0) for vectors in self.vectors])


def caption_vectors(folder: PairsFolder, file: Path, sentences: SentenceEncoder) -> dict[str, torch.Tensor]:
    """Picture's name → (captions, 384) MiniLM vectors of its captions; cached in `file`."""
    texts = [text for pair in folder.pairs for text in pair.texts]
    if file.exists():
        flat = np.load(file)
    else:
        flat = sentences.encode(texts, progress=True).astype(np.float16)
        with replacing(file, durable=False) as handle:
            np.save(handle, flat)
    vectors, start = {}, 0
    for pair in folder.pairs:
        stop = start + len(pair.texts)
        vectors[pair.name] = torch.from_numpy(flat[start:stop].astype(np.float32))
        start = stop
    return vectors


def build_corpus(
    pairs: list[Pair],
    views: list[FeatureCache],
    vectors: dict[str, torch.Tensor],
    tokenizer: Tokenizer,
    length: int,
) -> Corpus:
    """Tokenise the captions of these pairs, each cut to `length` words, and make a corpus of them."""
    tokens = [torch.tensor([encode(tokenizer, text, length) for text in pair.texts]) for pair in pairs]
    return Corpus(pairs, views, tokens, [vectors[pair.name] for pair in pairs])


def mean_embedding(corpus: Corpus) -> torch.Tensor:
    """(384,) unit vector: the mean of the pictures' mean caption vectors."""
    return F.normalize(corpus.means().mean(0), dim=0)
