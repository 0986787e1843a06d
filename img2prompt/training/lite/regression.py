"""Stage 3: a second head, the regressor, which predicts the mean embedding of a picture's captions.

The joint stage's locator must also tell pictures apart, which pulls its vectors away from what
captions have in common. The regressor is trained on the finished tower's pooled features with
the cosine loss alone, and mixup (Zhang et al., ICLR 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from img2prompt.training.lite.joint import Data, JointModel, look_at_all
from img2prompt.training.lite.net.heads import Regressor
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
    views: int = 4  # of each picture, the first of them plain
    pictures: int = 24_000  # of each source, at most
    shares: tuple[float, ...] = (
        1.0,
        0.3,
    )  # weight of a picture of each source; five captions tell more than one
    seed: int = 4


def train(model: JointModel, data: Data, config: ReadoutConfig) -> Regressor:
    """Train the head on Flickr8k and COCO."""
    device = data.pictures.device
    torch.manual_seed(config.seed)
    rows = torch.cat([of[: config.pictures] for of in data.rows[: len(config.shares)]])
    shares = torch.tensor(config.shares, device=device)[data.source[rows].long()]
    x = torch.cat([look_at_all(model, data, rows, augmented=number > 0) for number in range(config.views)])
    y, weight = data.means[rows].repeat(config.views, 1), shares.repeat(config.views)
    generator = np.random.default_rng(config.seed)
    head = Regressor(x.shape[1], config.hidden, config.dropout).train().to(device)
    head.standardise(x)
    steps = config.epochs * (len(x) // config.batch)
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.rate, total_steps=steps, pct_start=0.05)
    batches = Shuffle(len(x), config.batch, config.seed)
    for _ in tqdm(range(steps), desc="readout", mininterval=5):
        chosen = torch.tensor(batches(), device=device)
        share, other = (
            float(generator.beta(config.mixup, config.mixup)),
            torch.randperm(len(chosen), device=device),
        )
        predicted = head(share * x[chosen] + (1 - share) * x[chosen][other])
        target, w = y[chosen], weight[chosen]
        closeness = share * w * (predicted * target).sum(1) + (1 - share) * w[other] * (
            predicted * target[other]
        ).sum(1)
        optimizer.zero_grad(set_to_none=True)
        (-closeness.mean()).backward()
        optimizer.step()
        schedule.step()
    return head.eval()
