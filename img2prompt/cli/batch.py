"""The command `batch`, for many pictures at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
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
    track,
)
from rich.text import Text

from img2prompt.cli.console import complain, finish, load, stoppable
from img2prompt.cli.options import (
    Device,
    EngineName,
    Labels,
    Language,
    More,
    Note,
    People,
    ReadText,
    Stored,
    Style,
)
from img2prompt.errors import ConfigError
from img2prompt.files import check_output
from img2prompt.posts import Choices, tones
from img2prompt.posts.post import LENGTHS
from img2prompt.posts.templates import check_tone
from img2prompt.wording import counted

if TYPE_CHECKING:
    from img2prompt.batch import Item, Journal, PhotoFiles, Row, TextFiles

SHOWN = 10  # failures listed on stderr
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
            help="The file to write; for txt and xmp a folder, or nothing: beside the pictures.",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format", help="submission, csv, jsonl, txt, xmp or parquet; else by the suffix of OUT."
        ),
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
    journal_file: Annotated[
        Path | None,
        typer.Option(
            "--journal",
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
        bool,
        typer.Option("--overwrite", help="txt, xmp: replace texts that this program did not write, too."),
    ] = False,
    embed: Annotated[
        str | None,
        typer.Option(
            metavar="copies|originals",
            help="xmp: write into copies of the photos, in the folder OUT, or into the photos themselves.",
        ),
    ] = None,
    change_originals: Annotated[
        bool,
        typer.Option("--yes-change-originals", help="xmp: needed for --embed originals; no copies are kept."),
    ] = False,
    sidecar: Annotated[
        str | None,
        typer.Option(metavar="stem|full", help="xmp: photo.xmp beside photo.jpg, or photo.jpg.xmp."),
    ] = None,
    tone: Annotated[
        str | None, typer.Option("--tone", help=f"Write a post for each picture too: {', '.join(tones())}.")
    ] = None,
    length: Annotated[
        str | None, typer.Option("--length", help=f"Posts: one of {', '.join(LENGTHS)}.")
    ] = None,
    note: Note = "",
    language: Language = None,
    engine: EngineName = None,
    style: Style = None,
    labels: Labels = None,
    people: People = None,
    read_text: ReadText = None,
    device: Device = None,
    more: More = None,
    stored: Stored = None,
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
    training embeddings, and an id is the file name as it is, even one that begins like a formula.
    csv: for spreadsheets; a cell that could be a formula, or begins with ', gets a ' before it.
    jsonl, parquet: the same columns, untouched. With --tone, these three hold a post for each picture.
    The prompt that a picture's own file holds is a column of its own; --no-stored leaves it empty.
    txt: photo.txt for photo.jpg, as trainers such as kohya read it; text files that this program did not
    write, or that were edited since, are never replaced unless you say --overwrite.
    xmp: description, alt text and keywords for photo programs, in a sidecar beside each photo, or with
    --embed in JPEG, PNG, WebP and TIFF files; what a photo says already is kept unless you say --overwrite.
    """
    from img2prompt import batch as batches
    from img2prompt.batch.ray_pool import import_ray

    size = _batch_size(batch_size)
    if engine_pool not in POOLS:
        raise ConfigError(f"engine-pool is {engine_pool!r}; choose one of {', '.join(POOLS)}.")
    if actors and engine_pool != "ray":
        raise ConfigError("--actors is for --engine-pool ray.")
    if engine_pool == "ray":
        import_ray()  # a missing Ray is reported before the work starts
    kind = kind or ("xmp" if embed or sidecar else batches.guess_format(output))
    text_options = batches.TextFiles(prepend, append, overwrite, skip_existing)
    photo_options = _photo_options(embed, sidecar, overwrite, change_originals)
    if kind not in ("txt", "xmp") and output is None:
        raise ConfigError("Name the file to write with --output.")
    if kind != "txt" and replace(text_options, overwrite=False) != batches.TextFiles():
        raise ConfigError("--prepend, --append and --skip-existing are for --format txt.")
    if kind != "xmp" and replace(photo_options, overwrite=False) != batches.PhotoFiles():
        raise ConfigError("--embed and --sidecar are for --format xmp.")
    if kind not in ("txt", "xmp") and overwrite:
        raise ConfigError("--overwrite is for --format txt and xmp.")
    if journal_file is None and output is None and source == "-":
        raise ConfigError("Name a file for the results so far with --journal, or an --output.")
    posts = _posts(kind, tone, length, note, language)
    items = batches.discover(source, recursive)
    batches.check_output(kind, output, items, source, photo_options)
    if errors is not None:
        if output and errors.resolve() == output.resolve():
            raise ConfigError(f"{errors} is to be written twice. Name another file with --errors.")
        check_output(errors, inputs=[Path(source), *(item.file for item in items if item.file)])
    if not recursive and (more_pictures := batches.passed_over(source)):
        complain(
            f"passed over in sub-folders: {counted(more_pictures, 'picture')}. Add --recursive to take all."
        )
    pipeline = load(
        more,
        engine=engine,
        style=style,
        labels=labels or None,
        people=people,
        read_text=read_text,
        device=device,
        stored=stored,
    )
    journal_file = journal_file or _journal_beside(output or Path(source))
    with (
        closing(batches.Journal(journal_file, batches.fingerprint(pipeline))) as journal,
        stoppable(lambda: _stopped(items, journal)),
    ):
        if not resume:
            journal.clear()
        if damaged := journal.drop_damaged():
            complain(f"damaged in {journal_file}: {counted(damaged, 'result')}; described again.")
        if kind == "txt":
            items = _without_foreign_texts(items, output, journal, text_options)
        size = size or batches.batch_size_for(pipeline.engine.device)
        if engine_pool == "ray":
            # Name the engine, since "auto" may choose another one on the cluster.
            settings = replace(pipeline.settings, engine=pipeline.engine.name)
            groups = batches.work_on_ray(settings, items, journal, size, actors, workers)
        else:
            groups = batches.work(pipeline, items, journal, size, workers)
        start = time.monotonic()
        done = _watch(groups, len(items), len(journal.missing(items)))
        seconds = time.monotonic() - start
        failed = list(journal.failed(items))
        _complain_of({row.name: row.error for row in failed})
        if errors is not None:
            batches.export_errors(errors, items, journal)
        refused: dict[str, str] = {}
        if not items or len(failed) < len(items):
            if kind == "txt":
                batches.export_text(items, output, journal, text_options)
            elif kind == "xmp":
                limit = int(pipeline.settings.max_megabytes * 2**20)
                console = Console(stderr=True, highlight=False)
                for item in track(items, "Writing", console=console, disable=not console.is_terminal):
                    refused |= batches.export_photos([item], output, journal, photo_options, limit)
                _complain_of(refused)
                if errors is not None:
                    batches.export_errors(errors, items, journal, refused)
            elif output is not None:
                mean = pipeline.engine.mean_embedding
                batches.export(kind, output, items, journal, mean, posts, pipeline.settings.stored)
        journal.forget_errors()
    _summary(len(items), done, len(failed), seconds, kind, output, len(refused), photo_options.embed)
    finish(len(failed) + len(refused), len(items))


