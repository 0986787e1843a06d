import functools
import io
import math
import multiprocessing
import re
import struct
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageFile

from img2prompt.errors import ImageError
from img2prompt.images import FORMATS, Limits, open_image
from img2prompt.settings import Settings
from tests.helpers.memory import peak_megabytes

# Pillow warns about damaged metadata and, above 89 megapixels, about size.
pytestmark = pytest.mark.filterwarnings("ignore")

ANY_SHAPE = Limits(min_side=1, max_stretch=math.inf)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    if format == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@functools.cache
def corners(width: int = 64, height: int = 48) -> Image.Image:
    """Red, green, blue and white quarters."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(WHITE, (width // 2, height // 2, width, height))
    return image


def quarters(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours in the middle of the four quarters, row by row."""
    width, height = image.size
    return [image.getpixel((width * x // 4, height * y // 4)) for y in (1, 3) for x in (1, 3)]


def assert_close(colours: object, expected: object, tolerance: float) -> None:
    assert np.abs(np.subtract(colours, expected, dtype=float)).max() <= tolerance, colours


# Formats


@pytest.mark.parametrize("format", FORMATS)
def test_every_format(format, tmp_path):
    data = encode(corners(), format)
    image = open_image(data)
    assert type(image) is Image.Image
    assert (image.mode, image.size) == ("RGB", (64, 48))
    assert_close(quarters(image), [RED, GREEN, BLUE, WHITE], 12)
    # The name does not matter, only the bytes do.
    file = tmp_path / "picture.txt"
    file.write_bytes(data)
    assert open_image(file).tobytes() == open_image(str(file)).tobytes() == image.tobytes()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "AVIF", "TIFF", "PNG"])
def test_first_of_several_frames(format):
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, GREEN, BLUE)]
    data = encode(frames[0], format, save_all=True, append_images=frames[1:])
    assert_close(open_image(data).getpixel((16, 16)), RED, 8)


def test_heif_under_its_neutral_brand():
    data = encode(corners(), "HEIF")
    assert data[4:12] == b"ftypheic"
    assert_close(quarters(open_image(data[:8] + b"mif1" + data[12:])), [RED, GREEN, BLUE, WHITE], 12)


def test_avif_under_its_neutral_brand():
    data = encode(corners(), "AVIF")
    assert data[4:12] == b"ftypavif"
    assert_close(quarters(open_image(data[:8] + b"mif1" + data[12:])), [RED, GREEN, BLUE, WHITE], 12)


# Orientation

