"""What people wrote about a picture into its file: title, description, keywords, date, and names of its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from PIL import ExifTags

from img2prompt.metadata import Notes
from img2prompt.metadata.fields import Fields, as_text
from img2prompt.metadata.xmp import (
    ALT_TEXT,
    BY_A_MODEL,
    BY_A_PERSON,
    DESCRIPTION,
    HISTORY,
    KEYWORDS,
    WRITER_AI,
)
from img2prompt.results import Stored

MOST_KEYWORDS = 50
MOST_NAME = 100  # characters of a keyword or a place

# What cameras and programs write where a person could.
_EMPTY = re.compile(
    r"(OLYMPUS|DIGITAL CAMERA|SONY DSC|MINOLTA|KONICA|SAMSUNG|PENTAX|KODAK|DCIM|DSC|IMG|MVI|PIC)[\w ./\\-]*"
    r"|default|untitled|unknown|screenshot|created with .*|<.*",
    re.IGNORECASE | re.DOTALL,
)
_DATE = re.compile(r"(\d{4})[-:]?(\d{2})[-:]?(\d{2})(?!\d)")
FIRST_YEAR = 1826  # of which the oldest photograph is


def notes_in(fields: Fields, stored: Stored | None) -> Notes | None:
    """What people wrote; None where they wrote nothing.

    Parameters
    ----------
    stored : what made the picture, whose prompt no person wrote about it
    """
    texts, xmp, iptc, exif = fields.texts, fields.xmp, fields.iptc, fields.exif
    ours = _ours(xmp)
    if stored:
        texts = {}  # which are the tool's
    base = ExifTags.Base
    titles = [*xmp.get("title", ()), *xmp.get("Headline", ()), *iptc.get(5, ()), *iptc.get(105, ())]
    titles += [exif.get(base.XPTitle, ""), texts.get("Title", "")]
    descriptions = [*xmp.get("description", ()), *iptc.get(120, ()), exif.get(base.ImageDescription, "")]
    descriptions += [exif.get(base.XPComment, ""), exif.get(base.XPSubject, ""), texts.get("Description", "")]
    keywords = [*xmp.get("subject", ()), *iptc.get(25, ()), *exif.get(base.XPKeywords, "")[:5000].split(";")]
    title = next(_written(titles, stored), "")
    described = (text for text in _written(descriptions, stored) if text != title and text not in ours)
    notes = Notes(
        title=title,
        description=next(described, ""),
        keywords=tuple(name for name in dict.fromkeys(_names(keywords)) if name not in ours)[:MOST_KEYWORDS],
        date=_day([*xmp.get("DateTimeOriginal", ()), *xmp.get("DateCreated", ()), *iptc.get(55, ())])
        or ("" if stored else _day([exif.get(base.DateTimeOriginal, "")])),
        place=_place(fields),
    )
    return notes if notes != Notes() else None


def _ours(xmp: Mapping[str, Sequence[str]]) -> set[str]:
    """The descriptions and keywords that this program wrote into the XMP; other programs copy them elsewhere."""
    fields: set[str] = set()
    for event in xmp.get(HISTORY, ()):
        names = set(event.removesuffix(BY_A_MODEL).removesuffix(BY_A_PERSON).strip().split(", "))
        if names <= {DESCRIPTION, ALT_TEXT, KEYWORDS}:
            fields |= names
            if event.endswith(BY_A_PERSON):  # in whose own words it is; keywords only derive from them
                fields.discard(DESCRIPTION)
    writers = xmp.get("CaptionWriter", ())
    if any(writer.endswith(WRITER_AI) for writer in writers):
        fields |= {DESCRIPTION} if fields else {DESCRIPTION, KEYWORDS}  # where the history is lost, both
    elif writers:  # somebody has described it since
        fields.discard(DESCRIPTION)
    descriptions = xmp.get("description", ()) if DESCRIPTION in fields else ()
    keywords = xmp.get("subject", ()) if KEYWORDS in fields else ()
    return {text for text in map(as_text, descriptions) if text} | set(_names(keywords))


def _written(texts: Iterable[str], stored: Stored | None) -> Iterator[str]:
    """Those texts that a person may have written: neither a camera's, nor the prompt, nor a graph."""
    prompt = (stored and stored.prompt) or ""
    for candidate in texts:
        text = as_text(candidate)
        if not text or text[0] in "{[" or _EMPTY.fullmatch(text) or text.startswith(("prompt:", "workflow:")):
            continue
        if not (prompt and (text in prompt or prompt in text)):
            yield text


def _names(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        name = as_text(value)
        if name and len(name) <= MOST_NAME:
            yield " ".join(name.split())


def _place(fields: Fields) -> str:
    """The names of a place, of the smallest part first; never coordinates, which are not even read."""
    parts = (("Location", 92), ("City", 90), ("State", 95), ("Country", 101))
    names = (
        next(_names([*fields.xmp.get(name, ()), *fields.iptc.get(number, ())]), "") for name, number in parts
    )
    return ", ".join(dict.fromkeys(name for name in names if name))


def _day(texts: Iterable[str]) -> str:
    """The first date in these texts, as 2024-05-31; "" without one."""
    for text in texts:
        if found := _DATE.match(text):
            year, month, day = map(int, found.groups())
            try:
                if year >= FIRST_YEAR:
                    return date(year, month, day).isoformat()
            except ValueError:
                continue
    return ""
