"""The commands `score` and `ensemble`: for the competition's files, and for pictures that hold their prompts."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from img2prompt.cli.console import complain, load, show_table, write
from img2prompt.cli.options import AsJson, Device, EngineName, More, Style
from img2prompt.errors import ConfigError
from img2prompt.files import check_output, one_line
from img2prompt.wording import counted

commands = typer.Typer()

TUNE = "tune"
FEW = 5  # pictures, or files that failed, that are shown


@commands.command()
def score(
    submission: Annotated[
        Path | None, typer.Argument(help="A CSV with the columns imgId_eId,val.", show_default=False)
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Argument(help="The same, or a CSV with the columns imgId,prompt.", show_default=False),
    ] = None,
    stored: Annotated[
        Path | None,
        typer.Option(
            "--stored",
            metavar="DIR",
            help="Instead of files: compare what is written about the pictures in a folder, and below it, with "
            "the prompts that they hold.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A CSV of every picture's cosine.")
    ] = None,
    engine: EngineName = None,
    style: Style = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """The mean cosine of a submission, as the competition computes it, and the pictures farthest off.

    The interval holds 95 % of the means of 2,000 resamples of the pictures. Exit code 3 when
    the submission lacks pictures: the competition would refuse it; the rest is scored.

    With --stored, our prompts of pictures are compared with those in their files; --engine, --style,
    --device and --set are for that.
    """
    if stored is not None:
        if submission or truth:
            raise ConfigError("--stored DIR compares pictures with their own prompts; leave the files out.")
        _score_stored(stored, output, as_json, more, engine=engine, style=style, device=device)
        return
    if submission is None or truth is None:
        raise ConfigError("Usage: img2prompt score SUBMISSION TRUTH, or img2prompt score --stored DIR.")
    if engine or style or device or more:
        raise ConfigError("--engine, --style, --device and --set are for --stored DIR.")
    from img2prompt import submission as competition
    from img2prompt.files import replacing
    from img2prompt.minilm import SentenceEncoder
    from img2prompt.spreadsheet import write_table

    if output is not None:
        check_output(output, ".csv", inputs=[submission, truth])
    answers = competition.read_submission(submission)
    result = competition.score(answers, competition.read_truth(truth, SentenceEncoder()))
    cosines = [round(float(cosine), 6) for cosine in result.cosines]
    if output is not None:
        with replacing(output) as file:
            write_table(file, ("imgId", "cosine"), zip(result.ids, cosines, strict=True))
    if as_json:
        report = {
            "score": result.mean,
            "interval": result.interval,
            "pictures": len(result.ids),
            "worst": [{"id": name, "cosine": round(cosine, 6)} for name, cosine in result.worst()],
            "missing": result.missing,
            "extra": result.extra,
            "cosines": dict(zip(result.ids, cosines, strict=True)),
        }
        print(json.dumps(report))
    else:
        low, high = result.interval
        write(f"{result.mean:.5f}  mean cosine of {counted(len(result.ids), 'picture')}", "bold")
        write(f"95 % interval {low:.5f} … {high:.5f}")
        table = Table("picture", "cosine", title="Farthest off", title_justify="left")
        for name, cosine in result.worst():
            table.add_row(one_line(name), f"{cosine:.5f}")
        show_table(table)
    for what, names in (("lacks", result.missing), ("has, and the truth has not,", result.extra)):
        if names:
            shown = ", ".join(map(one_line, names[:5])) + (", …" if len(names) > 5 else "")
            complain(f"{submission} {what} {counted(len(names), 'picture')}: {shown}")
    if result.missing:
        raise typer.Exit(3)


@commands.command()
def ensemble(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="A.csv B.csv … | tune A.csv B.csv … TRUTH", help="Submissions of the same pictures."
        ),
    ],
    ratio: Annotated[
        list[float] | None,
        typer.Option("--ratio", metavar="R R …", help="One weight for each file; only their ratio matters."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The submission to write.")] = None,
    as_json: AsJson = False,
) -> None:
    """Blend submissions by weight, or tune the weights.

    img2prompt ensemble A.csv B.csv --ratio 0.45 0.55 -o OUT.csv

    img2prompt ensemble tune A.csv B.csv … TRUTH   (a CSV of embeddings or of prompts) searches the
    weights on one half of the pictures and judges them on the other, both ways.
    """
    files = [argument for argument in arguments if not _is_number(argument)]
    # Typer gives an option one value, so further numbers after --ratio arrive as arguments.
    weights = [*(ratio or []), *(float(argument) for argument in arguments if _is_number(argument))]
    if files[:1] == [TUNE]:
        if len(files) < 4 or weights or output:
            raise ConfigError("Usage: img2prompt ensemble tune A.csv B.csv … TRUTH [--json]")
        _tune([Path(file) for file in files[1:-1]], Path(files[-1]), as_json)
    elif as_json or output is None or len(files) < 2:
        raise ConfigError("Usage: img2prompt ensemble A.csv B.csv … --ratio 0.45 0.55 -o OUT.csv")
    else:
        _blend([Path(file) for file in files], weights, output)


def _score_stored(
    folder: Path, output: Path | None, as_json: bool, more: list[str] | None, **overrides: str | None
) -> None:
    from img2prompt.batch import discover
    from img2prompt.evaluation.stored import score_stored
    from img2prompt.files import replacing
    from img2prompt.spreadsheet import write_table

    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder. Name one with pictures that hold their prompts.")
    files = [(item.name, item.file) for item in discover(folder, recursive=True) if item.file]
    if output is not None:
        check_output(output, ".csv", inputs=[file for _, file in files])
    # With people as seen, as whoever wrote the prompts did not avoid them.
    pipeline = load(more, people="as-seen", **overrides)
    report = {**score_stored(pipeline, files, progress=sys.stderr.isatty()), "engine": pipeline.engine.name}
    for problem in report["failed"][:FEW]:
        complain(problem)
    if output is not None:
        columns = ("path", "written_cosine", "cosine", "prompt", "stored")
        with replacing(output) as out:
            write_table(out, columns, ([each[name] for name in columns] for each in report["pictures"]))
    if as_json:
        print(json.dumps(report))
    else:
        write(f"{report['written_cosine']:.4f}  mean cosine of the written prompts", "bold")
        write(f"{report['cosine']:.4f}  mean cosine of the pictures' embeddings", "bold")
        write(f"{counted(report['n'], 'picture')} with a prompt, {report['without']} without")
        table = Table("picture", "cosine", "stored", title="Farthest off", title_justify="left")
        for each in report["pictures"][:FEW]:
            table.add_row(
                one_line(each["path"]), f"{each['written_cosine']:.4f}", one_line(each["stored"][:200])
            )
        show_table(table)
    if report["failed"]:
        raise typer.Exit(3)


def _blend(files: list[Path], weights: list[float], output: Path) -> None:
    from img2prompt import submission as competition
    from img2prompt.ensemble.blend import combine
    from img2prompt.files import replacing

    if len(weights) != len(files):
        given = counted(len(weights), "weight")
        raise ConfigError(f"{given} for {len(files)} files; give --ratio one number each.")
    check_output(output, ".csv", inputs=files)
    first, *others = [competition.read_submission(file) for file in files]
    aligned = [other.aligned(first.ids, str(file)) for other, file in zip(others, files[1:], strict=True)]
    for other, file in zip(others, files[1:], strict=True):
        first.aligned(other.ids, str(files[0]) + f", compared with {file},")
    blended = combine([first.vectors, *aligned], weights)
    with replacing(output) as out:
        competition.write_submission(out, zip(first.ids, blended, strict=True))


def _tune(files: list[Path], truth: Path, as_json: bool) -> None:
    from img2prompt import submission as competition
    from img2prompt.ensemble.blend import tune
    from img2prompt.minilm import SentenceEncoder

    expected = competition.read_truth(truth, SentenceEncoder())
    members = [competition.read_submission(file).aligned(expected.ids, str(file)) for file in files]
    tuning = tune(members, expected.vectors)
    if as_json:
        report = {
            "ratio": [round(weight, 4) for weight in tuning.weights],
            "held_out": tuning.held_out,
            "halves": [[round(weight, 4) for weight in half] for half in tuning.halves],
            "alone": tuning.alone,
            "pictures": len(expected.ids),
        }
        print(json.dumps(report))
        return
    write(f"--ratio {_weights(tuning.weights)}", "bold")
    write(f"{tuning.held_out:.5f}  mean cosine on pictures that the weights were not searched on")
    for file, cosine in zip(files, tuning.alone, strict=True):
        write(f"{cosine:.5f}  {file} alone")
    first, second = tuning.halves
    write(
        f"The two halves of the {len(expected.ids)} pictures chose {_weights(first)} and {_weights(second)}."
    )


def _weights(weights: Sequence[float]) -> str:
    return " ".join(f"{weight:.2f}" for weight in weights)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
