"""A private PostgreSQL server for the tests, and posts to put into databases."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2prompt.history import Picture, Post, Variant
from img2prompt.history.record import content_hash, thumbnail
from img2prompt.posts import Choices, Seen
from img2prompt.results import Match


def make_picture(number: int = 0, **changes: object) -> Picture:
    """A picture of its own: pixels, prompt and vector depend on the number."""
    picture = Image.new("RGB", (8, 6), (number % 256, number // 256 % 256, 7))
    vector = np.random.default_rng(number).standard_normal(384).astype(np.float32)
    values: dict = {
        "content_hash": content_hash(picture),
        "thumbnail": thumbnail(picture),
        "size": picture.size,
        "seen": Seen(
            "a brown dog runs on the beach",
            {"mediums": [Match("oil painting", 0.31), Match("photo", 0.2)]},
            "landscape",
            ("brown", "blue"),
        ),
        "prompt": f"a dog number{number}, oil painting",
        "embedding": vector / np.linalg.norm(vector),
        "objects": ("dog", "beach"),
        "timings": {"look": 0.25, "caption": 0.5},
    }
    return Picture(**{**values, **changes})


def make_post(number: int = 0, **changes: object) -> Post:
    """A post of its own about one picture; changes may be those of its picture, too."""
    of_picture = {name: changes.pop(name) for name in Picture.__dataclass_fields__ if name in changes}
    choices = changes.get("choices", Choices(tone="plain", hashtags=5))
    values: dict = {
        "pictures": (make_picture(number, **of_picture),),
        "engine": "lite",
        "versions": {"img2prompt": "0.1.0"},
        "language": choices.language,
        "choices": choices,
        "variants": (Variant(f"first of {number}"), Variant(f"second of {number}")),
        "hashtags": ("#dog", "#beach"),
        "created_at": datetime(2026, 1, 1 + number % 28, tzinfo=timezone.utc),
    }
    return Post(**{**values, **changes})


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a server: ``IMG2PROMPT_TEST_POSTGRES``, or one started here for as long as it is needed."""
    if address := os.environ.get("IMG2PROMPT_TEST_POSTGRES"):
        yield address
        return
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    initdb = shutil.which("initdb") or shutil.which("initdb", path=os.pathsep.join(map(str, places)))
    if initdb is None:
        pytest.skip("no PostgreSQL here: install it, or name a server in IMG2PROMPT_TEST_POSTGRES")
    programs = Path(initdb).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="img2prompt-pg-"))
    # PostgreSQL refuses to run as root.
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_postgres:
        shutil.chown(folder, "postgres")

    def run(*command: object) -> None:
        done = subprocess.run(
            [*as_postgres, *map(str, command)],
            check=False,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr

    data = folder / "data"
    try:
        run(programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C")
        options = f"-c listen_addresses='' -k {folder} -c fsync=off"
        run(programs / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start")
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        if (data / "postmaster.pid").exists():
            run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)
