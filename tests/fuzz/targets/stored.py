"""What files say of themselves: damaged texts and blocks in whole pictures, in the forms of each tool."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from random import Random

from img2prompt import metadata
from img2prompt.images import open_image, read_metadata
from tests.fuzz.mutations import mutate, sign_chunks
from tests.helpers import stored

MEGABYTES = 500
SIZE = (64, 48)


def make(chooser: Random) -> dict[str, bytes]:
    samples = sound()
    data = chooser.choice(samples)
    if chooser.random() < 0.5:
        return {"picture": mutate(data, chooser, samples, SIZE)}
    # Only what is said, so that the picture around it stays whole.
    said = chooser.choice([text for text in texts() if text in data] or [data[-64:]])
    damaged = mutate(said, chooser, texts(), SIZE)[: len(said)].ljust(len(said))
    mutant = bytearray(data.replace(said, damaged))
    if mutant.startswith(b"\x89PNG"):
        sign_chunks(mutant)
    return {"picture": bytes(mutant)}


def attempt(folder: Path) -> None:
    found = read_metadata(folder / "picture")
    picture = open_image(folder / "picture")
    assert metadata.of(picture) == found
    if found.stored:
        json.dumps(found.stored.record(), allow_nan=False).encode()
        found.stored.settings_line().encode()
    if found.notes:
        json.dumps(found.notes.record(), ensure_ascii=False).encode()


@functools.cache
def texts() -> tuple[bytes, ...]:
    graph, plain = json.dumps(stored.graph()), stored.INFOTEXT.replace("등대", "light")
    return (
        plain.encode(),
        graph.encode(),
        plain.encode("utf-16-be"),
        stored.xmp(f'Iptc4xmpExt:DigitalSourceType="{stored.MADE_BY_A_MODEL}"'),
        stored.xmp("<dc:title><rdf:Alt><rdf:li>a title</rdf:li></rdf:Alt></dc:title>"),
        stored.iptc({5: ["a title"], 25: ["one", "two"], 90: ["Busan"]}),
        b'{"uc": "bad", "steps": 28, "height": 64, "width": 64, "seed": 9, "sampler": "k_euler"}',
        b'{"positive_prompt": "a cat", "seed": 3, "model": {"name": "m"}, "width": 64, "height": 64}',
    )


@functools.cache
def sound() -> tuple[bytes, ...]:
    """Small pictures that say something, the same at each call."""
    plain, graph, wide, source, title, block, novelai, invokeai = texts()
    comment = {stored.Base.UserComment: b"UNICODE\0" + wide}
    return (
        stored.png({"parameters": plain.decode()}),
        stored.png(
            {"prompt": graph.decode(), "workflow": '{"nodes": [{"id": 1, "type": "KSampler"}], "links": []}'}
        ),
        stored.png({"Comment": novelai.decode(), "Description": "a cat", "Software": "NovelAI"}),
        stored.png({"invokeai_metadata": invokeai.decode()}),
        stored.with_exif("JPEG", second=comment),
        stored.with_exif("WEBP", second=comment),
        stored.encoded("JPEG", xmp=source),
        stored.encoded("WEBP", xmp=title),
        stored.with_segment(0xED, block),
        stored.with_segment(0xEB, b"JP\0\x01" + stored.MADE_BY_A_MODEL.encode()),
        stored.with_exif("TIFF", first={stored.Base.ImageDescription: "a description"}),
    )
