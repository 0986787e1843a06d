"""Stage 2: the decoder learns from the CIDEr of its own captions.

Self-critical sequence training (Rennie et al., CVPR 2017) with several samples a
picture, each judged against the mean of the others (Luo, *A Better Variant of
Self-Critical Sequence Training*, 2020). The tail and the encoder stay fixed, so that
each picture's memory is computed once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from img2prompt.engines.captioner import BOS, PAD, Captioner
from img2prompt.training import checkpoint
from img2prompt.training.cider import CiderD
from img2prompt.training.dataset import Corpus, Shuffle


@dataclass(frozen=True)
class SelfCriticalConfig:
    """Hyper-parameters of stage 2."""

    steps: int = 900
    images: tuple[int, ...] = (32, 32)  # pictures of each corpus in a batch
    samples: int = 5
    rate: float = 5e-5
    warmup: int = 20
    seed: int = 2
    save_every: int = 100


def frozen_names() -> tuple[str, ...]:
    """Parameters of the captioner that this stage leaves alone: all that make the memory."""
    return ("project", "cells", "summary", "encoder", "memory_norm")


def train(
    captioner: Captioner,
    memories: list[list[Tensor]],
    corpora: list[Corpus],
    config: SelfCriticalConfig,
    folder: Path,
) -> None:
    """Train the decoder in place; `memories` has views of (pictures, 50, width) per corpus."""
    for name, parameter in captioner.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen_names()))
    learning = [p for p in captioner.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=config.rate, weight_decay=0.0, betas=(0.9, 0.98))
    rewards = [CiderD([[t[1:].tolist() for t in tokens] for tokens in corpus.tokens]) for corpus in corpora]
    batches = [
        Shuffle(len(c), n, config.seed + i)
        for i, (c, n) in enumerate(zip(corpora, config.images, strict=True))
    ]
    start = checkpoint.load(folder, captioner, optimizer)
    for _ in range(start):
        for batch in batches:
            batch()
    torch.manual_seed(config.seed + start)
    captioner.eval()  # no dropout: what is judged must be what was sampled
    mean = 0.0
    with tqdm(total=config.steps, initial=start, desc="self-critical") as bar:
        for step in range(start, config.steps):
            factor = (
                min(1.0, (step + 1) / config.warmup) * 0.5 * (1 + math.cos(math.pi * step / config.steps))
            )
            optimizer.param_groups[0]["lr"] = config.rate * factor
            chosen, memory = [], []
            for which, batch in enumerate(batches):
                view = int(torch.randint(len(memories[which]), ()))
                for index in batch():
                    chosen.append((which, index))
                    memory.append(memories[which][view][index])
            looked_at = torch.stack(memory).float()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                sampled = captioner.sample(looked_at, config.samples)
            scores = torch.tensor(
                [
                    rewards[which](index, sampled[i * config.samples + j].tolist())
                    for i, (which, index) in enumerate(chosen)
                    for j in range(config.samples)
                ]
            ).view(len(chosen), config.samples)
            baseline = (scores.sum(1, keepdim=True) - scores) / (config.samples - 1)
            advantage = (scores - baseline).flatten()
            width = int((sampled != PAD).sum(1).max())
            target = sampled[:, :width]
            inputs = torch.cat([torch.full((len(target), 1), BOS), target[:, :-1]], dim=1)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                pictures = [
                    (key.repeat_interleave(config.samples, 0), value.repeat_interleave(config.samples, 0))
                    for key, value in captioner.prepare(looked_at)
                ]
                logits, _ = captioner.decode(inputs, pictures)
            logp = torch.nn.functional.cross_entropy(
                captioner.allowed(logits.flatten(0, 1).float()),
                target.flatten().masked_fill(target.flatten() == PAD, -100),
                reduction="none",
            ).view(target.shape)
            written = (target != PAD).float()
            loss = (advantage[:, None] * logp * written).sum() / written.sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            value = float(scores.mean())
            mean = value if step == start else 0.98 * mean + 0.02 * value
            bar.set_postfix(reward=f"{mean:.3f}")
            bar.update()
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                checkpoint.save(folder, captioner, optimizer, step + 1)
    for parameter in captioner.parameters():
        parameter.requires_grad_(True)
