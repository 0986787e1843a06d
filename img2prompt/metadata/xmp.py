"""Read a few properties of an XMP packet, with expat: it builds no tree, and what is not asked for is not kept."""

from __future__ import annotations

from xml.parsers import expat

MOST_DEPTH = 64
MOST_VALUES = 500
MOST_CHARACTERS = 200_000  # of all values together

# How `img2prompt batch` says which texts are its own: "description, keywords written by AI" in the history, and in
# the name of the description's writer.
HISTORY = "parameters"  # what was done to the picture
DESCRIPTION, ALT_TEXT, KEYWORDS = "description", "alt text", "keywords"
BY_A_MODEL, BY_A_PERSON = "written by AI", "from a caption by a person"
WRITER_AI = "(AI)"  # the end

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SPACES = {
    "http://purl.org/dc/elements/1.1/": ("title", "description", "subject"),
    "http://ns.adobe.com/photoshop/1.0/": (
        "Headline",
        "City",
        "State",
        "Country",
        "Credit",
        "DateCreated",
        "CaptionWriter",
    ),
    "http://ns.adobe.com/xap/1.0/": ("CreatorTool",),
    "http://ns.adobe.com/exif/1.0/": ("DateTimeOriginal",),
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": ("Location",),
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": ("DigitalSourceType",),
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": (HISTORY,),
}
WANTED = {f"{space} {name}": name for space, names in _SPACES.items() for name in names}


class _Enough(Exception):
    """The rest of the packet is not worth reading."""


def read(packet: bytes) -> dict[str, list[str]]:
    """Name of a property, without its prefix → its values, in their order.

    A packet that is broken, or larger inside than it may be, gives what was found before that. One with a
    document type gives nothing: it could define entities, and XMP needs none.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        parser.Parse(packet.rstrip(b"\0"), True)
    except (expat.ExpatError, _Enough, ValueError, LookupError):  # the last for an encoding that there is not
        pass
    return reader.found


class _Reader:
    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self._path: list[str | None] = []  # of the open elements, the property that each stands for
        self._parts: list[str] = []
        self._left = MOST_CHARACTERS
        self._values = 0

    def doctype(self, *_: object) -> None:
        self.found.clear()
        raise _Enough

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) == MOST_DEPTH:
            raise _Enough
        inherited = (
            self._path[-1] if self._path else None
        )  # rdf:Alt, rdf:Bag and rdf:li stand for what they are in
        own = WANTED.get(name) or (inherited if name.startswith(_RDF) else None)
        self._path.append(own)
        self._parts.clear()
        for attribute, value in attributes.items():
            if attribute in WANTED:
                self._keep(WANTED[attribute], value)
            elif own and attribute == f"{_RDF} resource":
                self._keep(own, value)

    def text(self, text: str) -> None:
        if self._path and self._path[-1]:
            self._parts.append(text)

    def end(self, _: str) -> None:
        name = self._path.pop()
        if name:
            self._keep(name, "".join(self._parts))
        self._parts.clear()

    def _keep(self, name: str, value: str) -> None:
        value = value.strip()
        # What others did to the picture is not kept: there may be thousands of such entries.
        if not value or (name == HISTORY and not value.endswith((BY_A_MODEL, BY_A_PERSON))):
            return
        self._left -= len(value)
        self._values += 1
        if self._left < 0 or self._values > MOST_VALUES:
            raise _Enough
        self.found.setdefault(name, []).append(value)
