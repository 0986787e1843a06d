"""The command line program, put together from the commands in this folder.

Exit codes: 0 for success, 2 for wrong usage or input, 3 if some of several pictures failed,
130 after Ctrl-C, 143 after SIGTERM, 1 for anything else.
"""

from __future__ import annotations

import inspect
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from img2prompt import __version__
from img2prompt.cli import app as starter
from img2prompt.cli import batch, dataset, evaluate, metadata, models, pictures, submission, train
from img2prompt.cli.console import complain, stoppable
from img2prompt.errors import Img2PromptError, WeightsError
from img2prompt.files import cannot_read
from img2prompt.wording import reason


class _Commands(TyperGroup):
    """All commands: each can be stopped, with a word, also while it loads the model."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with stoppable(lambda: "stopped."):
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with stoppable(lambda: "stopped."):
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help="Pictures in, words out: captions, prompts, labels and prompt embeddings.",
    epilog="Exit codes: 0 fine, 2 bad usage or input, 3 some of several pictures failed, 130 stopped with "
    "Ctrl-C, 1 anything else.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (starter, pictures, metadata, batch, submission, evaluate, models, dataset, train):
    for command in module.commands.registered_commands:
        # Rich would break lines where the docstring does, whatever the width of the terminal.
        paragraphs = inspect.cleandoc(command.callback.__doc__ or "").split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
for module in (starter, pictures, metadata, batch, submission):
    app.add_typer(module.commands)
for name, module in (("evaluate", evaluate), ("models", models), ("dataset", dataset), ("train", train)):
    app.add_typer(module.commands, name=name)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Handle the options of the program itself; --debug is read by `main`."""
    if version:
        print(f"img2prompt {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code.

    An error becomes one line on stderr; --debug shows its traceback instead.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with _printing():
            app(arguments, prog_name="img2prompt")
    except Exception as error:  # usage errors are Typer's and do not come here
        if "--debug" in arguments:
            raise
        if isinstance(error, PermissionError) and error.filename:
            complain(cannot_read(error.filename, error))
            sys.exit(2)
        if not isinstance(error, Img2PromptError):
            what = reason(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            complain(f"{what} (img2prompt --debug … shows where)")
            sys.exit(1)
        complain(error)
        sys.exit(1 if isinstance(error, WeightsError) else 2)
    sys.exit(0)


@contextmanager
def _printing() -> Iterator[None]:
    """Take care that what is printed arrives, as far as anybody reads it.

    A character that the terminal's encoding lacks becomes a question mark. A reader that has left,
    such as ``head``, ends the command without a word, and with exit code 1.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left would be written, and complained of, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
