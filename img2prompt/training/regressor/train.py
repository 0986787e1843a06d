"""Train a regressor: a timm model that predicts the embedding of a picture's prompt.

A run lives in one folder::

    config.json, model.safetensors   the best epoch, as the engines load it
    last/                            the same of the last epoch
    training.json                    the settings, a digest of the data, and each epoch's scores
    resume/                          weights and optimizer state, from which a stopped run goes on
    cache/, logs/                    targets; TensorBoard's curves

A run may be stopped at any moment. Started again it ends with the same weights (bit by bit on a
CPU), because order, augmentation and dropout depend on the step alone. The batch size is that of
all processes together, so that their number changes only the speed. The exception is batch
normalisation, whose statistics are those of the pictures that one process sees at once.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.optim import param_groups_layer_decay
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from img2prompt.datasets.pairs import Pair, PairsFolder
from img2prompt.engines.full.architecture import check_architecture
from img2prompt.engines.full.vit_regressor import (
    MEAN_EMBEDDING,
    WEIGHTS,
    RegressorConfig,
    save_regressor,
)
from img2prompt.errors import ConfigError, DataError, WeightsError
from img2prompt.files import replacing
from img2prompt.minilm import SentenceEncoder
from img2prompt.settings import PRECISIONS
from img2prompt.training import checkpoint
from img2prompt.training.lite import backbone
from img2prompt.training.regressor.pictures import Batches, Pictures, Share, targets
from img2prompt.training.schedule import warm_cosine
from img2prompt.wording import reason

LITE = "lite"  # as `TrainingConfig.init`: the ImageNet weights that the lite engine starts from
RECORD = "training.json"
LOG_EVERY = 10  # steps
SAVE_EVERY = 500  # steps, and after every epoch
MOST_WORKERS = 8
GRADIENT_NORM = 1.0  # gradients are clipped to it
TEMPERATURE = 0.05  # of the contrastive loss
ALIKE = 0.85  # two texts with a larger cosine are not contrasted


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that the trained weights depend on, besides the data.

    Raises
    ------
    ConfigError
        For a value that cannot be used.
    """

    model: str = "vit_base_patch16_224"  # timm's name
    init: str = ""  # a folder with a backbone's model.safetensors, or "lite"; empty: fresh weights
    input: int = 0  # pixels a side; 0: what the model was made for
    epochs: int = 10
    batch: int = 64  # pictures a step, of all processes and passes together
    rate: float = 1e-4  # peak learning rate of AdamW
    warmup: float = 0.05  # share of all steps during which the rate rises
    weight_decay: float = 0.05
    layer_decay: float = 1.0  # factor of the rate from each layer to the one below; 0.75 for fine-tuning
    contrast: float = 0.0  # weight of the contrastive loss beside the cosine loss
    average: float = 0.999  # decay of the weights' moving average, which is what is saved; 0: no average
    augment: bool = True
    patience: int = 0  # epochs without progress after which training stops; 0: never
    precision: str = "auto"  # auto (bf16 on a GPU, fp32 on a CPU), fp32, fp16, bf16
    seed: int = 0

    def __post_init__(self) -> None:
        low = {"epochs": 1, "batch": 1, "rate": 1e-12, "input": 0, "patience": 0, "contrast": 0, "seed": 0}
        for name, least in low.items():
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be {least:g} or more.")
        for name in ("warmup", "layer_decay", "average"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1.")
        if self.average == 1:
            raise ConfigError("average is 1, which would keep the first weights for ever; 0.999 is usual.")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision is {self.precision!r}; choose one of {', '.join(PRECISIONS)}.")


@dataclass(frozen=True)
class Epoch:
    """The scores of one epoch."""

    epoch: int  # from 1
    step: int  # steps done since the start of the run
    loss: float  # mean over the epoch's batches
    cosine: float  # mean over the validation pictures of the cosine with their texts' embedding


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    epochs: list[Epoch]

    @property
    def best(self) -> Epoch:
        """The epoch with the largest validation cosine."""
        return max(self.epochs, key=lambda epoch: epoch.cosine)


def train(
    folder: PairsFolder,
    learned: Sequence[Pair],
    held: Sequence[Pair],
    out: Path,
    config: TrainingConfig,
    *,
    sentences: SentenceEncoder | None = None,
    cache: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    passes: int = 1,
    after_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Run:
    """Train, or go on where the run in `out` stopped.

    Parameters
    ----------
    folder, learned, held : pairs to learn from and to validate on, as `divide` returns them
    out : folder of the run
    config : what the weights depend on; all other parameters change only speed and memory
    sentences : embeds the texts; by default on the device of the training
    cache : folder of the texts' embeddings, for runs that share them; by default in `out`
    device : ``auto`` or ``cpu``; accelerate and CUDA_VISIBLE_DEVICES choose among GPUs
    workers : processes that read pictures, for each training process; by default up to 8
    passes : pieces that a process cuts its part of a batch into, to save memory
    after_epoch : called with each epoch; those that were done before a stop come first

    Raises
    ------
    ConfigError
        For settings that don't fit each other, the model, or the run in `out`.
    DataError
        For a picture that cannot be read.
    WeightsError
        When `config.init` does not fit the model.
    """
    accelerator = Accelerator(
        cpu=device == "cpu",
        mixed_precision=_mixed_precision(config.precision, device),
        gradient_accumulation_steps=passes,
    )
    share = Share(accelerator.process_index, accelerator.num_processes, passes)
    if config.batch % (share.processes * passes):
        raise ConfigError(
            f"batch is {config.batch}; it must be a multiple of processes × passes = "
            f"{share.processes} × {passes}, so that each has equally much to do."
        )
    torch.manual_seed(config.seed)
    shape, net = build(config)
    with accelerator.main_process_first():
        sentences = sentences or SentenceEncoder()
        learned_targets, truth = (
            torch.from_numpy(targets(folder, pairs, cache or out / "cache", sentences))
            for pairs in (learned, held)
        )
    mean = F.normalize(learned_targets.mean(0), dim=0)
    record = Record(
        config=asdict(config),
        pictures=(len(learned), len(held)),
        fingerprint=folder.fingerprint([*learned, *held]),
        baseline=round(float((truth @ mean).mean()), 6),
    )
    learner = _Learner(net, config, accelerator, share)
    epochs = record.read(out)
    start = learner.load(out / "resume")
    epochs = [epoch for epoch in epochs if epoch.step <= start]
    accelerator.wait_for_everyone()  # nobody writes before everybody has read
    writer = None
    if accelerator.is_main_process:
        record.write(out, epochs)
        writer = SummaryWriter(out / "logs", purge_step=start)
    for epoch in epochs:
        after_epoch(epoch)

    an_epoch = math.ceil(len(learned) / config.batch)
    steps = config.epochs * an_epoch
    warmup = max(1, round(config.warmup * steps))
    batches = Batches(len(learned), config.batch, start, steps, config.seed)
    seen = Pictures(folder, learned, shape, config.seed if config.augment else None)
    checked = Pictures(folder, held, shape)
    if workers is None:
        workers = min(MOST_WORKERS, (os.cpu_count() or 1) // share.processes)
    pixels = _read(seen, batches.keys(share), workers, accelerator.device)
    learned_targets = learned_targets.to(accelerator.device)
    bar = tqdm(
        total=steps, initial=start, desc="regressor", disable=None if accelerator.is_main_process else True
    )
    try:
        for step, indices in batches:
            if _has_stopped(epochs, config.patience):
                break
            loss = learner.step(step, warm_cosine(step, steps, warmup), pixels, learned_targets[indices])
            done = step + 1
            bar.update()
            if writer and done % LOG_EVERY == 0:
                writer.add_scalar("loss", float(loss), done)
                writer.add_scalar("rate", learner.optimizer.param_groups[-1]["lr"], done)
                bar.set_postfix(loss=f"{float(loss):.4f}")
            if done % an_epoch:
                if done % SAVE_EVERY == 0:
                    learner.save(out / "resume", done)
                continue
            mean_loss = learner.take_loss() / an_epoch
            if not math.isfinite(mean_loss):
                raise ConfigError(f"The loss is {mean_loss} at step {done}. Choose a lower learning rate.")
            cosine = learner.validate(checked, truth, workers)
            epochs.append(Epoch(done // an_epoch, done, round(mean_loss, 6), round(cosine, 6)))
            if writer:
                writer.add_scalar("validation cosine", cosine, done)
                save_regressor(out / "last", shape, learner.kept, mean.numpy())
                if Run(out, epochs).best is epochs[-1]:
                    save_regressor(out, shape, learner.kept, mean.numpy())
                record.write(out, epochs)
            learner.save(out / "resume", done)
            after_epoch(epochs[-1])
    finally:
        bar.close()
        if writer:
            writer.close()
        accelerator.free_memory()
    return Run(out, epochs)


@dataclass(frozen=True)
class Record:
    """The settings and data of a run: the first entries of its ``training.json``."""

    config: dict[str, Any]
    pictures: tuple[int, int]  # numbers of pictures for learning and for validation
    fingerprint: str  # of the data, see `PairsFolder.fingerprint`
    baseline: float  # validation cosine if the answer were always the mean of the learned texts

    def read(self, folder: Path) -> list[Epoch]:
        """The epochs that the run in this folder has done; none where there is no run.

        Raises
        ------
        ConfigError
            When the run has other settings or data.
        DataError
            When its record is damaged.
        """
        file = folder / RECORD
        if not file.exists():
            return []
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            before = stored["config"]
            epochs = [Epoch(**epoch) for epoch in stored["epochs"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{file} is damaged ({reason(error)}). Delete {folder} to start again."
            ) from error
        changed = [
            f"{name} was {before.get(name)!r} and is now {value!r}"
            for name, value in self.config.items()
            if before.get(name) != value
        ]
        if stored.get("fingerprint") != self.fingerprint:
            changed.append("the data differ")
        if changed:
            raise ConfigError(
                f"{folder} holds another run: {'; '.join(changed)}. Choose another folder, or delete it."
            )
        return epochs

    def write(self, folder: Path, epochs: Sequence[Epoch]) -> None:
        """Write ``training.json``, in place of an earlier one."""
        folder.mkdir(parents=True, exist_ok=True)
        best = asdict(Run(folder, list(epochs)).best) if epochs else None
        text = json.dumps({**asdict(self), "best": best, "epochs": [asdict(e) for e in epochs]}, indent=1)
        with replacing(folder / RECORD, durable=False) as file:
            file.write(text.encode() + b"\n")


class _Learner:
    """The network, its optimizer, and the moving average of its weights."""

    def __init__(self, net: nn.Module, config: TrainingConfig, accelerator: Accelerator, share: Share):
        self.net, self.config, self.accelerator, self.share = net, config, accelerator, share
        # The copy is made before accelerate binds the network's forward to the original.
        self.ema = ModelEmaV3(net, config.average, use_warmup=True) if config.average else None
        groups = param_groups_layer_decay(net, config.weight_decay, layer_decay=config.layer_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=config.rate)
        self.model, self.stepper = accelerator.prepare(net, self.optimizer)
        self.kept = self.ema.module.to(accelerator.device) if self.ema else net
        self.loss = torch.zeros((), device=accelerator.device)  # sum over the epoch's steps so far
        self.scaler = accelerator.scaler if config.precision == "fp16" else None

    def step(self, step: int, factor: float, pixels: Iterator[Tensor], texts: Tensor) -> Tensor:
        """Learn from one batch; returns the loss of this process's last piece of it.

        Parameters
        ----------
        factor : of the peak learning rate, 0 to 1
        pixels : yields the pictures of each piece of this process's share
        texts : (B, D) unit vectors of the whole batch
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate * group["lr_scale"] * factor
        seed = np.random.SeedSequence([self.config.seed, step, self.share.rank])
        torch.manual_seed(int(seed.generate_state(1)[0]))  # for dropout
        self.model.train()
        for piece in self.share.of(range(len(texts))):
            with self.accelerator.accumulate(self.model):
                own = torch.tensor(piece, device=texts.device)
                loss = regression_loss(self.model(next(pixels)), texts, own, self.config.contrast)
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
                self.stepper.step()
                self.stepper.zero_grad()
                self.loss += loss.detach() / self.share.passes
        if self.ema:
            self.ema.update(self.net, step + 1)
        return loss.detach()

    def take_loss(self) -> float:
        """The sum of the losses since the last call, averaged over the processes; starts again at 0."""
        total = float(self.accelerator.reduce(self.loss, "mean"))
        self.loss.zero_()
        return total

    @torch.no_grad()
    def validate(self, pictures: Pictures, truth: Tensor, workers: int) -> float:
        """Mean cosine of the predictions for N pictures with `truth` (N, D), with the weights to be saved."""
        size = self.config.batch // self.share.processes
        own = range(self.share.rank, len(pictures), self.share.processes)
        pieces = [own[i : i + size] for i in range(0, len(own), size)]
        keys = ([(index, 0) for index in piece] for piece in pieces)
        total = torch.zeros((), device=self.accelerator.device)
        self.kept.eval()
        pixels = _read(pictures, keys, workers, self.accelerator.device)
        for piece, batch in zip(pieces, pixels, strict=True):
            with self.accelerator.autocast():
                predicted = self.kept(batch)
            right = truth[list(piece)].to(predicted.device)
            total += F.cosine_similarity(predicted.float(), right).sum()
        return float(self.accelerator.reduce(total, "sum")) / len(pictures)

    def save(self, folder: Path, step: int) -> None:
        """Write the state from which a stopped run goes on, in place of an earlier one."""
        self.loss = self.accelerator.reduce(self.loss, "mean")
        if self.accelerator.is_main_process:
            checkpoint.save(folder, self._state(), self.optimizer, step)

    def load(self, folder: Path) -> int:
        """Load the saved state and return its step; 0 where there is none."""
        state = self._state()
        step = checkpoint.load(folder, state, self.optimizer)
        self.loss = state.get_buffer("loss").to(self.accelerator.device)
        if self.scaler and step:
            scale, growth = state.get_buffer("scale").tolist()
            stored = {"scale": scale, "_growth_tracker": int(growth)}
            self.scaler.load_state_dict(self.scaler.state_dict() | stored)
        return step

    def _state(self) -> nn.Module:
        state = nn.ModuleDict({"net": self.net} | ({"average": self.kept} if self.ema else {}))
        state.register_buffer("loss", self.loss)
        if self.scaler:
            now = self.scaler.state_dict()
            state.register_buffer("scale", torch.tensor([now["scale"], now["_growth_tracker"]]))
        return state


def build(config: TrainingConfig) -> tuple[RegressorConfig, nn.Module]:
    """The network of a training, and how pictures are prepared for it.

    Raises
    ------
    ConfigError
        When timm has no such model, or it does not take pictures of this size.
    WeightsError
        When the weights that `config.init` names are missing or do not fit.
    """
    try:
        check_architecture(config.model)
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    usual = timm.get_pretrained_cfg(config.model)
    assert usual is not None
    shape = RegressorConfig(
        config.model, input=config.input or usual.input_size[-1], mean=usual.mean, std=usual.std
    )
    net = shape.build()
    if config.init:
        _load_backbone(net, config)
    try:
        with torch.no_grad():
            answer = net.eval()(torch.zeros(1, 3, shape.input, shape.input))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"{config.model} takes no pictures of {shape.input} pixels ({reason(error)}). Choose others with --input."
        ) from error
    if answer.shape != (1, shape.width):
        raise ConfigError(
            f"{config.model} answers with {tuple(answer.shape)}, not with a vector; choose another."
        )
    # On CPUs convolutions learn almost twice as fast with channels last.
    return shape, net.to(memory_format=torch.channels_last)


def regression_loss(predicted: Tensor, texts: Tensor, own: Tensor, contrast: float = 0.0) -> Tensor:
    """The mean of 1 − cosine of each prediction with its text, plus `contrast` times InfoNCE.

    InfoNCE (van den Oord et al., 2018) asks which of the batch's texts is the picture's own. Texts
    that nearly repeat the own one do not count as wrong answers. The texts are always those of the
    whole batch, so the mean over its pieces does not depend on how the batch was cut.

    Parameters
    ----------
    predicted : (n, D), of any length
    texts : (B, D) unit vectors, B ≥ n
    own : (n,) the row in `texts` of each prediction's own text
    contrast : weight of InfoNCE; 0 leaves it out
    """
    predicted = F.normalize(predicted.float(), dim=1)
    cosines = predicted @ texts.T
    row = torch.arange(len(own), device=own.device)
    loss = 1 - cosines[row, own].mean()
    if not contrast:
        return loss
    alike = texts[own] @ texts.T > ALIKE
    alike[row, own] = False
    return loss + contrast * F.cross_entropy((cosines / TEMPERATURE).masked_fill(alike, -torch.inf), own)


def _load_backbone(net: nn.Module, config: TrainingConfig) -> None:
    """Fill the network with weights from disk, except a classifier of another width."""
    if config.init == LITE:
        if config.model != backbone.MODEL:
            raise ConfigError(f'init "{LITE}" holds weights for the model {backbone.MODEL} only.')
        source, weights = LITE, backbone.imagenet_net().state_dict()
    else:
        source = str(Path(config.init) / WEIGHTS)
        try:
            weights = load_file(source)
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                f"{source} cannot be used ({reason(error)}). Name a folder with a timm model's {WEIGHTS}."
            ) from error
        weights.pop(MEAN_EMBEDDING, None)
    own = net.state_dict()
    classifier: Any = timm.get_pretrained_cfg_value(config.model, "classifier")
    heads = tuple(f"{name}." for name in ([classifier] if isinstance(classifier, str) else classifier))
    fitting = {
        name: value for name, value in weights.items() if name in own and own[name].shape == value.shape
    }
    wrong = [name for name in {**own, **weights} if name not in fitting and not name.startswith(heads)]
    if wrong:
        raise WeightsError(
            f"{source} does not fit {config.model}: {len(wrong)} tensors differ, for example {wrong[0]}."
        )
    net.load_state_dict(fitting, strict=False)


def _read(
    pictures: Pictures, keys: Iterable[list[tuple[int, int]]], workers: int, device: torch.device
) -> Iterator[Tensor]:
    """The pixels (n, 3, H, W) of each list of keys, on the device."""
    loader = DataLoader(
        pictures,
        batch_sampler=keys,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    try:
        for pixels in loader:
            yield pixels.to(device, non_blocking=True)
    except DataError as error:  # a worker's comes wrapped in its traceback
        raise DataError(str(error).rsplit("DataError: ", 1)[-1].strip()) from None


def _has_stopped(epochs: Sequence[Epoch], patience: int) -> bool:
    """Whether there was no progress for `patience` epochs, so that training should stop."""
    if not patience or not epochs:
        return False
    return epochs[-1].epoch - max(epochs, key=lambda epoch: epoch.cosine).epoch >= patience


def _mixed_precision(precision: str, device: str) -> str:
    """accelerate's name of a precision; ConfigError for fp16 without a GPU."""
    gpu = device != "cpu" and torch.cuda.is_available()
    if precision == "auto":
        precision = "bf16" if gpu else "fp32"
    if precision == "fp16" and not gpu:
        raise ConfigError("fp16 needs a GPU. Use --precision bf16 or fp32.")
    return "no" if precision == "fp32" else precision
