"""Score captions against those that people wrote.

BLEU: Papineni et al., 2002; METEOR: Denkowski and Lavie, 2014; CIDEr: Vedantam et al.,
2015; all three from pycocoevalcap, the scorers of the COCO caption challenge.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.errors import ConfigError
from img2prompt.evaluation.pictures import caption_pairs, choose, rounded
from img2prompt.libraries import install

if TYPE_CHECKING:
    from img2prompt.pipeline import Pipeline


def evaluate_captions(
    pipeline: Pipeline,
    folder: PairsFolder,
    split: str = "test",
    limit: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Caption the pictures of a split and score the captions against all references of each.

    Returns
    -------
    dict with ``bleu4`` and ``meteor`` (0–1), ``cider`` (0–10), the number ``n`` of pictures and
    the ``seconds`` that captioning took, without scoring

    Raises
    ------
    ConfigError
        Without Java or pycocoevalcap.
    DataError
        For an unknown split or a picture that cannot be read.
    """
    check_scorers()
    pairs = choose(folder, split, limit)
    start = time.perf_counter()
    captions = caption_pairs(pipeline, folder, pairs, progress)
    seconds = time.perf_counter() - start
    scores = score_captions([pair.texts for pair in pairs], captions)
    return {**rounded(scores), "n": len(pairs), "seconds": round(seconds, 1)}


def check_scorers() -> None:
    """Raise ConfigError unless pycocoevalcap and Java are there."""
    if find_spec("pycocoevalcap") is None:
        raise ConfigError(f"Scoring captions needs pycocoevalcap. {install('pycocoevalcap')}")
    if shutil.which("java") is None:
        raise ConfigError(
            "Scoring captions needs Java (METEOR and the PTB tokenizer run on it), and no `java` was found. "
            "On Debian or Ubuntu: sudo apt-get install default-jre-headless"
        )


def score_captions(references: Sequence[Sequence[str]], captions: Sequence[str]) -> dict[str, float]:
    """Corpus scores of N captions, each against the references of its picture.

    Both are lower-cased and tokenized by the Penn Treebank tokenizer, without punctuation.

    Returns
    -------
    dict with ``bleu4`` and ``meteor`` (0–1) and ``cider`` (0–10; it needs many pictures,
    because it weighs a word by how few pictures' references hold it)

    Raises
    ------
    ConfigError
        When Java does not run.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider

    tokens = tokenize([*references, *([caption] for caption in captions)])
    reference_tokens = dict(enumerate(tokens[: len(references)]))
    caption_tokens = dict(enumerate(tokens[len(references) :]))
    bleu, _ = Bleu(4).compute_score(reference_tokens, caption_tokens, verbose=0)
    cider, _ = Cider().compute_score(reference_tokens, caption_tokens)
    return {"bleu4": bleu[3], "meteor": meteor(reference_tokens, caption_tokens), "cider": cider}


def score_cider(references: Sequence[Sequence[str]], captions: Sequence[str]) -> float:
    """CIDEr alone, as in `score_captions`: in a fraction of the time, which METEOR takes."""
    from pycocoevalcap.cider.cider import Cider

    tokens = tokenize([*references, *([caption] for caption in captions)])
    return float(
        Cider().compute_score(
            dict(enumerate(tokens[: len(references)])), dict(enumerate(tokens[len(references) :]))
        )[0]
    )


def tokenize(groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """Tokenize groups of texts: each text becomes its tokens, joined by spaces. ConfigError if Java fails."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    # A line is a text to the tokenizer, so no text may hold a line break of any kind.
    lines = {i: [{"caption": " ".join(text.split())} for text in group] for i, group in enumerate(groups)}
    with quiet_stderr():
        tokens = PTBTokenizer().tokenize(lines)
    if len(tokens) != len(groups):
        raise ConfigError("Java is installed but the PTB tokenizer did not run; `java -version` may say why.")
    return [tokens[i] for i in range(len(groups))]


def meteor(references: dict[int, list[str]], captions: dict[int, list[str]]) -> float:
    """METEOR 1.5 of tokenized captions, 0 to 1; leaves no Java process behind."""
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        return scorer.compute_score(references, captions)[0]
    except (OSError, ValueError) as error:
        scorer.lock.release()  # or its destructor waits for ever
        raise ConfigError("Java is installed but METEOR did not run; it needs 2 GB of memory.") from error
    finally:
        scorer.meteor_p.kill()
        scorer.meteor_p.wait()


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Silence stderr, that of child processes too: the tokenizer reports its speed there."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
