"""From what the engine says to what people post."""

from __future__ import annotations

from img2prompt.captions.alt_text import alt_text
from img2prompt.captions.compose import compose
from img2prompt.captions.facts import see
from img2prompt.captions.hashtags import hashtags
from img2prompt.captions.post import Choices, Seen, Variant
from img2prompt.captions.rewriter import Draft, Rewriter, TemplateRewriter
from img2prompt.captions.sentence import as_sentence
from img2prompt.captions.templates import tones

__all__ = [
    "Choices",
    "Draft",
    "Rewriter",
    "Seen",
    "TemplateRewriter",
    "Variant",
    "alt_text",
    "as_sentence",
    "compose",
    "hashtags",
    "see",
    "tones",
]
