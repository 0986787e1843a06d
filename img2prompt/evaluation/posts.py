"""Score posts: whether they are about what the picture shows, and whether they look like what people post."""

from __future__ import annotations

import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import regex

from img2prompt.datasets.pairs import Pair, PairsFolder
from img2prompt.evaluation.pictures import choose, from_sources, mean_of, open_pairs
from img2prompt.posts import Choices, Rewriter, Seen, Variant, compose, see
from img2prompt.posts.grammar import is_noun, singular
from img2prompt.posts.mechanics import faults_of, prose
from img2prompt.posts.neutral import plain_words
from img2prompt.posts.phrases import TONES, Theme
from img2prompt.posts.post import LANGUAGES, PHRASEBOOK
from img2prompt.posts.themes import named_in, themes_of
from img2prompt.posts.voice import SIGNS

if TYPE_CHECKING:
    from PIL import Image

    from img2prompt.pipeline import Pipeline

SIDE = 1024  # pixels of the longer side that a model looks at
REPEATED = 0.5  # share of a caption's nouns from which a post repeats it
FIRST_PERSON = re.compile(r"\b(?:I|I'm|I'd|I'll|me|my|mine|we|us|our)\b")
# Of 28,360 captions that people posted: words, and shares.
PEOPLE_POST = {
    "words": 4,
    "words_quartile": 8,
    "emoji": 0.33,
    "stops": 0.28,
    "cries": 0.21,
    "questions": 0.03,
    "small": 0.20,
    "first_person": 0.30,
}


def evaluate_posts(
    pipeline: Pipeline,
    folder: PairsFolder,
    split: str = "dev",
    limit: int | None = None,
    progress: bool = False,
    sources: Sequence[str] | None = None,
    choices: Choices | None = None,
    writer: str = PHRASEBOOK,
) -> dict[str, Any]:
    """Write posts about pictures, in all tones and languages, and compare them with what people said of the pictures.

    Parameters
    ----------
    sources : use only pictures whose column ``source`` holds one of these
    choices : everything but the tone and the language; by default five short variants
    writer : one of `img2prompt.posts.post.WRITERS`; a model is asked about each picture in each tone and language

    Returns
    -------
    dict with

    - ``theme_used``: the share of pictures of which a theme is known
    - ``theme_right``: the share of these whose first theme some text of the picture names, by a word of the theme or of
      one below it
    - ``people_post``: how captions are that people really posted
    - for each language and tone ``repeats`` (in English): share of posts with more than half of the caption's nouns;
      ``distinct``: different first lines as a share of all; ``commonest``: share of posts with the commonest one;
      ``words`` (median), ``words_quartile`` (a quarter has more), and the shares ``emoji``, ``stops``, ``cries``,
      ``questions``, ``small`` (begin so) and, in English, ``first_person``; ``faults``: the number of mechanical ones;
      where a model writes, ``by_model``: the share of posts that it wrote, the phrasebook the others
    - the number ``n`` of pictures and the ``seconds`` that describing them took

    Raises
    ------
    DataError
        For an unknown split or source, or a picture that cannot be read.
    ConfigError
        Where the model is to write, and cannot.
    """
    by_model = pipeline.writes(writer)
    pairs = from_sources(folder, choose(folder, split, None), sources)[:limit]
    start = time.perf_counter()
    seen: list[Seen] = []
    rewriters: list[Rewriter | None] = []
    for pictures in open_pairs(pipeline, folder, pairs, progress):
        seen += map(see, pipeline.describe(pictures), pictures)
        rewriters += [pipeline.rewriter(_small(picture)) if by_model else None for picture in pictures]
    seconds = time.perf_counter() - start
    found = [themes_of(picture) for picture in seen]
    right = [named(themes[0], said_of(pair)) for themes, pair in zip(found, pairs, strict=True) if themes]
    scores: dict[str, Any] = {
        **mean_of("theme_used", [bool(themes) for themes in found]),
        **mean_of("theme_right", right),
        "people_post": PEOPLE_POST,
    }
    for language in LANGUAGES:
        scores[language] = {
            tone: posts_like(seen, replace(choices or Choices(), tone=tone, language=language), rewriters)
            for tone in TONES
        }
    return {**scores, "n": len(pairs), "seconds": round(seconds, 1)}


def said_of(pair: Pair) -> tuple[str, ...]:
    """What is known of a picture: its texts, and that somebody is there where a column ``person`` says so."""
    return (*pair.texts, "people") if pair.notes.get("person") == "yes" else pair.texts


def named(theme: Theme, texts: Sequence[str]) -> bool:
    """Whether one of some texts names a theme, or one below it."""
    return any(theme in named_in(text) for text in texts)


def posts_like(
    seen: Sequence[Seen], choices: Choices, rewriters: Sequence[Rewriter | None] | None = None
) -> dict[str, float]:
    """What the posts about pictures are like in one tone and language, see `evaluate_posts`."""
    rewriters = rewriters or [None] * len(seen)
    written = [compose(picture, choices, rewriter) for picture, rewriter in zip(seen, rewriters, strict=True)]
    posts = [variant for variants in written for variant in variants]
    lines = Counter(_bare(variant.hook).casefold() for variant in posts)
    repeats = [
        repeated(variant, picture)
        for picture, variants in zip(seen, written, strict=True)
        for variant in variants
    ]
    bare = [_bare(prose(variant)) for variant in posts]
    words = [len(text.split()) for text in bare]
    english = choices.language == "en"
    return {
        **({"repeats": _share(repeats)} if english else {}),
        "distinct": round(len(lines) / len(posts), 4),
        "commonest": round(max(lines.values()) / len(posts), 4),
        "words": statistics.median(words),
        "words_quartile": float(np.percentile(words, 75)),
        "emoji": _share(SIGNS.search(prose(variant)) is not None for variant in posts),
        "stops": _share(text.endswith(".") for text in bare),
        "cries": _share("!" in text for text in bare),
        "questions": _share("?" in text for text in bare),
        "small": _share(text[:1].islower() for text in bare),
        **({"first_person": _share(map(FIRST_PERSON.search, bare))} if english else {}),
        **({"by_model": _share(post.writer != PHRASEBOOK for post in posts)} if any(rewriters) else {}),
        "faults": sum(len(faults_of(variant, choices)) for variant in posts),
    }


def repeated(variant: Variant, picture: Seen) -> bool:
    """Whether a post says again what the caption says: more than half of its nouns."""
    nouns = {singular(word) for word in plain_words(picture.caption) if is_noun(word)}
    said = {singular(word) for word in re.findall(r"[a-z'-]+", prose(variant).lower())}
    return bool(nouns) and len(nouns & said) > REPEATED * len(nouns)


def _small(picture: Image.Image) -> Image.Image:
    """A copy that can be kept beside many others."""
    copy = picture.copy()
    copy.thumbnail((SIDE, SIDE))
    return copy


def _bare(text: str) -> str:
    """A text without emoji."""
    return regex.sub(r"\s+", " ", SIGNS.sub("", text)).strip()


def _share(found: Any) -> float:
    return round(statistics.fmean(bool(one) for one in found), 4)
