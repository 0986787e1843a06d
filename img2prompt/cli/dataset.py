"""The commands `dataset generate`, `clean`, `filter` and `explore`, which make and examine data sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from img2prompt.cli.console import complain, stoppable
from img2prompt.cli.options import AsJson
from img2prompt.errors import ConfigError, DataError
from img2prompt.files import check_output, replacing
from img2prompt.wording import counted

if TYPE_CHECKING:
    from img2prompt.datasets.deduplicate import Progress as Report
    from img2prompt.datasets.table import Table

REPORT_COLUMNS = ("imgId", "prompt", "twin_imgId", "twin_prompt", "twin_file", "similarity")

commands = typer.Typer(
    help="Make a data set of (prompt, picture) pairs, clean it, and look at it.", no_args_is_help=True
)

Source = Annotated[
    Path, typer.Argument(metavar="IN.csv", help="A CSV with imgId,prompt; or a .txt, one prompt a line.")
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="OUT.csv", help="The CSV to write.")]


@commands.command()
def generate(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the pairs; made if need be.")],
    image_model: Annotated[
        str,
        typer.Option(metavar="SD", help="Stable Diffusion: a folder, or a name in the hub's cache."),
    ],
    text_model: Annotated[
        str | None,
        typer.Option(metavar="GPT2", help="Writes the prompts: a folder, or a name in the hub's cache."),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Or take them from a CSV, or a .txt, one a line.")
    ] = None,
    stem: Annotated[str, typer.Option(help="What the text model continues.")] = "A picture of",
    count: Annotated[
        int | None, typer.Option(min=1, help="Pairs in all: 1000, or as many as the file has prompts.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps; dpm++ needs only 16 or so.")] = 35,
    size: Annotated[str, typer.Option(metavar="N|WxH", help="Pixels, multiples of 8.")] = "712",
    scheduler: Annotated[
        str, typer.Option(help="own (the model's), ddim, dpm++, euler, euler-a, heun, pndm or unipc.")
    ] = "own",
    guidance: Annotated[float, typer.Option(min=0, help="How closely to follow the prompt.")] = 7.5,
    negative: Annotated[str, typer.Option(help="What no picture should show.")] = "",
    precision: Annotated[str, typer.Option(help="auto (fp16 on a GPU), fp16, bf16 or fp32.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures rendered together.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the first picture; the others count up.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> None:
    """Make (prompt, picture) pairs: GPT-2 or a file gives the prompts, Stable Diffusion the pictures.

    Writes OUT/images/ID.png and OUT/prompts.csv (imgId,prompt,seed). Stop it whenever you like: the
    same command goes on where it was, and a larger --count adds to what is there. Models must lie
    on this machine, with safetensors weights; nothing is downloaded.
    """
    from img2prompt.datasets.generate import Recipe, Workshop
    from img2prompt.datasets.table import read_table

    if (text_model is None) == (prompts is None):
        raise ConfigError("Give either --text-model or --prompts.")
    file_prompts = [text for text in read_table(prompts).texts if text.strip()] if prompts else []
    count = count or (len(file_prompts) if prompts else 1000)
    if prompts and len(file_prompts) < count:
        has = counted(len(file_prompts), "prompt")
        raise DataError(f"{prompts} has {has}, and --count asks for {count}. Add some, or ask for fewer.")
    width, height = _size(size)
    recipe = Recipe(
        image_model=image_model,
        text_model=text_model,
        stem=stem if text_model else "",
        steps=steps,
        width=width,
        height=height,
        scheduler=scheduler,
        guidance=guidance,
        negative=negative,
        seed=seed,
        precision=precision,
    )
    with closing(Workshop(folder, recipe)) as workshop:
        stopped = "stopped. {} of {} done; the same command goes on."
        pairs = counted(count, "pair")
        with stoppable(lambda: stopped.format(workshop.done(count), pairs)), _progress() as report:
            if prompts:
                workshop.take_prompts(file_prompts)
            else:
                for planned in workshop.draw_prompts(count, device):
                    report("Writing prompts", planned, count)
            done = workshop.done(count)
            for made in workshop.render(count, batch_size, device):
                done += len(made)
                report("Rendering", done, count)
        done = workshop.done(count)
    complain(f"{done} of {counted(count, 'pair')} in {folder}.")
    if done < count:
        complain(
            f"blanked by the model's own safety checker and left out: {counted(count - done, 'picture')}."
        )
        raise typer.Exit(3)


@commands.command()
def clean(
    source: Source,
    output: Output,
    min_characters: Annotated[int, typer.Option(min=1, help="Shorter prompts are dropped.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Tidy prompts: Unicode, special characters, white space; drop the short ones.

    Letters of any script, digits and the marks of prose stay; brackets, bars, emoji and the like
    go. Other columns are carried along as they are.
    """
    from img2prompt.datasets.clean import clean_texts
    from img2prompt.datasets.table import read_table, write_rows

    check_output(output, ".csv", inputs=[source])
    table = read_table(source)
    texts, counts = clean_texts(table.texts, min_characters)
    column = table.text_column
    rows = (
        [*row[:column], text, *row[column + 1 :]]
        for row, text in zip(table.rows, texts, strict=True)
        if text is not None
    )
    write_rows(output, table.columns, rows)
    if as_json:
        print(json.dumps(asdict(counts)))
    complain(
        f"{counts.kept} of {counted(counts.rows, 'row')} kept, {counts.dropped} dropped with under "
        f"{counted(min_characters, 'character')}. Of those kept, {counts.normalised} had their Unicode normalised, {counts.stripped} "
        f"lost special characters, {counts.spaced} superfluous white space. Written to {output}."
    )


