"""The commands `train regressor`, `search`, `knn` and `ensemble`, which train and tune predictors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.table import Table

from img2prompt.cli.console import load, show_table, stoppable, write
from img2prompt.cli.options import AsJson, EngineName, Pairs
from img2prompt.errors import ConfigError
from img2prompt.files import check_output, check_output_folder
from img2prompt.libraries import install, missing
from img2prompt.wording import counted

Number = TypeVar("Number", int, float)

commands = typer.Typer(
    help="Train predictors of prompt embeddings, and tune how they are mixed.", no_args_is_help=True
)

REGRESSOR = ("torch", "torchvision", "timm", "accelerate", "tensorboard")

Split = Annotated[str, typer.Option(help="Split to learn from; without splits all but a twentieth.")]
Validation = Annotated[str, typer.Option(help="Split to validate on; without splits that twentieth.")]
Device = Annotated[str, typer.Option(help="auto or cpu; CUDA_VISIBLE_DEVICES chooses among GPUs.")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes that read pictures; by default one a core, at most 8.")
]
Limit = Annotated[int | None, typer.Option(min=2, help="At most so many pictures of each split.")]
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
    limit: Limit = None,
    passes: Annotated[
        int, typer.Option(min=1, help="Pieces that a batch is cut into where memory is short.")
    ] = 1,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """Train a timm model to answer a picture with its prompt's embedding.

    DIR gets config.json and model.safetensors of the best epoch, as --engine full loads them.
    Stop it whenever you like: the same command goes on where it was, to the same end.

    Several GPUs: torchrun --nproc-per-node 4 -m img2prompt train regressor …
    """
    check_output_folder(output)
    _check(*REGRESSOR)
    from img2prompt.datasets.pairs import PairsFolder
    from img2prompt.training.regressor import train as training
    from img2prompt.training.regressor.pictures import divide

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
    train_set, validation_set = (part[:limit] for part in divide(folder, split, validation))
    with stoppable(lambda: "stopped. The same command goes on."):
        run = training.train(
            folder, train_set, validation_set, output, config, device=device, workers=workers, passes=passes
        )
    write(
        f"{run.best.cosine:.4f}  validation cosine of epoch {run.best.epoch}, the best of {len(run.epochs)}",
        "bold",
    )
    write(f"Written to {output}; use it with --engine full and IMG2PROMPT_REGRESSOR={output}.")


@commands.command()
def search(
    pairs: Pairs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the search.")],
    mode: Annotated[
        str, typer.Option(help="grid: every combination; tpe: those that look promising.")
    ] = "grid",
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many; by default as many as the grid has.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="timm's name, with {patch} for the patch size.")
    ] = "vit_base_patch{patch}_224",
    batch: Annotated[str, typer.Option(metavar="N,N,…")] = "16,32,64,128,256",
    patch: Annotated[str, typer.Option(metavar="N,N,…")] = "8,16,32",
    rate: Annotated[str, typer.Option(metavar="R,R,…")] = "1e-5,1e-4,1e-3",
    init: Annotated[str, typer.Option(metavar="DIR|lite", help="Backbone, as for regressor.")] = "",
    input: Annotated[int, typer.Option(help="Pixels a side; 0: what the model was made for.")] = 0,
    epochs: Annotated[int, typer.Option(help="Epochs of each run.")] = 5,
    average: Annotated[float, typer.Option(help="Decay of the weights' moving average; 0: none.")] = 0.999,
    precision: Precision = "auto",
    seed: Annotated[int, typer.Option()] = 0,
    pruning: Annotated[bool, typer.Option(help="Give up runs that fall behind.")] = True,
    split: Split = "train",
    validation: Validation = "dev",
    limit: Limit = None,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """Search batch size, patch size and learning rate by validation cosine.

    DIR gets search.db (SQLite, for Optuna's tools), a run for each combination, and plots. Stop it
    whenever you like: the same command goes on where it was.
    """
    check_output_folder(output)
    _check(*REGRESSOR, "optuna", "matplotlib")
    from img2prompt.datasets.pairs import PairsFolder
    from img2prompt.training.regressor import search as searching
    from img2prompt.training.regressor.pictures import divide
    from img2prompt.training.regressor.train import TrainingConfig

    space = searching.Space(
        _numbers("batch", batch, int), _numbers("patch", patch, int), _numbers("rate", rate, float), model
    )
    config = TrainingConfig(
        init=init, input=input, epochs=epochs, average=average, precision=precision, seed=seed
    )
    folder = PairsFolder(pairs)
    train_set, validation_set = (part[:limit] for part in divide(folder, split, validation))
    with stoppable(lambda: "stopped. The same command goes on."):
        study = searching.search(
            folder,
            train_set,
            validation_set,
            output,
            config,
            space,
            mode=mode,
            trials=trials,
            pruning=pruning,
            device=device,
            workers=workers,
        )
    table = Table(
        "cosine", "batch", "patch", "rate", "", title=f"{output}, validation cosine", title_justify="left"
    )
    for trial in searching.ranked(study):
        state = "given up" if trial.state.name == "PRUNED" else ""
        values = trial.params
        table.add_row(
            f"{trial.value:.4f}", str(values["batch"]), str(values["patch"]), f"{values['rate']:g}", state
        )
    show_table(table)
    for file in searching.save_plots(study, output):
        write(f"plot: {file}")


@commands.command()
def knn(
    pairs: Pairs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the bank.")],
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Prompts, one a line, or a CSV of them; by default the texts of --split."
        ),
    ] = None,
    split: Split = "train",
    tune: Annotated[str, typer.Option(help="Split whose pictures choose k and temperature.")] = "dev",
    report: Annotated[str, typer.Option(help="Split to report on.")] = "test",
    limit: Limit = None,
    engine: EngineName = None,
    device: Device = "auto",
) -> None:
    """Build a bank of prompts whose nearest ones answer a picture, and tune how they are weighed.

    Needs no training: the engine's joint space finds the prompts, MiniLM's vectors answer.
    """
    check_output_folder(output)
    _check("faiss")
    from img2prompt.datasets.pairs import PairsFolder
    from img2prompt.ensemble.knn import build_bank
    from img2prompt.evaluation import ensembles
    from img2prompt.evaluation.pictures import mean_texts

    folder = PairsFolder(pairs)
    tune_set, report_set = ensembles.tune_and_report(folder, tune, report, limit)
    bank_prompts = (
        ensembles.read_prompts(prompts)
        if prompts
        else ensembles.own_prompts(folder, split, [*tune_set, *report_set])
    )
    pipeline = load(engine=engine, device=device)
    progress = sys.stderr.isatty()
    bank = build_bank(output, bank_prompts, pipeline.engine, pipeline.sentences, progress)
    vectors = ensembles.look_at(pipeline, folder, [*tune_set, *report_set], progress)
    truth = mean_texts([*tune_set, *report_set], pipeline.sentences)
    count = len(tune_set)
    tuning = bank.tune(vectors[:count], truth[:count])
    row = ensembles.score(output.name, bank.predict(vectors[count:]), truth[count:])
    interval = f"95 % interval {row.low:.4f} … {row.high:.4f}"
    write(f"{row.cosine:.4f}  mean cosine of {counted(len(report_set), 'picture')}, {interval}", "bold")
    write(
        f"{counted(bank.config.prompts, 'prompt')}, k = {tuning.neighbours}, temperature {tuning.temperature:g}; {tuning.held_out:.4f} held out"
    )
    write(f"Written to {output}; a member for img2prompt train ensemble: --member {output}.")


@commands.command()
def ensemble(
    pairs: Pairs,
    member: Annotated[
        list[str],
        typer.Option(
            "--member",
            "-m",
            metavar="[NAME=]SOURCE",
            help="lite or full (the regressor), lite:prompt or full:prompt (the prompt's embedding), "
            "a folder that train regressor or train knn wrote, a submission, or an .npz of embed. Two or more.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The JSON file of weights.")],
    tune: Annotated[str, typer.Option(help="Split to search the weights on.")] = "dev",
    report: Annotated[str, typer.Option(help="Split to report on.")] = "test",
    limit: Limit = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Average regressors over picture and mirror image.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Tune the weights of any number of predictors on one split, and report on another.

    Without splits, the weights are searched on one half of the pictures and reported on the other.
    """
    from img2prompt.datasets.pairs import PairsFolder
    from img2prompt.ensemble.recipe import Recipe, save_recipe
    from img2prompt.evaluation import ensembles
    from img2prompt.evaluation.pictures import mean_texts
    from img2prompt.minilm import SentenceEncoder

    check_output(output, ".json")
    sources = ensembles.named(member)
    folder = PairsFolder(pairs)
    tune_set, report_set = ensembles.tune_and_report(folder, tune, report, limit)
    predictor = ensembles.Predictor(folder, [*tune_set, *report_set], device, mirror, sys.stderr.isatty())
    vectors = {name: predictor(source) for name, source in sources.items()}
    truth = mean_texts([*tune_set, *report_set], SentenceEncoder())
    comparison = ensembles.compare(vectors, truth, len(tune_set))
    save_recipe(
        output,
        Recipe(comparison.weights, sources, mirror),
        tuned_on=len(tune_set),
        reported_on=len(report_set),
        rows=[asdict(row) for row in comparison.rows],
        gain=asdict(comparison.gain),
    )
    if as_json:
        print(output.read_text(encoding="utf-8"), end="")
        return
    table = Table(
        "predictor",
        "cosine",
        "95 % interval",
        title=f"{pairs}, {counted(len(report_set), 'picture')}",
        title_justify="left",
    )
    for row in comparison.rows:
        table.add_row(row.name, f"{row.cosine:.4f}", f"{row.low:.4f} … {row.high:.4f}")
    show_table(table)
    gain = comparison.gain
    write(
        f"{gain.cosine:+.4f}  tuned weights against {gain.name} (95 % interval {gain.low:+.4f} … {gain.high:+.4f})",
        "bold",
    )
    write(f"Written to {output}; use it with --set ensemble={output} or IMG2PROMPT_ENSEMBLE={output}.")


def _numbers(name: str, text: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    """The numbers in the value of an option, such as "16,32,64"."""
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{name} is {text!r}; give numbers with commas between them.") from None


def _check(*modules: str) -> None:
    """Raise ConfigError if one of these modules, which training needs, is not installed."""
    if absent := missing(*modules):
        raise ConfigError(f"Training needs {', '.join(absent)}. {install(*absent)}")
