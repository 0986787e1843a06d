"""Stage 1: tail, captioner, locator and evidence learn together from the pictures.

The captioner's loss is cross-entropy with label smoothing. A caption begins with a word that says
whether it mentions people (Keskar et al., *CTRL*, 2019), so that the engine can ask for one that
does not. The locator's loss is the cosine with the mean of the picture's caption vectors (MiniLM)
and a symmetric contrastive loss (Radford et al., *CLIP*, 2021, with a frozen text tower). The
evidence's is cross-entropy with what captions mention. The trunk and the ImageNet tail stay as they
are, as do the tail's depthwise filters, which are few and slow to train.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from img2prompt.engines.lite.search import BOS, EOS, NOBODY, PAD, SOMEBODY, UNK
from img2prompt.training import checkpoint
from img2prompt.training.lite.examples import PEOPLE_SOURCES, SOURCES, UNKNOWN, Examples
from img2prompt.training.lite.net.captioner import MEMORY_PARTS, Captioner, repeat
from img2prompt.training.lite.net.heads import Evidence, Locator, pool
from img2prompt.training.lite.net.tower import Tail, Trunk, blend_names
from img2prompt.training.lite.pictures import plain, view
from img2prompt.training.schedule import Batches, warm_cosine

# What the locator uses, which a stage that trains the decoder alone leaves as it is.
FIXED = ("tail.", "scale", "locator.", *(f"captioner.{part}" for part in MEMORY_PARTS))
UNSAID = 0.05  # weight of a word that a label does not mention
STARTS = (NOBODY, SOMEBODY, SOMEBODY, BOS)  # by mention: nobody, one, several, unknown


@dataclass(frozen=True)
class JointConfig:
    """Hyper-parameters of stage 1."""

    steps: int = 5000
    images: tuple[int, ...] = (48, 144, 44, 20)  # pictures of each source in a batch
    captions: int = 2  # captions of each picture that has several
    rate: float = 8e-4
    tail_rate: float = 3e-4
    warmup: int = 200
    weight_decay: float = 0.05
    smoothing: float = 0.1
    contrast: float = 0.5
    cosine: float = 1.0
    people: float = 0.3
    words: float = 0.03
    labels: float = 0.2
    bank: int = 4096  # further captions that each picture is contrasted with
    dropout: float = 0.15  # of the captioner
    hide: float = 0.1  # share of grid cells hidden from the captioner
    forget: float = 0.05  # share of earlier words hidden from the captioner
    unsaid: float = 0.15  # share of captions that begin without a word on people
    open_end: float = 0.75  # share of labels whose end is not learned
    labels_apart: float = 0.0  # share of labels that begin with BOS, and end
    crowd: float = 1.0  # weight of the people in labelled photos, which are a different kind of picture
    decoder_only: bool = False  # what the locator uses stays as it is
    average: float = 0.999  # decay of the weights' running mean, which is what the stage gives
    seed: int = 1
    save_every: int = 500


class Knowledge:
    """What is not trained: the trunk, and the untouched ImageNet classifier's view of a picture.

    It is no `torch.nn.Module`, because it belongs to no checkpoint.
    """

    def __init__(self, trunk: Trunk, tail: Tail, classifier: nn.Linear, vectors: Tensor):
        self.trunk, self.tail, self.classifier, self.vectors = trunk, tail, classifier, vectors

    def to(self, device: str) -> None:
        """Move it, in place."""
        for part in (self.trunk, self.tail, self.classifier):
            part.to(device)
        self.vectors = self.vectors.to(device)

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels → trunk features, the ImageNet grid, and the class names' vectors weighted by probability."""
        features = self.trunk(pixels.contiguous(memory_format=torch.channels_last))
        grid = self.tail(features)
        probabilities = self.classifier(grid.mean((2, 3)).float()).softmax(1)
        return features, grid, blend_names(probabilities, self.vectors)


class JointModel(nn.Module):
    """What is trained together: tail → captioner → locator and evidence."""

    def __init__(
        self, tail: Tail, captioner: Captioner, locator: Locator, evidence: Evidence, knowledge: Knowledge
    ):
        super().__init__()
        self.tail, self.captioner, self.locator, self.evidence = tail, captioner, locator, evidence
        self.knowledge = knowledge
        self.scale = nn.Parameter(torch.tensor(math.log(20.0)))
        for module in tail.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                module.requires_grad_(False)

    def look(self, pixels: Tensor, hide: float = 0.0) -> tuple[Tensor, Tensor]:
        """Pixels (N, 3, 224, 224) → both grids (N, 2560, 7, 7) and memory (N, 50, width).

        Parameters
        ----------
        hide : share of grid cells hidden from the captioner
        """
        features, untouched, hint = self.knowledge(pixels)
        grids = torch.cat([untouched, self.tail(features)], dim=1)
        shape = (len(grids), 1, *grids.shape[2:])
        seen = grids * (torch.rand(shape, device=grids.device) >= hide) if hide else grids
        return grids, self.captioner.memory(seen, hint)


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
    target = torch.arange(len(images), device=images.device)
    logits = (scale * images @ texts.T).masked_fill(alike, -torch.inf)
    others = (scale * images @ bank.T).masked_fill(texts @ bank.T > 0.85, -torch.inf)
    to_text = F.cross_entropy(torch.cat([logits, others], dim=1), target)
    return (to_text + F.cross_entropy(logits.T, target)) / 2


