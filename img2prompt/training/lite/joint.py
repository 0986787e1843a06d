"""Stage 1: tail, captioner and locator learn together from cached trunk features.

The captioner's loss is cross-entropy with label smoothing. The locator's is the cosine with the
mean of the picture's caption vectors (MiniLM) and a symmetric contrastive loss (Radford et al.,
*CLIP*, 2021, with a frozen text tower). The tail's depthwise filters and folded batch norms stay
fixed: they are few, and their gradients take most of the time on a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from img2prompt.engines.lite.captioner import BOS, PAD, UNK, Captioner, repeat
from img2prompt.engines.lite.heads import Locator, pool
from img2prompt.engines.lite.imagenet import blend_names
from img2prompt.engines.lite.tower import Tail
from img2prompt.training import checkpoint
from img2prompt.training.lite.corpus import Corpus
from img2prompt.training.schedule import Batches, warm_cosine


@dataclass(frozen=True)
class JointConfig:
    """Hyper-parameters of stage 1."""

    steps: int = 1650
    images: tuple[int, ...] = (32, 64)  # pictures of each corpus in a batch
    captions: tuple[int, ...] = (2, 1)  # captions of each of those pictures
    rate: float = 6e-4
    tail_rate: float = 2e-4
    warmup: int = 150
    weight_decay: float = 0.05
    smoothing: float = 0.1
    contrast: float = 0.5
    cosine: float = 1.0
    bank: int = 4096  # further captions that each picture is contrasted with
    dropout: float = 0.1  # of the captioner
    hide: float = 0.0  # share of grid cells hidden from the captioner
    forget: float = 0.0  # share of earlier words hidden from the captioner
    share: float = 1.0  # share of the trained weights in the final ones; the rest is from before
    seed: int = 1
    save_every: int = 200


class Knowledge:
    """The untouched ImageNet classifier's view of a picture, a hint for the captioner.

    It is no `torch.nn.Module`, because it is never trained and belongs to no checkpoint.
    """

    def __init__(self, tail: Tail, classifier: nn.Linear, vectors: np.ndarray):
        self.tail, self.classifier, self.vectors = tail, classifier, vectors

    @torch.no_grad()
    def __call__(self, features: Tensor) -> Tensor:
        """Trunk features → mean of the class names' vectors, weighted by probability: (N, 384)."""
        logits = self.classifier(self.tail(features).mean((2, 3)))
        return torch.from_numpy(blend_names(logits.float().softmax(1).numpy(), self.vectors))


class JointModel(nn.Module):
    """What is trained together: tail → captioner → locator."""

    def __init__(
        self, tail: Tail, captioner: Captioner, locator: Locator, knowledge: Knowledge | None = None
    ):
        super().__init__()
        self.tail, self.captioner, self.locator = tail, captioner, locator
        self.knowledge = knowledge
        self.scale = nn.Parameter(torch.tensor(math.log(20.0)))
        for module in tail.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                module.requires_grad_(False)

    def look(self, features: Tensor, hide: float = 0.0) -> tuple[Tensor, Tensor]:
        """Trunk features (N, 120, 14, 14) → grid (N, 1280, 7, 7) and memory (N, 50, width).

        Parameters
        ----------
        hide : share of grid cells hidden from the captioner
        """
        grid = self.tail(features)
        seen = grid * (torch.rand(len(grid), 1, *grid.shape[2:]) >= hide) if hide else grid
        hint = None if self.knowledge is None else self.knowledge(features)
        return grid, self.captioner.memory(seen, hint)


