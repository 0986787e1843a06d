"""The commands for many pictures at once: batch, score, ensemble."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from img2prompt.errors import ConfigError, DataError
from img2prompt.settings import ENGINES, STYLES

if TYPE_CHECKING:
    from img2prompt.batch import Item, Journal, Row, TextFiles

SHOWN = 10  # failures told on stderr
TUNE = "tune"
POOLS = ("local", "ray")

commands = typer.Typer()


@commands.command()
def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR|ZIP|LIST|URL",
            help="A folder, a ZIP archive, a text file of paths (- for stdin), or a folder in a store: s3://…",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="The file to write; for txt a folder, or nothing: beside it.",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--format", help="submission, csv, jsonl, txt or parquet; else by the suffix of OUT."),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Sub-folders of DIR too.")] = False,
    batch_size: Annotated[
        str, typer.Option(metavar="auto|N", help="Pictures that go through the model together.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that open pictures; by default one a core, at most 8.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume/--restart", help="Go on from the journal, or forget it and do everything."),
    ] = True,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where results are kept while they come: OUT.journal. Two outputs with one journal share work.",
        ),
    ] = None,
    errors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A CSV of the pictures that failed, with reasons.")
    ] = None,
    prepend: Annotated[str, typer.Option(help="txt: words before each caption.")] = "",
    append: Annotated[str, typer.Option(help="txt: words after each caption.")] = "",
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="txt: leave pictures alone that have a text file.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="txt: replace text files that this program did not write.")
    ] = False,
    engine: Annotated[str | None, typer.Option(help=f"One of {', '.join(ENGINES)}.")] = None,
    style: Annotated[str | None, typer.Option(help=f"Form of the prompt: {', '.join(STYLES)}.")] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--labels", metavar="FILE", help="A table of your own; repeatable.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    more: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, as for caption; repeatable."),
    ] = None,
    engine_pool: Annotated[
        str, typer.Option(help="local, or ray: several models, on the cluster that RAY_ADDRESS names.")
    ] = "local",
    actors: Annotated[
        int | None, typer.Option(min=1, help="ray: models at work; by default as many as there is room for.")
    ] = None,
) -> None:
    """Describe a folder of pictures and write one file: a submission, a table, or texts for a trainer.

    Stop it whenever you like: the same command goes on where it was. Run it again after adding
    pictures and only those are done; pictures that failed are tried again.

    Formats. submission: imgId_eId,val, the competition's; a failed picture gets the mean of the
    training embeddings. csv: for spreadsheets; a cell that could be a formula, or begins with ',
    gets a ' before it. jsonl, parquet: the same columns, untouched. txt: photo.txt for photo.jpg,
    as trainers such as kohya read it; text files that this program did not write, or that were
    edited since, are never replaced unless you say --overwrite.
    """
    from img2prompt import batch as batches
    from img2prompt import cli
    from img2prompt.batch.ray_pool import import_ray

    size = _batch_size(batch_size)
    if engine_pool not in POOLS:
        raise ConfigError(f"engine-pool is {engine_pool!r}; choose one of {', '.join(POOLS)}.")
    if actors and engine_pool != "ray":
        raise ConfigError("--actors is for --engine-pool ray.")
    if engine_pool == "ray":
        import_ray()  # or say at once that it is not there
    texts = batches.TextFiles(prepend, append, overwrite, skip_existing)
    kind = kind or batches.guess_format(output)
    if kind != "txt" and output is None:
        raise ConfigError("Name the file to write with --output.")
    if kind != "txt" and texts != batches.TextFiles():
        raise ConfigError("--prepend, --append, --skip-existing and --overwrite are for --format txt.")
    if journal is None and output is None and source == "-":
        raise ConfigError("Name a file for the results so far with --journal, or an --output.")
    items = batches.discover(source, recursive)
    batches.check_output(kind, output, items, source)
    if errors is not None:
        batches.check_output("csv", errors, items, source)
    pipeline = cli.load(more, engine=engine, style=style, labels=labels or None, device=device)
    place = journal or _journal_beside(output or Path(source))
    with closing(batches.Journal(place, batches.fingerprint(pipeline))) as kept:
        if not resume:
            kept.clear()
        if kind == "txt":
            items = _without_foreign_texts(items, output, kept, texts)
        size = size or batches.batch_size_for(pipeline.settings.device)
        if engine_pool == "ray":
            settled = replace(pipeline.settings, engine=pipeline.engine.name)  # auto may mean another there
            groups = batches.work_on_ray(settled, items, kept, size, actors, workers)
        else:
            groups = batches.work(pipeline, items, kept, size, workers)
        start = time.monotonic()
        done = _watch(groups, len(items), len(kept.missing(items)))
        seconds = time.monotonic() - start
        failed = list(kept.failed(items))
        for row in failed[:SHOWN]:
            cli.complain(f"{row.name}: {row.error}")
        if len(failed) > SHOWN:
            cli.complain(f"… and {len(failed) - SHOWN} more; --errors FILE lists all of them.")
        if errors is not None:
            batches.export_errors(errors, items, kept)
        everything = bool(items) and len(failed) == len(items)
        if not everything:
            if kind == "txt":
                batches.export_text(items, output, kept, texts)
            elif output is not None:
                batches.export(kind, output, items, kept, pipeline.engine.mean_embedding)
        kept.forget_errors()
    _summary(len(items), done, len(failed), seconds, kind, output)
    if everything:
        raise typer.Exit(2)
    if failed:
        raise typer.Exit(3)


@commands.command()
def score(
    submission: Annotated[Path, typer.Argument(help="A CSV with the columns imgId_eId,val.")],
    truth: Annotated[Path, typer.Argument(help="The same, or a CSV with the columns imgId,prompt.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A CSV of every picture's cosine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, with every picture's cosine.")] = False,
) -> None:
    """The mean cosine of a submission, as the competition computes it, and the pictures farthest off.

    The interval holds 95 % of the means of 2,000 resamples of the pictures. Exit code 3 when
    the submission lacks pictures: the competition would refuse it; the rest is scored.
    """
    from img2prompt import cli
    from img2prompt import submission as competition
    from img2prompt.batch.outputs import replacing, write_table
    from img2prompt.sentences import SentenceEncoder

    if output is not None and not output.parent.is_dir():
        raise DataError(f"{output.parent} is not a folder. Make it first, or choose another --output.")
    answers = competition.read_submission(submission)
    found = competition.score(answers, competition.read_truth(truth, SentenceEncoder()))
    cosines = [round(float(cosine), 6) for cosine in found.cosines]
    if output is not None:
        with replacing(output) as file:
            write_table(file, ("imgId", "cosine"), zip(found.ids, cosines, strict=True))
    if as_json:
        report = {
            "score": found.mean,
            "interval": found.interval,
            "pictures": len(found.ids),
            "worst": [{"id": name, "cosine": round(cosine, 6)} for name, cosine in found.worst()],
            "missing": found.missing,
            "extra": found.extra,
            "cosines": dict(zip(found.ids, cosines, strict=True)),
        }
        print(json.dumps(report))
    else:
        low, high = found.interval
        cli.write(f"{found.mean:.5f}  mean cosine of {len(found.ids)} pictures", "bold")
        cli.write(f"95 % interval {low:.5f} … {high:.5f}")
        table = Table("picture", "cosine", title="Farthest off", title_justify="left")
        for name, cosine in found.worst():
            table.add_row(Text(cli.printable(name)), f"{cosine:.5f}")
        Console().print(table)
    for what, names in (("lacks", found.missing), ("has, and the truth has not,", found.extra)):
        if names:
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            cli.complain(f"{submission} {what} {len(names)} pictures: {shown}")
    if found.missing:
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
    as_json: Annotated[bool, typer.Option("--json", help="tune: write JSON.")] = False,
) -> None:
    """Blend submissions by weight, or tune the weights.

    img2prompt ensemble A.csv B.csv --ratio 0.45 0.55 -o OUT.csv

    img2prompt ensemble tune A.csv B.csv … TRUTH   (a CSV of embeddings or of prompts) searches the
    weights on one half of the pictures and judges them on the other, both ways.
    """
    files = [argument for argument in arguments if not _is_number(argument)]
    # An option takes one value; the further numbers after --ratio arrive as arguments.
    weights = [*(ratio or []), *(float(argument) for argument in arguments if _is_number(argument))]
    if files[:1] == [TUNE]:
        if len(files) < 4 or weights or output:
            raise ConfigError("Usage: img2prompt ensemble tune A.csv B.csv … TRUTH [--json]")
        _tune([Path(file) for file in files[1:-1]], Path(files[-1]), as_json)
    elif as_json or output is None or len(files) < 2:
        raise ConfigError("Usage: img2prompt ensemble A.csv B.csv … --ratio 0.45 0.55 -o OUT.csv")
    else:
        _blend([Path(file) for file in files], weights, output)


def _blend(files: list[Path], weights: list[float], output: Path) -> None:
    from img2prompt import submission as competition
    from img2prompt.batch.outputs import replacing
    from img2prompt.ensemble import combine

    if len(weights) != len(files):
        raise ConfigError(f"{len(weights)} weights for {len(files)} files; give --ratio one number each.")
    if not output.parent.is_dir():
        raise DataError(f"{output.parent} is not a folder. Make it first, or choose another --output.")
    first, *others = [competition.read_submission(file) for file in files]
    aligned = [other.aligned(first.ids, str(file)) for other, file in zip(others, files[1:], strict=True)]
    for other, file in zip(others, files[1:], strict=True):
        first.aligned(other.ids, str(files[0]) + f", compared with {file},")
    blended = combine([first.vectors, *aligned], weights)
    with replacing(output) as out:
        competition.write_submission(out, zip(first.ids, blended, strict=True))


def _tune(files: list[Path], truth: Path, as_json: bool) -> None:
    from img2prompt import cli
    from img2prompt import submission as competition
    from img2prompt.ensemble import tune
    from img2prompt.sentences import SentenceEncoder

    asked = competition.read_truth(truth, SentenceEncoder())
    members = [competition.read_submission(file).aligned(asked.ids, str(file)) for file in files]
    found = tune(members, asked.vectors)
    if as_json:
        report = {
            "ratio": [round(weight, 4) for weight in found.weights],
            "held_out": found.held_out,
            "halves": [[round(weight, 4) for weight in half] for half in found.halves],
            "alone": found.alone,
            "pictures": len(asked.ids),
        }
        print(json.dumps(report))
        return
    cli.write(f"--ratio {_weights(found.weights)}", "bold")
    cli.write(f"{found.held_out:.5f}  mean cosine on pictures that the weights were not searched on")
    for file, cosine in zip(files, found.alone, strict=True):
        cli.write(f"{cosine:.5f}  {file} alone")
    one, other = found.halves
    cli.write(f"The two halves of the {len(asked.ids)} pictures chose {_weights(one)} and {_weights(other)}.")


def _weights(weights: Sequence[float]) -> str:
    return " ".join(f"{weight:.2f}" for weight in weights)


def _watch(groups: Iterable[list[Row]], total: int, missing: int) -> int:
    """Work through the groups with a progress bar; returns how many pictures were done now."""
    done = 0
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    ]
    console = Console(stderr=True, highlight=False)
    try:
        with Progress(
            *columns, console=console, disable=not console.is_terminal, speed_estimate_period=120
        ) as progress:
            bar = progress.add_task("Describing", total=total, completed=total - missing)
            for rows in groups:
                done += len(rows)
                progress.advance(bar, len(rows))
    except KeyboardInterrupt:
        print(
            f"img2prompt: stopped. {total - missing + done} of {total} pictures are done and kept; "
            "the same command goes on.",
            file=sys.stderr,
        )
        raise typer.Exit(1) from None
    return done


class _Rate(ProgressColumn):
    """Pictures a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "–/s", style="progress.data.speed")


