"""The command `presets`, for the instructions that have names."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Column, Table

from img2prompt.cli.console import show_table, write
from img2prompt.cli.options import AsJson
from img2prompt.instructions import Preset, load_preset, names, presets

commands = typer.Typer()


@commands.command("presets")
def show_presets(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Print this one's instruction, to begin your own with."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the presets: instructions that --preset names, for models that follow them.

    Your own are TOML files in the folder instructions among your data.
    """
    chosen = [load_preset(key) for key in ([name] if name else presets())]
    if as_json:
        print(json.dumps([as_record(preset) for preset in chosen]))
    elif name:
        write(chosen[0].text)
    else:
        table = Table(Column("preset", no_wrap=True), "for", "takes")
        for preset in chosen:
            table.add_row(preset.key, preset.uses["en"], " ".join(as_record(preset)["takes"]))
        show_table(table)


def as_record(preset: Preset) -> dict:
    """A preset as an object for --json."""
    return {**asdict(preset), "takes": sorted(f"{{{name}}}" for name in names(preset.text))}
