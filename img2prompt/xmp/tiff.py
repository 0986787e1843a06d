"""XMP in a TIFF file: the tag 700 of its first directory.

A tag says where in the file its values lie, so what is there stays where it is. A packet that is longer than the old one
goes to the end of the file, and so does a directory that gets the tag.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from img2prompt.xmp.packet import MOST_BYTES
from img2prompt.xmp.refusals import damaged, signed

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MOST = MOST_BYTES
XMP, C2PA = 700, 0xCD41
BYTE, UNDEFINED = 1, 7  # types of one byte


class Form(NamedTuple):
    """How numbers are written: in which order, and, in a BigTIFF, longer."""

    order: str
    big: bool

    @property
    def pointer(self) -> struct.Struct:
        """Of a place in the file."""
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    @property
    def length(self) -> struct.Struct:
        """Of the entries of a directory."""
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def entry(self) -> struct.Struct:
        """Tag, type, number of values, place of the values."""
        return struct.Struct(self.order + ("HHQQ" if self.big else "HHII"))


def read(data: bytes) -> list[bytes]:
    """The packet, if there is one."""
    form = _form(data)
    _, entries = _directory(data, form)
    found = entries.get(XMP)
    return [_values(data, form, found)] if found is not None else []


def write(data: bytes, packet: bytes) -> bytes:
    """The file with another packet: in the old one's place if it is as long, else at the end."""
    form = _form(data)
    start, entries = _directory(data, form)
    if C2PA in entries:
        raise signed()
    old = entries.get(XMP)
    if old is not None and len(_values(data, form, old)) == len(packet):
        at = form.entry.unpack_from(data, old)[3]
        return data[:at] + packet + data[at + len(packet) :]
    end = data + bytes(len(data) % 2)  # what tags point to begins at an even place
    entry = form.entry.pack(XMP, BYTE, len(packet), len(end))
    if old is not None:
        return end[:old] + entry + end[old + len(entry) :] + packet
    packet += bytes(len(packet) % 2)
    # The directory once more, with the new entry among those that are sorted by their tags.
    first = start + form.length.size
    split = min((at for tag, at in entries.items() if tag > XMP), default=first + len(entry) * len(entries))
    stop = first + len(entry) * len(entries)
    count = form.length.pack(len(entries) + 1)
    following = data[stop : stop + form.pointer.size]
    directory = count + data[first:split] + entry + data[split:stop] + following
    header = 8 if form.big else 4
    place = form.pointer.pack(len(end) + len(packet))
    return end[:header] + place + end[header + len(place) :] + packet + directory


def _form(data: bytes) -> Form:
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    if big and struct.unpack_from(order + "HH", data, 4) != (8, 0):
        raise damaged("an unknown kind of BigTIFF")
    return Form(order, big)


def _directory(data: bytes, form: Form) -> tuple[int, dict[int, int]]:
    """Where the first directory is, and where each tag's entry is."""
    (start,) = form.pointer.unpack_from(data, 8 if form.big else 4)
    (count,) = form.length.unpack_from(data, start)
    first, size = start + form.length.size, form.entry.size
    if first + count * size + form.pointer.size > len(data):
        raise damaged("it ends too early")
    places = [first + size * number for number in range(count)]
    entries = {form.entry.unpack_from(data, at)[0]: at for at in places}
    if list(entries) != sorted(entries) or len(entries) != count:
        raise damaged("tags in disorder")
    return start, entries


def _values(data: bytes, form: Form, at: int) -> bytes:
    _, kind, count, place = form.entry.unpack_from(data, at)
    if kind not in (BYTE, UNDEFINED) or count <= form.pointer.size or place + count > len(data):
        raise damaged("an XMP tag that leads nowhere")
    return data[place : place + count]
