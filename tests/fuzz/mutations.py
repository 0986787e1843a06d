"""Damage done to bytes, chosen at random: flipped, lost, doubled, foreign, or a number that lies."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from random import Random

EXTREMES = (
    *(0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 4096, 9999, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0xFFFFFF),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 2**32, 2**63 - 1, 2**63, 2**64 - 1),
)
DIGITS = re.compile(rb"\d+")
PNG = b"\x89PNG\r\n\x1a\n"
HEADER = 64  # bytes, where most sizes and offsets are
WINDOW = 256  # bytes, the most that are damaged in place


def mutate(data: bytes, chooser: Random, others: Sequence[bytes], sizes: Sequence[int] = ()) -> bytes:
    """A damaged copy.

    Parameters
    ----------
    others : files whose end may replace that of this one
    sizes : numbers in the file that are worth lying about, such as its width and height
    """
    start, end = 0, len(data)
    if in_place := chooser.random() < 0.4:  # nothing moves, so that the rest of the file still fits together
        start = chooser.randrange(len(data))
        end = min(len(data), start + chooser.randrange(1, WINDOW))
    piece = bytearray(data[start:end])
    for _ in range(chooser.choice((1, 1, 1, 2, 3, 5, 20))):
        _damage(piece, chooser, others, sizes)
        if not piece:
            break
    mutant = bytearray(
        data[:start] + (piece[: end - start].ljust(end - start) if in_place else piece) + data[end:]
    )
    if mutant.startswith(PNG) and chooser.random() < 0.8:
        sign_chunks(mutant)
    return bytes(mutant)


def _damage(mutant: bytearray, chooser: Random, others: Sequence[bytes], sizes: Sequence[int]) -> None:
    at = chooser.randrange(len(mutant))
    some = chooser.randrange(1, 64)
    match chooser.randrange(13):
        case 0:  # one bit
            mutant[at] ^= 1 << chooser.randrange(8)
        case 1:  # one byte
            mutant[at] = chooser.randrange(256)
        case 2:  # cut off the end
            del mutant[at:]
        case 3:  # leave something out
            del mutant[at : at + some]
        case 4:  # say something twice
            mutant[at:at] = mutant[at : at + some]
        case 5:  # random bytes, in place of others or between them
            mutant[at : at + chooser.choice((0, some))] = chooser.randbytes(some)
        case 6:  # zeros
            mutant[at : at + some] = bytes(len(mutant[at : at + some]))
        case 7:  # the end of another file
            other = chooser.choice(others)
            mutant[at:] = other[chooser.randrange(len(other)) :]
        case 8:  # a piece of the same file in another place
            source = chooser.randrange(len(mutant))
            mutant[at : at + some] = mutant[source : source + some]
        case 9:  # a number anywhere
            _overwrite(mutant, at, _number(mutant, chooser), chooser)
        case 10:  # a number in the header
            _overwrite(mutant, at % HEADER, _number(mutant, chooser), chooser)
        case 11:  # a number in digits
            if found := list(DIGITS.finditer(mutant)):
                start, end = chooser.choice(found).span()
                mutant[start:end] = b"%d" % (_number(mutant, chooser) * chooser.choice((1, 1, 1, -1)))
        case 12:  # one of the sizes
            _lie(mutant, chooser, sizes)


def _number(mutant: bytearray, chooser: Random) -> int:
    """One at an edge: of an integer type, or of the file."""
    return max(0, chooser.choice((*EXTREMES, len(mutant))) + chooser.choice((0, 0, -1, 1)))


def _overwrite(mutant: bytearray, at: int, number: int, chooser: Random) -> None:
    width, order = chooser.choice((1, 2, 4, 4, 8)), chooser.choice(("little", "big"))
    mutant[at : at + width] = (number % 256**width).to_bytes(width, order)


def _lie(mutant: bytearray, chooser: Random, sizes: Sequence[int]) -> None:
    """Put another number where one of `sizes` is written."""
    width, order = chooser.choice((2, 4)), chooser.choice(("little", "big"))
    places = [at for size in sizes if (at := mutant.find(size.to_bytes(width, order))) >= 0]
    if places:
        at = chooser.choice(places)
        mutant[at : at + width] = (_number(mutant, chooser) % 256**width).to_bytes(width, order)


def sign_chunks(mutant: bytearray) -> None:
    """Make the checksums of a PNG's chunks right, as the decoder looks no further where they are wrong."""
    at = len(PNG)
    while at + 12 <= len(mutant):
        end = at + 8 + int.from_bytes(mutant[at : at + 4], "big")
        if end + 4 > len(mutant):
            return
        mutant[end : end + 4] = zlib.crc32(mutant[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