def _photo_options(
    embed: str | None, sidecar: str | None, overwrite: bool, change_originals: bool
) -> PhotoFiles:
    """How texts are written as XMP. Who wants their own files changed must say so twice."""
    from img2prompt.batch import ORIGINALS, PhotoFiles

    if sidecar and embed:
        raise ConfigError("--sidecar names files beside the photos, and --embed writes none. Leave out one.")
    options = PhotoFiles(embed or "", sidecar or PhotoFiles.sidecar, overwrite)
    if embed == ORIGINALS and not change_originals:
        raise ConfigError(
            "--embed originals changes your own files. If you want that, add --yes-change-originals; "
            "--embed copies with an --output leaves them alone."
        )
    if change_originals and embed != ORIGINALS:
        raise ConfigError("--yes-change-originals is for --embed originals.")
    return options


def _complain_of(failed: Mapping[str, str]) -> None:
    """List the first pictures that failed (name → reason) on stderr."""
    for name, reason in islice(failed.items(), SHOWN):
        complain(f"{name}: {reason}")
    if len(failed) > SHOWN:
        complain(f"… and {len(failed) - SHOWN} more; --errors FILE lists all of them.")


def _posts(
    kind: str, tone: str | None, length: str | None, note: str, language: str | None
) -> Choices | None:
    """What is wanted of the posts; None for no posts. An unknown tone is reported before the work starts."""
    if tone is None:
        if length is not None or note or language:
            raise ConfigError("--length, --note and --language are for posts; name a --tone too.")
        return None
    from img2prompt.batch import FORMATS

    if kind in FORMATS and not FORMATS[kind].posts:
        holders = ", ".join(name for name, format in FORMATS.items() if format.posts)
        raise ConfigError(f"{kind} holds no posts, which --tone asks for; choose one of {holders}.")
    check_tone(tone)
    return Choices(
        tone=tone,
        length=length or Choices.length,
        note=note,
        language=language or Choices.language,
        variants=1,
    )


