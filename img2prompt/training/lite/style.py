"""Stage 4: a linear head that predicts a description of how a picture looks, not of what it shows.

Its input is the mean and deviation of every channel after each trunk stage (the texture
statistics of Gatys et al., 2016, without their cross terms) and the pooled ImageNet features.
Its output is the MiniLM vector of the style's description. It is fitted by ridge regression in
closed form; answers stay within the principal directions of descriptions of style, and the
strength is chosen by cross-validation on the training styles. Descriptions name subjects too
("robots", "mythological themes"), so the engine adds a little of what the picture shows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.evaluation.styles import held_out
from img2prompt.labels.tables import read_labels
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.augment import augment
from img2prompt.training.lite.joint import JointModel, Knowledge
from img2prompt.training.lite.net.heads import pool
from img2prompt.training.lite.net.tower import trunk_statistics
from img2prompt.training.lite.pictures import stack

PHOTO = "a photo, photorealism, photography"
GREY_PHOTO = "a black and white photo, monochrome photography"
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
PHOTO_WEIGHT, GREY_WEIGHT = 80.0, 15.0  # of all photos of a kind together; one styled picture weighs 1
COPIES = 4  # augmented copies of each styled picture
DIRECTIONS = 80  # of MiniLM space that the head may answer in
SUBJECT_SHARE = 0.4  # weight of what the picture shows; how it looks has 1


@dataclass
class StyleHead:
    """A linear map from style features to MiniLM space.

    It predicts how a style differs from the mean of all drawn styles. With the mean left in,
    descriptions close to it would be near every picture.
    """

    mean: np.ndarray  # (F,) of the features
    deviation: np.ndarray  # (F,)
    weight: np.ndarray  # (F, 384)
    bias: np.ndarray  # (384,)
    subject_mean: np.ndarray  # (384,) mean of `subjects` over the drawn styles


@torch.inference_mode()
def style_features(images: list[Image.Image], knowledge: Knowledge) -> np.ndarray:
    """(N, F) float32 style features of RGB pictures."""
    rows = []
    for start in range(0, len(images), 32):
        pixels = stack(images[start : start + 32])
        x, statistics = trunk_statistics(knowledge.trunk, pixels)
        rows.append(torch.cat([statistics, knowledge.tail(x).mean((2, 3))], dim=1).numpy())
    return np.concatenate(rows)


@torch.inference_mode()
def subjects(images: list[Image.Image], model: JointModel) -> np.ndarray:
    """(N, 384) what RGB pictures show: the sum of located vector and class names' vector."""
    rows = []
    for start in range(0, len(images), 32):
        pixels = stack(images[start : start + 32])
        named = model.knowledge(pixels)[2]
        rows.append((model.locator(pool(*model.look(pixels))) + named).numpy())
    return np.concatenate(rows)


def main_directions(vectors: np.ndarray, count: int) -> np.ndarray:
    """(384, 384) projection on the principal components of these vectors."""
    components = np.linalg.eigh(np.cov(vectors.T))[1][:, -count:]
    return components @ components.T


def ridge(
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    drawn: np.ndarray,
    strength: float,
    directions: np.ndarray,
    subject_mean: np.ndarray,
) -> StyleHead:
    """Weighted ridge regression of y (N, 384) on x (N, F), in the dual form since N < F.

    Parameters
    ----------
    weights : (N,) of the rows
    drawn : (N,) True for styled pictures, whose mean target is subtracted from the answers; False for photos
    strength : of the ridge penalty, in units of the Gram matrix's mean diagonal entry
    directions : (384, 384) projection for the answers, see `main_directions`
    subject_mean : (384,) goes into the head as it is
    """
    share = weights / weights.sum()
    mean = share @ x
    deviation = np.sqrt(share @ (x - mean) ** 2) + 1e-6
    z = (x - mean) / deviation
    root = np.sqrt(weights)[:, None]
    zw, yw = z * root, (y - share @ y) * root
    bias = share @ y - np.average(y[drawn], axis=0, weights=weights[drawn])
    gram = zw @ zw.T
    solved = np.linalg.solve(gram + strength * np.trace(gram) / len(gram) * np.eye(len(gram)), yw)
    return StyleHead(mean, deviation, zw.T @ solved @ directions, bias @ directions, subject_mean)


