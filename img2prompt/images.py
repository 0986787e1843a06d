"""Open pictures safely: bytes or a path → an upright RGB picture, or an `ImageError` that says why not.

Bytes come from strangers, so size, memory and time are limited before and while Pillow
decodes, and whatever a decoder raises becomes an `ImageError`. Pillow's global settings stay
as they are (only the HEIF plugin is registered, at the first HEIF file), so that several
threads can open pictures, each with its own limits.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, TiffImagePlugin, UnidentifiedImageError

from img2prompt import metadata
from img2prompt.errors import ImageError
from img2prompt.settings import Settings

FORMATS = {  # Pillow's name of each format that is opened → suffixes of such files
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)

# The engines look at a few hundred pixels a side; larger pictures only cost time.
WORKING_PIXELS = 1024 * 1024
LONGEST_SIDE = 4096

DECODING_SECONDS = 4.0  # of processor time
DECODING_BYTES = 900_000_000
BAND_PIXELS = 4_000_000
MOST_PIECES = 100_000

# Peak memory per pixel and channel of decoders that hold the whole picture several times
# (measured, with 10 bits and without subsampling), and of progressive JPEG's coefficients.
# Others hold the picture once, at 4 bytes a pixel.
BYTES_PER_CHANNEL = {"WEBP": 5.5, "AVIF": 5.0, "HEIF": 5.3, "JPEG": 2.0, "MPO": 2.0}
BYTES_PER_ROW = 32  # what Pillow keeps about each row counts in pictures one pixel wide


@dataclass(frozen=True)
class Limits:
    """The largest and the smallest picture that is opened.

    WebP, AVIF and HEIC files, and some TIFF files, are refused earlier, above some 40 to 60
    megapixels, because decoding them would take about 1 GB of memory.
    """

    max_megabytes: float = Settings.max_megabytes  # encoded, in 2**20 bytes
    max_megapixels: float = Settings.max_megapixels  # declared, in 10**6 pixels; Pillow stops at 178
    # At 16 pixels, less than a third is left of what is said about the same photo at full size.
    min_side: int = 20  # pixels
    # A long screenshot has 20; of a strip twice as narrow, the words are about another picture.
    max_stretch: float = 32  # longer side / shorter side

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        return cls(settings.max_megabytes, settings.max_megapixels)


DEFAULT_LIMITS = Limits()


def open_image(source: str | Path | bytes | Image.Image, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """Open a picture for the engines: mode RGB, upright, on white, in sRGB.

    Large pictures come back reduced, to between 1 and 4 megapixels and at most 4096
    pixels a side, with their aspect ratio kept. Of several frames the first is taken. What the file says of
    itself comes along, for `img2prompt.metadata.of`; nothing else of its metadata does.

    Parameters
    ----------
    source : path, encoded bytes, or a Pillow picture of any mode (left unchanged)
    limits : the largest and the smallest picture to open

    Raises
    ------
    ImageError
        When there is no such file, the file or picture is too large, the picture is too small
        or too narrow to read, or the bytes are not a whole picture in one of `FORMATS`. No other
        exception, whatever the bytes.
    """
    with _naming(source):
        if isinstance(source, Image.Image):
            _check_size(source, limits)
            return _with_metadata(_to_rgb(source), source)
        with _identify(_read(source, limits)) as image:
            _check_size(image, limits)
            image.draft(None, _reduced(image.size))  # a JPEG decoder can skip detail
            return _with_metadata(_to_rgb(image), image)


def read_metadata(source: str | Path | bytes, limits: Limits = DEFAULT_LIMITS) -> metadata.Metadata:
    """What the file of a picture says of itself.

    Its pixels are decoded only where texts may stand after them, in a PNG.

    Parameters
    ----------
    source : path or encoded bytes
    limits : of the file's size; a picture may be as small and as narrow as it likes

    Raises
    ------
    ImageError
        As `open_image`.
    """
    with _naming(source), _identify(_read(source, limits)) as image:
        _check_size(image, replace(limits, min_side=1, max_stretch=math.inf))
        if image.format == "PNG":
            image.load()
        return metadata.read(image)


@contextlib.contextmanager
def _naming(source: str | Path | bytes | Image.Image) -> Iterator[None]:
    """Turn whatever is raised about a picture into an ImageError that begins with its name."""
    name = str(source) if isinstance(source, str | Path) else "The picture"
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{name} {error}") from error.__cause__
    except Exception as error:  # decoders raise all sorts of things about broken files
        reason = str(error) or type(error).__name__
        raise ImageError(f"{name} is damaged or incomplete ({reason}). Copy or export it again.") from error


def _with_metadata(picture: Image.Image, image: Image.Image) -> Image.Image:
    """The picture, with what the image that it was made from says of itself."""
    found = metadata.read(image)
    if found != metadata.NOTHING:
        picture.info[metadata.KEY] = found
    return picture


def _read(source: str | Path | bytes, limits: Limits) -> bytes:
    limit = int(limits.max_megabytes * 2**20)
    if isinstance(source, str | Path):
        try:
            if not stat.S_ISREG(os.stat(source).st_mode):
                raise ImageError("is not a file. Name a picture file.")
            with open(source, "rb") as handle:
                data = handle.read(limit + 1)
        except (OSError, ValueError) as error:  # ValueError: a null character in the name
            reason = getattr(error, "strerror", None) or error
            raise ImageError(f"cannot be read: {reason}. Check its name and permissions.") from error
    else:
        data = bytes(source)
    if not data:
        raise ImageError("is empty. Copy or download it again.")
    if len(data) > limit:
        raise ImageError(
            f"is larger than {limits.max_megabytes:g} MB. Save it smaller, or raise max_megabytes."
        )
    return data


class _Reader(io.BytesIO):
    """A file of bytes that raises ImageError once the decoder reading it has used up its time.

    Decoders that can be kept busy for long by a small file (a JPEG with thousands of
    scans, a PNG with millions of chunks) read in small steps, so this stops them.
    """

    def __init__(self, data: bytes):
        super().__init__(data)
        # Processor time of this thread: a busy machine makes no picture unreadable.
        self._end = time.thread_time() + DECODING_SECONDS

    def read(self, size: int | None = -1, /) -> bytes:
        if time.thread_time() > self._end:
            raise ImageError(
                f"takes longer than {DECODING_SECONDS:g} seconds to decode. Save it as PNG or JPEG."
            )
        return super().read(size)


def _identify(data: bytes) -> Image.Image:
    formats = [name for name in FORMATS if name not in ("AVIF", "HEIF")]
    if data[4:8] == b"ftyp":
        # AVIF and HEIC share a container; the brands in its first box tell which it is.
        brands = data[8 : int.from_bytes(data[:4], "big")][:256]
        formats = ["AVIF"] if b"avif" in brands or b"avis" in brands else ["HEIF"]
        _register_heif()
    reader = _Reader(data)
    try:
        if data[:4] in TiffImagePlugin.PREFIXES:
            _check_pieces(reader)
        image = Image.open(reader, formats=formats)
    except UnidentifiedImageError as error:
        if b"<svg" in data[:4096].lower():
            raise ImageError("is an SVG drawing. Export it as PNG.") from error
        raise ImageError(f"is not a readable {', '.join(FORMATS)} file. Save it as PNG or JPEG.") from error
    except Image.DecompressionBombError as error:
        raise ImageError("declares far too many pixels. Save it smaller.") from error
    if image.format in ("JPEG", "MPO"):
        image.decodermaxblock = 1024  # one block can hold several scans of the whole picture
    return image


def _check_pieces(reader: io.BytesIO) -> None:
    """Refuse a TIFF file of very many strips or tiles: Pillow keeps hundreds of bytes about each."""
    header = reader.read(8)
    directory = TiffImagePlugin.ImageFileDirectory_v2(header + (reader.read(8) if header[2] == 43 else b""))
    reader.seek(directory.next)
    directory.load(reader)
    pieces = max(
        len(directory.get(tag, ())) for tag in (TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.TILEOFFSETS)
    )
    if pieces > MOST_PIECES:
        raise ImageError(f"is a TIFF file in {pieces} pieces. Save it as PNG or JPEG.")


@functools.cache
def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()


def _check_size(image: Image.Image, limits: Limits) -> None:
    width, height = image.size
    if width * height > limits.max_megapixels * 1e6:
        raise ImageError(
            f"is {width}×{height} pixels, more than {limits.max_megapixels:g} megapixels. "
            "Save it smaller, or raise max_megapixels."
        )
    needed = _decoder_bytes(image)
    if needed > DECODING_BYTES:
        raise ImageError(
            f"is a {image.format} file of {width}×{height} pixels; decoding it would take "
            f"{needed / 1e9:.1f} GB of memory. Save it smaller, or as JPEG."
        )
    if min(image.size) < limits.min_side:
        raise ImageError(
            f"is {width}×{height} pixels, too small to read. "
            f"Use a picture of at least {limits.min_side} pixels a side."
        )
    if max(image.size) > limits.max_stretch * min(image.size):
        raise ImageError(
            f"is {width}×{height} pixels, too narrow to read: one side is more than "
            f"{limits.max_stretch:g} times the other. Cut out a part of it."
        )


def _decoder_bytes(image: Image.Image) -> float:
    """An upper estimate of the memory that decoding takes, in bytes."""
    width, height = image.size
    pixels = width * height
    if image.format == "TIFF":
        # libtiff unpacks a whole tile or strip at a time, and its sizes are the file's to choose.
        tags = image.tag_v2  # type: ignore[attr-defined]
        tile_width = tags.get(ExifTags.Base.TileWidth, width)
        tile_height = tags.get(ExifTags.Base.TileLength) or min(
            tags.get(ExifTags.Base.RowsPerStrip, height), height
        )
        in_file = sum(tags.get(ExifTags.Base.BitsPerSample, (1,))) / 8
        in_pillow = 1 if image.mode in ("1", "L", "P") else 4
        turned = 2 * in_pillow * pixels  # Pillow turns TIFF pictures upright itself, in a copy
        return turned + height * BYTES_PER_ROW + tile_width * tile_height * max(in_file, in_pillow)
    channels = len(image.getbands())
    per_pixel = channels * BYTES_PER_CHANNEL[image.format] if image.format in BYTES_PER_CHANNEL else 4.0
    return pixels * per_pixel + height * BYTES_PER_ROW


def _factor(size: tuple[int, int]) -> int:
    """By how much each side is divided: blocks of factor × factor pixels become one."""
    return max(1, math.isqrt(size[0] * size[1] // WORKING_PIXELS))


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    factor = _factor(size)
    return max(1, size[0] // factor), max(1, size[1] // factor)


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    profile = image.info.get("icc_profile")
    orientation = 1
    with contextlib.suppress(Exception):  # a picture with broken EXIF data is still a picture
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    picture = _shrink(image)
    if picture.mode in ("I", "F"):
        picture = _deep_to_grey(picture)
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture)
        picture = white.convert("RGB")
    picture = _to_srgb(picture, profile)
    picture.info.clear()
    if orientation in range(2, 9):
        picture.getexif()[ExifTags.Base.Orientation] = orientation
        ImageOps.exif_transpose(picture, in_place=True)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return picture


def _shrink(image: Image.Image) -> Image.Image:
    """Average blocks of pixels, a band of rows at a time, so that no full-size copy is made.

    Returns a picture of mode L, RGB, RGBA, CMYK, LAB, I or F.
    """
    factor = _factor(image.size)
    width, height = image.size
    rows = factor * max(1, BAND_PIXELS // (width * factor))
    bands = []
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        bands.append(_simplify(band).reduce(factor))
    picture = Image.new(bands[0].mode, (bands[0].width, sum(band.height for band in bands)))
    top = 0
    for band in bands:
        picture.paste(band, (0, top))
        top += band.height
    return picture


def _simplify(image: Image.Image) -> Image.Image:
    """Convert to a mode whose pixels can be averaged."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) / 257.0).round().astype(np.uint8))
    if image.mode in ("I", "F", "CMYK", "LAB"):
        return image
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "1"):
        return image.convert("L")
    return image.convert("RGB")


def _deep_to_grey(image: Image.Image) -> Image.Image:
    """32-bit integers or floats → 8-bit grey.

    Such files have no agreed white. It is taken to be 1 (floats only), 255 or 65535, the first that no
    value exceeds, or else the largest value.
    """
    values = np.asarray(image, dtype=np.float64)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    if low >= 0 and high <= whites[-1]:
        low, high = 0.0, next(white for white in whites if high <= white)
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) * (255.0 / ((high - low) or 1.0))
    return Image.fromarray(scaled.round().astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to RGB, through the embedded colour profile where it can be used."""
    if image.mode == "LAB" or profile:
        with contextlib.suppress(Exception):  # broken, or made for other modes: use the numbers as they are
            source = ImageCms.createProfile("LAB") if image.mode == "LAB" else io.BytesIO(profile or b"")
            converted = ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(source), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
    return image.convert("RGB")
