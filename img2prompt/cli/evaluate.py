"""The commands `evaluate …`, which compare with what people wrote."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from img2prompt.cli.console import load, show_table
from img2prompt.cli.options import AsJson, Device, EngineName, Limit, More, Pairs, Sources, Split, Writer
from img2prompt.posts import Choices
from img2prompt.posts.post import LENGTHS, PHRASEBOOK

commands = typer.Typer(
    help="Compare with what people wrote. PAIRS is a folder with a CSV (image, caption) and its pictures.",
    no_args_is_help=True,
)


@commands.command()
def captions(
    pairs: Pairs,
    split: Split = "test",
    limit: Limit = None,
    engine: EngineName = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """BLEU-4, METEOR and CIDEr of the captions (needs Java and pycocoevalcap)."""
    from img2prompt.evaluation.captions import evaluate_captions

    report_scores(evaluate_captions, pairs, split, limit, as_json, more, engine=engine, device=device)


@commands.command()
def embeddings(
    pairs: Pairs,
    split: Split = "test",
    limit: Limit = None,
    engine: EngineName = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Cosine of the regressed embeddings, and how often a caption finds its photo."""
    from img2prompt.evaluation.embeddings import evaluate_embeddings

    report_scores(evaluate_embeddings, pairs, split, limit, as_json, more, engine=engine, device=device)


@commands.command()
def styles(
    pairs: Pairs,
    split: Split = "test",
    limit: Limit = None,
    engine: EngineName = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """How often a picture's style text is among its five nearest, and in the first tenth."""
    from img2prompt.evaluation.styles import evaluate_styles

    report_scores(evaluate_styles, pairs, split, limit, as_json, more, engine=engine, device=device)


@commands.command()
def people(
    pairs: Pairs,
    split: Split = "dev",
    source: Sources = None,
    more_captions: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Further captions (image, caption) of the same pictures."),
    ] = None,
    limit: Limit = None,
    engine: EngineName = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """How often captions see people where nobody is, and where somebody is; and the share of right words."""
    from img2prompt.evaluation.people import evaluate_people

    measure = partial(evaluate_people, sources=source, more=more_captions)
    report_scores(measure, pairs, split, limit, as_json, more, engine=engine, device=device)


@commands.command()
def subjects(
    pairs: Pairs,
    split: Split = "dev",
    source: Sources = None,
    limit: Limit = None,
    engine: EngineName = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """How often a caption names its picture's label, and has it among the nearest labels."""
    from img2prompt.evaluation.subjects import evaluate_subjects

    measure = partial(evaluate_subjects, sources=source)
    report_scores(measure, pairs, split, limit, as_json, more, engine=engine, device=device)


@commands.command()
def prompts(
    pairs: Pairs,
    split: Split = "dev",
    source: Sources = None,
    limit: Limit = None,
    engine: EngineName = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """How near embeddings and written prompts come to the prompts that made the pictures."""
    from img2prompt.evaluation.prompts import evaluate_prompts

    measure = partial(evaluate_prompts, sources=source)
    report_scores(measure, pairs, split, limit, as_json, more, engine=engine, device=device)


@commands.command()
def posts(
    pairs: Pairs,
    split: Split = "dev",
    source: Sources = None,
    length: Annotated[str, typer.Option("--length", help=f"One of {', '.join(LENGTHS)}.")] = Choices.length,
    writer: Writer = PHRASEBOOK,
    limit: Limit = None,
    engine: EngineName = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Whether posts are about what the pictures show, repeat it, differ, and are like what people post."""
    from img2prompt.evaluation.posts import evaluate_posts

    measure = partial(evaluate_posts, sources=source, choices=Choices(length=length), writer=writer)
    report_scores(measure, pairs, split, limit, as_json, more, people="neutral", engine=engine, device=device)


def report_scores(
    measure: Callable[..., dict[str, Any]],
    pairs: Path,
    split: str,
    limit: int | None,
    as_json: bool,
    more: Sequence[str] | None,
    people: str = "as-seen",
    **overrides: Any,
) -> None:
    """Run an evaluation and print its numbers; with people as seen, since what people wrote, they wrote so."""
    from img2prompt.datasets.pairs import PairsFolder

    folder = PairsFolder(pairs)
    pipeline = load(more, people=people, **overrides)
    scores = measure(pipeline, folder, split, limit, progress=sys.stderr.isatty())
    scores["engine"] = pipeline.engine.name
    if as_json:
        print(json.dumps(scores))
    else:
        table = Table("measure", "value", title=f"{pairs}, {split}")
        for name, value in scores.items():
            by_tone = (
                value
                if isinstance(value, dict) and all(isinstance(v, dict) for v in value.values())
                else {"": value}
            )
            for part, numbers in by_tone.items():
                table.add_row(f"{name} {part}".strip(), str(numbers))
        show_table(table)
