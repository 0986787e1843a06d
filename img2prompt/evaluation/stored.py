"""Compare what is written about pictures with the prompts that their own files hold: truth that costs nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from img2prompt.embeddings import cosines
from img2prompt.errors import DataError, ImageError
from img2prompt.evaluation.pictures import BATCH, mean_of
from img2prompt.images import Limits, read_metadata

if TYPE_CHECKING:
    from img2prompt.pipeline import Pipeline
    from img2prompt.results import Result

# What stands in prompts for the tools and not for the picture: <lora:name:0.8>, and Midjourney's --ar 16:9 at the end.
_LORA = re.compile(r"<\w{1,20}:[^<>]{0,200}>")
_OPTIONS = re.compile(r"\s--\w.*", re.DOTALL)


class Known(NamedTuple):
    """A picture whose prompt is known."""

    name: str
    file: Path
    prompt: str


def score_stored(
    pipeline: Pipeline, files: Sequence[tuple[str, Path]], progress: bool = False
) -> dict[str, Any]:
    """How near the pipeline comes to the prompts that picture files hold, by MiniLM.

    The model looks at no others.

    Parameters
    ----------
    files : the pictures, each with what to call it

    Returns
    -------
    dict with

    - ``written_cosine``: the mean cosine of the written prompt and the stored one
    - ``cosine``: the mean cosine of the picture's embedding and the stored prompt's
    - ``pictures``: for each its name, both cosines and both prompts, the written farthest off first
    - the number ``n`` of pictures with a prompt, the number ``without`` one, and the ``failed``: a sentence
      about each that cannot be read

    with the 95 % interval of each mean in ``…_interval``.

    Raises
    ------
    DataError
        When no picture that can be read holds a prompt.
    """
    known: list[Known] = []
    results: list[Result] = []
    failed: list[str] = []
    candidates = _with_prompts(files, Limits.from_settings(pipeline.settings), failed)
    for at in tqdm(range(0, len(candidates), BATCH), desc="Looking", disable=not progress):
        pictures = []
        for candidate in candidates[at : at + BATCH]:
            try:
                pictures.append(pipeline.open(candidate.file))
                known.append(candidate)
            except ImageError as error:
                failed.append(str(error))
        results += pipeline.describe(pictures)
    if not known:
        raise DataError(
            "None of these pictures holds a prompt. Name a folder of pictures that still have theirs."
        )
    truth = pipeline.sentences.encode([picture.prompt for picture in known])
    written = cosines(pipeline.sentences.encode([result.prompt for result in results]), truth)
    guessed = cosines(np.stack([result.embedding for result in results]), truth)
    report = [
        {
            "path": known[i].name,
            "written_cosine": round(float(written[i]), 4),
            "cosine": round(float(guessed[i]), 4),
            "prompt": results[i].prompt,
            "stored": known[i].prompt,
        }
        for i in np.argsort(written, kind="stable")
    ]
    means = {**mean_of("written_cosine", written), **mean_of("cosine", guessed)}
    without = len(files) - len(known) - len(failed)
    return {**means, "n": len(known), "without": without, "failed": failed, "pictures": report}


def _with_prompts(files: Sequence[tuple[str, Path]], limits: Limits, failed: list[str]) -> list[Known]:
    """Those pictures whose files hold a prompt; about those that cannot be read, a sentence is added to `failed`."""
    known = []
    for name, file in files:
        try:
            stored = read_metadata(file, limits).stored
        except ImageError as error:
            failed.append(str(error))
            continue
        if stored and stored.prompt and (words := words_of(stored.prompt)):
            known.append(Known(name, file, words))
    return known


def words_of(prompt: str) -> str:
    """The words of a prompt, without what stands in it for the tool."""
    return " ".join(_OPTIONS.sub("", _LORA.sub(" ", prompt)).split())
