"""The texts of label tables: mediums, movements, flavors… of the ``clip-interrogator`` package, and the user's."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from img2prompt.errors import DataError
from img2prompt.libraries import install
from img2prompt.posts.post import TEXT, THINGS

PACKAGE = "clip_interrogator"
ASPECTS = {  # table → the vector it is compared with, see `img2prompt.labels.ranking.picture_vectors`
    "mediums": "style",
    "movements": "style",
    "artists": "style",
    "trendings": "style",
    "flavors": "content",
}
SITES = (
    "Artstation,behance,cg society,cgsociety,deviantart,dribble,flickr,instagram,pexels,pinterest,pixabay,"
    "pixiv,polycount,reddit,shutterstock,tumblr,unsplash,zbrush central"
).split(",")

# Limits of a user's own table. For comparison, the package's largest has 100,970 labels in 1.8 MB.
MOST_MEGABYTES = 8
MOST_LABELS = 200_000
LONGEST = 300  # characters; CLIP reads 77 tokens


def read_labels(name: str, most: int | None = None) -> list[str]:
    """The labels of a table of the ``clip-interrogator`` package, in its order: all, or the first `most`.

    The one blank label among the flavors is kept, so that labels have the same places and the
    table has the same hash as there.

    Raises
    ------
    DataError
        When the package or the table is missing.
    """
    if name == "trendings":
        return [
            *SITES,
            *(f"trending on {site}" for site in SITES),
            *(f"featured on {site}" for site in SITES),
            *(f"{site} contest winner" for site in SITES),
        ]
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DataError(f"The label tables are missing. {install('--no-deps', 'clip-interrogator')}")
    file = Path(spec.origin).parent / "data" / f"{name}.txt"
    if not file.is_file():
        raise DataError(
            f"{file} is missing. {install('--force-reinstall', '--no-deps', 'clip-interrogator')}"
        )
    lines = file.read_bytes().decode("utf-8", errors="replace").splitlines()[:most]
    if name == "artists":
        lines = [f"{how} {line}" for how in ("by", "inspired by") for line in lines]
    return [line.strip() for line in lines]


def read_own_labels(files: Sequence[str]) -> dict[str, list[str]]:
    """Read the user's own tables, UTF-8 text with one label a line: file stem → labels.

    Blank lines and repetitions are left out.

    Raises
    ------
    DataError
        For a file that is missing, too large, no UTF-8 text or without labels, for a label
        that is too long, and for a stem that another table has.
    """
    tables: dict[str, list[str]] = {}
    for file in files:
        name = Path(file).stem
        if name in ASPECTS or name in tables or name in (TEXT, THINGS):
            raise DataError(f"{file}: there is another table called {name}. Rename the file.")
        tables[name] = _read_own(Path(file))
    return tables


def _read_own(file: Path) -> list[str]:
    try:
        with open(file, "rb") as stream:
            data = stream.read(MOST_MEGABYTES * 2**20 + 1)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}. Name a text file with one label a line.") from error
    if len(data) > MOST_MEGABYTES * 2**20:
        raise DataError(f"{file} is larger than {MOST_MEGABYTES} MB. Cut it into several tables.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}, line {number}: this is no UTF-8 text. Save the file as UTF-8.") from error
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for number, line in enumerate(lines, 1):
        if re.search(r"[\x00-\x1f\x7f]", line):
            raise DataError(f"{file}, line {number}: there are control characters in it. Write plain text.")
        if len(line) > LONGEST:
            raise DataError(
                f"{file}, line {number}: a label has at most {LONGEST} characters, not {len(line)}."
            )
    labels = [label for label in dict.fromkeys(lines) if label]
    if not 0 < len(labels) <= MOST_LABELS:
        raise DataError(f"{file} holds {len(labels):,} labels; a table has 1 to {MOST_LABELS:,}.")
    return labels
