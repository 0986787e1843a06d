"""How well text in pictures is read: signs drawn in several fonts and languages, as JSON on stdout.

    python -m benchmarks.signs [--fonts DIR] [--photos DIR] [--count N]

Signs stand in the middle of blurred noise, turned by up to eight degrees. Of each language: the share of signs
that are read exactly (but for case and spaces), that are read wrongly though sure enough to be repeated, and
seconds a sign. With --photos, the share of photos of a folder in which something is read and would be repeated,
with what: look at them.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from img2prompt.images import SUFFIXES, open_image
from img2prompt.ocr import TextReader
from img2prompt.posts.quotes import quote

SIGNS = {
    "English": ["No bicycles", "Open 24 hours", "Fresh bread", "Mind the gap", "Exit", "Sea View Hotel"],
    "French": ["Café à emporter", "Entrée libre", "Défense de fumer", "Sortie", "Boulangerie"],
    "German": ["Straße gesperrt", "Ausgang", "Bitte läuten", "Frische Brötchen"],
    "Spanish": ["Prohibido fumar", "Salida", "Se vende piña", "Panadería"],
    "Korean": ["자전거 금지", "어서 오세요", "출구", "오늘의 커피"],
    "Russian": ["Выход", "Осторожно", "Хлеб"],
}
SIZE = (800, 500)
TILT = 8  # degrees, either way


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts/truetype"))
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=24, help="signs of a language, or photos")
    options = parser.parse_args()
    reader = TextReader()
    rows = {}
    for language, texts in SIGNS.items():
        fonts = [font for font in sorted(options.fonts.rglob("*.ttf")) if can_write("".join(texts), font)]
        if fonts:
            rows[language] = {"fonts": len(fonts), **measure(reader, texts, fonts, options.count)}
    found = {}
    if options.photos:
        files = [file for file in sorted(options.photos.rglob("*")) if file.suffix.lower() in SUFFIXES]
        for file in random.Random(0).sample(files, min(options.count, len(files))):
            found[file.name] = quote(reader.read([open_image(file)])[0])
    print(json.dumps({"signs": rows, "photos": found}, ensure_ascii=False, indent=1))


def measure(reader: TextReader, texts: list[str], fonts: list[Path], count: int) -> dict[str, float]:
    """Shares of `count` signs that are read exactly, and wrongly, and the seconds of one."""
    chance = random.Random(0)
    exact, wrong, seconds = [], [], []
    for _ in range(count):
        text = chance.choice(texts)
        picture = draw(text, chance.choice(fonts), chance)
        start = time.perf_counter()
        lines = reader.read([picture])[0]
        seconds.append(time.perf_counter() - start)
        said = quote(lines)
        exact.append(plain(" ".join(line.text for line in lines)) == plain(text))
        wrong.append(bool(said) and plain(said) != plain(text))
    return {
        "exact": round(statistics.mean(exact), 3),
        "repeated wrongly": round(statistics.mean(wrong), 3),
        "seconds": round(statistics.median(seconds), 2),
    }


def plain(text: str) -> str:
    return "".join(text.lower().split())


def draw(text: str, font: Path, chance: random.Random) -> Image.Image:
    """A sign with this text, somewhere in blurred noise."""
    noise = np.random.default_rng(chance.randrange(2**31)).integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8)
    picture = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(12))
    letters = ImageFont.truetype(str(font), chance.randint(28, 72))
    left, top, right, bottom = letters.getbbox(text)
    colours = [tuple(chance.randint(low, low + 60) for _ in range(3)) for low in (0, 190)]
    chance.shuffle(colours)
    sign = Image.new("RGBA", (int(right - left) + 60, int(bottom - top) + 50), colours[0])
    ImageDraw.Draw(sign).text((30 - left, 25 - top), text, colours[1], letters)
    sign = sign.rotate(chance.uniform(-TILT, TILT), expand=True, resample=Image.Resampling.BICUBIC)
    if sign.width > SIZE[0]:
        sign = sign.resize((SIZE[0], sign.height * SIZE[0] // sign.width))
    where = (chance.randint(0, SIZE[0] - sign.width), chance.randint(0, max(SIZE[1] - sign.height, 0)))
    picture.paste(sign, where, sign)
    return picture


def can_write(text: str, font: Path) -> bool:
    """Whether a font has all these letters: none looks like one that no font has."""
    try:
        letters = ImageFont.truetype(str(font), 20)
    except OSError:  # a font of pictures, which has one size
        return False
    nothing = bytes(letters.getmask("\U0010fffe"))
    return all(bytes(letters.getmask(letter)) != nothing for letter in set(text) - {" "})


if __name__ == "__main__":
    main()
