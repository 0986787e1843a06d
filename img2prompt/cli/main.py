"""The command line program, put together from the commands in this folder.

Exit codes: 0 for success, 2 for wrong usage or input, 3 if some of several pictures failed,
143 after SIGTERM, 1 for anything else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from img2prompt import __version__
from img2prompt.cli import app as starter
from img2prompt.cli import batch, dataset, evaluate, models, pictures, submission, train
from img2prompt.cli.console import complain
from img2prompt.errors import Img2PromptError, WeightsError

app = typer.Typer(
    help="Pictures in, words out: captions, prompts, labels and prompt embeddings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (starter, pictures, batch, submission):
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
