"""Score whether captions see people where there are some and nowhere else, and how many of their words are right."""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2prompt.datasets.pairs import Pair, PairsFolder, picture_and_text_columns
from img2prompt.errors import DataError
from img2prompt.evaluation.captions import score_cider
from img2prompt.evaluation.pictures import caption_pairs, choose, from_sources, mean_of
from img2prompt.files import cannot_read
from img2prompt.posts.grammar import FUNCTION_WORDS, PRONOUNS, lemmas
from img2prompt.posts.people import caption_words, mentions_people, shows_traces

if TYPE_CHECKING:
    from img2prompt.pipeline import Pipeline

REFERENCES = 4  # captions that a picture needs, to say whether somebody is there
MOST = 0.8  # share of them that must mention people


def evaluate_people(
    pipeline: Pipeline,
    folder: PairsFolder,
    split: str = "dev",
    limit: int | None = None,
    progress: bool = False,
    sources: Sequence[str] | None = None,
    more: Path | None = None,
) -> dict[str, Any]:
    """Compare who is in the captions with who is in the pictures.

    Whether somebody is there says the column ``person`` (yes or no) of the folder's CSV. Where there is no
    such column, the references say it, and pictures with fewer than four of them are left out. Captions
    are taken as the engine writes them, with people as seen.

    Parameters
    ----------
    sources : use only pictures whose column ``source`` holds one of these
    more : a CSV (image, caption) with further references for the folder's pictures

    Returns
    -------
    dict with

    - ``false_people``: the share of captions with people, of the ``n_without`` pictures without any (no
      reference mentions people, or a hand, which may be somebody's)
    - ``found_people``: the same of the ``n_with`` pictures with people (four of five references say so)
    - ``word_precision``: see `word_precision`; where there are references
    - ``cider``: 0–10; where there are references, Java and pycocoevalcap
    - the number ``n`` of pictures and the ``seconds`` that captioning took

    with the 95 % interval of each share in ``…_interval``. A share of no pictures is None.

    Raises
    ------
    DataError
        For an unknown split or source, a picture that cannot be read, a CSV that is none, or pictures of
        which nobody said who is in them.
    """
    pairs = from_sources(folder, choose(folder, split, None), sources)
    if more:
        pairs = with_more_texts(pairs, more)
    labelled = any("person" in pair.notes for pair in pairs)
    if labelled:
        pairs = [pair for pair in pairs if pair.notes["person"] in ("yes", "no")]
    else:
        pairs = [pair for pair in pairs if len(pair.texts) >= REFERENCES]
    pairs = pairs[:limit]
    if not pairs:
        raise DataError(
            f"{folder.file} does not say who is in the pictures: it needs a column person (yes or no), or "
            f"{REFERENCES} captions a picture."
        )
    start = time.perf_counter()
    captions = caption_pairs(pipeline, folder, pairs, progress)
    seconds = time.perf_counter() - start
    there = [pair.notes["person"] == "yes" if labelled else somebody_there(pair.texts) for pair in pairs]
    scores = score_people(there, captions)
    if not labelled:
        references = [pair.texts for pair in pairs]
        scores |= mean_of("word_precision", list(map(word_precision, references, captions)))
        if find_spec("pycocoevalcap") and shutil.which("java"):
            scores["cider"] = round(score_cider(references, captions), 4)
    return {**scores, "n": len(pairs), "seconds": round(seconds, 1)}


def score_people(there: Sequence[bool | None], captions: Sequence[str]) -> dict[str, Any]:
    """Shares of captions with people, of pictures without and with people; None stands for not known."""
    seen = [mentions_people(caption) for caption in captions]
    without = [float(s) for s, t in zip(seen, there, strict=True) if t is False]
    present = [float(s) for s, t in zip(seen, there, strict=True) if t]
    return {
        **mean_of("false_people", without),
        "n_without": len(without),
        **mean_of("found_people", present),
        "n_with": len(present),
    }


def somebody_there(references: Sequence[str]) -> bool | None:
    """Whether a picture with these references shows people; None where they are not of one mind."""
    mentions = sum(map(mentions_people, references))
    if mentions >= MOST * len(references):
        return True
    return False if not mentions and not any(map(shows_traces, references)) else None


def word_precision(references: Sequence[str], caption: str) -> float:
    """The share of a caption's content words that some reference uses, in any form; 0 without any.

    Content words are all but articles, prepositions, conjunctions, pronouns, numbers, "is" and "has".

    >>> word_precision(["two dogs run on a beach"], "a brown dog running in the snow")
    0.5
    """
    used = {base for reference in references for word in content_words(reference) for base in bases(word)}
    words = content_words(caption)
    return sum(not used.isdisjoint(bases(word)) for word in words) / len(words) if words else 0.0


def content_words(text: str) -> list[str]:
    """The words of a text that say something about a picture."""
    return [word for word in caption_words(text) if word not in FUNCTION_WORDS | PRONOUNS and word != "'s"]


def bases(word: str) -> set[str]:
    """All base forms that a word may have, whatever part of speech it is: "saw" → saw, see."""
    return {word, *(base for found in lemmas(word).values() for base in found)}


def with_more_texts(pairs: Sequence[Pair], file: Path) -> list[Pair]:
    """Add to pairs the texts that a CSV (image, caption) holds for them.

    Raises
    ------
    DataError
        When the file cannot be read, or lacks one of the columns.
    """
    texts: dict[str, list[str]] = {}
    try:
        with open(file, newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            picture, text = picture_and_text_columns(file, reader.fieldnames or ())
            for row in reader:
                texts.setdefault(row[picture], []).append(row[text])
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise cannot_read(file, error) from error
    return [replace(pair, texts=(*pair.texts, *texts.get(pair.name, ()))) for pair in pairs]
