"""The command `metadata`: what picture files say of themselves, without looking at the pictures."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from img2prompt.cli.console import complain, finish, settings_from, write
from img2prompt.cli.options import AsJson, More, Paths
from img2prompt.cli.pictures import STDIN, check_stdin
from img2prompt.errors import ImageError

if TYPE_CHECKING:
    from img2prompt.metadata import Metadata

commands = typer.Typer()


@commands.command()
def metadata(paths: Paths, more: More = None, as_json: AsJson = False) -> None:
    """Write what each file says: the prompt that made the picture, and what people wrote about it.

    No model is loaded. Prompts are found as AUTOMATIC1111, Forge, ComfyUI, InvokeAI, NovelAI, Fooocus and
    Midjourney store them. Coordinates are never read.
    """
    from img2prompt.images import Limits, read_metadata

    check_stdin(paths)
    limits = Limits.from_settings(settings_from(more))
    failed = 0
    for path in paths:
        try:
            if path != STDIN and os.path.isdir(path):
                raise ImageError(f"{path} is a folder. Name the pictures in it: {Path(path) / '*.png'}")
            found = read_metadata(sys.stdin.buffer.read() if path == STDIN else Path(path), limits)
        except ImageError as error:
            failed += 1
            complain(error)
            if as_json:
                print(json.dumps({"path": path, "error": str(error)}), flush=True)
            continue
        if as_json:
            stored, notes = found.stored, found.notes
            record = {
                "stored": stored.record() if stored else None,
                "notes": notes.record() if notes else None,
            }
            print(json.dumps({"path": path, **record}), flush=True)
        else:
            show(path, found, several=len(paths) > 1)
    finish(failed, len(paths))


def show(path: str, found: Metadata, several: bool) -> None:
    """Print what a file says for people, below its path if there are several."""
    if several:
        write(path, "bold cyan")
    said = []
    if stored := found.stored:
        made = stored.settings_line()
        said += [("prompt", stored.prompt), ("negative", stored.negative), ("made with", made)]
    if notes := found.notes:
        said += [
            ("title", notes.title),
            ("description", notes.description),
            ("keywords", ", ".join(notes.keywords)),
        ]
        said += [("date", notes.date), ("place", notes.place)]
    for name, text in said:
        if text:
            write(f"{name:<13}{text}")
    if not said:
        write("nothing is stored", "dim")
    if several:
        write("")
