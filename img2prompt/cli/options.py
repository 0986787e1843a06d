"""The command-line options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from img2prompt.posts.limits import size, tidy
from img2prompt.posts.post import LANGUAGES, MAX_NOTE, WRITERS
from img2prompt.settings import AUTO, ENGINES, PEOPLE, STYLES


def _short_enough(note: str) -> str:
    """A note as it is; one of which posts would hold only the beginning is refused."""
    if (length := size(tidy(note))) > MAX_NOTE:
        raise typer.BadParameter(f"it has {length} characters; at most {MAX_NOTE} go into a post.")
    return note


def _known_writer(writer: str) -> str:
    if writer not in WRITERS:
        raise typer.BadParameter(f"it is {writer!r}; choose one of {', '.join(WRITERS)}.")
    return writer


Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Pictures; - reads one from stdin.")]
EngineName = Annotated[str | None, typer.Option("--engine", help=f"One of {', '.join((AUTO, *ENGINES))}.")]
Style = Annotated[str | None, typer.Option("--style", help=f"Form of the prompt: {', '.join(STYLES)}.")]
People = Annotated[
    str | None,
    typer.Option(
        "--people",
        help=f"One of {', '.join(PEOPLE)}: a person, a child and they, or a man, a girl and his.",
    ),
]
ReadText = Annotated[
    bool | None,
    typer.Option(
        "--read-text/--no-read-text",
        help="Read the words in pictures (signs, menus, covers), and repeat them in captions and alt texts.",
    ),
]
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
Note = Annotated[
    str,
    typer.Option(
        "--note",
        help="Posts: one thing only you know, such as who, where, what happened.",
        callback=_short_enough,
    ),
]
Language = Annotated[
    str | None,
    typer.Option("--language", help=f"Posts: one of {', '.join(LANGUAGES)}; en where none is named."),
]
Stored = Annotated[
    bool | None,
    typer.Option(
        "--stored/--no-stored", help="Give the prompt that a picture's own file holds, or leave it out."
    ),
]
Writer = Annotated[
    str,
    typer.Option(
        "--writer",
        help=f"Posts: one of {', '.join(WRITERS)}; auto has the engine's model write them, where it can.",
        callback=_known_writer,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Pairs = Annotated[Path, typer.Argument(metavar="PAIRS", help="Folder with a CSV and its pictures.")]
Split = Annotated[
    str, typer.Option("--split", help="Split to use; all pictures where the CSV has no splits.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Use only the first N pictures.")]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source", metavar="NAME", help="Use only pictures with this in the column source; may be repeated."
    ),
]
