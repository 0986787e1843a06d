"""The commands `caption`, `post` and `embed`, for one or a few pictures."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from img2prompt.cli.console import complain, finish, load, write
from img2prompt.cli.options import (
    AsJson,
    Device,
    EngineName,
    Instruction,
    Labels,
    Language,
    More,
    Note,
    Paths,
    People,
    PresetName,
    ReadText,
    Stored,
    Style,
    Trigger,
    Writer,
    told,
)
from img2prompt.errors import AnswerError, ConfigError, DataError, ImageError
from img2prompt.files import cannot_read, check_output, replacing
from img2prompt.instructions import place_of
from img2prompt.posts import Choices, alt_text, caption_of, composing, see, tones
from img2prompt.posts.platforms import platforms
from img2prompt.posts.post import (
    ALT_LENGTH,
    ALT_LENGTHS,
    EMOJI,
    GOALS,
    LENGTHS,
    MAX_VARIANTS,
    Variant,
)
from img2prompt.posts.templates import check_tone
from img2prompt.posts.voice import captions_in
from img2prompt.settings import AUTO

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from img2prompt.pipeline import Pipeline
    from img2prompt.results import Result

commands = typer.Typer()

MOST_BYTES = 64 * 1024  # of a file with somebody's captions
MOST_HASHTAGS = ", ".join(f"{place.name} {place.hashtags}" for place in platforms().values())
BATCH = 16  # pictures that go through the model together
STDIN = "-"
Failure = ImageError | AnswerError  # of one picture


@commands.command()
def caption(
    paths: Paths,
    engine: EngineName = None,
    style: Style = None,
    instruction: Instruction = "",
    preset: PresetName = "",
    trigger: Trigger = "",
    note: Note = "",
    language: Language = None,
    labels: Labels = None,
    people: People = None,
    read_text: ReadText = None,
    device: Device = None,
    more: More = None,
    stored: Stored = None,
    as_json: AsJson = False,
) -> None:
    """Write the caption, prompt and labels of each picture, and the prompt that its file holds, if it does."""
    check_stdin(paths)
    wishes = told(instruction, preset, trigger, note, language, style)
    pipeline = load(
        more,
        engine=engine,
        labels=labels or None,
        people=people,
        read_text=read_text,
        device=device,
        stored=stored,
        **wishes,
    )
    failed = 0
    for path, answer in answers(pipeline, paths):
        if isinstance(answer, Failure):
            failed += 1
            complain(answer)
        if as_json:
            print(json.dumps(as_record(path, answer)), flush=True)
        elif not isinstance(answer, Failure):
            show(path, answer, several=len(paths) > 1)
    finish(failed, len(paths))


@commands.command()
def post(
    paths: Paths,
    tone: Annotated[str, typer.Option("--tone", help=f"One of {', '.join(tones())}.")] = Choices.tone,
    goal: Annotated[str, typer.Option("--goal", help=f"One of {', '.join(GOALS)}.")] = Choices.goal,
    emoji: Annotated[str, typer.Option("--emoji", help=f"One of {', '.join(EMOJI)}.")] = Choices.emoji,
    length: Annotated[str, typer.Option("--length", help=f"One of {', '.join(LENGTHS)}.")] = Choices.length,
    hashtags: Annotated[
        int | None,
        typer.Option(
            "--hashtags", metavar="N", help=f"At most so many. Most that are taken: {MOST_HASHTAGS}."
        ),
    ] = Choices.hashtags,
    variants: Annotated[
        int, typer.Option("--variants", help=f"How many, 1 to {MAX_VARIANTS}.")
    ] = Choices.variants,
    note: Note = Choices.note,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other variants.")] = Choices.seed,
    language: Language = None,
    platform: Annotated[
        str, typer.Option("--platform", help=f"Where it goes: {', '.join(platforms())}.")
    ] = Choices.platform,
    voice: Annotated[
        Path | None,
        typer.Option(
            "--voice",
            metavar="FILE",
            help="A text with up to ten captions of your own, an empty line between two: the posts follow their "
            "length, case, punctuation, emoji and hashtags.",
        ),
    ] = None,
    alt_length: Annotated[
        int,
        typer.Option(
            "--alt-length",
            min=ALT_LENGTHS.start,
            max=ALT_LENGTHS.stop - 1,
            help="Most characters of the alt text.",
        ),
    ] = ALT_LENGTH,
    writer: Writer = AUTO,
    instruction: Instruction = "",
    preset: PresetName = "",
    engine: EngineName = None,
    people: People = None,
    read_text: ReadText = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Write posts and the alt text for each picture."""
    check_stdin(paths)
    own = read_voice(voice) if voice else ()
    language = language or Choices.language
    choices = Choices(tone, goal, emoji, length, hashtags, variants, note, seed, language, platform, own)
    check_tone(tone)  # an unknown tone is reported before the model is loaded
    wishes = told(instruction, preset, "", note, language, posts=True)
    pipeline = load(more, engine=engine, people=people, read_text=read_text, device=device, **wishes)
    by_model = pipeline.writes(writer)
    failed = 0
    for path, answer in described(pipeline, paths):
        if not isinstance(answer, Failure):
            picture, result = answer
            seen = see(result, picture)
            posts = composing(seen, choices, pipeline.rewriter(picture) if by_model else None)
            alt = alt_text(seen, note=note, language=language, length=alt_length)
            try:
                if as_json:
                    record = {"path": path, "alt_text": alt, "variants": [asdict(post) for post in posts]}
                    print(json.dumps(record), flush=True)
                else:
                    show_posts(path, alt, posts, several=len(paths) > 1, by_model=by_model)
                continue
            except AnswerError as error:
                answer = AnswerError(f"{path}: {error}")
        failed += 1
        complain(answer)
        if as_json:
            print(json.dumps(as_record(path, answer)), flush=True)
    finish(failed, len(paths))