def _summary(total: int, done: int, failed: int, seconds: float, kind: str, output: Path | None) -> None:
    from img2prompt import cli

    parts = [f"{total - failed} of {total} pictures described"]
    if done:
        parts[0] += f", {done} of them now, in {seconds:.0f} s ({done / seconds:.1f} a second)"
    if failed:
        parts.append(f"{failed} failed")
    if total and failed == total:
        parts.append("nothing was written")
    else:
        if failed and kind == "submission":
            parts.append("failed pictures have the training mean as their embedding")
        parts.append(f"written to {output or 'text files beside the pictures'}")
    cli.complain(f"{'; '.join(parts)}.")


def _without_foreign_texts(
    items: list[Item], output: Path | None, journal: Journal, texts: TextFiles
) -> list[Item]:
    """The items to work on; refuses before the work starts what would be refused at its end."""
    from img2prompt.batch import foreign_texts, text_exists

    if texts.overwrite:
        return items
    foreign = foreign_texts(items, output, journal)
    if foreign and not texts.skip_existing:
        raise text_exists([file for _, file in foreign])
    names = {item.name for item, _ in foreign}
    return [item for item in items if item.name not in names]


def _journal_beside(path: Path) -> Path:
    path = path.resolve()
    return path.with_name(f"{path.name}.journal")


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"batch-size is {text!r}; give a number from 1, or auto.")
    return int(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