@commands.command("filter")
def filter_(
    source: Source,
    output: Output,
    threshold: Annotated[float, typer.Option(help="Cosine from which two prompts say the same.")] = 0.95,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="OTHER.csv", help="Remove also what is in this set; may be given again."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The CSV of removals with their twins; else OUT.removed.csv."),
    ] = None,
    index: Annotated[str, typer.Option(help="exact, approximate (for millions), or auto.")] = "auto",
    batch_size: Annotated[
        int, typer.Option(help="Rows compared at a time; changes memory and time, never the result.")
    ] = 4096,
    device: Annotated[str, typer.Option(help="Where prompts are embedded: auto, cpu or cuda.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Remove near-duplicate prompts: of each group, the first stays.

    Rows are taken in order; a row goes when its similarity with an earlier row that stayed (or with
    any row of --against) reaches the threshold. The similarity is the cosine of the MiniLM
    embeddings. Rows that stay are written as they are, with all their columns.
    """
    from img2prompt.datasets.deduplicate import check_options, find_twins
    from img2prompt.datasets.table import read_table, write_rows
    from img2prompt.engines.registry import find_device
    from img2prompt.minilm import SentenceEncoder
    from img2prompt.spreadsheet import write_table

    other_tables = [read_table(path) for path in against or []]
    report = report or output.with_name(f"{output.stem}.removed.csv")
    if report.resolve() == output.resolve():
        raise ConfigError(f"{output} is to be written twice. Name another file with --report.")
    check_output(output, ".csv", inputs=[source, *(against or [])])
    check_output(report, inputs=[source, *(against or [])])
    check_options(threshold, batch_size, index)
    table = read_table(source)
    other_texts = [text for other in other_tables for text in other.texts]
    with _progress() as progress:
        encoder = SentenceEncoder(device=find_device(device, "onnxruntime"))
        twins = find_twins(table.texts, encoder, threshold, other_texts, batch_size, index, progress)
    all_rows = [(source, row) for source in [*other_tables, table] for row in range(len(source.rows))]
    removed = [
        (number, *all_rows[twin], similarity)
        for number, (twin, similarity) in enumerate(zip(twins.rows, twins.similarities, strict=True))
        if twin >= 0
    ]
    with replacing(report) as file:
        write_table(
            file,
            REPORT_COLUMNS,
            (
                (*_pair(table, row), *_pair(other, twin), str(other.path), f"{similarity:.6f}")
                for row, other, twin, similarity in removed
            ),
        )
    write_rows(
        output, table.columns, (row for row, twin in zip(table.rows, twins.rows, strict=True) if twin < 0)
    )
    counts = {
        "rows": len(table.rows),
        "kept": len(table.rows) - len(removed),
        "removed": len(removed),
        "equal_texts": sum(_pair(table, row)[1] == _pair(other, twin)[1] for row, other, twin, _ in removed),
        "removed_against": sum(other is not table for _, other, *_ in removed),
        "index": twins.index,
        "recall": twins.recall,
    }
    if as_json:
        print(json.dumps(counts))
    complain(
        f"{counts['kept']} of {counted(len(table.rows), 'row')} kept in {output}; {counts['removed']} removed, "
        f"{counts['equal_texts']} of them copies to the letter. Removals and their twins: {report}."
    )
    if twins.recall is not None:
        complain(
            f"The index found {twins.recall:.2%} of what an exact search would remove (measured on a sample)."
        )


@commands.command()
def explore(
    source: Annotated[
        Path, typer.Argument(metavar="PAIRS|IN.csv", help="A folder of pairs, a CSV, or a .txt of prompts.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.html", help="The report to write.")],
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="OTHER", help="Compare with this set, validation for example; may be given again."
        ),
    ] = None,
) -> None:
    """Write one HTML report: lengths, words, styles, duplicates, pictures, a map, drift between sets.

    The splits of a folder are compared with its first. Large sets are sampled where they are
    embedded. The report holds everything it shows and fetches nothing.
    """
    from img2prompt.datasets import report as reporting
    from img2prompt.datasets import survey as exploring
    from img2prompt.minilm import SentenceEncoder

    check_output(output, ".html", inputs=[source, *(against or [])])
    exploring.check_libraries()
    groups = [group for path in [source, *(against or [])] for group in exploring.load_sets(path)]
    with _progress() as progress:
        survey = exploring.survey(groups, SentenceEncoder(), progress)
    page = reporting.report(survey, f"{source.name}: what is in it")
    with replacing(output) as file:
        file.write(page.encode("utf-8", "replace"))
    prompts = counted(sum(len(group.texts) for group in groups), "prompt")
    complain(f"{prompts} explored; open {output}.")


def _pair(table: Table, row: int) -> tuple[str, str]:
    """Id and prompt of a row."""
    return table.rows[row][table.id_column], table.rows[row][table.text_column]


def _size(text: str) -> tuple[int, int]:
    """(width, height) in pixels, from "712" or "768x512"."""
    width, _, height = text.partition("x")
    if not width.isdecimal() or not (height or width).isdecimal():
        raise ConfigError(f"size is {text!r}; give pixels: 712, or 768x512.")
    return int(width), int(height or width)


@contextmanager
def _progress() -> Iterator[Report]:
    """Show progress bars on a terminal; yields a function that updates the bar of a step."""
    console = Console(stderr=True, highlight=False)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def report(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what)
            progress.update(bars[what], completed=done, total=total)

        yield report