def predict(head: StyleHead, x: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Style features (N, F) and subjects (N, 384) → style vectors (N, 384) of any length."""
    y = ((x - head.mean) / head.deviation) @ head.weight + head.bias
    look = y / np.linalg.norm(y, axis=1, keepdims=True)
    return look + SUBJECT_SHARE * (subject - head.subject_mean)


def top5(predicted: np.ndarray, texts: np.ndarray, right: np.ndarray) -> float:
    """Share of pictures whose own text is among the five nearest of all texts."""
    scores = predicted @ texts.T  # the predictions' lengths don't matter to the order
    rank = (scores > scores[np.arange(len(right)), right][:, None]).sum(1)
    return float((rank < 5).mean())


def train(
    styles: PairsFolder,
    photos: PairsFolder,
    photo_names: list[str],
    model: JointModel,
    sentences: SentenceEncoder,
) -> tuple[StyleHead, dict[str, float]]:
    """Fit the head on the training styles and on plain photos, in colour and in grey.

    Returns
    -------
    The head, and for each strength tried the cross-validated `top5`
    """

    def read(folder: PairsFolder, name: str) -> Image.Image:
        return Image.open(BytesIO(folder.read(name))).convert("RGB")

    learned = [pair for pair in styles.pairs if not held_out(pair.name)]
    texts = sentences.encode([pair.texts[0] for pair in styles.pairs])
    number = {pair.name: i for i, pair in enumerate(styles.pairs)}
    generator = np.random.default_rng(3)
    images: list[Image.Image] = []
    targets: list[np.ndarray] = []
    weights: list[float] = []
    groups: list[int] = []  # all copies of a picture fall into one fold
    for pair in tqdm(learned, desc="styles"):
        plain = read(styles, pair.name)
        copies = [augment(plain, generator, mirror=k % 2 == 0) for k in range(COPIES)]
        images += [plain, *copies]
        targets += [texts[number[pair.name]]] * (1 + COPIES)
        weights += [1.0 / (1 + COPIES)] * (1 + COPIES)
        groups += [number[pair.name]] * (1 + COPIES)
    photo, grey = sentences.encode([PHOTO, GREY_PHOTO])
    for name in photo_names:
        picture = read(photos, name)
        images += [picture, picture.convert("L").convert("RGB")]
        targets += [photo, grey]
        weights += [PHOTO_WEIGHT / len(photo_names), GREY_WEIGHT / len(photo_names)]
        groups += [-1, -1]
    x, y = style_features(images, model.knowledge), np.stack(targets)
    w, g = np.array(weights), np.array(groups)
    folds = np.array([hashlib.sha256(str(i).encode()).digest()[0] % 5 for i in g])
    right = np.array([number[pair.name] for pair in learned])
    plain_rows = np.arange(0, len(learned) * (1 + COPIES), 1 + COPIES)
    subject = subjects([images[row] for row in plain_rows], model)
    subject_mean = subject.mean(0)
    words = [label for table in ("mediums", "movements") for label in read_labels(table)]
    directions = main_directions(np.concatenate([texts[right], sentences.encode(words)]), DIRECTIONS)

    def fit(kept: np.ndarray, strength: float) -> StyleHead:
        return ridge(x[kept], y[kept], w[kept], g[kept] >= 0, strength, directions, subject_mean)

    scores = {}
    for strength in STRENGTHS:
        predicted = np.zeros((len(learned), y.shape[1]))
        for fold in range(5):
            test = plain_rows[folds[plain_rows] == fold]
            kept = (folds != fold) | (g < 0)
            own = test // (1 + COPIES)
            predicted[own] = predict(fit(kept, strength), x[test], subject[own])
        scores[f"{strength:g}"] = top5(predicted, texts, right)
    best = max(scores, key=lambda s: scores[s])
    return fit(np.ones(len(x), bool), float(best)), scores
