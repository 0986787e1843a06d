"""The captioner's vocabulary: captions as people write them → lower-case words → token ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, models, pre_tokenizers

from img2prompt.engines.lite.search import BOS, EOS, PAD, SPECIALS, UNK

NOT_A_WORD = re.compile(r"[^a-z0-9'\- ]+")
LONE_MARKS = re.compile(r"(?<![a-z0-9])['\-]+|['\-]+(?![a-z0-9])")


def clean(text: str) -> str:
    """Lower case, no punctuation but inner apostrophes and hyphens, single spaces."""
    text = NOT_A_WORD.sub(" ", text.lower().replace("’", "'"))
    return " ".join(LONE_MARKS.sub(" ", text).split())


def build_tokenizer(texts: Iterable[str], minimum: int = 4) -> Tokenizer:
    """A word-level tokenizer of every word seen at least `minimum` times."""
    counts = Counter(word for text in texts for word in clean(text).split())
    words = sorted((w for w, n in counts.items() if n >= minimum), key=lambda w: (-counts[w], w))
    vocabulary = {word: index for index, word in enumerate([*SPECIALS, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIALS[UNK]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def encode(tokenizer: Tokenizer, text: str, length: int) -> list[int]:
    """Token ids: BOS, words, EOS, padded to `length` + 2; a longer caption is cut and has no EOS."""
    ids = tokenizer.encode(clean(text)).ids
    ids = [BOS, *ids, EOS] if len(ids) <= length else [BOS, *ids[: length + 1]]
    return ids + [PAD] * (length + 2 - len(ids))
