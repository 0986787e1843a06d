"""Pin everything anew, as new as pyproject.toml allows: make lock

| file | what for |
| --- | --- |
| requirements/dev.txt | to work on this program; the other lists are parts of this one |
| requirements.txt | everything that a user may want, with all that pip would ask for |
| requirements/server.txt | the image: the app with a look into data sets, PostgreSQL and sign-in |
| requirements/full.txt | the app and the command line with the full engine, on PyTorch |
| requirements/test-lite.txt | what tests the app and the command line without PyTorch |
| requirements/run.txt | the app and the command line |

They hold for all supported Pythons and systems (markers choose) and are installed with --no-deps, so that
nothing comes in unpinned. Each has what builds this project itself.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = "3.10"  # Python
EXTRAS = {
    "requirements/dev.txt": ["dev"],  # first: its pins hold for the others
    "requirements.txt": [
        "full",
        "train",
        "datasets",
        "generate",
        "evaluate",
        "endpoint",
        "ocr",
        "ray",
        "postgres",
        "auth",
        "quantize",
    ],
    "requirements/server.txt": ["datasets", "postgres", "auth"],
    "requirements/full.txt": ["full"],
    "requirements/test-lite.txt": ["test"],
    "requirements/run.txt": [],
}
WHOLE = ("requirements/dev.txt", "requirements.txt")  # with what [tool.uv] in pyproject.toml leaves out
FIRST = "streamlit torch open_clip_torch clip-interrogator timm sentence-transformers pillow numpy".split()


def resolve(file: str) -> list[str]:
    """The pins of a list, one a line."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--group", "build", "--quiet"]
    command += ["--universal", "--python-version", OLDEST]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    command += [f"--extra={extra}" for extra in EXTRAS[file]]
    command += ["--no-config"] if file in WHOLE else []
    command += ["--constraints", "requirements/dev.txt"] if file != "requirements/dev.txt" else []
    return subprocess.check_output(command, text=True, cwd=ROOT).splitlines()


def put_first(names: list[str], pins: list[str]) -> list[str]:
    """The pins with those of a few libraries on top, under the names that people know them by."""
    top: list[str] = []
    for name in names:
        start = name.replace("_", "-") + "=="
        top += [pin.replace(start, f"{name}==", 1) for pin in pins if pin.startswith(start)]
        pins = [pin for pin in pins if not pin.startswith(start)]
    return [*top, "", "# What these and all the rest need.", *pins]


if __name__ == "__main__":
    for file in EXTRAS:
        pins = resolve(file)
        lines = put_first(FIRST, pins) if file == "requirements.txt" else ["# Made by: make lock", *pins]
        (ROOT / file).write_text("\n".join(lines) + "\n", "utf-8")
