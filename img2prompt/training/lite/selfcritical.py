"""Stage 2: the decoder learns from the CIDEr of its own captions.

Self-critical sequence training (Rennie et al., CVPR 2017) with several samples for each
picture, each compared with the mean of the others (Luo, *A Better Variant of Self-Critical
Sequence Training*, 2020). The tail and the encoder stay fixed, because the locator uses them
too. The result is a blend of the weights before and after (Wortsman et al., *WiSE-FT*, CVPR
2022), because the reward alone makes captions short and plain.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from img2prompt.engines.lite.search import NOBODY, PAD, SOMEBODY
from img2prompt.training import checkpoint
from img2prompt.training.lite.cider import CiderD
from img2prompt.training.lite.examples import Examples
from img2prompt.training.lite.joint import Data, JointModel
from img2prompt.training.lite.net.captioner import MEMORY_PARTS, repeat
from img2prompt.training.lite.pictures import view
from img2prompt.training.schedule import Batches, warm_cosine

SOURCES = (0, 1)  # Flickr8k and COCO: captions that people wrote


@dataclass(frozen=True)
class SelfCriticalConfig:
    """Hyper-parameters of stage 2."""

    steps: int = 300
    images: tuple[int, ...] = (96, 48)  # pictures of each source in a batch
    references: int = 3  # captions that a picture must have
    samples: int = 5
    words: int = 18  # longer samples are cut, and get less reward as they lack EOS
    rate: float = 5e-5
    warmup: int = 20
    hide: float = 0.15  # share of grid cells hidden from the captioner, which knows these photos too well
    share: float = 0.6  # share of the trained weights in the final ones; the rest is from before
    seed: int = 2
    save_every: int = 100


class Judge:
    """Scores samples in other processes; they hold the references."""

    reward: CiderD

    def __init__(self, examples: Examples, rows: list[int], processes: int):
        references = [
            examples.tokens[examples.first[row] : examples.first[row + 1], 1:].tolist() for row in rows
        ]
        self.number = {row: i for i, row in enumerate(rows)}
        context = multiprocessing.get_context("spawn")  # a copy of a process with a GPU would not do
        self.pool = ProcessPoolExecutor(processes, context, initializer=_prepare, initargs=(references,))

    def __call__(self, rows: list[int], sampled: list[list[int]], samples: int) -> Tensor:
        """(len(rows), samples) rewards."""
        jobs = [(self.number[row], sampled[i * samples : (i + 1) * samples]) for i, row in enumerate(rows)]
        return torch.tensor(list(self.pool.map(_score, jobs, chunksize=8)))


def _prepare(references: list[list[list[int]]]) -> None:
    Judge.reward = CiderD(references)


def _score(job: tuple[int, list[list[int]]]) -> list[float]:
    picture, captions = job
    return [Judge.reward(picture, caption) for caption in captions]


def learnable(examples: Examples, config: SelfCriticalConfig) -> list[int]:
    """The rows of pictures with enough references."""
    return [
        row
        for row in range(len(examples))
        if examples.source[row] in SOURCES
        and examples.first[row + 1] - examples.first[row] >= config.references
    ]


def train(
    model: JointModel,
    examples: Examples,
    data: Data,
    judge: Callable[[list[int], list[list[int]], int], Tensor],
    config: SelfCriticalConfig,
    folder: Path,
) -> None:
    """Train the decoder in place; goes on from the last checkpoint in `folder`."""
    captioner, device = model.captioner, data.pictures.device
    length = min(config.words, captioner.config.max_words)
    before = {name: value.clone() for name, value in captioner.state_dict().items()}
    for name, parameter in captioner.named_parameters():
        parameter.requires_grad_(not name.startswith(MEMORY_PARTS))
    learning = [p for p in captioner.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=config.rate, weight_decay=0.0, betas=(0.9, 0.98))
    rows = learnable(examples, config)
    of_source = [
        torch.tensor([row for row in rows if examples.source[row] == source], dtype=torch.long)
        for source in SOURCES
    ]
    start = checkpoint.load(folder, captioner, optimizer)
    batches = Batches([len(of) for of in of_source], config.images, config.seed, start)
    torch.manual_seed(config.seed + start)
    model.eval()  # no dropout: what is judged must be what was sampled
    mean = 0.0
    with tqdm(total=config.steps, initial=start, desc="self-critical", mininterval=5) as bar:
        for step in range(start, config.steps):
            optimizer.param_groups[0]["lr"] = config.rate * warm_cosine(step, config.steps, config.warmup)
            chosen = torch.cat(
                [
                    of[torch.tensor(batch, dtype=torch.long)]
                    for of, batch in zip(of_source, batches(), strict=True)
                ]
            ).to(device)
            starts = torch.where(data.people[chosen, 0] > 0.5, NOBODY, SOMEBODY)
            with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16):
                memory = model.look(view(data.pictures[chosen], data.sided[chosen]), config.hide)[1]
                sampled = captioner.sample(memory, starts, config.samples, length)
            scores = judge(chosen.tolist(), sampled.tolist(), config.samples).to(device)
            baseline = (scores.sum(1, keepdim=True) - scores) / (config.samples - 1)
            advantage = (scores - baseline).flatten()
            width = int((sampled != PAD).sum(1).max())
            target = sampled[:, :width]
            begin = starts.repeat_interleave(config.samples)[:, None]
            with torch.autocast(device.type, dtype=torch.bfloat16):
                pictures = repeat(captioner.prepare(memory), config.samples)
                logits, _ = captioner.decode(torch.cat([begin, target[:, :-1]], dim=1), pictures)
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
