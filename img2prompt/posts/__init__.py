"""Posts, alt text and hashtags, written from what the engine says about a picture."""

from __future__ import annotations

from img2prompt.posts.alt_text import alt_text
from img2prompt.posts.compose import compose, composing
from img2prompt.posts.facts import see
from img2prompt.posts.hashtags import hashtags
from img2prompt.posts.keywords import keywords
from img2prompt.posts.model import ModelRewriter
from img2prompt.posts.post import Choices, Seen, Variant
from img2prompt.posts.rewriter import Draft, Rewriter
from img2prompt.posts.sentence import as_sentence
from img2prompt.posts.templates import tones

__all__ = [
    "Choices",
    "Draft",
    "ModelRewriter",
    "Rewriter",
    "Seen",
    "Variant",
    "alt_text",
    "as_sentence",
    "compose",
    "composing",
    "hashtags",
    "keywords",
    "see",
    "tones",
]
