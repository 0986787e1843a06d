"""What commands share besides their options: loading the pipeline, stopping, and printing."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from img2prompt.errors import ConfigError
from img2prompt.files import without_controls
from img2prompt.settings import PREFIX, SECRETS, Settings

if TYPE_CHECKING:
    from img2prompt.pipeline import Pipeline


INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # exit codes, as a shell reports them


def load(more: Sequence[str] | None = None, **overrides: Any) -> Pipeline:
    """Load the pipeline; unusable settings are reported first, before the slow import of torch."""
    settings = settings_from(more, **overrides)
    from img2prompt.pipeline import load_pipeline

    return load_pipeline(settings)


def settings_from(more: Sequence[str] | None = None, **overrides: Any) -> Settings:
    """Combine the settings: options in `overrides` count first, then --set in `more`, then variables.

    Raises
    ------
    ConfigError
        For a setting that does not exist or cannot be used.
    """
    names = [field.name for field in fields(Settings) if field.name not in SECRETS]
    environment = dict(os.environ)
    for text in more or ():
        name, equals, value = text.partition("=")
        if name in SECRETS:  # which others could read in the list of processes, and in the shell's history
            raise ConfigError(f"--set {name}=… is no place for a secret. Put it into {PREFIX}{name.upper()}.")
        if not equals or name not in names:
            raise ConfigError(f"--set {text}: write NAME=VALUE, NAME one of {', '.join(names)}.")
        environment[PREFIX + name.upper()] = value
    return Settings.load(environment, **overrides)


@contextmanager
def stoppable(said: Callable[[], str]) -> Iterator[None]:
    """End work with a sentence and an exit code, and without a traceback, on Ctrl-C and SIGTERM.

    Parameters
    ----------
    said : what to say then: how much is done, and how to go on
    """
    here = threading.current_thread() is threading.main_thread()  # which alone can be told of signals
    before = signal.signal(signal.SIGTERM, _terminate) if here else None
    try:
        yield
    except KeyboardInterrupt as stop:
        complain(said())
        raise typer.Exit(TERMINATED if isinstance(stop, _Terminated) else INTERRUPTED) from None
    finally:
        if here:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


class _Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def _terminate(*_: object) -> None:
    raise _Terminated


def write(text: str, style: str = "") -> None:
    """Print a line on stdout: never wrapped, never read as markup, and without style outside a terminal."""
    Console(soft_wrap=True, highlight=False).print(Text(printable(text), style))


def show_table(table: Table) -> None:
    """Print a table on stdout: a cell that is too wide is folded rather than cut, and never read as markup."""
    for column in table.columns:
        column.overflow = "fold"
    Console(markup=False, emoji=False, highlight=False).print(table)


def complain(message: object) -> None:
    """Print a line on stderr."""
    print(f"img2prompt: {printable(str(message))}", file=sys.stderr)


def printable(text: str) -> str:
    """Make text printable whose names may hold bytes that are not UTF-8, or commands for the terminal."""
    return without_controls(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), keep="\n")


def finish(failed: int, total: int) -> None:
    """Exit with 2 if all pictures failed, which is bad input, or with 3 if some did; return if none did."""
    if failed:
        raise typer.Exit(2 if failed == total else 3)
