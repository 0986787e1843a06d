"""What the bundled engine says of pictures that it has not learned from: writes docs/how-good.md.

    python -m benchmarks.how_good [--skimage FOLDER] [NAME ...]

how_good.toml lists the pictures, files of scikit-learn, matplotlib and scikit-image, each with the
verdict of somebody who looked at it, and the prompt that they judged. Where the engine now says
something else, the page calls the verdict stale, and this command says what to put there. With
names (``horse.png``), it prints what the page would say of these pictures, and leaves it alone.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from img2prompt import Result, load_pipeline
from img2prompt.posts.sentence import as_sentence
from img2prompt.settings import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE = Path(__file__).with_suffix(".toml")
PAGE = Path(__file__).parents[1] / "docs" / "how-good.md"
KINDS = {
    "photo": "Photos that somebody might post",
    "grey": "Surfaces and coins, in grey",
    "science": "Science and medicine",
    "drawing": "Drawings and writing",
}
VERDICTS = ("right", "half right", "wrong")
MISSING = {  # package → how it comes here
    "skimage": "Run `make how-good`, which fetches scikit-image into build/, or name a folder with --skimage.",
    "sklearn": "Run `make setup` first.",
    "matplotlib": "Run `make setup` first.",
}
STALE = "*stale*"
COLUMNS = ("| picture | caption, prompt, labels | verdict |", "|---|---|---|")


@dataclass(frozen=True)
class Picture:
    """A picture and what somebody thought of the engine's words for it."""

    file: str  # in a package: skimage/data/horse.png
    kind: str  # one of KINDS
    shows: str  # what somebody sees in it
    verdict: str  # one of VERDICTS
    why: str  # in a line
    judged: str  # the prompt that the verdict is about, which begins with the caption

    @property
    def name(self) -> str:
        return self.file.rpartition("/")[2]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="pictures to print, instead of the page")
    parser.add_argument("--skimage", type=Path, metavar="FOLDER", help="scikit-image's folder skimage")
    options = parser.parse_args(arguments)
    pictures = read_table()
    if unknown := set(options.names) - {picture.name for picture in pictures}:
        parser.error(f"{', '.join(sorted(unknown))}: not in {TABLE}")
    if options.names:
        pictures = [picture for picture in pictures if picture.name in options.names]
    places = [locate(picture, options.skimage) for picture in pictures]
    pipeline = load_pipeline(Settings(engine="lite", device="cpu"))  # nobody's variables count
    results = {picture.name: pipeline(place)[0] for picture, place in zip(pictures, places, strict=True)}
    if options.names:
        print("\n".join(row(picture, results[picture.name]) for picture in pictures))
    else:
        PAGE.write_text(page(pictures, results), encoding="utf-8")
    for picture, place in zip(pictures, places, strict=True):
        if is_stale(picture, results[picture.name]):
            print(
                f"\n{picture.name}: the engine's words have changed since it was called {picture.verdict}. "
                f"Look at {place}, give verdict and why anew in {TABLE}, with the line below, and run this "
                f"again.\njudged = {json.dumps(results[picture.name].prompt, ensure_ascii=False)}",
                file=sys.stderr,
            )


def read_table() -> list[Picture]:
    """The pictures of how_good.toml, in its order."""
    return [Picture(**entry) for entry in tomllib.loads(TABLE.read_text("utf-8"))["picture"]]


def locate(picture: Picture, skimage: Path | None = None) -> Path:
    """The picture's file; SystemExit with what to do where it is not there."""
    package, _, rest = picture.file.partition("/")
    folder = skimage if package == "skimage" else None
    if folder is None and (spec := find_spec(package)) and spec.origin:
        folder = Path(spec.origin).parent
    if folder is None or not (folder / rest).is_file():
        where = f"is not in {folder}" if folder else "belongs to a library that is not installed"
        raise SystemExit(f"{picture.file} {where}. {MISSING[package]}")
    return folder / rest


def is_stale(picture: Picture, result: Result) -> bool:
    """Whether the verdict is about other words than the engine's."""
    return picture.judged != result.prompt


