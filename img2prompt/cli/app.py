"""The command `app`, which starts the app."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from img2prompt import libraries
from img2prompt.errors import ConfigError
from img2prompt.files import resource

commands = typer.Typer()

EVERYWHERE = ("0.0.0.0", "::")  # addresses to listen on that no browser can open


@commands.command("app")
def start(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="8501 or the next that is free.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", help="Where to listen: localhost, or 0.0.0.0 for other machines too."),
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Open no browser.")] = False,
) -> None:
    """Start the app and open it in the browser."""
    if find_spec("streamlit") is None:
        raise ConfigError(
            f"The app needs Streamlit, which is not installed. {libraries.install('streamlit')}"
        )
    # Streamlit reads the configuration in .streamlit beside app.py, whatever the working directory is.
    command = [sys.executable, "-m", "streamlit", "run", str(resource("app.py"))]
    command += ["--server.headless", str(headless).lower(), "--server.showEmailPrompt", "false"]
    if port is not None:
        command += ["--server.port", str(port)]
    if address is not None:
        command += ["--server.address", address]
        if address not in EVERYWHERE:
            command += ["--browser.serverAddress", address]
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(command[0], command)  # signals reach the app itself
    sys.exit(subprocess.call(command))
