"""Tune the weights of an ensemble on labelled pictures, and report on others what that gains."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from tqdm import tqdm

from img2prompt import submission as competition
from img2prompt.datasets.pairs import TEXT_COLUMNS, Pair, PairsFolder, find_column
from img2prompt.ensemble.blend import DEFAULT, combine, halves, tune
from img2prompt.ensemble.knn import PromptBank
from img2prompt.ensemble.recipe import parse_source
from img2prompt.errors import ConfigError, DataError, WeightsError
from img2prompt.evaluation.pictures import BATCH, encode_pairs, has_splits, open_picture
from img2prompt.files import cannot_read
from img2prompt.pipeline import Pipeline, load_pipeline
from img2prompt.wording import reason


@dataclass(frozen=True)
class Row:
    """The score of one predictor: mean cosine with the texts' embeddings, and its 95 % interval."""

    name: str
    cosine: float  # mean over the pictures
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Scores of each member alone and of mixes of all."""

    weights: dict[str, float]  # member's name → tuned weight
    rows: list[Row]
    gain: Row  # the best member's name, and by how much the tuned mix's cosine exceeds its, per picture


def named(members: Sequence[str]) -> dict[str, str]:
    """``NAME=SOURCE`` or ``SOURCE`` → {name: source}, in order.

    Raises
    ------
    ConfigError
        For fewer than two members, or two with the same name.
    """
    sources = {}
    for member in members:
        name, mark, source = member.partition("=")
        sources[name if mark else Path(member).name] = source if mark else member
    if len(sources) < max(2, len(members)):
        raise ConfigError("Name two members or more, each with a name of its own: --member NAME=SOURCE.")
    return sources


def tune_and_report(
    folder: PairsFolder, tuned: str, reported: str, limit: int | None = None
) -> tuple[list[Pair], list[Pair]]:
    """The pairs to tune on and those to report on: two splits, or two halves where there are none.

    Raises
    ------
    ConfigError
        When both name the same split.
    DataError
        When a split does not exist, or a row cannot be used: see `PairsFolder.check`.
    """
    if has_splits(folder):
        if tuned == reported:
            raise ConfigError(f"Tuning and reporting on the one split {tuned!r} would praise itself.")
        both = folder.select(tuned, limit), folder.select(reported, limit)
    else:
        first, second = halves(len(folder))
        both = [folder.pairs[i] for i in first][:limit], [folder.pairs[i] for i in second][:limit]
    folder.check([*both[0], *both[1]])
    return both


def read_prompts(file: Path) -> list[str]:
    """Prompts from a text file, one a line, or from a CSV with a column of them.

    Raises
    ------
    DataError
        When it cannot be read, or a CSV has no such column.
    """
    try:
        with open(file, newline="", encoding="utf-8-sig") as handle:
            if file.suffix.lower() != ".csv":
                return handle.read().splitlines()
            reader = csv.DictReader(handle)
            column = find_column(reader.fieldnames or (), TEXT_COLUMNS)
            if column is None:
                raise DataError(f"{file} needs a column {' or '.join(TEXT_COLUMNS)}.")
            return [row[column] or "" for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise cannot_read(file, error, "a list of prompts or a CSV of them") from error


def own_prompts(folder: PairsFolder, split: str, asked: Sequence[Pair]) -> list[str]:
    """The texts of a split, without those of the `asked` pictures; DataError if none are left."""
    names = {pair.name for pair in asked}
    pairs = folder.select(split if has_splits(folder) else None)
    prompts = [text for pair in pairs if pair.name not in names for text in pair.texts]
    if not prompts:
        raise DataError(f"{folder.path} leaves no texts for a bank. Name a file of prompts with --prompts.")
    return prompts


def look_at(
    pipeline: Pipeline, folder: PairsFolder, pairs: Sequence[Pair], progress: bool = False
) -> np.ndarray:
    """(N, D) unit vectors of the pairs' pictures in the engine's joint space."""
    seen = encode_pairs(pipeline, folder, pairs, progress)
    return np.concatenate([pipeline.engine.embed_images(features) for features in seen])


def score(name: str, vectors: np.ndarray, truth: np.ndarray) -> Row:
    """Mean cosine of (N, 384) vectors with the truth (N, 384), and its 95 % bootstrap interval."""
    ids = [str(row) for row in range(len(truth))]
    scored = competition.score(competition.Embeddings(ids, vectors), competition.Embeddings(ids, truth))
    return Row(name, scored.mean, *scored.interval)


def compare(members: Mapping[str, np.ndarray], truth: np.ndarray, tuned: int) -> Comparison:
    """Tune weights on the first pictures, and report on the rest.

    Parameters
    ----------
    members : name → (N, 384) predictions
    truth : (N, 384) embeddings of the texts
    tuned : number of pictures for tuning, 2 ≤ tuned < N

    Returns
    -------
    A row for each member, for equal weights, for the default weights if there are two members, and
    for the tuned weights; and the gain over the member that is best on the pictures reported on.
    """
    vectors = list(members.values())
    tuning = tune([member[:tuned] for member in vectors], truth[:tuned])
    mixes = {"equal weights": (1 / len(vectors),) * len(vectors)}
    if len(vectors) == len(DEFAULT):
        mixes["default weights"] = DEFAULT
    mixes["tuned weights"] = tuning.weights
    judged = [member[tuned:] for member in vectors]
    rows = [score(name, member, truth[tuned:]) for name, member in zip(members, judged, strict=True)]
    best = max(rows, key=lambda row: row.cosine)
    gains = competition.cosines(combine(judged, tuning.weights), truth[tuned:]) - competition.cosines(
        members[best.name][tuned:], truth[tuned:]
    )
    gain = Row(best.name, float(gains.mean()), *competition.interval(gains))
    for name, weights in mixes.items():
        shown = " ".join(f"{weight:.2f}" for weight in weights)
        rows.append(score(f"{name} ({shown})", combine(judged, weights), truth[tuned:]))
    return Comparison(dict(zip(members, tuning.weights, strict=True)), rows, gain)


class Predictor:
    """Predicts the embeddings of the pictures of pairs, by any source of an ensemble's member.

    Parameters
    ----------
    folder, pairs : the pictures
    device : where networks run
    mirror : average regressors' answers for each picture and its mirror image
    """

    def __init__(
        self,
        folder: PairsFolder,
        pairs: Sequence[Pair],
        device: str = "auto",
        mirror: bool = False,
        progress: bool = False,
    ):
        self.folder, self.pairs, self.device = folder, pairs, device
        self.mirror, self.progress = mirror, progress

    def __call__(self, source: str) -> np.ndarray:
        """(N, 384) embeddings of the N pairs' pictures.

        Parameters
        ----------
        source : in one of the forms that `img2prompt.ensemble.recipe` lists

        Raises
        ------
        ConfigError
            When it has none of these forms.
        DataError
            When it lacks pictures or is damaged.
        WeightsError
            When it has no regressor, or weights are missing or damaged.
        """
        kind, engine, path = parse_source(source)
        if kind == "prompt":
            return self._prompts(engine)
        if kind == "regression":
            return self._regressions(engine)
        if kind == "submission":
            return competition.read_submission(path).aligned(self._ids(), source)
        if kind == "arrays":
            return read_npz(path).aligned(self._ids(), source)
        return self._neighbours(PromptBank(path)) if kind == "bank" else self._trained(path)

    def _ids(self) -> list[str]:
        return [Path(pair.name).stem for pair in self.pairs]

    def _load(self, engine: str, ratio: float | None = None) -> Pipeline:
        return load_pipeline(engine=engine, device=self.device, ratio=ratio)

    def _regressions(self, engine: str) -> np.ndarray:
        pipeline, regressed = self._load(engine), []
        for features in encode_pairs(pipeline, self.folder, self.pairs, self.progress):
            vectors = pipeline.engine.regress(features)
            if vectors is None:
                raise WeightsError(f"The {engine} engine has no trained regressor. Set IMG2PROMPT_REGRESSOR.")
            regressed.append(vectors)
        return np.concatenate(regressed)

    def _prompts(self, engine: str) -> np.ndarray:
        pipeline = self._load(engine, ratio=1.0)  # the prompt's embedding alone
        embeddings = []
        for batch in self._batches("Describing"):
            results = pipeline([open_picture(pipeline, self.folder, pair.name) for pair in batch])
            embeddings += [result.embedding for result in results]
        return np.stack(embeddings)

    def _neighbours(self, bank: PromptBank) -> np.ndarray:
        pipeline = self._load(bank.config.engine)
        bank.check(pipeline.engine)
        return bank.predict(look_at(pipeline, self.folder, self.pairs, self.progress))

    def _trained(self, path: Path) -> np.ndarray:
        from img2prompt.engines.full.parts import load_regressor
        from img2prompt.engines.registry import find_device
        from img2prompt.images import open_image

        regressor = load_regressor(path, find_device(self.device), "auto", BATCH, self.mirror)
        regressed = []
        for batch in self._batches("Regressing"):
            images = [open_image(self.folder.read(pair.name)) for pair in batch]
            regressed.append(regressor.regress([regressor.prepare(image) for image in images]))
        return np.concatenate(regressed)

    def _batches(self, what: str) -> Iterator[Sequence[Pair]]:
        starts = range(0, len(self.pairs), BATCH)
        for start in tqdm(starts, desc=what, disable=not self.progress):
            yield self.pairs[start : start + BATCH]


def read_npz(file: Path) -> competition.Embeddings:
    """Read the arrays ``ids`` and ``embeddings`` that `img2prompt embed` wrote.

    Raises
    ------
    DataError
        When the file cannot be read or lacks one of them.
    """
    try:
        with np.load(file) as arrays:
            return competition.Embeddings(arrays["ids"].tolist(), arrays["embeddings"])
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, BadZipFile) as error:
        raise DataError(
            f"{file} holds no arrays ids and embeddings ({reason(error)}). Make it with img2prompt embed."
        ) from error
