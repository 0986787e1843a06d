"""Read and change the texts in an XMP packet; what else is in it stays as it is, to the byte.

A packet is RDF in XML. Expat, the parser that comes with Python, tells where each property begins and ends, and
the new ones are put between the others' bytes; a tree that is written anew would lose prefixes and line breaks in
attributes. A packet comes from strangers: its size is bounded, and any document type declaration, without which
there are no entities, is refused.

The properties, their names and their forms: ISO 16684-1 (XMP) and the IPTC Photo Metadata Standard 2025.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from img2prompt.errors import DataError
from img2prompt.wording import reason

MOST_BYTES = 8 * 2**20  # of a packet; those with a photographer's masks and history have a few
DEEPEST = 100  # elements in one another
MOST_PLACES = 1000  # at which properties of ours stand; each is there once, or a few times

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
IPTC_CORE = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
XMP_MM = "http://ns.adobe.com/xap/1.0/mm/"
EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"

EMPTY = (
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf="{RDF}">\n </rdf:RDF>\n</x:xmpmeta>\n'
).encode()
BEGIN, END = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'.encode(), b'<?xpacket end="w"?>'

TAG = re.compile(rb"""<([^\s/>]+)(?:\s+[^\s=/>]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*/?>""")
ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Property(NamedTuple):
    """Where a text stands in a packet, and in what form."""

    namespace: str
    prefix: str
    name: str
    form: str  # of its values: Alt for one text in several languages, Bag for several texts, or nothing


FIELDS = {  # texts by our names for them
    "description": Property(DC, "dc", "description", "Alt"),
    "alt_text": Property(IPTC_CORE, "Iptc4xmpCore", "AltTextAccessibility", "Alt"),
    "keywords": Property(DC, "dc", "subject", "Bag"),
    "writer": Property(PHOTOSHOP, "photoshop", "CaptionWriter", ""),  # who wrote the description
}
HISTORY = "history"
NAMES = {f"{each.namespace} {each.name}": name for name, each in FIELDS.items()}
NAMES[f"{XMP_MM} History"] = HISTORY


def texts_of(packet: bytes) -> dict[str, tuple[str, ...]]:
    """The texts that a packet has, by `FIELDS`; a field that is there but blank is left out.

    Raises
    ------
    DataError
        When it is no XMP, too large or unsafe.
    """
    texts: dict[str, list[str]] = {}
    for place in _Reader(packet).places:
        values = [value for value in map(str.strip, place.values) if value]
        if values and place.name in FIELDS:
            texts.setdefault(place.name, []).extend(values)
    return {name: tuple(values) for name, values in texts.items()}


def properties_of(packet: bytes) -> set[str]:
    """Which of `FIELDS` a packet has, blank ones too, and whether there is a `HISTORY`.

    Raises
    ------
    DataError
        As for `texts_of`.
    """
    return {place.name for place in _Reader(packet).places}


def with_texts(
    packet: bytes | None, texts: Mapping[str, Sequence[str]], event: str = "", agent: str = ""
) -> bytes:
    """The packet with these texts in place of those that its fields have; nothing else changes.

    Parameters
    ----------
    packet : the packet; None for a new one
    texts : field → its values, none of which removes it
    event : what happened, for the history of the picture: "description written by AI"; nothing is noted if empty
    agent : the program that did it

    Raises
    ------
    DataError
        When the packet is no XMP, too large or unsafe.
    """
    reader = _Reader(EMPTY if packet is None else packet)
    edits = [(place.start, place.stop, b"") for place in reader.places if place.name in texts]
    added = "".join(_property(name, values) for name, values in texts.items() if values)
    if event:
        entry = _event(event, agent)
        histories = [place for place in reader.places if place.name == HISTORY]
        if not histories:
            added += f"\n   <xmpMM:History><rdf:Seq>{entry}</rdf:Seq></xmpMM:History>"
        elif (end := histories[0].list_end) is not None:
            edits.append((end, end, entry.encode()))
    if added:
        spaces = {each.prefix: each.namespace for each in FIELDS.values()} | {"xmpMM": XMP_MM}
        declared = "".join(
            f' xmlns:{prefix}="{space}"' for prefix, space in spaces.items() if f"<{prefix}:" in added
        )
        # A packet may have several descriptions of the same thing, which count as one.
        about = f'xmlns:rdf="{RDF}" rdf:about={quoteattr(reader.about)}'
        description = f" <rdf:Description {about}{declared}>{added}\n  </rdf:Description>\n "
        edits.append(reader.at_end(description.encode()))
    parts, at = [], 0
    for start, stop, new in sorted(edits):
        parts += [reader.data[at:start], new]
        at = stop
    data = b"".join([*parts, reader.data[at:]])
    if len(data) > MOST_BYTES:
        raise _too_large(len(data))
    return data


def padded(packet: bytes, room: int, more: int, most: int) -> bytes:
    """A packet of exactly `room` bytes if it fits there, so that nothing behind it moves; else one with `more` bytes of
    padding for programs that change it later, but not above `most` bytes in all.
    """
    if END[:14] not in packet:
        packet = BEGIN + packet + END
    head, mark, tail = packet.rpartition(END[:14])
    head = head.rstrip(b" \t\r\n") + b"\n"
    tail = mark + tail.rstrip(b" \t\r\n")
    size = len(head) + len(tail)
    if size > room:
        room = max(size, min(size + more, most))
    padding = (b" " * 99 + b"\n") * ((room - size) // 100 + 1)
    return head + padding[: room - size] + tail


@dataclass
class _Place:
    """A property in a packet: what it says, and where."""

    name: str  # as `NAMES` has it
    values: list[str]
    start: int  # bytes from the beginning of the packet
    stop: int = 0
    list_end: int | None = None  # where one more value of a list goes; None where there is no list


class _Reader:
    """Finds the properties in `NAMES`, and where others can be added."""

    def __init__(self, packet: bytes):
        self.data = packet.rstrip(b"\0")  # some programs end it as C does its texts
        if len(self.data) > MOST_BYTES:
            raise _too_large(len(self.data))
        self.places: list[_Place] = []
        self.about = ""  # what the packet describes: the same in all of its descriptions
        self._root: tuple[int, int] | None = None  # of rdf:RDF: the end of its start tag, and its end tag
        self._open: list[int] = []  # where each element begins that is open
        self._base: int | None = None  # how many are open around rdf:RDF, while that is open
        self._now: _Place | None = None  # the property that is open
        self._parts: list[str] = []  # of the value that is open
        self._parser = parser = expat.ParserCreate("UTF-8", " ")
        parser.namespace_prefixes = True
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._stop
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(self.data, True)
        except expat.ExpatError as error:
            raise _damaged(reason(error)) from error
        if self._root is None:
            raise _damaged("no rdf:RDF in it")

    def at_end(self, new: bytes) -> tuple[int, int, bytes]:
        """The edit (start, stop, what comes there) that puts something in at the end of rdf:RDF."""
        assert self._root is not None
        opened, closed = self._root
        if not self._is_single(opened):
            return closed, closed, new
        match = TAG.match(self.data, self.data.rindex(b"<", 0, opened))
        assert match is not None
        return opened - 2, opened, b">" + new + b"</" + match[1] + b">"

    def _refuse(self, *_: object) -> None:
        raise DataError(
            "The XMP declares a document type, which photo programs never do and which can do harm. "
            "Do not trust this file."
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        depth, start = len(self._open), self._parser.CurrentByteIndex
        if depth >= DEEPEST:
            raise _damaged("elements too deep in one another")
        self._open.append(start)
        name = _bare(name)
        if self._root is None and name == f"{RDF} RDF":
            self._base = depth
            self._root = (_tag_end(self.data, start), 0)
        elif self._base is None:
            return
        elif depth == self._base + 1 and name == f"{RDF} Description":
            self._look_at(attributes, start)
        elif depth == self._base + 2 and name in NAMES:
            self._now = _Place(NAMES[name], [], start)
            self._parts.clear()
        elif self._now and name == f"{RDF} li":
            self._end_value(self._now)

    def _stop(self, _: str) -> None:
        start, stop = self._open.pop(), self._parser.CurrentByteIndex
        depth = len(self._open)
        if self._base is None:
            return
        if depth == self._base and self._root:
            self._root, self._base = (self._root[0], stop), None
        elif depth == self._base + 3 and self._now:
            single = self._is_single(_tag_end(self.data, start))
            self._now.list_end = None if single else stop
        elif depth == self._base + 2 and self._now:
            # Where an element ends: Expat tells of <a/> the end, and of </a> the beginning.
            opened = _tag_end(self.data, start)
            self._now.stop = opened if self._is_single(opened) else self.data.index(b">", stop) + 1
            self._end_value(self._now)
            self._add(self._now)
            self._now = None

    def _text(self, text: str) -> None:
        if self._now:
            self._parts.append(text)

    def _end_value(self, place: _Place) -> None:
        place.values.append("".join(self._parts))
        self._parts.clear()

    def _add(self, place: _Place) -> None:
        if len(self.places) == MOST_PLACES:
            raise _damaged(f"more than {MOST_PLACES} descriptions, keywords and the like")
        self.places.append(place)

    def _look_at(self, attributes: Mapping[str, str], start: int) -> None:
        """Note what a description is about, and the properties among its attributes, where plain texts may stand."""
        values = {_written(key): value for key, value in attributes.items()}
        known = {_written(key): NAMES[_bare(key)] for key in attributes if _bare(key) in NAMES}
        about = next((value for key, value in attributes.items() if _bare(key) == f"{RDF} about"), "")
        self.about = self.about or about
        opening = TAG.match(self.data, start)
        if not known or opening is None:
            return
        for match in ATTRIBUTE.finditer(self.data, opening.end(1), opening.end()):
            if match[1] in known:
                self._add(_Place(known[match[1]], [values[match[1]]], match.start(), match.end()))

    def _is_single(self, end: int) -> bool:
        """Whether the tag that ends here is an element of its own."""
        return self.data[end - 2 : end] == b"/>"


def _tag_end(data: bytes, start: int) -> int:
    """Where the start tag ends that begins here."""
    match = TAG.match(data, start)
    if match is None:  # Expat and this expression are of different minds about something
        raise _damaged("a tag that can be read in two ways")
    return match.end()


def _bare(name: str) -> str:
    """Namespace and name, without the prefix that Expat adds: it may be any."""
    return " ".join(name.split(" ")[:2])


def _written(name: str) -> bytes:
    """A name as it is in the packet: prefix:name."""
    return ":".join([*name.split(" ")[2:], *name.split(" ")[1:2]]).encode()


def writable(text: str) -> str:
    """A text as it comes back from a packet, which holds neither controls nor blanks around it."""
    return NOT_XML.sub("", text).strip()


def _property(name: str, values: Sequence[str]) -> str:
    """A property as XML."""
    _, prefix, tag, form = FIELDS[name]
    language = ' xml:lang="x-default"' if form == "Alt" else ""
    texts = [escape(writable(value), {"\r": "&#13;"}) for value in values]
    if form:
        content = "".join(f"<rdf:li{language}>{text}</rdf:li>" for text in texts)
        content = f"<rdf:{form}>{content}</rdf:{form}>"
    else:
        content = ", ".join(texts)
    return f"\n   <{prefix}:{tag}>{content}</{prefix}:{tag}>"


def _event(what: str, agent: str) -> str:
    """An entry for the history of a picture, with its own namespaces, as that of another program may lack them."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    values = {
        "action": "edited",
        "changed": "/metadata",
        "parameters": what,
        "softwareAgent": agent,
        "when": now,
    }
    written = "".join(f" stEvt:{name}={quoteattr(NOT_XML.sub('', value))}" for name, value in values.items())
    return f'<rdf:li xmlns:rdf="{RDF}" xmlns:stEvt="{EVENT}"{written}/>'


def _damaged(why: str) -> DataError:
    return DataError(f"The XMP is damaged ({why}). Mend it in the program that wrote it.")


def _too_large(size: int) -> DataError:
    return DataError(
        f"The XMP has {size / 2**20:.0f} MiB, and at most {MOST_BYTES // 2**20} are read. "
        "Write it anew in the program that it is from."
    )
