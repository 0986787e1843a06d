"""Last heads: which pictures machines made, and the embeddings of their prompts. Both are linear.

The prompts of one source resemble each other, and so do its pictures. So the strength is chosen on
sources left out, and a source counts by the square root of its rows.

Photos at hand are smaller than generated pictures, and a gate that is shown both as they are learns to
tell sharp from coarse. Directions along which larger photos change when they are stored smaller are
therefore taken out of the features (nuisance attribute projection, Solomonoff et al., 2005).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.embeddings import cosines, unit
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.lite.net.generated import Generated

STRENGTHS = (4.0, 8.0, 16.0, 32.0)  # of the regression
SHARE = 0.5  # weight of what the heads for captions say
SAME_PROMPT = 2  # pictures of one prompt that are learned from
MOST_ROWS = 350  # of one source
LEAST_ROWS = 40  # of a source that the strength is chosen on
PHOTOS = ("flickr8k", "coco40k", "gaps")  # their dev parts
MOST_PHOTOS = 1000  # of each folder
GREY_PHOTOS = 300  # that are also learned from without colour
LARGER_PHOTOS = "coco_val"
VARIED = 110  # of these, that are also looked at smaller
NUISANCES = 32  # directions taken out
MISTAKEN = 0.05  # share of unseen photos to which the gate gives more than 0.5
FOLDS = 5  # of sources, to see which photos the gate mistakes
GATE_STRENGTH = 0.001  # inverse strength of its penalty


@dataclass(frozen=True)
class Row:
    """A generated picture."""

    image: str
    text: str
    source: str
    is_prompt: bool  # or only a style


@dataclass(frozen=True)
class Seen:
    """What the finished tower sees of N pictures, see `Generated.forward`."""

    looks: np.ndarray  # (N, 1872)
    captioned: np.ndarray  # (N, 384)


Look = Callable[[Sequence[Image.Image]], Seen]


def read_rows(folder: PairsFolder) -> list[Row]:
    """The rows of ``prompts.csv`` that are for training."""
    return [
        Row(pair.name, pair.texts[0], pair.notes["source"], pair.notes["kind"] == "prompt")
        for pair in folder.select("train")
    ]


def read_pictures(folder: PairsFolder, names: Sequence[str]) -> list[Image.Image]:
    """These RGB pictures of the folder."""
    return [_open(folder.read(name)) for name in names]


def train(data: Path, look: Look, sentences: SentenceEncoder) -> tuple[Generated, dict[str, Any]]:
    """Fit both heads on ``ai_pairs``, and the gate on photos besides; see `fit`.

    Parameters
    ----------
    data : folder with ``ai_pairs``, ``flickr8k``, ``coco40k``, ``gaps`` and ``coco_val``
    look : the finished tower and its heads
    sentences : embeds the prompts
    """
    made = PairsFolder(data / "ai_pairs")
    rows = read_rows(made)
    pictures, places = read_pictures(made, [row.image for row in rows]), []
    for name in PHOTOS:
        folder = PairsFolder(data / name)
        photos = read_pictures(folder, [pair.name for pair in folder.select("dev", MOST_PHOTOS)])
        pictures += photos
        places += [name] * len(photos)
    greys = np.random.default_rng(2).permutation(len(places))[:GREY_PHOTOS] + len(rows)
    pictures += [pictures[i].convert("L").convert("RGB") for i in greys]
    places += ["grey"] * len(greys)
    larger = PairsFolder(data / LARGER_PHOTOS)
    varied = read_pictures(larger, [pair.name for pair in larger.pairs[:VARIED]])
    as_they_are = look(varied).looks
    views = zip(*map(coarser, varied), strict=True)
    changes = np.concatenate([look(view).looks - as_they_are for view in views])
    vectors = sentences.encode([row.text for row in rows], progress=True)
    return fit(rows, places, look(pictures), vectors, changes)


def fit(
    rows: Sequence[Row], places: Sequence[str], seen: Seen, vectors: np.ndarray, changes: np.ndarray
) -> tuple[Generated, dict[str, Any]]:
    """Fit both heads.

    Parameters
    ----------
    rows : the N generated pictures
    places : where each of M photos is from
    seen : of the N + M pictures, in this order
    vectors : (N, 384) embeddings of the rows' texts
    changes : (K, 1872) what a picture's looks change by when it is stored otherwise

    Returns
    -------
    The heads, and what was measured on sources left out: ``strengths``, the mean cosine of prompt and
    prediction for each strength, over sources; ``cosines``, by source, for the best; ``gate``, the share
    of each source's pictures called generated
    """
    made = np.arange(len(seen.looks)) < len(rows)
    sources = np.array([*(row.source for row in rows), *places])
    net = Generated()
    mean, deviation = seen.looks.mean(0), seen.looks.std(0) + 1e-3
    net.mean, net.deviation = torch.from_numpy(mean), torch.from_numpy(deviation)
    z = net.standardise(torch.from_numpy(seen.looks)).numpy()

    learned = thin(rows)
    x, y, groups, captioned = z[learned], vectors[learned], sources[learned], seen.captioned[learned]
    scores = {strength: left_out(x, y, groups, captioned, strength) for strength in STRENGTHS}
    means = {strength: float(np.mean(list(found.values()))) for strength, found in scores.items()}
    best = max(means, key=lambda strength: means[strength])
    weight, bias = ridge(x, y, balance(groups), best)
    # predictions vary mostly in a few directions
    main = np.linalg.svd(x @ weight, full_matrices=False)[2][: net.down.out_features].T
    gate, gate_bias, told = fit_gate(z, made, sources, nuisances(changes / deviation))
    with torch.no_grad():
        net.share.fill_(SHARE)
        net.down.weight[: main.shape[1]] = torch.from_numpy((weight @ main).T)
        net.up.weight[:, : main.shape[1]] = torch.from_numpy(main)
        net.up.bias.copy_(torch.from_numpy(bias))
        net.gate.weight.copy_(torch.from_numpy(gate[None]))
        net.gate.bias.fill_(gate_bias)
    strengths = {f"{strength:g}": round(score, 4) for strength, score in means.items()}
    return net.eval(), {"strengths": strengths, "cosines": scores[best], "gate": told}


def balance(sources: np.ndarray) -> np.ndarray:
    """(N,) weights with mean 1, by which a source counts by the square root of its rows."""
    _, own, counts = np.unique(sources, return_inverse=True, return_counts=True)
    weights = counts[own] ** -0.5
    return (weights / weights.mean()).astype(np.float32)


def thin(rows: Sequence[Row], seed: int = 0) -> np.ndarray:
    """Places of the rows to learn prompts from: not too many of a source, nor of a prompt."""
    prompts: dict[tuple[str, str], int] = {}
    sources: dict[str, int] = {}
    chosen = []
    for i in np.random.default_rng(seed).permutation(len(rows)):
        row = rows[i]
        key = row.source, row.text
        if row.is_prompt and prompts.get(key, 0) < SAME_PROMPT and sources.get(row.source, 0) < MOST_ROWS:
            prompts[key] = prompts.get(key, 0) + 1
            sources[row.source] = sources.get(row.source, 0) + 1
            chosen.append(i)
    return np.sort(chosen)


def ridge(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted ridge regression of y (N, 384) on standardised x (N, F), in the dual form since N < F.

    Returns
    -------
    (F, 384) and (384,): `x` times the first plus the second is the prediction
    """
    mean = np.average(y, axis=0, weights=weights)
    gram = x @ x.T / x.shape[1]
    gram[np.diag_indices_from(gram)] += strength / weights
    return x.T @ np.linalg.solve(gram, y - mean) / x.shape[1], mean


