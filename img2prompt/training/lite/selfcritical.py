"""Stage 2: the decoder learns from the CIDEr of its own captions.

Self-critical sequence training (Rennie et al., CVPR 2017) with several samples for each
picture, each compared with the mean of the others (Luo, *A Better Variant of Self-Critical
Sequence Training*, 2020). The tail and the encoder stay fixed, because the locator uses them
too. The result is a blend of the weights before and after (Wortsman et al., *WiSE-FT*, CVPR
2022), because the reward alone makes captions short and plain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from img2prompt.engines.lite.captioner import BOS, PAD, repeat
from img2prompt.training import checkpoint
from img2prompt.training.lite.cider import CiderD
from img2prompt.training.lite.corpus import Corpus
from img2prompt.training.lite.joint import JointModel
from img2prompt.training.schedule import Batches, warm_cosine


@dataclass(frozen=True)
class SelfCriticalConfig:
    """Hyper-parameters of stage 2."""

    steps: int = 160
    images: tuple[int, ...] = (56,)  # pictures of each corpus in a batch
    samples: int = 5
    words: int = 18  # longer samples are cut, and get less reward as they lack EOS
    rate: float = 4e-5
    warmup: int = 20
    hide: float = 0.15  # share of grid cells hidden from the captioner, which knows these photos too well
    share: float = 0.6  # share of the trained weights in the final ones; the rest is from before
    seed: int = 2
    save_every: int = 40


def frozen_names() -> tuple[str, ...]:
    """Names of the captioner's parts that stay fixed: all that compute the memory."""
    return ("project", "cells", "summary", "encoder", "memory_norm")


def train(model: JointModel, corpora: list[Corpus], config: SelfCriticalConfig, folder: Path) -> None:
    """Train the decoder in place; goes on from the last checkpoint in `folder`."""
    captioner = model.captioner
    length = min(config.words, captioner.config.max_words)
    before = {name: value.clone() for name, value in captioner.state_dict().items()}
    for name, parameter in captioner.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen_names()))
    learning = [p for p in captioner.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=config.rate, weight_decay=0.0, betas=(0.9, 0.98))
    rewards = [CiderD([[t[1:].tolist() for t in tokens] for tokens in corpus.tokens]) for corpus in corpora]
    start = checkpoint.load(folder, captioner, optimizer)
    batches = Batches([len(corpus) for corpus in corpora], config.images, config.seed, start)
    torch.manual_seed(config.seed + start)
    model.eval()  # no dropout: what is judged must be what was sampled
    mean = 0.0
    with tqdm(total=config.steps, initial=start, desc="self-critical") as bar:
        for step in range(start, config.steps):
            optimizer.param_groups[0]["lr"] = config.rate * warm_cosine(step, config.steps, config.warmup)
            indices = batches()
            chosen = [(which, index) for which, batch in enumerate(indices) for index in batch]
            features = [corpus.features(batch) for corpus, batch in zip(corpora, indices, strict=True)]
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                memory = model.look(torch.cat(features), config.hide)[1]
                sampled = captioner.sample(memory, config.samples, length)
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
                pictures = repeat(captioner.prepare(memory), config.samples)
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
    checkpoint.blend(captioner, before, config.share)
