"""The commands `models list`, `pull`, `verify` and `path`, for the weights of the full engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from img2prompt import weights
from img2prompt.cli.console import complain, show_table
from img2prompt.cli.options import AsJson
from img2prompt.errors import ConfigError, DataError, WeightsError
from img2prompt.settings import MODELS

commands = typer.Typer(
    help="Weights of the full engine: what there is, what is installed, fetch it, check it. "
    f"They are kept in the folder that {MODELS} names, else among your data.",
    no_args_is_help=True,
)

Names = Annotated[list[str], typer.Argument(metavar="PRESET|PART...", help="See: img2prompt models list")]


@commands.command("list")
def list_models(
    as_json: AsJson = False,
) -> None:
    """Show presets and parts: size, memory that each takes on a GPU, licence, and whether and where it is."""
    rows = [as_record(part) for part in weights.parts().values()]
    if as_json:
        presets = {name: list(names) for name, names in weights.presets().items()}
        print(json.dumps({"home": str(weights.home()), "presets": presets, "parts": rows}))
        return
    folders = {row["name"]: row["folder"] for row in rows if row["folder"]}
    table = Table("preset", "parts", "size", "installed")
    for preset, names in weights.presets().items():
        total = weights.readable(sum(weights.part(name).bytes or 0 for name in names))
        table.add_row(preset, " + ".join(names), total, "yes" if set(names) <= set(folders) else "no")
    show_table(table)
    table = Table(
        Column("part", no_wrap=True), "size", "memory", "licence", "pinned", Column("installed", no_wrap=True)
    )
    for row in rows:
        installed = "yes" if row["folder"] else "no"
        sizes = [weights.readable(row[size]) for size in ("bytes", "memory")]
        table.add_row(row["name"], *sizes, row["license"], row["pinned"], installed)
    show_table(table)
    for name, folder in folders.items():
        print(f"{name} is in {folder}")
    print("Get a preset or a part with: img2prompt models pull NAME")


@commands.command()
def pull(
    names: Names,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Take a local copy, offline: the folder of one part, or of several as these commands or "
            "the Hugging Face cache keep them.",
        ),
    ] = None,
) -> None:
    """Get presets or parts from the Hugging Face hub, or from a local copy.

    Only safetensors, configurations and vocabularies are taken, never pickles, and their sizes and
    hashes are checked; a link is followed only inside DIR. Stopped half-way, the same command goes on where it was. Parts that are
    installed and intact are left alone.
    """
    from img2prompt.weights import fetch

    parts = weights.expand(names)
    if source is None:
        _pull([part for part in parts if not is_there(part)])
        return
    if not source.is_dir():
        raise DataError(f"{source} is no folder. Name the one that holds the weights with --from.")
    for part, folder in fetch.copy(parts, source):
        print(f"{part.name} is now in {folder}")


@commands.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PRESET|PART...]", help="By default, all that are installed."),
    ] = None,
) -> None:
    """Read all files of installed parts: do sizes, hashes and headers agree?"""
    folders = {part: weights.whereabouts(part) for part in weights.expand(names or weights.parts())}
    if not names:
        folders = {part: folder for part, folder in folders.items() if folder}
        if not folders:
            print("No part is installed. Get some with: img2prompt models pull small")
    damaged = 0
    for part, folder in folders.items():
        try:
            reference = weights.verify(part, folder or weights.find(part.kind, part.name))
            print(f"{part.name}: intact, compared with {reference}")
        except WeightsError as error:
            damaged += 1
            complain(error)
    if damaged:
        raise typer.Exit(1)


@commands.command()
def path(
    name: Annotated[str | None, typer.Argument(metavar="[PART]", help="By default, of all parts.")] = None,
) -> None:
    """Print the folder that parts are put in, or the folder of one that is installed."""
    if name is None:
        print(weights.home())
    elif name in weights.presets():
        raise ConfigError(f"{name} is a preset; name one of its parts: {', '.join(weights.presets()[name])}.")
    else:
        part = weights.part(name)
        print(weights.locate(part) or weights.find(part.kind, part.name))


def _pull(parts: Sequence[weights.Part]) -> None:
    """Fetch parts, with a progress bar for each file."""
    from tqdm import tqdm

    from img2prompt.weights import fetch

    words = {"waiting": "no connection, trying again", "checking": "checking"}
    file, bar = "", tqdm(disable=True)
    try:
        for step in fetch.pull(parts):
            if step.file != file:
                bar.set_postfix_str("", refresh=False)
                bar.close()
                file = step.file
                bar = tqdm(
                    total=step.file_bytes,
                    initial=step.file_done,
                    unit="B",
                    unit_scale=True,
                    desc=file,
                    disable=not file,
                )
            bar.update(step.file_done - bar.n)
            bar.set_postfix_str(words.get(step.stage, ""), refresh=False)
            if step.folder:
                print(f"{step.part.name} is now in {step.folder}")
    finally:
        bar.close()


def as_record(part: weights.Part) -> dict[str, Any]:
    """A part as an object for --json."""
    folder = weights.locate(part)
    return {
        "name": part.name,
        "kind": part.kind,
        "repository": part.repository,
        "revision": part.revision,
        "pinned": part.pinned,
        "license": part.license,
        "bytes": part.bytes,
        "memory": part.memory,
        "folder": folder and str(folder),
    }


def is_there(part: weights.Part) -> bool:
    """Whether a part is installed and intact, so that it need not be fetched.

    Raises
    ------
    WeightsError
        When a damaged copy lies where `pull` cannot replace it, and would be preferred to a new one.
    """
    folder = weights.locate(part)
    if folder is None:
        return False
    try:
        weights.verify(part, folder)
    except WeightsError as error:
        if weights.roots()[0] != weights.home() and not folder.is_relative_to(weights.home()):
            raise WeightsError(
                f"{error} Delete {folder} first: it was put there by another program."
            ) from None
        return False
    print(f"{part.name} is installed in {folder}")
    return True