def left_out(
    x: np.ndarray, y: np.ndarray, sources: np.ndarray, captioned: np.ndarray, strength: float
) -> dict[str, float]:
    """Source → mean cosine of its prompts with what is predicted from the other sources."""
    scores = {}
    for source in np.unique(sources):
        left = sources == source
        if left.sum() < LEAST_ROWS:
            continue
        weight, bias = ridge(x[~left], y[~left], balance(sources[~left]), strength)
        found = x[left] @ weight + bias + SHARE * captioned[left]
        scores[str(source)] = round(float(cosines(unit(found), y[left]).mean()), 4)
    return scores


def coarser(image: Image.Image) -> list[Image.Image]:
    """The picture as it might have been stored: smaller, much smaller, smaller and compressed."""
    small = _shrunk(image, 192)
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=50)
    return [small, _shrunk(image, 150), _open(buffer.getvalue())]


def nuisances(changes: np.ndarray) -> np.ndarray:
    """(F, 32) orthonormal directions in which changes (K, F) are largest."""
    return np.linalg.svd(changes, full_matrices=False)[2][:NUISANCES].T


def fit_gate(
    z: np.ndarray, made: np.ndarray, sources: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, float, dict[str, float]]:
    """Logistic regression that ignores some directions, moved so that photos are hardly ever called generated.

    Parameters
    ----------
    z : (N, F) standardised features
    made : (N,) True for generated pictures, False for photos
    sources : (N,) where each picture is from
    directions : (F, K) orthonormal, see `nuisances`

    Returns
    -------
    (F,) weights and bias of the logit; source → share of its pictures that a gate which has not seen
    the source calls generated
    """
    x = z - z @ directions @ directions.T
    weights = balance(sources)
    for kind in (True, False):
        weights[made == kind] *= len(z) / 2 / weights[made == kind].sum()

    def fitted(rows: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=GATE_STRENGTH, max_iter=100, tol=1e-3).fit(
            x[rows], made[rows], weights[rows]
        )

    scores, folds = np.zeros(len(z)), np.unique(sources, return_inverse=True)[1] % FOLDS
    for fold in range(FOLDS):
        left = folds == fold
        if not left.any():
            continue
        scores[left] = fitted(~left).decision_function(x[left])
    threshold = float(np.quantile(scores[~made], 1 - MISTAKEN))
    told = {str(s): round(float((scores[sources == s] > threshold).mean()), 4) for s in np.unique(sources)}
    whole = fitted(np.ones(len(z), bool))
    weight = whole.coef_[0]
    return weight - directions @ (directions.T @ weight), float(whole.intercept_[0]) - threshold, told


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    """The picture with its short side at most this long."""
    share = side / min(image.size)
    if share >= 1:
        return image
    return image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS)


def _open(encoded: bytes) -> Image.Image:
    return Image.open(BytesIO(encoded)).convert("RGB")
