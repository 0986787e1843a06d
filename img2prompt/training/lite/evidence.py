"""Stage 4: what captions mention, learned once more from the finished tower's features.

Labelled photos also teach wider words here (``kinds.txt``): what a potato is called differs from one
collection to the next, but that it is a vegetable holds in all of them. Old and new weights are averaged
(Wortsman et al., *Robust fine-tuning of zero-shot models*, CVPR 2022), since new ones alone know less of
pictures that are like none of these; only the wider words, of which the old ones know less, are all new.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from img2prompt.training.lite.joint import Data, JointModel, look_at_all, of_labels, of_words
from img2prompt.training.lite.net.heads import pool_more
from img2prompt.training.schedule import Batches, warm_cosine


@dataclass(frozen=True)
class EvidenceConfig:
    """Hyper-parameters of stage 4."""

    epochs: float = 8
    images: tuple[int, ...] = (64, 192, 96)  # pictures of each source in a batch; generated ones tell nothing
    pictures: int = 12_000  # of each source, at most
    rate: float = 4e-4
    warmup: int = 60
    weight_decay: float = 0.01
    dropout: float = 0.5
    words: float = 0.03  # weight of the words' loss
    labels: float = 0.2
    average: float = 0.99  # decay of the weights' running mean
    new: float = 0.7  # share of the new weights in the end
    seed: int = 3


def train(model: JointModel, data: Data, wider: list[int], config: EvidenceConfig) -> None:
    """Train the words and labels of the model's evidence, in place.

    Parameters
    ----------
    wider : places of the wider words among those that are looked for
    """
    device = data.pictures.device
    torch.manual_seed(config.seed)
    rows = [of[: config.pictures] for of in data.rows[: len(config.images)]]
    seen = [look_at_all(model, data, of, augmented=False, pooling=pool_more) for of in rows]
    old = copy.deepcopy(model.evidence.layers.state_dict())
    layers = model.evidence.layers.requires_grad_(True).train()
    for module in layers.modules():
        if isinstance(module, nn.Dropout):
            module.p = config.dropout
    optimizer = torch.optim.AdamW(
        layers.parameters(), lr=config.rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
    )
    average = AveragedModel(layers, multi_avg_fn=get_ema_multi_avg_fn(config.average))
    batches = Batches([len(of) for of in rows], config.images, config.seed, 0)
    steps = int(config.epochs * sum(map(len, rows)) / sum(config.images))
    for step in tqdm(range(steps), desc="evidence", mininterval=5):
        for group in optimizer.param_groups:
            group["lr"] = config.rate * warm_cosine(step, steps, config.warmup)
        drawn = [torch.tensor(b, dtype=torch.long, device=device) for b in batches()]
        chosen = torch.cat([of[b] for of, b in zip(rows, drawn, strict=True)])
        words, labels = model.evidence.mentions(torch.cat([x[b] for x, b in zip(seen, drawn, strict=True)]))
        loss = config.words * of_words(words, data.words[chosen].float())
        loss = loss + config.labels * of_labels(labels, data.label[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(layers.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(layers)
    new = average.module.state_dict()
    for name, value in old.items():
        mixed = value.lerp(new[name], config.new)
        if len(value) == sum(model.evidence.sizes):
            mixed[wider] = new[name][wider]
        new[name] = mixed
    layers.load_state_dict(new)
    layers.eval()
