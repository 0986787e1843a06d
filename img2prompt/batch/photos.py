"""Texts as XMP, as photo programs read them: in sidecars beside the photos, in copies of them, or in the photos.

What a photo or its sidecar says already is kept, unless it was written by this program and is still as it was.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import ExifTags, Image, IptcImagePlugin

from img2prompt import __version__
from img2prompt.batch.derived import seen_of
from img2prompt.batch.journal import Journal
from img2prompt.batch.rows import Row
from img2prompt.batch.sources import Item, on_disk
from img2prompt.batch.texts import beside
from img2prompt.errors import ConfigError, DataError, ImageError
from img2prompt.files import (
    cannot_read,
    cannot_write,
    copy_permissions,
    replacing_path,
    sha256,
    sha256_of,
)
from img2prompt.metadata import xmp as said
from img2prompt.posts import as_sentence, keywords
from img2prompt.settings import Settings
from img2prompt.xmp import (
    HISTORY,
    MOST_BYTES,
    packets,
    properties_of,
    texts_of,
    with_packet,
    with_texts,
    writable,
)

Texts = Mapping[str, tuple[str, ...]]  # field, as `xmp.FIELDS` has them → what it says

SIDECARS = ("stem", "full")
COPIES, ORIGINALS = "copies", "originals"
AGENT = f"img2prompt {__version__}"
WRITER = f"{AGENT} {said.WRITER_AI}"  # who wrote a description, as photo programs show it
NAMES = {
    "description": said.DESCRIPTION,
    "alt_text": said.ALT_TEXT,
    "keywords": said.KEYWORDS,
}  # in the history
CAPTION, KEYWORDS = (2, 120), (2, 25)  # in IPTC-IIM, the older form of such texts


@dataclass(frozen=True)
class PhotoFiles:
    """Options for writing texts as XMP.

    Raises
    ------
    ConfigError
        For an unknown choice.
    """

    embed: str = ""  # into "copies" of the photos or the "originals"; empty for sidecars
    sidecar: str = SIDECARS[0]  # its name: photo.xmp, or with the "full" name photo.jpg.xmp
    overwrite: bool = False  # replace what is there, whoever wrote it

    def __post_init__(self) -> None:
        if self.embed not in ("", COPIES, ORIGINALS):
            raise ConfigError(f"embed is {self.embed!r}; choose one of {COPIES}, {ORIGINALS}.")
        if self.sidecar not in SIDECARS:
            raise ConfigError(f"sidecar is {self.sidecar!r}; choose one of {', '.join(SIDECARS)}.")

    def name_of(self, photo: Path) -> Path:
        """The file that is written for a photo, if it is written beside it."""
        if self.embed:
            return photo
        return photo.with_name(f"{photo.name}.xmp") if self.sidecar == "full" else photo.with_suffix(".xmp")


def photo_files(items: Sequence[Item], output: Path | None, options: PhotoFiles) -> list[tuple[Item, Path]]:
    """Each item with the file that is written for it: beside the photo or itself, or below `output`.

    Raises
    ------
    ConfigError
        When the photos lie in an archive or a store and there is no `output`, or when the folder does not
        go with the options.
    """
    if options.embed == COPIES and output is None:
        raise ConfigError("Copies of the photos need a folder. Name one with --output.")
    if options.embed == ORIGINALS and output is not None:
        raise ConfigError("Originals are changed where they are. Leave out --output, or choose copies.")
    return beside(items, output, options.name_of)


def texts_for(row: Row) -> dict[str, tuple[str, ...]]:
    """What is written about a picture, by `FIELDS`; a person's caption stays as it is, and names no writer.

    What no XMP can hold is left out already: else a text would never be what was read.

    >>> texts_for(Row("a.jpg", "a dog on the beach"))["description"]
    ('A dog on the beach.',)
    """
    texts = {
        "description": (row.caption if row.edited else as_sentence(row.caption),),
        "alt_text": (row.alt_text,),
        "keywords": keywords(seen_of(row)),
        "writer": () if row.edited else (WRITER,),
    }
    return {name: tuple(filter(None, map(writable, values))) for name, values in texts.items()}


def texts_in(data: bytes) -> dict[str, tuple[str, ...]]:
    """The texts that a picture file has, by `FIELDS`: in XMP, else in IPTC-IIM or EXIF, where they were before."""
    texts = _older_texts(data)
    with suppress(DataError):  # not a file that has XMP, or XMP that nobody can read
        for packet in packets(data):
            texts |= texts_of(packet)
    return texts


def with_held(rows: Iterable[Row], items: Sequence[Item]) -> Iterator[Row]:
    """Rows that know which texts the pictures' files have (`Row.held`), none where a file cannot be read."""
    by_name = {item.name: item for item in items}
    limit = int(Settings.load().max_megabytes * 2**20)
    for row in rows:
        try:
            texts = {} if row.error else texts_in(by_name[row.name].read(limit))
        except ImageError:
            texts = {}
        yield replace(row, held=frozenset(texts))