def mentions(
    logits: tuple[Tensor, Tensor, Tensor], people: Tensor, words: Tensor, labels: Tensor, weight: Tensor
) -> list[Tensor]:
    """The evidence's losses: people, words, labels; what is unknown does not count.

    Parameters
    ----------
    logits : what `Evidence` returns
    weight : (N,) of each picture's people
    people, words, labels : rows of the same names in `Examples`
    """
    known = people.isfinite().all(1)
    weight = weight * known
    of_people = F.cross_entropy(logits[0], people.nan_to_num(1 / 3), reduction="none")
    of_people = (of_people * weight).sum() / weight.sum()
    return [of_people, of_words(logits[1], words), of_labels(logits[2], labels)]


def of_words(logits: Tensor, words: Tensor) -> Tensor:
    """The loss of each word that is looked for, summed up, the mean over pictures."""
    looked_for = torch.where(words >= 0, 1.0, UNSAID)
    loss = F.binary_cross_entropy_with_logits(logits, words.clamp(min=0.0), looked_for, reduction="sum")
    return loss / len(words)


def of_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of the labels, of the pictures of which one is known."""
    return F.cross_entropy(logits, labels, ignore_index=UNKNOWN, label_smoothing=0.05)


class Data:
    """Examples and their pictures on one device."""

    def __init__(self, examples: Examples, pictures: Tensor, device: torch.device):
        self.pictures = pictures.to(device)
        self.sided = torch.from_numpy(examples.sided).to(device)
        self.first = torch.from_numpy(examples.first).to(device)
        self.tokens = torch.from_numpy(examples.tokens).long().to(device)
        self.mention = torch.from_numpy(examples.mention).long().to(device)
        self.vectors = F.normalize(torch.from_numpy(examples.vectors).float(), dim=1).to(device)
        self.people = torch.from_numpy(examples.people).to(device)
        self.words = torch.from_numpy(examples.words).to(device)
        self.open_end = torch.from_numpy(examples.open_end).to(device)
        self.label = torch.from_numpy(examples.label).long().to(device)
        self.source = torch.from_numpy(examples.source).to(device)
        owner = torch.arange(len(examples), device=device).repeat_interleave(self.first.diff())
        sums = torch.zeros(len(examples), self.vectors.shape[1], device=device).index_add_(
            0, owner, self.vectors
        )
        self.means = F.normalize(sums, dim=1)  # (N, 384) of each picture's captions
        self.rows = [torch.nonzero(self.source == i)[:, 0] for i in range(len(SOURCES))]

    def draw(self, rows: Tensor, count: int) -> Tensor:
        """(n, count) numbers of random captions of each picture; some twice where there are few."""
        size = self.first[rows + 1] - self.first[rows]
        order = torch.rand(len(rows), count, device=rows.device)
        start = (order[:, :1] * size[:, None]).long()
        return self.first[rows][:, None] + (start + torch.arange(count, device=rows.device)) % size[:, None]


def train(model: JointModel, data: Data, config: JointConfig, folder: Path) -> None:
    """Train in place; goes on from the last checkpoint in `folder`."""
    device = data.pictures.device
    torch.manual_seed(config.seed)
    fixed = FIXED if config.decoder_only else ()
    for name, parameter in model.named_parameters():
        if name.startswith(fixed):
            parameter.requires_grad_(False)
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    tail = [p for name, p in learning.items() if name.startswith("tail.")]
    # Many of its words are rare: what it has learned of them would fade before they come again.
    evidence = [p for name, p in learning.items() if name.startswith("evidence.")]
    rest = [p for name, p in learning.items() if not name.startswith(("tail.", "evidence."))]
    optimizer = torch.optim.AdamW(
        [
            {"params": tail, "peak": config.tail_rate},
            {"params": evidence, "peak": config.rate, "weight_decay": 0.0},
            {"params": rest, "peak": config.rate},
        ],
        weight_decay=config.weight_decay,
        betas=(0.9, 0.98),
    )
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.average))
    both = nn.ModuleDict({"model": model, "average": average})
    start = checkpoint.load(folder, both, optimizer)
    batches = Batches([len(rows) for rows in data.rows], config.images, config.seed, start)
    torch.manual_seed(config.seed + start)
    model.train()
    model.tail.eval()
    for module in model.captioner.modules():
        if isinstance(module, nn.Dropout):
            module.p = config.dropout
    if config.decoder_only:
        model.captioner.encoder.eval()
    starts = torch.tensor(STARTS, device=device)
    with tqdm(total=config.steps, initial=start, desc="joint", mininterval=5) as bar:
        for step in range(start, config.steps):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * warm_cosine(step, config.steps, config.warmup)
            drawn = [torch.tensor(b, dtype=torch.long, device=device) for b in batches()]
            rows = torch.cat([of[b] for of, b in zip(data.rows, drawn, strict=True)])
            chosen = data.draw(rows, config.captions)
            # the second caption of a picture with one counts for nothing, nor does a label's second form
            several = (data.first[rows + 1] - data.first[rows] > 1) & (data.source[rows] < PEOPLE_SOURCES)
            weight = torch.ones(len(rows), config.captions, device=device)
            weight[~several, 1:] = 0.0
            label = data.open_end[rows]
            plainly = torch.rand(len(rows), device=device) < 0.8
            chosen[label, 0] = data.first[rows][label] + (~plainly[label]).long()
            tokens = data.tokens[chosen]
            begin = starts[data.mention[chosen]]
            begin = begin.masked_fill(torch.rand(begin.shape, device=device) < config.unsaid, BOS)
            target = tokens[..., 1:].clone()
            apart = label & (torch.rand(len(rows), device=device) < config.labels_apart)
            begin[apart] = BOS
            open_end = label & ~apart & (torch.rand(len(rows), device=device) < config.open_end)
            target[open_end] = target[open_end].masked_fill(target[open_end] == EOS, PAD)
            target = target.masked_fill(weight[..., None] == 0, PAD)
            keep = (weight > 0).flatten()
            earlier = torch.cat([begin[..., None], tokens[..., 1:-1]], dim=2)
            forgotten = (torch.rand(earlier.shape, device=device) < config.forget) & (earlier > SOMEBODY)
            earlier = earlier.masked_fill(forgotten, UNK).flatten(0, 1)[keep]
            target = target.flatten(0, 1)[keep]
            with torch.autocast(device.type, dtype=torch.bfloat16):
                pixels = view(data.pictures[rows], data.sided[rows])
                with torch.set_grad_enabled(not config.decoder_only):
                    grids, memory = model.look(pixels, config.hide)
                pictures = repeat(model.captioner.prepare(memory), weight.sum(1).long())
                logits, _ = model.captioner.decode(earlier, pictures)
                writing = F.cross_entropy(
                    logits.flatten(0, 1).float(),
                    target.flatten(),
                    ignore_index=PAD,
                    label_smoothing=config.smoothing,
                )
            people, words, labels = mentions(
                model.evidence(grids, memory),
                data.people[rows],
                data.words[rows].float(),
                data.label[rows],
                torch.where(data.source[rows] < PEOPLE_SOURCES, 1.0, config.crowd),
            )
            loss = writing + config.people * people + config.words * words + config.labels * labels
            if not config.decoder_only:
                vectors = model.locator(pool(grids, memory))
                others = data.vectors[torch.randint(len(data.vectors), (config.bank,), device=device)]
                contrast = contrastive(vectors, data.vectors[chosen[:, 0]], others, model.scale)
                cosine = 1 - (vectors * data.means[rows]).sum(1).mean()
                loss = loss + config.contrast * contrast + config.cosine * cosine
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            average.update_parameters(model)
            if (step + 1) % 100 == 0:
                names = ("writing", "people", "words", "labels")
                values = (writing, people, words, labels)
                shown = {n: float(v.detach()) for n, v in zip(names, values, strict=True)}
                bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()})
            bar.update()
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                checkpoint.save(folder, both, optimizer, step + 1)
    model.load_state_dict(average.module.state_dict())
    model.eval().requires_grad_(True)


@torch.inference_mode()
def look_at_all(
    model: JointModel,
    data: Data,
    rows: Tensor,
    augmented: bool,
    pooling: Callable[[Tensor, Tensor], Tensor] = pool,
) -> Tensor:
    """Pooled features of these pictures, by default those of `pool`: (len(rows), 2560 + width) float32."""
    pooled = []
    for part in rows.split(256):
        pixels = data.pictures[part]
        pixels = view(pixels, data.sided[part]) if augmented else plain(pixels)
        with torch.autocast(rows.device.type, dtype=torch.bfloat16):
            pooled.append(pooling(*model.look(pixels)))
    return torch.cat(pooled)
