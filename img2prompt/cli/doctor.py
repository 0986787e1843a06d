"""The command `doctor`, which says what works here and what does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from img2prompt import weights
from img2prompt.cli.console import complain, settings_from, show_table, write
from img2prompt.cli.options import AsJson, Device, EngineName, More

if TYPE_CHECKING:
    from img2prompt.doctor import Health

commands = typer.Typer()


@commands.command()
def doctor(
    engine: EngineName = None,
    device: Device = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Say what is installed, which engine is used and why, and whether the model server answers, if one is set.

    The server that endpoint_url names is asked about a drawn test picture. Exits with 1 if the engine that is
    used, or that server, does not work.
    """
    settings = settings_from(more, engine=engine, device=device)
    from img2prompt.doctor import examine

    health = examine(settings)
    if as_json:
        print(json.dumps(health.record()))
    else:
        show(health)
    if not health.fine:
        raise typer.Exit(1)


def show(health: Health) -> None:
    """Print it for people; what keeps it from working, on stderr."""
    write(f"img2prompt {health.version}, Python {health.python}, {health.system}")
    write(f"engine     {health.engine}: {health.why}")
    write(f"device     {health.device or 'none'}{f' ({health.graphics})' if health.graphics else ''}")
    write(
        f"weights    {health.folder}: {weights.readable(health.used)} used, {weights.readable(health.free)} free"
    )
    if trial := health.trial:
        more = "" if trial.structured else ", without a JSON schema"
        write(f"endpoint   {trial.model} at {trial.host} took {trial.seconds:.1f} s{more}")
        write(f"           and says of the test picture: {trial.said.caption}")
    table = Table("engine", "can be used")
    for name, problem in health.engines.items():
        table.add_row(name, problem or "yes")
    show_table(table)
    if health.libraries:
        table = Table("extra", "libraries", "missing")
        for extra, found in health.libraries.items():
            there = ", ".join(f"{name} {release}" for name, release in found.items() if release)
            table.add_row(extra, there, ", ".join(name for name, release in found.items() if not release))
        show_table(table)
    for problem in health.problems:
        complain(problem)
