"""How good the words are, measured against what people wrote.

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

import numpy as np
from rich.console import Console
from rich.progress import track

from img2prompt.datasets.pairs import Pair, PairsFolder
from img2prompt.errors import ConfigError, DataError, ImageError, WeightsError
from img2prompt.libraries import install

if TYPE_CHECKING:
    from img2prompt.pipeline import Pipeline

BATCH = 32  # pictures that go through the image tower together
QUERIES = 1024  # rows of the score matrix held at a time
TOP = 5  # style texts that count as found


def evaluate_captions(
    pipeline: Pipeline,
    folder: PairsFolder,
    split: str = "test",
    limit: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Score the captions against all references of each picture.

    Returns
    -------
    dict with ``bleu4`` and ``meteor`` (0–1), ``cider`` (0–10), ``n`` pictures and the
    ``seconds`` it took to caption them (without scoring)

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
    captions: list[str] = []
    for features in look(pipeline, folder, pairs, progress):
        captions += pipeline.engine.describe(features, beams=pipeline.settings.beams)
    seconds = time.perf_counter() - start
    scores = score_captions([pair.texts for pair in pairs], captions)
    return {**rounded(scores), "n": len(pairs), "seconds": round(seconds, 1)}


def evaluate_embeddings(
    pipeline: Pipeline,
    folder: PairsFolder,
    split: str = "test",
    limit: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Compare the regressed embeddings with the captions', and search photos by caption.

    Returns
    -------
    dict with ``mean_cosine`` of each regressed embedding with the mean of its picture's
    caption embeddings; ``baseline_cosine``, the same for always answering the mean of
    the training captions (of as many pictures as `limit` allows; of all captions where
    there is no split ``train``); ``r1`` and ``r10``, the share of captions whose own
    photo is the first or among the first ten of the ``n`` photos; ``seconds``

    Raises
    ------
    DataError
        For an unknown split or a picture that cannot be read.
    WeightsError
        When the engine has no trained regressor.
    """
    pairs = choose(folder, split, limit)
    train = [pair for pair in folder.pairs if pair.split == "train"] or folder.pairs
    start = time.perf_counter()
    regressed: list[np.ndarray] = []
    content: list[np.ndarray] = []
    for features in look(pipeline, folder, pairs, progress):
        vectors = pipeline.engine.regress(features)
        if vectors is None:
            raise WeightsError(f"The {pipeline.engine.name} engine has no trained regressor to evaluate.")
        regressed.append(vectors)
        content.append(pipeline.engine.embed_images(features, "content"))
    texts = [text for pair in pairs for text in pair.texts]
    own = np.repeat(np.arange(len(pairs)), [len(pair.texts) for pair in pairs])
    targets = unit_means(pipeline.sentences.encode(texts), own)
    train_texts = [text for pair in train[:limit] for text in pair.texts]
    baseline = unit_means(
        pipeline.sentences.encode(train_texts, progress=progress), np.zeros(len(train_texts), dtype=int)
    )
    ranks = ranks_of_own(pipeline.engine.embed_texts(texts), np.concatenate(content), own)
    scores = {
        "mean_cosine": np.sum(np.concatenate(regressed) * targets, axis=1).mean(),
        "baseline_cosine": np.sum(baseline * targets, axis=1).mean(),
        "r1": np.mean(ranks < 1),
        "r10": np.mean(ranks < 10),
    }
    return {**rounded(scores), "n": len(pairs), "seconds": round(time.perf_counter() - start, 1)}