def _watch(groups: Iterable[list[Row]], total: int, missing: int) -> int:
    """Work through the groups with a progress bar; return how many pictures were done in this run."""
    done = 0
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    ]
    console = Console(stderr=True, highlight=False)
    with Progress(
        *columns, console=console, disable=not console.is_terminal, speed_estimate_period=120
    ) as progress:
        bar = progress.add_task("Describing", total=total, completed=total - missing)
        for rows in groups:
            done += len(rows)
            progress.advance(bar, len(rows))
    return done


def _stopped(items: Sequence[Item], journal: Journal) -> str:
    """What to say when the run was stopped."""
    done = len(items) - len(journal.missing(items))
    return f"stopped. {done} of {counted(len(items), 'picture')} done and kept; the same command goes on."


class _Rate(ProgressColumn):
    """A column of the progress bar: pictures a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "–/s", style="progress.data.speed")


def _summary(
    total: int,
    done: int,
    failed: int,
    seconds: float,
    kind: str,
    output: Path | None,
    refused: int,
    embed: str,
) -> None:
    """Print one line on what was done and written."""
    parts = [f"{total - failed} of {counted(total, 'picture')} described"]
    if done:
        parts[0] += f", {done} tried now, in {seconds:.0f} s ({done / seconds:.1f} a second)"
    if failed:
        parts.append(f"{failed} failed")
    if total and failed == total:
        parts.append("nothing was written")
    else:
        if failed and kind == "submission":
            parts.append("failed pictures have the training mean as their embedding")
        if refused:
            parts.append(f"{refused} could not be written")
        beside = {"txt": "text files beside the pictures", "xmp": "sidecars beside the pictures"}
        parts.append(f"written to {output or ('the pictures' if embed else beside.get(kind))}")
    complain(f"{'; '.join(parts)}.")


def _without_foreign_texts(
    items: list[Item], output: Path | None, journal: Journal, options: TextFiles
) -> list[Item]:
    """The items to work on, without those that `options` skip.

    Raises
    ------
    DataError
        For text files of somebody else that `options` neither skip nor overwrite: now, rather
        than at the end of the work.
    """
    from img2prompt.batch import foreign_texts, text_exists

    if options.overwrite:
        return items
    foreign = foreign_texts(items, output, journal)
    if foreign and not options.skip_existing:
        raise text_exists([file for _, file in foreign])
    names = {item.name for item, _ in foreign}
    return [item for item in items if item.name not in names]


def _journal_beside(path: Path) -> Path:
    path = path.resolve()
    return path.with_name(f"{path.name}.journal")


def _batch_size(text: str) -> int | None:
    """The value of --batch-size; None for "auto"."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"batch-size is {text!r}; give a number from 1, or auto.")
    return int(text)
