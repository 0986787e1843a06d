"""Picture files with XMP in them, and packets of it, into which texts are written."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from random import Random

from PIL import Image

from img2prompt.errors import DataError
from img2prompt.xmp import packets, texts_of, with_packet, with_texts
from tests.fuzz.mutations import mutate
from tests.fuzz.targets.pictures import HEIGHT, WIDTH, encode
from tests.helpers.pictures import CHINA, FLOWER

MEGABYTES = 300
TEXTS = {"description": ["A dog."], "keywords": ["dogs"], "writer": ["somebody"]}


def make(chooser: Random) -> dict[str, bytes]:
    samples = sound()
    return {"picture": mutate(chooser.choice(samples), chooser, samples, (WIDTH, HEIGHT))}


def attempt(folder: Path) -> None:
    data = (folder / "picture").read_bytes()
    if data.lstrip()[:1] == b"<":
        write(data)
        return
    found = packets(data)
    for packet in found[1:]:
        texts_of(packet)
    changed = with_packet(data, write(found[0] if found else None))
    try:
        (main, *_) = packets(changed)
    except DataError as error:
        raise AssertionError("what was written cannot be read") from error
    assert {name: list(values) for name, values in texts_of(main).items() if name in TEXTS} == TEXTS


def write(packet: bytes | None) -> bytes:
    """The packet with the texts in it, if it was one; else the errors come out that are meant to."""
    if packet is not None:
        texts_of(packet)
    changed = with_texts(packet, TEXTS, "written", "by the test")
    try:
        texts_of(changed)
    except DataError as error:
        raise AssertionError("what was written cannot be read") from error
    return changed


@functools.cache
def sound() -> tuple[bytes, ...]:
    """Small files and packets, the same at each call."""
    photo = Image.open(CHINA).resize((WIDTH, HEIGHT))
    photo.info.clear()
    plain = [encode(photo, form) for form in ("JPEG", "PNG", "WEBP", "TIFF")]
    plain.append(encode(photo, "MPO", moving=True))
    bare = with_texts(None, {"alt_text": ["A."], "keywords": ["a", "b"]}, "before", "another")
    described = [with_packet(data, bare) for data in plain]
    big = io.BytesIO()
    photo.save(big, "TIFF", big_tiff=True)
    real = [packets(file.read_bytes())[0] for file in (CHINA, FLOWER)]
    return (*plain, *described, big.getvalue(), bare, *real)
