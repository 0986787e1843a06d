"""The app on a server of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import ROOT


@dataclass(frozen=True)
class Server:
    """An app that runs."""

    address: str
    database: str  # the address of its history
    runs: Path  # its batches
    temporary: Path  # its temporary files
    process: subprocess.Popen


@contextmanager
def serve(folder: Path, script: str | Path = "app.py", **environment: str) -> Iterator[Server]:
    """Start the app, or another script; what it keeps, and what it puts away for a while, is in `folder`."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    address, database = f"http://localhost:{port}", f"sqlite:///{folder / 'history.db'}"
    runs, temporary = folder / "runs", folder / "tmp"
    temporary.mkdir()
    places = {"IMG2PROMPT_RUNS": runs, "IMG2PROMPT_DATABASE_URL": database, "TMPDIR": temporary}
    environment |= {name: str(place) for name, place in places.items()}
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=5)
                break
            except OSError:
                assert process.poll() is None, "streamlit stopped"
                time.sleep(0.5)
        else:
            pytest.fail("streamlit did not start")
        yield Server(address, database, runs, temporary, process)
    finally:
        process.kill()
        process.wait()
