"""CLIP's tokenizer, from open_clip's vocabulary alone: importing open_clip takes seconds, and PyTorch."""

from __future__ import annotations

import functools
import gzip
import html
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from img2prompt.errors import WeightsError
from img2prompt.libraries import install
from img2prompt.wording import reason

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
ENDS = ["<start_of_text>", "<end_of_text>"]
MERGES = 49_152 - 256 - len(ENDS)  # as many of those in the file
WORD = "|".join(ENDS) + r"|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


class ClipTokenizer:
    """Texts → ids of word pieces, as `open_clip.SimpleTokenizer`."""

    def __init__(self, pieces: Tokenizer):
        import regex

        self._pieces = pieces
        self._words = regex.compile(WORD, regex.IGNORECASE)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without the ends."""
        return self._pieces.encode(self._split(text), is_pretokenized=True).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each of many texts, without the ends; quicker than one by one."""
        words = [self._split(text) for text in texts]
        return [found.ids for found in self._pieces.encode_batch_fast(words, is_pretokenized=True)]

    def _split(self, text: str) -> list[str]:
        return self._words.findall(_mend(text).lower())


@functools.cache
def tokenizer() -> ClipTokenizer:
    """CLIP's tokenizer.

    Raises
    ------
    WeightsError
        When open_clip, which has the vocabulary, is not installed or damaged.
    """
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        raise WeightsError(f"CLIP's tokenizer is not installed. {install('open_clip_torch')}")
    file = Path(package.origin).with_name(VOCABULARY)
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            merges = [line.split() for line in lines.read().split("\n")[1 : MERGES + 1]]
        if len(merges) < MERGES:
            raise EOFError("it ends too early")
        return ClipTokenizer(_build([(first, second) for first, second in merges]))
    except Exception as error:  # gzip, zlib and tokenizers raise many kinds for a damaged file
        again = install("--force-reinstall", "--no-deps", "open_clip_torch")
        raise WeightsError(f"{file} cannot be used ({reason(error)}). {again}") from error


def _build(merges: list[tuple[str, str]]) -> Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers

    # The vocabulary names no single bytes: they come first, those that cannot be written as they are behind.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), key=lambda c: (ord(c) > 255, c))
    names = [*alphabet, *(letter + "</w>" for letter in alphabet), *map("".join, merges)]
    pieces = Tokenizer(
        models.BPE({name: i for i, name in enumerate(names)}, merges, end_of_word_suffix="</w>")
    )
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pieces.add_special_tokens(ENDS)
    return pieces


def _mend(text: str) -> str:
    """Undo wrong encodings, HTML entities and curly quotes, as CLIP's authors did."""
    if text.isascii() and text.isprintable() and "&" not in text:
        return text  # there is none of that
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text)))