def evaluate_styles(
    pipeline: Pipeline,
    folder: PairsFolder,
    split: str = "test",
    limit: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Rank all style texts of the folder for each picture by how it looks.

    A folder without splits is split as it was for training the style head.

    Returns
    -------
    dict with ``top1`` and ``top5``, the share of the ``n`` pictures whose own text comes
    first or among the first five; ``chance`` of the latter, their ``ratio``, ``seconds``

    Raises
    ------
    DataError
        For an unknown split or a picture that cannot be read.
    """
    from img2prompt.training.style import held_out

    pairs = choose(folder, split, None)
    if not has_splits(folder) and split in ("train", "test"):
        pairs = [pair for pair in pairs if held_out(pair.name) == (split == "test")]
    pairs = pairs[:limit]
    if not pairs:
        raise DataError(f"{folder.path} has no held-out pictures; it is too small to be split.")
    start = time.perf_counter()
    looks: list[np.ndarray] = []
    for features in look(pipeline, folder, pairs, progress):
        looks.append(pipeline.engine.embed_images(features, "style"))
    texts = sorted({text for pair in folder.pairs for text in pair.texts})
    own = np.array([texts.index(pair.texts[0]) for pair in pairs])
    ranks = ranks_of_own(np.concatenate(looks), pipeline.engine.embed_texts(texts), own)
    top5, chance = np.mean(ranks < TOP), min(1.0, TOP / len(texts))
    scores = {"top1": np.mean(ranks < 1), "top5": top5, "chance": chance, "ratio": top5 / chance}
    return {**rounded(scores), "n": len(pairs), "seconds": round(time.perf_counter() - start, 1)}


def choose(folder: PairsFolder, split: str, limit: int | None) -> list[Pair]:
    """The pairs of a split; all of them for ``"all"`` or where the folder has no splits."""
    return folder.select(split if has_splits(folder) and split != "all" else None, limit)


def has_splits(folder: PairsFolder) -> bool:
    return any(pair.split for pair in folder.pairs)


def look(pipeline: Pipeline, folder: PairsFolder, pairs: Sequence[Pair], progress: bool) -> Iterator[Any]:
    """What the engine sees in the pictures, a batch at a time, with a bar on stderr.

    A picture that cannot be opened ends the evaluation: numbers over fewer pictures
    than asked for would not compare.
    """
    starts = range(0, len(pairs), BATCH)
    for start in track(starts, "Looking", console=Console(stderr=True), disable=not progress):
        yield pipeline.engine.encode(
            [open_picture(pipeline, folder, pair.name) for pair in pairs[start : start + BATCH]]
        )


def open_picture(pipeline: Pipeline, folder: PairsFolder, name: str) -> Any:
    try:
        return pipeline.open(folder.read(name))
    except ImageError as error:
        raise DataError(f"{folder.path}, {name}: {error}") from error


def unit_means(vectors: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Unit means of the vectors (M, D) of each group 0…G-1, given by `groups` (M,): (G, D)."""
    sums = np.zeros((int(groups.max()) + 1, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, groups, vectors)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def ranks_of_own(queries: np.ndarray, items: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Rank of each query's own item among all items, by dot product: 0 is the first.

    Ties count against the query, so that a model that answers all the same gets nothing.

    Parameters
    ----------
    queries : (M, D)
    items : (N, D)
    own : (M,) index of each query's item
    """
    ranks = np.empty(len(queries), dtype=int)
    for start in range(0, len(queries), QUERIES):
        rows = slice(start, start + QUERIES)
        scores = queries[rows] @ items.T
        mine = np.take_along_axis(scores, own[rows, None], axis=1)
        ranks[rows] = np.sum(scores >= mine, axis=1) - 1
    return ranks


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
    dict with ``bleu4`` and ``meteor`` (0–1) and ``cider`` (0–10; needs many pictures,
    since it weighs words by how few pictures' references hold them)

    Raises
    ------
    ConfigError
        When Java does not run.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider

    tokens = tokenize([*references, *([caption] for caption in captions)])
    wanted = dict(enumerate(tokens[: len(references)]))
    written = dict(enumerate(tokens[len(references) :]))
    bleu, _ = Bleu(4).compute_score(wanted, written, verbose=0)
    cider, _ = Cider().compute_score(wanted, written)
    return {"bleu4": bleu[3], "meteor": meteor(wanted, written), "cider": cider}


def tokenize(groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """Groups of texts → the same, tokenized."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    # A line is a text to the tokenizer, so no text may hold a line break of any kind.
    lines = {i: [{"caption": " ".join(text.split())} for text in group] for i, group in enumerate(groups)}
    with quiet_stderr():
        tokens = PTBTokenizer().tokenize(lines)
    if len(tokens) != len(groups):
        raise ConfigError("Java is installed but the PTB tokenizer did not run; `java -version` may say why.")
    return [tokens[i] for i in range(len(groups))]


def meteor(wanted: dict[int, list[str]], written: dict[int, list[str]]) -> float:
    """METEOR 1.5 of tokenized texts; leaves no Java process behind."""
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        return scorer.compute_score(wanted, written)[0]
    except (OSError, ValueError) as error:
        scorer.lock.release()  # or its destructor waits for ever
        raise ConfigError("Java is installed but METEOR did not run; it needs 2 GB of memory.") from error
    finally:
        scorer.meteor_p.kill()
        scorer.meteor_p.wait()


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send stderr nowhere, child processes' included: the tokenizer reports its speed there."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def rounded(scores: dict[str, Any]) -> dict[str, float]:
    return {name: round(float(score), 4) for name, score in scores.items()}
