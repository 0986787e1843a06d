"""The commands that train and tune: regressor, search, knn and ensemble."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from img2prompt.errors import ConfigError

commands = typer.Typer(
    help="Train predictors of prompt embeddings, and tune how they are mixed.", no_args_is_help=True
)

Pairs = Annotated[Path, typer.Argument(metavar="PAIRS", help="Folder with a CSV of texts and its pictures.")]
Split = Annotated[str, typer.Option(help="Split to learn from; without splits all but a twentieth.")]
Validation = Annotated[str, typer.Option(help="Split to validate on; without splits that twentieth.")]
Device = Annotated[str, typer.Option(help="auto or cpu; CUDA_VISIBLE_DEVICES chooses among GPUs.")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes that read pictures; by default one a core, at most 8.")
]
Precision = Annotated[str, typer.Option(help="auto (bf16 on a GPU, fp32 on a CPU), fp32, fp16 or bf16.")]


@commands.command()
def regressor(
    pairs: Pairs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the run.")],
    model: Annotated[
        str, typer.Option(help="timm's name; fresh weights unless --init.")
    ] = "vit_base_patch16_224",
    init: Annotated[
        str,
        typer.Option(
            metavar="DIR|lite",
            help="Backbone: a folder with model.safetensors; lite: ImageNet's for tf_efficientnet_lite2.",
        ),
    ] = "",
    input: Annotated[int, typer.Option(help="Pixels a side; 0: what the model was made for.")] = 0,
    epochs: Annotated[int, typer.Option()] = 10,
    batch: Annotated[int, typer.Option(help="Pictures a step, on all devices together.")] = 64,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-4,
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the rate rises.")] = 0.05,
    weight_decay: Annotated[float, typer.Option()] = 0.05,
    layer_decay: Annotated[
        float, typer.Option(help="Factor of the rate from layer to layer below; 0.75 suits fine-tuning.")
    ] = 1.0,
    contrast: Annotated[
        float, typer.Option(help="Weight of a contrastive loss beside the cosine loss.")
    ] = 0.0,
    average: Annotated[float, typer.Option(help="Decay of the weights' moving average; 0: none.")] = 0.999,
    augment: Annotated[bool, typer.Option(help="Crop, mirror and jitter the pictures.")] = True,
    patience: Annotated[int, typer.Option(help="Stop after so many epochs without progress; 0: never.")] = 0,
    precision: Precision = "auto",
    seed: Annotated[int, typer.Option()] = 0,
    split: Split = "train",
    validation: Validation = "dev",
    passes: Annotated[
        int, typer.Option(min=1, help="Pieces that a batch is cut into where memory is short.")
    ] = 1,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """Train a timm model to answer a picture with its prompt's embedding.

    DIR gets config.json and model.safetensors of the best epoch, as --engine full loads them.
    Stop it whenever you like: the same command goes on where it was, to the same end.

    Several GPUs: torchrun --nproc-per-node 4 -m img2prompt.cli train regressor …
    """
    _check("accelerate", "tensorboard")
    from img2prompt import cli
    from img2prompt.datasets.pairs import PairsFolder
    from img2prompt.training import regressor as training
    from img2prompt.training.pictures import divide

    config = training.TrainingConfig(
        model=model,
        init=init,
        input=input,
        epochs=epochs,
        batch=batch,
        rate=rate,
        warmup=warmup,
        weight_decay=weight_decay,
        layer_decay=layer_decay,
        contrast=contrast,
        average=average,
        augment=augment,
        patience=patience,
        precision=precision,
        seed=seed,
    )
    folder = PairsFolder(pairs)
    learned, held = divide(folder, split, validation)
    with _resumable():
        run = training.train(
            folder, learned, held, output, config, device=device, workers=workers, passes=passes
        )
    cli.write(
        f"{run.best.cosine:.4f}  validation cosine of epoch {run.best.epoch}, the best of {len(run.epochs)}",
        "bold",
    )
    cli.write(f"Written to {output}; use it with --engine full and IMG2PROMPT_REGRESSOR={output}.")


def _check(*packages: str) -> None:
    """Raise ConfigError unless what training needs is installed."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ConfigError(f"Training needs {', '.join(missing)}. Run: pip install 'img2prompt[train]'")


@contextmanager
def _resumable() -> Iterator[None]:
    """Leave quietly on Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        print("img2prompt: stopped. The same command goes on.", file=sys.stderr)
        raise typer.Exit(1) from None