def page(pictures: Sequence[Picture], results: Mapping[str, Result]) -> str:
    """docs/how-good.md: counts, and a table for each kind of picture."""
    parts = [INTRODUCTION.format(summary=summary(pictures, results)).strip()]
    for kind, heading in KINDS.items():
        rows = [row(picture, results[picture.name]) for picture in pictures if picture.kind == kind]
        parts.append("\n".join([f"## {heading}\n", *COLUMNS, *rows]))
    return "\n\n".join([*parts, ENDING.strip()]) + "\n"


def summary(pictures: Sequence[Picture], results: Mapping[str, Result]) -> str:
    """How many captions are right, half right and wrong; stale verdicts are counted as nothing but that."""
    fresh = [picture for picture in pictures if not is_stale(picture, results[picture.name])]
    number = Counter(picture.verdict for picture in fresh)
    right, half, wrong = (f"{verdict} for {number[verdict]}" for verdict in VERDICTS)
    told = f"Of {len(pictures)} pictures that the bundled model has not learned from, its caption is "
    told += f"**{right}, {half} and {wrong}**."
    if stale := len(pictures) - len(fresh):
        told += f" {stale} more had other words when somebody looked, and are not counted."
    lines = [told, "", f"| | {' | '.join(VERDICTS)} |", "|---|---|---|---|"]
    for kind, heading in KINDS.items():
        of_kind = Counter(picture.verdict for picture in fresh if picture.kind == kind)
        lines.append(f"| {heading.lower()} | {' | '.join(str(of_kind[verdict]) for verdict in VERDICTS)} |")
    return "\n".join(lines)


def row(picture: Picture, result: Result) -> str:
    """A picture's line of its table."""
    words = [f"**{escape(as_sentence(result.caption))}**", escape(result.prompt)]
    for table, matches in result.labels.items():
        words.append(f"*{table}* " + ", ".join(f"{escape(each.label)} {each.score:.2f}" for each in matches))
    verdict = f"**{picture.verdict}**: {escape(picture.why)}"
    if is_stale(picture, result):
        verdict = f"{STALE}, of other words: {verdict}"
    return f"| `{picture.file}`<br>{escape(picture.shows)} | {'<br>'.join(words)} | {verdict} |"


def escape(text: str) -> str:
    """Text as a cell of a Markdown table shows it."""
    return re.sub(r"([\\|*_<`\[])", r"\\\1", text)


INTRODUCTION = """
# How good is it?

{summary}

*Right*: what the caption says is all there. *Half right*: the main thing is there, but something else that it says is not, or the point is missed. *Wrong*: it speaks of something else. Somebody looked at each picture, then gave the verdict; it is the caption's, and says where the labels are better or worse.

These are the pictures that scikit-image, scikit-learn and matplotlib bring along for their examples, without a twin, chessboards, a phantom of a head, a blur, a logo that is a word, and pictures of a few pixels; none was chosen or left out for what the model says of it. Many are of kinds that nobody posts, for which the captioner has [no words](limits.md). On everyday photos like those that it learned from it does better, as the numbers in [training](training.md) say. No picture of its training data is one of these, or one of them mirrored (its photos and its generated pictures were compared by a hash; the style previews, and ImageNet, from which a part of the weights comes, were not). `china.jpg` and `flower.jpg` were looked at while the model was made.
"""

ENDING = """
## See for yourself

The pictures are not in this repository. `pip download --no-deps scikit-image` fetches the wheel, a ZIP archive, in which most of them are; `img2prompt caption` takes them as they are. This page is written by a command, which fetches what it needs:

```sh no-run
make how-good
.venv/bin/python -m benchmarks.how_good --skimage /elsewhere/skimage
.venv/bin/python -m benchmarks.how_good flower.jpg grace_hopper.jpg
```

The second takes a copy of scikit-image that you have; the third prints what the page would say of two pictures. The verdicts are in `benchmarks/how_good.toml`, each with the prompt that it is about; where the engine's words are others now, the page calls it stale until somebody has looked again.
"""

if __name__ == "__main__":
    main()
