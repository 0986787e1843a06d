"""The command line: a picture or a folder's worth of them, for people and for pipes.

Exit codes: 0 all went well, 2 bad usage or input, 3 some pictures of several failed,
1 anything else.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from img2prompt import __version__
from img2prompt.captions import Choices, alt_text, as_sentence, compose, see, tones
from img2prompt.captions.post import EMOJI, GOALS, LENGTHS, MAX_HASHTAGS, MAX_VARIANTS, Variant
from img2prompt.captions.templates import load_tone
from img2prompt.cli_app import commands as app_commands
from img2prompt.cli_batch import commands as batch_commands
from img2prompt.cli_dataset import commands as dataset_commands
from img2prompt.cli_models import models
from img2prompt.cli_train import commands as train_commands
from img2prompt.errors import ConfigError, DataError, ImageError, Img2PromptError, WeightsError
from img2prompt.settings import ENGINES, PREFIX, STYLES, Settings

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from img2prompt.pipeline import Pipeline, Result

BATCH = 16  # pictures that go through the model together
STDIN = "-"

app = typer.Typer(
    help="Pictures in, words out: captions, prompts, labels and prompt embeddings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
evaluation = typer.Typer(
    help="Compare with what people wrote. PAIRS is a folder with a CSV (image, caption) and its pictures.",
    no_args_is_help=True,
)
app.add_typer(evaluation, name="evaluate")
app.add_typer(app_commands)
app.add_typer(batch_commands)
app.add_typer(models, name="models")
app.add_typer(dataset_commands, name="dataset")
app.add_typer(train_commands, name="train")

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Pictures; - reads one from stdin.")]
EngineName = Annotated[str | None, typer.Option("--engine", help=f"One of {', '.join(ENGINES)}.")]
Style = Annotated[str | None, typer.Option("--style", help=f"Form of the prompt: {', '.join(STYLES)}.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--labels", metavar="FILE", help="A table of your own, one label a line; may be repeated."),
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
More = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other setting, such as caption_model=blip-base or low_vram=yes; may be repeated.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Pairs = Annotated[Path, typer.Argument(metavar="PAIRS", help="Folder with a CSV and its pictures.")]
Split = Annotated[
    str, typer.Option("--split", help="Split to use; all pictures where the CSV has no splits.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Use only the first N pictures.")]


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of the program itself; `main` reads --debug."""
    if version:
        print(f"img2prompt {__version__}")
        raise typer.Exit