def contrastive(images: Tensor, texts: Tensor, bank: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE (van den Oord et al., 2018); pictures also face a bank of other captions.

    Captions that nearly repeat the right one (cosine above 0.85) do not count as negatives.

    Parameters
    ----------
    images, texts : (N, 384) unit vectors, row by row of the same pictures
    bank : (M, 384) unit vectors
    scale : logarithm of the factor of the cosines
    """
    scale = scale.exp().clamp(max=100.0)
    alike = (texts @ texts.T).fill_diagonal_(0.0) > 0.85
    target = torch.arange(len(images))
    logits = (scale * images @ texts.T).masked_fill(alike, -torch.inf)
    others = (scale * images @ bank.T).masked_fill(texts @ bank.T > 0.85, -torch.inf)
    to_text = F.cross_entropy(torch.cat([logits, others], dim=1), target)
    return (to_text + F.cross_entropy(logits.T, target)) / 2


def draw(corpus: Corpus, indices: list[int], count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw `count` random captions of each of n pictures.

    Returns
    -------
    The captions' tokens (n · count, T), the vector of one of them for each picture (n, 384), and the
    mean vector of all captions of each picture (n, 384)
    """
    tokens, single, mean = [], [], []
    for index in indices:
        available = len(corpus.tokens[index])
        chosen = torch.randperm(available)[:count]
        if len(chosen) < count:
            chosen = chosen.repeat(count)[:count]
        tokens.append(corpus.tokens[index][chosen])
        single.append(corpus.vectors[index][chosen[0]])
        mean.append(F.normalize(corpus.vectors[index].mean(0), dim=0))
    return torch.cat(tokens), torch.stack(single), torch.stack(mean)


def train(model: JointModel, corpora: list[Corpus], config: JointConfig, folder: Path) -> None:
    """Train in place; goes on from the last checkpoint in `folder`."""
    torch.manual_seed(config.seed)
    tail = [p for p in model.tail.parameters() if p.requires_grad]
    rest = [p for n, p in model.named_parameters() if not n.startswith("tail.")]
    optimizer = torch.optim.AdamW(
        [{"params": tail, "peak": config.tail_rate}, {"params": rest, "peak": config.rate}],
        weight_decay=config.weight_decay,
        betas=(0.9, 0.98),
    )
    bank = torch.cat([vector for corpus in corpora for vector in corpus.vectors])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start = checkpoint.load(folder, model, optimizer)
    batches = Batches([len(corpus) for corpus in corpora], config.images, config.seed, start)
    torch.manual_seed(config.seed + start)
    model.train()
    model.tail.eval()
    for module in model.captioner.modules():
        if isinstance(module, nn.Dropout):
            module.p = config.dropout
    average: dict[str, float] = {}
    with tqdm(total=config.steps, initial=start, desc="joint") as bar:
        for step in range(start, config.steps):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * warm_cosine(step, config.steps, config.warmup)
            features, tokens, single, mean = [], [], [], []
            for corpus, indices, count in zip(corpora, batches(), config.captions, strict=True):
                features.append(corpus.features(indices))
                drawn = draw(corpus, indices, count)
                tokens.append(drawn[0])
                single.append(drawn[1])
                mean.append(drawn[2])
            words = torch.cat(tokens)
            words = words[:, : int((words != PAD).sum(1).max())]
            earlier = words[:, :-1]
            if config.forget:
                forgotten = (torch.rand(earlier.shape) < config.forget) & (earlier != BOS)
                earlier = earlier.masked_fill(forgotten, UNK)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                grid, memory = model.look(torch.cat(features), config.hide)
                counts = torch.tensor(config.captions).repeat_interleave(torch.tensor(config.images))
                pictures = repeat(model.captioner.prepare(memory), counts)
                logits, _ = model.captioner.decode(earlier, pictures)
                writing = F.cross_entropy(
                    logits.flatten(0, 1).float(),
                    words[:, 1:].flatten(),
                    ignore_index=PAD,
                    label_smoothing=config.smoothing,
                )
            vectors = model.locator(pool(grid, memory))
            others = bank[torch.randint(len(bank), (config.bank,))]
            contrast = contrastive(vectors, torch.cat(single), others, model.scale)
            cosine = 1 - (vectors * torch.cat(mean)).sum(1).mean()
            loss = writing + config.contrast * contrast + config.cosine * cosine
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            for name, value in (("words", writing), ("contrast", contrast), ("cosine", cosine)):
                now = float(value.detach())
                average[name] = 0.98 * average.get(name, now) + 0.02 * now
            bar.set_postfix({name: f"{value:.3f}" for name, value in average.items()})
            bar.update()
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                checkpoint.save(folder, model, optimizer, step + 1)
    model.eval()
    checkpoint.blend(model, before, config.share)
