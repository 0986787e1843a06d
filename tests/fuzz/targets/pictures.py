"""Pictures in every format that is opened and its main variants."""

from __future__ import annotations

import functools
import io
import math
import zlib
from pathlib import Path
from random import Random

from PIL import ExifTags, Image, ImageCms

from img2prompt.images import Limits, open_image
from tests.fuzz.mutations import mutate

MEGABYTES = 1000  # what img2prompt.images promises
WIDTH, HEIGHT = 37, 23  # numbers that are easy to find in a file
ANY_SHAPE = Limits(min_side=1, max_stretch=math.inf)  # a damaged size is to reach the decoder
# What the parts of a file may be called, in each format that is made of named parts.
PARTS = {
    "PNG": b"IHDR PLTE tRNS IDAT IEND gAMA cHRM sBIT sRGB iCCP cICP eXIf tEXt zTXt iTXt pHYs acTL fcTL fdAT".split(),
    "WEBP": [b"VP8 ", b"XMP ", *b"VP8L VP8X ALPH ANIM ANMF ICCP EXIF".split()],
    "HEIF": b"meta hdlr pitm iinf infe iloc idat iref iprp ipco ipma ispe hvcC av1C pixi colr irot imir clap "
    b"auxC auxl dimg grid mdat moov".split(),
    "JPEG": [bytes([0xFF, kind]) for kind in (*range(0xC0, 0xD0), *range(0xDA, 0xE3), 0xED, 0xEE, 0xFE)],
}
MARKS = {"PNG": b"PNG", "WEBP": b"WEBP", "HEIF": b"ftyp", "JPEG": b"\xff\xd8\xff"}  # AVIF's are HEIF's


def make(chooser: Random) -> dict[str, bytes]:
    samples = sound()
    data = chooser.choice(samples)
    form = next((form for form, mark in MARKS.items() if mark in data[:16]), "")
    damage = chooser.choice(("bytes", "bytes", "bytes", "part", "both")) if form else "bytes"
    if damage != "bytes":
        data = with_part(data, form, chooser)
    if damage != "part":
        data = mutate(data, chooser, samples, (WIDTH, HEIGHT))
    return {"picture": data}


def attempt(folder: Path) -> None:
    open_image(folder / "picture", ANY_SHAPE)


@functools.cache
def sound() -> tuple[bytes, ...]:
    """Small pictures, the same at each call."""
    chooser = Random(0)
    colour = Image.frombytes("RGB", (WIDTH, HEIGHT), chooser.randbytes(3 * WIDTH * HEIGHT))
    colour = colour.resize((8, 8)).resize((WIDTH, HEIGHT))  # smooth, so that files are small
    clear = colour.copy()
    clear.putalpha(Image.linear_gradient("L").resize(colour.size))
    few, grey = colour.quantize(16), colour.convert("L")
    deep = Image.frombytes("I;16", colour.size, chooser.randbytes(2 * WIDTH * HEIGHT))
    lab = ImageCms.applyTransform(
        colour,
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"),
    )
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    described = {
        "exif": exif.tobytes(),
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }
    return (
        encode(colour, "PNG", **described),
        encode(colour, "PNG", compress_level=0),
        encode(clear, "PNG", compress_level=0),
        encode(few, "PNG", transparency=3),
        encode(grey.convert("1"), "PNG"),
        encode(deep, "PNG"),
        encode(colour, "PNG", moving=True),
        encode(colour, "JPEG", **described),
        encode(colour, "JPEG", progressive=True),
        encode(grey, "JPEG", optimize=True),
        encode(colour.convert("CMYK"), "JPEG", subsampling=0),
        encode(colour, "MPO", moving=True),
        encode(colour, "WEBP", **described),
        encode(clear, "WEBP"),
        encode(clear, "WEBP", lossless=True),
        encode(colour, "WEBP", moving=True),
        encode(colour, "AVIF", **described),
        encode(clear, "AVIF"),
        encode(colour, "HEIF", **described),
        encode(clear, "HEIF"),
        encode(colour, "TIFF", **described),
        encode(colour, "TIFF", compression="tiff_lzw"),
        encode(colour.convert("CMYK"), "TIFF", compression="tiff_adobe_deflate"),
        encode(colour, "TIFF", compression="jpeg"),
        encode(clear, "TIFF", compression="packbits"),
        encode(grey.convert("1"), "TIFF", compression="group4"),
        encode(few, "TIFF"),
        encode(deep, "TIFF"),
        encode(lab, "TIFF"),
        encode(grey.convert("F"), "TIFF"),
        encode(colour, "TIFF", moving=True),
        encode(colour, "BMP"),
        encode(clear, "BMP"),
        encode(few, "BMP"),
        encode(grey.convert("1"), "BMP"),
        encode(few, "GIF", transparency=3, comment=b"a comment"),
        encode(colour, "GIF", moving=True),
    )


def with_part(data: bytes, form: str, chooser: Random) -> bytes:
    """The file with one more part, whose content fits or doesn't, before another part."""
    kind, size = chooser.choice(PARTS[form]), chooser.randrange(1, 64)
    start = chooser.randrange(len(data))
    content = chooser.choice((b"", bytes(size), chooser.randbytes(size), data[start : start + size]))
    before = chooser.choice([kind for kind in PARTS[form] if kind in data])
    at = data.index(before)
    match form:
        case "PNG":
            at, part = at - 4, len(content).to_bytes(4, "big") + kind + content
            part += zlib.crc32(part[4:]).to_bytes(4, "big")
        case "WEBP":
            part = kind + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)
        case "HEIF":
            at, part = at - 4, (8 + len(content)).to_bytes(4, "big") + kind + content
        case "JPEG":
            part = kind + (2 + len(content)).to_bytes(2, "big") + content
    return data[:at] + part + data[at:]


def encode(image: Image.Image, form: str, moving: bool = False, **options: object) -> bytes:
    """The file of a picture, or of two."""
    if form == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    if moving:
        options |= {"save_all": True, "append_images": [image.transpose(Image.Transpose.ROTATE_180)]}
    buffer = io.BytesIO()
    image.copy().save(buffer, form, **options)  # Pillow notes settings of a format in the picture itself
    return buffer.getvalue()