@app.command()
def caption(
    paths: Paths,
    engine: EngineName = None,
    style: Style = None,
    labels: Labels = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Write the caption, prompt and labels of each picture."""
    check_stdin(paths)
    pipeline = load(more, engine=engine, style=style, labels=labels or None, device=device)
    failed = 0
    for path, answer in answers(pipeline, paths):
        if isinstance(answer, ImageError):
            failed += 1
            complain(answer)
        if as_json:
            print(json.dumps(as_record(path, answer)), flush=True)
        elif not isinstance(answer, ImageError):
            show(path, answer, several=len(paths) > 1)
    finish(failed, len(paths))


@app.command()
def post(
    paths: Paths,
    tone: Annotated[str, typer.Option("--tone", help=f"One of {', '.join(tones())}.")] = Choices.tone,
    goal: Annotated[str, typer.Option("--goal", help=f"One of {', '.join(GOALS)}.")] = Choices.goal,
    emoji: Annotated[str, typer.Option("--emoji", help=f"One of {', '.join(EMOJI)}.")] = Choices.emoji,
    length: Annotated[str, typer.Option("--length", help=f"One of {', '.join(LENGTHS)}.")] = Choices.length,
    hashtags: Annotated[
        int, typer.Option("--hashtags", help=f"At most so many, 0 to {MAX_HASHTAGS}.")
    ] = Choices.hashtags,
    variants: Annotated[
        int, typer.Option("--variants", help=f"How many, 1 to {MAX_VARIANTS}.")
    ] = Choices.variants,
    note: Annotated[
        str, typer.Option("--note", help="Your own words: place, names, occasion.")
    ] = Choices.note,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other variants.")] = Choices.seed,
    engine: EngineName = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Write Instagram posts and the alt text for each picture."""
    check_stdin(paths)
    choices = Choices(tone, goal, emoji, length, hashtags, variants, note, seed)
    load_tone(tone)  # an unknown one is reported before the model is loaded
    pipeline = load(more, engine=engine, device=device)
    failed = 0
    for path, look in looks(pipeline, paths):
        if isinstance(look, ImageError):
            failed += 1
            complain(look)
            if as_json:
                print(json.dumps(as_record(path, look)), flush=True)
            continue
        picture, result = look
        seen = see(result, picture)
        found = compose(seen, choices)
        if as_json:
            record = {"path": path, "alt_text": alt_text(seen), "variants": [asdict(one) for one in found]}
            print(json.dumps(record), flush=True)
        else:
            show_posts(path, alt_text(seen), found, several=len(paths) > 1)
    finish(failed, len(paths))


@app.command()
def embed(
    paths: Paths,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .npz file to write.")],
    engine: EngineName = None,
    style: Style = None,
    device: Device = None,
    more: More = None,
) -> None:
    """Write prompt embeddings: arrays ids (file names without suffix) and embeddings (N × 384)."""
    check_stdin(paths)
    check_stems(paths)
    if not output.parent.is_dir():
        raise DataError(f"{output.parent} is not a folder. Make it first, or choose another --output.")
    if output.is_dir():
        raise DataError(f"{output} is a folder. Name a file in it: {output / 'embeddings.npz'}")
    pipeline = load(more, engine=engine, style=style, device=device)
    found: dict[str, np.ndarray] = {}
    console = Console(stderr=True, highlight=False)
    for path, answer in track(
        answers(pipeline, paths), "Embedding", len(paths), console=console, disable=not console.is_terminal
    ):
        if isinstance(answer, ImageError):
            complain(answer)
        else:
            found[Path(path).stem] = answer.embedding
    if found:
        save_embeddings(output, found)
    finish(len(paths) - len(found), len(paths))


@evaluation.command()
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
    from img2prompt.evaluate import evaluate_captions

    report_scores(evaluate_captions, pairs, split, limit, as_json, more, engine=engine, device=device)


@evaluation.command()
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
    from img2prompt.evaluate import evaluate_embeddings

    report_scores(evaluate_embeddings, pairs, split, limit, as_json, more, engine=engine, device=device)


@evaluation.command()
def styles(
    pairs: Pairs,
    split: Split = "test",
    limit: Limit = None,
    engine: EngineName = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """How often a picture's style text is among its five nearest."""
    from img2prompt.evaluate import evaluate_styles

    report_scores(evaluate_styles, pairs, split, limit, as_json, more, engine=engine, device=device)


def load(more: Sequence[str] | None = None, **overrides: Any) -> Pipeline:
    """The pipeline; a setting that cannot be used is reported before torch is imported."""
    settings = settings_from(more, **overrides)
    from img2prompt.pipeline import load_pipeline

    return load_pipeline(settings)


def settings_from(more: Sequence[str] | None = None, **overrides: Any) -> Settings:
    """The settings; `more` are the values of --set, stronger than variables, weaker than other options."""
    names = [field.name for field in fields(Settings)]
    environment = dict(os.environ)
    for text in more or ():
        name, equals, value = text.partition("=")
        if not equals or name not in names:
            raise ConfigError(f"--set {text}: write NAME=VALUE, NAME one of {', '.join(names)}.")
        environment[PREFIX + name.upper()] = value
    return Settings.load(environment, **overrides)


def answers(pipeline: Pipeline, paths: Sequence[str]) -> Iterator[tuple[str, Result | ImageError]]:
    """What the pipeline says about each path, in order, as each batch finishes."""
    for path, look in looks(pipeline, paths):
        yield path, look if isinstance(look, ImageError) else look[1]


def looks(
    pipeline: Pipeline, paths: Sequence[str]
) -> Iterator[tuple[str, tuple[Image.Image, Result] | ImageError]]:
    """Each path's picture and what the pipeline says about it, in order, as each batch finishes.

    A path that holds no picture is answered with its error and never reaches the model.
    """
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        opened = [open_timed(pipeline, path) for path in batch]
        results = iter(pipeline([image for image, _ in opened if not isinstance(image, ImageError)]))
        for path, (image, seconds) in zip(batch, opened, strict=True):
            if isinstance(image, ImageError):
                yield path, image
            else:
                result = next(results)
                yield path, (image, replace(result, seconds=seconds + result.seconds))


def open_timed(pipeline: Pipeline, path: str) -> tuple[Image.Image | ImageError, float]:
    """The picture at a path, or why there is none, and the seconds it took to open."""
    start = time.perf_counter()
    try:
        if path != STDIN and Path(path).is_dir():
            raise ImageError(f"{path} is a folder. Name the pictures in it: {Path(path) / '*.jpg'}")
        image = pipeline.open(sys.stdin.buffer.read() if path == STDIN else Path(path))
        return image, time.perf_counter() - start
    except ImageError as error:
        return error, time.perf_counter() - start


def as_record(path: str, answer: Result | ImageError) -> dict[str, Any]:
    """One line of --json."""
    if isinstance(answer, ImageError):
        return {"path": path, "error": str(answer)}
    return {
        "path": path,
        "caption": answer.caption,
        "prompt": answer.prompt,
        "labels": {
            table: [{"label": match.label, "score": round(match.score, 4)} for match in matches]
            for table, matches in answer.labels.items()
        },
        "seconds": round(answer.seconds, 3),
        "engine": answer.engine,
    }


def show(path: str, result: Result, several: bool) -> None:
    """The same for people; several pictures are told apart by their paths."""
    if several:
        write(path, "bold cyan")
    write(as_sentence(result.caption), "bold")
    write(f"{'prompt':<10}{result.prompt}")
    for table, matches in result.labels.items():
        write(f"{table:<9} {', '.join(f'{match.label} {match.score:.2f}' for match in matches)}")
    write(f"{result.seconds:.2f} s, {result.engine} engine", "dim")
    if several:
        write("")


def show_posts(path: str, alt: str, variants: Sequence[Variant], several: bool) -> None:
    """Posts for people: a number above each, the alt text below them all."""
    if several:
        write(path, "bold cyan")
    for number, variant in enumerate(variants, 1):
        write(f"[{number}]", "dim")
        hook, *rest = variant.text.split("\n")
        write(hook, "bold")
        for line in rest:
            write(line)
        write("")
    write(f"alt text  {alt}")
    if several:
        write("")


def write(text: str, style: str = "") -> None:
    """A line on stdout; plain where stdout is no terminal, and never wrapped or read as markup."""
    Console(soft_wrap=True, highlight=False).print(Text(printable(text), style))


def complain(message: object) -> None:
    """A line on stderr."""
    print(f"img2prompt: {printable(str(message))}", file=sys.stderr)


def printable(text: str) -> str:
    """Text whose file names may hold bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def finish(failed: int, total: int) -> None:
    """Leave with the exit code for so many failures."""
    if failed:
        raise typer.Exit(2 if total == 1 else 3)


def check_stdin(paths: Sequence[str]) -> None:
    if paths.count(STDIN) > 1:
        raise ConfigError("- is given twice, but standard input holds one picture.")


def check_stems(paths: Sequence[str]) -> None:
    """Ids are stems, so two paths may not share one."""
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(Path(path).stem, path)
        if other is not path:
            raise DataError(f"{other} and {path} would both get the id {Path(path).stem!r}; rename one.")


def save_embeddings(output: Path, embeddings: dict[str, np.ndarray]) -> None:
    """Write ids and embeddings; whoever reads `output` meanwhile sees the old file or the new one."""
    import numpy as np

    part = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with open(part, "wb") as file:
            np.savez(file, ids=np.array(list(embeddings)), embeddings=np.stack(list(embeddings.values())))
        os.replace(part, output)
    finally:
        part.unlink(missing_ok=True)


def report_scores(
    measure: Callable[..., dict[str, Any]],
    pairs: Path,
    split: str,
    limit: int | None,
    as_json: bool,
    more: Sequence[str] | None,
    **overrides: Any,
) -> None:
    """Run an evaluation and print its numbers."""
    from img2prompt.datasets.pairs import PairsFolder

    folder = PairsFolder(pairs)
    pipeline = load(more, **overrides)
    scores = measure(pipeline, folder, split, limit, progress=sys.stderr.isatty())
    scores["engine"] = pipeline.engine.name
    if as_json:
        print(json.dumps(scores))
    else:
        table = Table("measure", "value", title=f"{pairs}, {split}")
        for name, value in scores.items():
            table.add_row(name, str(value))
        Console().print(table)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit code.

    An error becomes one line on stderr; --debug shows its traceback instead.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(arguments, prog_name="img2prompt")
    except Exception as error:  # usage errors are Typer's and do not come here
        if "--debug" in arguments:
            raise
        if not isinstance(error, Img2PromptError):
            complain(f"{type(error).__name__}: {error} (img2prompt --debug … shows where)")
            sys.exit(1)
        complain(error)
        sys.exit(1 if isinstance(error, WeightsError) else 2)
    sys.exit(0)


if __name__ == "__main__":
    main()
