"""Stage 3: a second head, the regressor, which predicts the mean embedding of a picture's captions.

The joint stage's locator must also tell pictures apart, which pulls its vectors away from what
captions have in common. The regressor is trained on the finished tower's pooled features with
the cosine loss alone, and mixup (Zhang et al., ICLR 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from img2prompt.engines.lite.heads import Regressor, pool
from img2prompt.files import replacing_path
from img2prompt.training.lite.corpus import Corpus
from img2prompt.training.lite.joint import JointModel
from img2prompt.training.schedule import Shuffle


@dataclass(frozen=True)
class ReadoutConfig:
    """Hyper-parameters of stage 3."""

    epochs: int = 14
    batch: int = 512
    rate: float = 1e-3
    weight_decay: float = 0.1
    hidden: int = 512
    dropout: float = 0.4
    mixup: float = 0.3  # both parameters of the beta distribution
    pictures: int = 24_000  # of each source, at most
    shares: tuple[float, ...] = (
        1.0,
        0.3,
    )  # weight of a picture of each source; five captions tell more than one
    seed: int = 4


@torch.inference_mode()
def pooled(model: JointModel, corpus: Corpus, view: int, limit: int) -> Tensor:
    """Pooled features of the first `limit` pictures: (pictures, 1280 + width) float32."""
    rows = []
    for start in tqdm(range(0, min(len(corpus), limit), 64), desc=f"pooling view {view}"):
        indices = list(range(start, min(start + 64, len(corpus), limit)))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            grid, memory = model.look(corpus.features(indices, view))
        rows.append(pool(grid, memory))
    return torch.cat(rows)


def collect(model: JointModel, corpora: list[Corpus], config: ReadoutConfig) -> dict[str, Tensor]:
    """Features ``x``, targets ``y`` and weights ``weight`` of every picture and view."""
    features, targets, weights = [], [], []
    for corpus, share in zip(corpora, config.shares, strict=True):
        means = corpus.means()
        for view in range(len(corpus.views)):
            features.append(pooled(model, corpus, view, config.pictures))
            targets.append(means[: len(features[-1])])
            weights.append(torch.full((len(features[-1]),), share))
    return {"x": torch.cat(features), "y": torch.cat(targets), "weight": torch.cat(weights)}


def train(model: JointModel, corpora: list[Corpus], config: ReadoutConfig, folder: Path) -> Regressor:
    """Train the head; its input features are cached in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    cache = folder / "pooled.safetensors"
    if not cache.exists():
        data = collect(model.eval(), corpora, config)
        with replacing_path(cache, durable=False) as part:
            save_file(data, part)
    data = load_file(cache)
    x, y, weight = data["x"], data["y"], data["weight"]
    torch.manual_seed(config.seed)
    generator = np.random.default_rng(config.seed)
    head = Regressor(x.shape[1], config.hidden, config.dropout).train()
    head.standardise(x)
    steps = config.epochs * (len(x) // config.batch)
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.rate, total_steps=steps, pct_start=0.05)
    batches = Shuffle(len(x), config.batch, config.seed)
    for _ in tqdm(range(steps), desc="readout"):
        chosen = batches()
        share, other = float(generator.beta(config.mixup, config.mixup)), torch.randperm(len(chosen))
        mixed = share * x[chosen] + (1 - share) * x[chosen][other]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            predicted = head(mixed)
        target, w = y[chosen], weight[chosen]
        closeness = share * w * (predicted * target).sum(1) + (1 - share) * w[other] * (
            predicted * target[other]
        ).sum(1)
        optimizer.zero_grad(set_to_none=True)
        (-closeness.mean()).backward()
        optimizer.step()
        schedule.step()
    return head.eval()