TRANSPOSED = {  # quarters of the stored picture → quarters when shown upright
    1: [RED, GREEN, BLUE, WHITE],
    2: [GREEN, RED, WHITE, BLUE],
    3: [WHITE, BLUE, GREEN, RED],
    4: [BLUE, WHITE, RED, GREEN],
    5: [RED, BLUE, GREEN, WHITE],
    6: [BLUE, RED, WHITE, GREEN],
    7: [WHITE, GREEN, BLUE, RED],
    8: [GREEN, WHITE, RED, BLUE],
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"])
@pytest.mark.parametrize("orientation", TRANSPOSED)
def test_upright(format, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = open_image(encode(corners(), format, exif=exif.tobytes()))
    assert image.size == ((64, 48) if orientation < 5 else (48, 64))
    assert_close(quarters(image), TRANSPOSED[orientation], 14)
    assert ExifTags.Base.Orientation not in image.getexif()


def test_large_jpeg_is_upright_too():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = open_image(encode(corners().resize((4000, 3000), Image.Resampling.NEAREST), "JPEG", exif=exif))
    assert image.width < image.height
    assert_close(quarters(image), TRANSPOSED[6], 12)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_impossible_orientation_is_ignored(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert_close(quarters(open_image(encode(corners(), "JPEG", exif=exif))), TRANSPOSED[1], 12)


def test_broken_exif_is_ignored():
    data = encode(corners(), "JPEG", exif=b"Exif\0\0II*\0garbage that is no directory")
    assert_close(quarters(open_image(data)), TRANSPOSED[1], 12)


# Modes


def test_greyscale_and_bilevel():
    for mode in ("L", "1"):
        image = open_image(
            encode(corners().convert("L").point(lambda v: 255 * (v > 128)).convert(mode), "PNG")
        )
        assert_close(quarters(image), [(0,) * 3, WHITE, (0,) * 3, WHITE], 0)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk(format):
    image = open_image(encode(corners().convert("CMYK"), format))
    assert_close(quarters(image), [RED, GREEN, BLUE, WHITE], 12)


def test_alpha_lies_on_white():
    image = corners().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size).point(lambda v: 255 * (v > 127)))
    for format in ("PNG", "WEBP", "TIFF"):
        assert_close(quarters(open_image(encode(image, format))), [WHITE, WHITE, BLUE, WHITE], 12)
    half = Image.new("LA", (32, 32), (0, 128))
    assert_close(open_image(encode(half, "PNG")).getpixel((4, 4)), (127,) * 3, 1)


def test_transparent_pixels_do_not_bleed_when_reduced():
    # Black hidden under full transparency must not darken the edge of what is visible.
    pixels = np.zeros((2048, 2048, 4), np.uint8)
    pixels[:, ::2] = 255
    image = open_image(encode(Image.fromarray(pixels), "PNG", compress_level=1))
    assert image.size == (1024, 1024)
    assert np.asarray(image).min() >= 254


def test_palettes():
    paletted = corners().quantize(4)
    assert_close(quarters(open_image(encode(paletted, "PNG"))), [RED, GREEN, BLUE, WHITE], 2)
    seen_through = paletted.getpixel((1, 1))
    image = open_image(encode(paletted, "PNG", transparency=seen_through))
    assert_close(quarters(image), [WHITE, GREEN, BLUE, WHITE], 2)
    image = open_image(encode(paletted, "GIF", transparency=seen_through))
    assert_close(quarters(image), [WHITE, GREEN, BLUE, WHITE], 2)


def test_transparent_colour():
    assert_close(
        quarters(open_image(encode(corners(), "PNG", transparency=RED))), [WHITE, GREEN, BLUE, WHITE], 0
    )


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bits_are_scaled(format):
    ramp = np.tile(np.linspace(0, 65535, 64).round().astype(np.uint16), (32, 1))
    image = open_image(encode(Image.frombytes("I;16", (64, 32), ramp.tobytes()), format))
    assert_close(np.asarray(image)[4, :, 1], np.linspace(0, 255, 64), 1)


def png(width: int, height: int, bits: int, colour: int, pixels: bytes, extra: bytes = b"") -> bytes:
    """A PNG put together by hand; `pixels` are compressed with their filter bytes."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), extra, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_16_bit_colour():
    row = b"\0" + struct.pack(">3H", 65535, 32896, 0) * 32
    image = open_image(png(32, 32, 16, 2, zlib.compress(row * 32)))
    assert_close(image.getpixel((4, 4)), (255, 128, 0), 1)


@pytest.mark.parametrize(
    ("mode", "type", "top"),
    [("I", "int32", 255), ("I", "int32", 65535), ("F", "float32", 1), ("F", "float32", 255)],
)
def test_32_bits(mode, type, top):
    ramp = np.tile(np.linspace(0, top, 64), (32, 1)).astype(type)
    image = open_image(encode(Image.fromarray(ramp, mode), "TIFF"))
    assert_close(np.asarray(image)[4, :, 0], np.linspace(0, 255, 64), 1)


def test_floats_without_a_white_are_stretched():
    values = np.tile(np.linspace(-300, 900, 64, dtype=np.float32), (32, 1))
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    pixels = np.asarray(open_image(encode(Image.fromarray(values), "TIFF")))
    assert_close(pixels[4, :, 0], np.linspace(0, 255, 64), 1)
    assert pixels[0, :3, 0].tolist() == [0, 255, 0]
    for constant in (np.nan, -5.0, 0.0):
        open_image(encode(Image.new("F", (32, 32), constant), "TIFF"))


def test_lab():
    lab = Image.new("LAB", (32, 32), (255, 128, 128))  # the brightest L*, no colour
    assert_close(open_image(encode(lab, "TIFF")).getpixel((4, 4)), WHITE, 3)


# Colour profiles


def profile(space: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def test_an_srgb_profile_changes_nothing():
    data = encode(corners(), "PNG", icc_profile=profile("sRGB"))
    assert_close(quarters(open_image(data)), [RED, GREEN, BLUE, WHITE], 1)


def swapped_profile() -> bytes:
    """sRGB with the red and green primaries exchanged."""
    data = profile("sRGB")
    return data.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_profiles_are_applied(format):
    image = open_image(encode(corners(), format, icc_profile=swapped_profile()))
    assert_close(quarters(image), [GREEN, RED, BLUE, WHITE], 14)


@pytest.mark.parametrize("broken", [b"no profile", profile("sRGB")[:200], profile("LAB")])
def test_profiles_that_do_not_fit_are_ignored(broken):
    data = encode(corners(), "PNG", icc_profile=broken)
    assert_close(quarters(open_image(data)), [RED, GREEN, BLUE, WHITE], 0)
    grey = encode(Image.new("L", (32, 32), 77), "PNG", icc_profile=profile("sRGB"))
    assert open_image(grey).getpixel((4, 4)) == (77, 77, 77)


# Pillow pictures


def test_a_pillow_picture_is_left_alone():
    for mode in ("RGB", "RGBA", "CMYK", "P", "L"):
        source = corners().convert(mode)
        before = source.tobytes(), source.size, source.mode
        image = open_image(source)
        assert image.mode == "RGB" and image is not source
        image.paste(0, (0, 0, 9, 9))
        assert (source.tobytes(), source.size, source.mode) == before


def test_pillow_pictures_obey_the_limits():
    with pytest.raises(ImageError, match="megapixels"):
        open_image(Image.new("L", (2000, 1000)), Limits(max_megapixels=1))


# Size


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(4000, 3000), (1025, 1023), (9000, 300), (1, 1), (1, 3000), (20000, 2)])
def test_large_pictures_come_back_smaller_in_the_same_shape(format, size):
    image = open_image(encode(Image.new("RGB", size, BLUE), format), ANY_SHAPE)
    assert image.width * image.height < 4 * 1024 * 1024 * 1.01
    assert max(image.size) <= 4096
    if min(size) > 10:
        assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.01)
        assert image.width * image.height >= min(size[0] * size[1], 1_000_000) or max(image.size) == 4096
    assert_close(np.asarray(image).reshape(-1, 3), BLUE, 2)


def test_bands_meet_without_a_seam():
    """Large pictures are reduced a band at a time; the result equals doing it at once."""
    rows = np.linspace(0, 255, 4099).astype(np.uint8)
    source = Image.fromarray(np.tile(rows[:, None], (1, 3001)))
    image = open_image(source)
    assert np.array_equal(np.asarray(image)[..., 0], np.asarray(source.reduce(3)))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (16, 16), (500, 19), (19, 500)])
def test_too_small_to_read(size, tmp_path):
    file = tmp_path / "dot.png"
    Image.new("RGB", size, BLUE).save(file)
    for source, name in (
        (file, str(file)),
        (file.read_bytes(), "The picture"),
        (Image.open(file), "The picture"),
    ):
        with pytest.raises(ImageError) as caught:
            open_image(source)
        assert str(caught.value) == (
            f"{name} is {size[0]}×{size[1]} pixels, too small to read. Use a picture of at least 20 pixels a side."
        )


@pytest.mark.parametrize("size", [(661, 20), (20, 661), (20_000, 600)])
def test_too_narrow_to_read(size):
    with pytest.raises(ImageError, match=f"is {size[0]}×{size[1]} pixels, too narrow to read: .* 32 times"):
        open_image(encode(Image.new("RGB", size, BLUE), "PNG"))


@pytest.mark.parametrize("size", [(20, 20), (640, 20), (20, 640), (19_200, 600)])
def test_small_and_narrow_pictures_that_can_be_read(size):
    assert open_image(encode(Image.new("RGB", size, BLUE), "PNG")).mode == "RGB"


def test_limits_come_from_the_settings():
    assert Limits.from_settings(Settings()) == Limits()
    assert Limits.from_settings(Settings(max_megabytes=3, max_megapixels=5)) == Limits(3, 5)


def test_too_many_bytes(tmp_path):
    file = tmp_path / "big.png"
    file.write_bytes(encode(corners(), "PNG") + bytes(3 << 20))
    assert open_image(file, Limits(max_megabytes=4)).size == (64, 48)
    for source in (file, file.read_bytes()):
        with pytest.raises(ImageError, match="larger than 2 MB.*max_megabytes"):
            open_image(source, Limits(max_megabytes=2))


# What is no picture


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"Dear diary, " * 99, "not a readable PNG, JPEG"),
        (
            b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9"/>',
            "SVG.*Export it as PNG",
        ),
        (b"%PDF-1.7 ...", "not a readable"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1" + bytes(99), "not a readable"),
        (b"\xff\xd8\xff", "not a readable|damaged"),
        (bytes(1000), "not a readable"),
        (encode(corners(), "ICO"), "not a readable"),
        (encode(corners(), "EPS"), "not a readable"),
    ],
)
def test_what_is_no_picture(data, reason, tmp_path):
    with pytest.raises(ImageError, match=f"^The picture .*{reason}"):
        open_image(data)
    file = tmp_path / "holiday.jpg"
    file.write_bytes(data)
    with pytest.raises(ImageError, match=rf"holiday\.jpg .*{reason}"):
        open_image(file)


def test_what_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "missing.jpg", "null\0character.jpg", "x" * 5000, "", "/dev/zero"):
        with pytest.raises(ImageError, match="is not a file|cannot be read"):
            open_image(path)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_truncated_files(format, share):
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    data = encode(noise, format)
    with pytest.raises(ImageError):
        open_image(data[: int(len(data) * share)])


# Files made to do harm. They are opened in a process of their own, to measure its memory
# and to survive a crash.


def answer(data: bytes) -> str:
    try:
        image = open_image(data)
    except ImageError as error:
        return f"ImageError: {error}"
    return f"{image.mode} {image.size}"


def answers(files: list[bytes]) -> tuple[list[tuple[str, float]], float]:
    """Answer and processor seconds for each file, and this process's peak memory in MB."""
    found = []
    for data in files:
        start = time.process_time()
        found.append((answer(data), time.process_time() - start))
    return found, peak_megabytes()


def in_a_process(files: list[bytes]) -> tuple[list[tuple[str, float]], float]:
    # A new process runs the file of __main__ first, which page tests may have left to be the app's.
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(answers, files).result()
    finally:
        sys.modules["__main__"] = main


def zeros(size: int) -> bytes:
    """That many zero bytes, compressed."""
    packer = zlib.compressobj(1)
    return b"".join([packer.compress(bytes(1 << 20)) for _ in range(size >> 20)] + [packer.flush()])


def tiff(tags: list[tuple[int, int, int, int]], extra: bytes = b"") -> bytes:
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + extra


def huge_tile_tiff() -> bytes:
    """16×16 pixels in one tile that unpacks to 1.6 GB."""
    body = zeros(64 << 20)
    sizes = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    start = 8 + 2 + 10 * 12 + 4
    tile = [(322, 4, 1, 40000), (323, 4, 1, 40000), (324, 4, 1, start), (325, 4, 1, len(body))]
    return tiff(sizes + tile, body)


def strips_tiff() -> bytes:
    """One pixel wide, six million rows, each in a strip of its own."""
    rows = 6_000_000
    start = 8 + 2 + 8 * 12 + 4
    sizes = [(256, 4, 1, 1), (257, 4, 1, rows), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    strips = [(273, 4, rows, start), (277, 3, 1, 1), (278, 4, 1, 1)]
    return tiff(sizes + strips, np.arange(rows, dtype="<u4").tobytes())


def scan_bomb() -> bytes:
    """A progressive JPEG that refines 98 megapixels 20,000 times over."""
    data = encode(Image.new("L", (9900, 9900), 100), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    return data[:last] + data[last:-2] * 20_000 + data[-2:]


def run_length_bomb() -> bytes:
    """A BMP of 81 megapixels in runs of one pixel."""
    header = struct.pack("<IiiHHIIiiII", 40, 9000, 9000, 1, 8, 1, 0, 0, 0, 256, 256) + bytes(1024)
    return struct.pack("<2sIHHI", b"BM", 0, 0, 0, 14 + len(header)) + header + b"\x01\x01" * 12_000_000


BOMBS = {
    "declared size": (lambda: png(60000, 60000, 8, 2, zeros(1 << 20)), "too many pixels"),
    "over the limit": (lambda: png(10001, 10000, 8, 0, zeros(1 << 20)), "more than 100 megapixels"),
    "text": (
        lambda: png(
            8,
            8,
            8,
            0,
            zeros(1 << 20),
            b"".join(chunk(b"zTXt", b"%d\0\0" % i + zeros(1 << 20)) for i in range(99)),
        ),
        "damaged",
    ),
    "profile": (
        lambda: png(8, 8, 8, 0, zeros(1 << 20), chunk(b"iCCP", b"p\0\0" + zeros(400 << 20))),
        "damaged",
    ),
    "chunks": (lambda: png(8, 8, 8, 0, zeros(1 << 20), chunk(b"tEXt", b"") * 2_000_000), "4 seconds"),
    "tile": (huge_tile_tiff, "1.6 GB of memory"),
    "strips": (strips_tiff, "6000000 pieces"),
    "tall": (lambda: png(1, 90_000_000, 1, 0, zeros(180 << 20)), "GB of memory"),
    "scans": (scan_bomb, "4 seconds"),
    "runs": (run_length_bomb, "4 seconds"),
    "segments": (lambda: b"\xff\xd8" + b"\xff\xe1\0\x0aExif\0\0ab" * 2_000_000, "4 seconds|not a readable"),
    "large WebP": (lambda: encode(Image.new("L", (7500, 7500)), "WEBP", method=0, quality=1), "GB of memory"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name):
    make, reason = BOMBS[name]
    [(text, seconds)], megabytes = in_a_process([make()])
    assert text.startswith("ImageError: The picture ")
    assert re.search(reason, text), text
    assert seconds < 5
    assert megabytes < 1000


LARGEST = {
    "RGBA PNG": lambda: png(9990, 10000, 8, 6, zeros(400 << 20)),
    "16-bit PNG": lambda: png(9990, 10000, 16, 0, zeros(200 << 20)),
    "palette PNG": lambda: png(
        9990, 10000, 8, 3, zeros(100 << 20), chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", b"\0")
    ),
    "progressive JPEG": lambda: encode(Image.new("RGB", (9990, 10000)), "JPEG", progressive=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_pictures_fit_in_memory(name):
    [(text, seconds)], megabytes = in_a_process([LARGEST[name]()])
    assert text.startswith("RGB (")
    assert seconds < 5
    assert megabytes < 1000


def test_threads_with_limits_of_their_own():
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    data = encode(corners(1000, 1000), "PNG")

    def attempt(i: int) -> str:
        try:
            return open_image(data, Limits(max_megapixels=2 if i % 2 else 0.5)).mode
        except ImageError:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, range(32))) == ["refused", "RGB"] * 16
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before