@commands.command()
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
    check_output(output, ".npz", inputs=[Path(path) for path in paths])
    pipeline = load(more, engine=engine, style=style, device=device)
    embeddings: dict[str, np.ndarray] = {}
    console = Console(stderr=True, highlight=False)
    for path, answer in track(
        answers(pipeline, paths), "Embedding", len(paths), console=console, disable=not console.is_terminal
    ):
        if isinstance(answer, Failure):
            complain(answer)
        else:
            embeddings[Path(path).stem] = answer.embedding
    if embeddings:
        save_embeddings(output, embeddings)
    finish(len(paths) - len(embeddings), len(paths))


def answers(pipeline: Pipeline, paths: Sequence[str]) -> Iterator[tuple[str, Result | Failure]]:
    """Yield each path with its result or error, in order, as each batch finishes."""
    for path, answer in described(pipeline, paths):
        yield path, answer if isinstance(answer, Failure) else answer[1]


def described(
    pipeline: Pipeline, paths: Sequence[str]
) -> Iterator[tuple[str, tuple[Image.Image, Result] | Failure]]:
    """Yield each path with its picture and result, in order, as each batch finishes.

    A path without a readable picture, or with one that a model server fails on, comes with its error instead.
    """
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        opened = [open_timed(pipeline, path) for path in batch]
        pictures = [image for image, _ in opened if not isinstance(image, ImageError)]
        requests = [
            pipeline.request(**({} if path == STDIN else place_of(path)))
            for path, (image, _) in zip(batch, opened, strict=True)
            if not isinstance(image, ImageError)
        ]
        results = iter(pipeline.describe_each(pictures, requests=requests))
        for path, (image, seconds) in zip(batch, opened, strict=True):
            if isinstance(image, ImageError):
                yield path, image
            else:
                result = next(results)
                if isinstance(result, AnswerError):
                    yield path, AnswerError(f"{path}: {result}")
                else:
                    yield path, (image, replace(result, seconds=seconds + result.seconds))


def open_timed(pipeline: Pipeline, path: str) -> tuple[Image.Image | ImageError, float]:
    """The picture at a path, or the error instead, and the seconds it took to open it."""
    start = time.perf_counter()
    try:
        if path != STDIN and os.path.isdir(path):
            raise ImageError(f"{path} is a folder. Name the pictures in it: {Path(path) / '*.jpg'}")
        image = pipeline.open(sys.stdin.buffer.read() if path == STDIN else Path(path))
        return image, time.perf_counter() - start
    except ImageError as error:
        return error, time.perf_counter() - start


def as_record(path: str, answer: Result | Failure) -> dict[str, Any]:
    """A result or error as an object for --json."""
    if isinstance(answer, Failure):
        return {"path": path, "error": str(answer)}
    return {"path": path, **answer.record(), "seconds": round(answer.seconds, 3)}


def show(path: str, result: Result, several: bool) -> None:
    """Print a result for people, below its path if there are several."""
    if several:
        write(path, "bold cyan")
    write(caption_of(result), "bold")
    if result.stored and result.stored.prompt:
        write(f"{'stored':<10}{result.stored.prompt}")
    write(f"{'prompt':<10}{result.prompt}")
    for table, matches in result.labels.items():
        write(f"{table:<9} {', '.join(f'{match.label} {match.score:.2f}' for match in matches)}")
    write(f"{result.seconds:.2f} s, {result.engine} engine", "dim")
    if several:
        write("")


def show_posts(path: str, alt: str, variants: Iterable[Variant], several: bool, by_model: bool) -> None:
    """Print posts for people, each as it comes: a number above it, and the alt text below all.

    With `by_model`, who wrote a post stands beside its number.
    """
    if several:
        write(path, "bold cyan")
    for number, variant in enumerate(variants, 1):
        write(f"[{number}] {variant.writer}" if by_model else f"[{number}]", "dim")
        hook, *rest = variant.text.split("\n")
        write(hook, "bold")
        for line in rest:
            write(line)
        write("")
    write(f"alt text  {alt}")
    if several:
        write("")


def read_voice(file: Path) -> tuple[str, ...]:
    """A person's own captions, from a text file. Raises DataError where it cannot be read, ConfigError without any."""
    try:
        with open(file, "rb") as opened:
            data = opened.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise DataError(
                f"{file} is larger than {MOST_BYTES // 1024} KB; ten of your captions are enough."
            )
        return captions_in(data.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise cannot_read(file, error, "a text file") from error


def check_stdin(paths: Sequence[str]) -> None:
    """Raise ConfigError if standard input is named more than once."""
    if paths.count(STDIN) > 1:
        raise ConfigError("- is given twice, but standard input holds one picture.")


def check_stems(paths: Sequence[str]) -> None:
    """Raise DataError if two paths have the same stem, since stems become ids."""
    by_stem: dict[str, str] = {}
    for path in paths:
        earlier = by_stem.setdefault(Path(path).stem, path)
        if earlier is not path:
            raise DataError(f"{earlier} and {path} would both get the id {Path(path).stem!r}; rename one.")


def save_embeddings(output: Path, embeddings: dict[str, np.ndarray]) -> None:
    """Write a .npz file with the arrays ids (N stems) and embeddings (N, 384)."""
    import numpy as np

    with replacing(output) as file:
        np.savez(file, ids=np.array(list(embeddings)), embeddings=np.stack(list(embeddings.values())))
