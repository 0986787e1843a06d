"""Pictures in every format that is opened and its main variants."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from random import Random

from PIL import ExifTags, Image, ImageCms

from img2prompt.images import open_image
from tests.fuzz.mutations import mutate

MEGABYTES = 1000  # what img2prompt.images promises
WIDTH, HEIGHT = 37, 23  # numbers that are easy to find in a file


def make(chooser: Random) -> dict[str, bytes]:
    samples = sound()
    return {"picture": mutate(chooser.choice(samples), chooser, samples, (WIDTH, HEIGHT))}


def attempt(folder: Path) -> None:
    open_image(folder / "picture")


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