def new_sidecar(row: Row) -> bytes | None:
    """A sidecar for a picture that has none, with the texts that its file lacks; None if it lacks none."""
    texts = _chosen(row, {}, lambda *_: False, leave=row.held)
    return with_texts(None, texts, _event(row, texts), AGENT) if texts else None


def export_photos(
    items: Sequence[Item], output: Path | None, journal: Journal, options: PhotoFiles, limit: int
) -> dict[str, str]:
    """Write the texts about each picture that did not fail.

    Parameters
    ----------
    limit : bytes that a picture file may have

    Returns
    -------
    Name → reason, of the pictures for which nothing could be written.

    Raises
    ------
    DataError
        When there is no space or no permission.
    """
    files = {item.name: (item, file) for item, file in photo_files(items, output, options)}
    refused: dict[str, str] = {}
    for row in journal.rows(items):
        if row.error:
            continue
        item, file = files[row.name]
        try:
            data = _whole(item, limit)
            if not options.embed:
                new = _sidecar(row, data, file, journal, options)
            elif output:
                new = _copy(row, item, data, file, journal, options)
            else:
                new, _ = _embedded(row, item, data, journal, options)
            if options.embed and item.file:
                _check_unchanged(item, item.file, writable=not output)
        except (DataError, ImageError) as error:
            refused[row.name] = str(error)
            continue
        if new is not None:
            _write(file, new, item.file if options.embed else None)
            if options.embed == ORIGINALS:  # else the next run would take it for another picture
                journal.restamp(item.name, on_disk(item.name, file).stamp)
    return refused


def _whole(item: Item, limit: int) -> bytes:
    """All of a picture file. What is written must never be the beginning of one only."""
    data = item.read(limit + 1)
    if len(data) > limit:
        raise DataError(f"The file is larger than {limit / 2**20:g} MB. Raise max_megabytes.")
    return data


def _sidecar(row: Row, data: bytes, file: Path, journal: Journal, options: PhotoFiles) -> bytes | None:
    """The content of a picture's sidecar, which may be there; None if nothing changes."""
    packet = None
    if os.path.lexists(file):
        try:
            with open(file, "rb") as stream:
                packet = stream.read(MOST_BYTES + 1)
        except OSError as error:
            raise cannot_read(str(file), error, "a sidecar") from error
    held = texts_of(packet) if packet is not None else {}
    leave = frozenset() if options.overwrite else frozenset(texts_in(data))
    texts = _chosen(row, held, _replaceable(file, journal, options), leave)
    if not texts:
        return None
    return _noted(with_texts(packet, texts, _event(row, texts), AGENT), texts, file, journal)


def _embedded(
    row: Row, item: Item, data: bytes, journal: Journal, options: PhotoFiles
) -> tuple[bytes | None, str]:
    """The content of a picture file with the texts in it, None if nothing changes; and all that is put into it
    but the time, which is in its history.
    """
    found = packets(data)
    texts = _chosen(row, texts_in(data), _replaceable(item.file, journal, options))
    if not texts:
        return None, ""
    apart = {name for packet in found[1:] for name in properties_of(packet)}
    if not apart.isdisjoint(texts):
        raise DataError(
            "The texts are in the part of the XMP that a JPEG keeps apart, which is not changed. Write a sidecar."
        )
    event = "" if HISTORY in apart else _event(row, texts)
    put_in = "\0".join([event, *(value for name in texts for value in texts[name])])
    packet = with_texts(found[0] if found else None, texts, event, AGENT)
    if item.file and options.embed == ORIGINALS:
        _noted(packet, texts, item.file, journal)
    return with_packet(data, packet), put_in


def _copy(
    row: Row, item: Item, data: bytes, file: Path, journal: Journal, options: PhotoFiles
) -> bytes | None:
    """The content of a copy with the texts in it; None if it is there, whenever it was made.

    Raises
    ------
    DataError
        When another file is there, or somebody has changed the copy.
    """
    embedded, put_in = _embedded(row, item, data, journal, options)
    new = data if embedded is None else embedded
    made_of = sha256_of(f"{sha256_of(data)}\0{put_in}".encode())
    path, digest = str(file.absolute()), sha256_of(new)
    if os.path.lexists(file):
        try:
            there = sha256(file)
        except OSError as error:
            raise cannot_read(str(file), error, "a picture") from error
        if there == digest or journal.wrote(path, _digest(made_of, [there])):
            return None
        if not options.overwrite and not journal.wrote(path, there):
            raise DataError(
                f"{file} is there, and not as this program wrote it. Name another folder, or add --overwrite."
            )
    journal.will_write(path, digest, _digest(made_of, [digest]))
    return new


def _chosen(
    row: Row,
    held: Texts,
    replaceable: Callable[[str, Sequence[str]], bool],
    leave: Collection[str] = (),
) -> dict[str, tuple[str, ...]]:
    """The texts to write where `held` are the texts: those that are new and replace nobody's.

    Parameters
    ----------
    replaceable : whether a text that is there may be replaced
    leave : fields to leave out
    """
    wanted = texts_for(row)
    chosen = {
        name: wanted[name]
        for name in NAMES
        if wanted[name]
        and name not in leave
        and wanted[name] != held.get(name)
        and (name not in held or replaceable(name, held[name]))
    }
    # Who wrote the description changes with it; but of a person's, nobody but the person knows the writer.
    writer = held.get("writer", ())
    if "description" in chosen and wanted["writer"] != writer:
        own = all(name.startswith("img2prompt ") for name in writer)
        if own or (wanted["writer"] and replaceable("writer", writer)):
            chosen["writer"] = wanted["writer"]
    return chosen


def _replaceable(
    file: Path | None, journal: Journal, options: PhotoFiles
) -> Callable[[str, Sequence[str]], bool]:
    """Whether a text in a file may be replaced: if it is as this program wrote it, or people said so."""

    def check(name: str, values: Sequence[str]) -> bool:
        return options.overwrite or bool(file and journal.wrote(str(file.absolute()), _digest(name, values)))

    return check


def _noted(packet: bytes, texts: Iterable[str], file: Path, journal: Journal) -> bytes:
    """The same packet, once it is noted that its texts are written into the file by this program."""
    for name, values in texts_of(packet).items():
        if name in texts:
            journal.will_write(str(file.absolute()), _digest(name, values))
    return packet


def _digest(name: str, values: Sequence[str]) -> str:
    return sha256_of("\n".join([name, *values]).encode())


def _event(row: Row, texts: Collection[str]) -> str:
    """What the picture's history says of the texts, the IPTC having no field for who or what wrote them."""
    names = ", ".join(called for name, called in NAMES.items() if name in texts)
    return f"{names} {said.BY_A_PERSON if row.edited else said.BY_A_MODEL}"


def _older_texts(data: bytes) -> dict[str, tuple[str, ...]]:
    """The description and keywords in EXIF and IPTC-IIM."""
    texts: dict[str, tuple[str, ...]] = {}
    # Broken metadata must not fail the picture, which was opened before.
    with suppress(Exception), Image.open(io.BytesIO(data)) as image:
        # Without any, Pillow would decode a PNG file to look behind its pixels.
        exif = image.getexif() if "exif" in image.info or image.format == "TIFF" else {}
        described = str(exif.get(ExifTags.Base.ImageDescription, "")).strip("\0 \r\n\t")
        # Cameras put their name there, in capitals: OLYMPUS DIGITAL CAMERA.
        if described and not (described.isascii() and described == described.upper()):
            texts["description"] = (described,)
        older = IptcImagePlugin.getiptcinfo(image) or {}
        for name, key in (("description", CAPTION), ("keywords", KEYWORDS)):
            found = older.get(key, [])
            values = found if isinstance(found, list) else [found]
            if any(values):
                texts[name] = tuple(value.decode("utf-8", "replace") for value in values if value)
    return texts


def _check_unchanged(item: Item, file: Path, writable: bool) -> None:
    """Raise DataError if a picture has changed since it was found, or may not be written where it must be."""
    if on_disk(item.name, file).stamp != item.stamp:
        raise DataError("The picture has changed since it was described. Give the same command again.")
    if writable and not os.access(file, os.W_OK):
        raise DataError("The picture is write-protected. Allow to write it, or choose copies.")


def _write(file: Path, new: bytes, like: Path | None) -> None:
    """Write a file; one that is new has the dates, permissions and owner of another one, if that is given."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(file, error) from error
    # A sidecar that is there may be a person's, with what no other file says; a new one is soon written again.
    with replacing_path(file, durable=like is not None or file.exists()) as part:
        part.write_bytes(new)
        if like:
            shutil.copystat(like, part)
            copy_permissions(like, part)
            part.chmod(stat.S_IMODE(part.stat().st_mode) | stat.S_IWUSR)
