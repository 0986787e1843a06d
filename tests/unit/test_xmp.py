"""Texts in XMP packets, and packets in files: nothing else in a packet or a file may change by a byte."""

import io
import json
import shutil
import struct
import subprocess
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from img2prompt.errors import DataError
from img2prompt.xmp import packets, texts_of, with_packet, with_texts
from img2prompt.xmp.packet import EMPTY, MOST_BYTES
from tests.helpers.pictures import CHINA, FLOWER

TEXTS = {
    "description": ("A <b>dog</b> & “friends”,\n두 줄 🐶.",),
    "alt_text": ("A dog.",),
    "keywords": ("dogs", "한강", "R&B"),
    "writer": ("img2prompt (AI)",),
}
# As Lightroom writes it: plain texts as attributes, with line breaks, and the history of the file.
LIGHTROOM = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000">
 <!-- kept -->
 <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <r:Description r:about="uuid:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:ps="http://ns.adobe.com/photoshop/1.0/" xmlns:e="urn:else" xmlns:d="http://purl.org/dc/elements/1.1/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
   xmp:Rating="4" e:note="a > b, ps:CaptionWriter='no'" ps:Instructions="one&#xA;two&#x9;three"
   ps:CaptionWriter = 'Mina'>
   <d:description><r:Alt><r:li xml:lang="x-default">At the lake</r:li><r:li xml:lang="ko">\xed\x98\xb8\xec\x88\x98</r:li></r:Alt></d:description>
   <xmpMM:Ingredients><r:Bag><r:li r:parseType="Resource"><d:description>another's</d:description></r:li></r:Bag></xmpMM:Ingredients>
   <xmpMM:History><r:Seq><r:li stEvt:action="saved" stEvt:changed="/"/></r:Seq></xmpMM:History>
   <e:own p:odd="1" xmlns:p="urn:p"><![CDATA[ <d:subject> ]]></e:own>
  </r:Description>
 </r:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def difference(old: bytes, new: bytes) -> tuple[bytes, bytes]:
    """What has changed, of what stands between the same beginning and the same end."""
    start = next(
        (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    most = min(len(old), len(new)) - start
    end = next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)
    return old[start : len(old) - end], new[start : len(new) - end]


# In packets


def test_a_new_packet_says_what_it_was_given():
    packet = with_texts(None, TEXTS, "description written by AI", "img2prompt 1")
    assert texts_of(packet) == TEXTS
    assert b'stEvt:parameters="description written by AI" stEvt:softwareAgent="img2prompt 1"' in packet


def test_the_rest_of_a_packet_stays_to_the_byte():
    assert texts_of(LIGHTROOM) == {"description": ("At the lake", "호수"), "writer": ("Mina",)}
    new = with_texts(LIGHTROOM, {"alt_text": ["A lake."], "keywords": ["lake"]}, "added", "x")
    assert texts_of(new) == texts_of(LIGHTROOM) | {"alt_text": ("A lake.",), "keywords": ("lake",)}
    # Two places: an entry in the history, and a description at the end.
    entry = new[new.index(b"<rdf:li xmlns:rdf") : new.index(b"</r:Seq></xmpMM:History>")]
    added = new[new.index(b" <rdf:Description") : new.index(b"</r:RDF>")]
    assert b'rdf:about="uuid:1"' in added and b'stEvt:action="edited"' in entry
    assert new.replace(entry, b"").replace(added, b"") == LIGHTROOM
    replaced = with_texts(LIGHTROOM, {"description": ["New"], "writer": []})
    assert texts_of(replaced) == {"description": ("New",)}
    for kept in (
        b"another's",
        b"&#xA;two&#x9;",
        b"""e:note="a > b, ps:CaptionWriter='no'" """,
        b"<!-- kept -->",
    ):
        assert kept in replaced
    gone = (
        b"""\n   ps:CaptionWriter = 'Mina'""",
        LIGHTROOM[LIGHTROOM.index(b"<d:desc") : LIGHTROOM.index(b"\n   <xmpMM:I")],
    )
    rest = LIGHTROOM.replace(gone[0], b"").replace(gone[1], b"")
    assert replaced.startswith(rest[: rest.index(b"</r:RDF>")]) and replaced.endswith(
        rest[rest.index(b"</r:RDF>") :]
    )


@pytest.mark.parametrize(
    "inside",
    [
        b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/>",
        b"<q:RDF xmlns:q = 'http://www.w3.org/1999/02/22-rdf-syntax-ns#' />",
        b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'></rdf:RDF >",
        b"<RDF xmlns='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><Description about=''/></RDF>",
    ],
)
def test_packets_of_odd_shapes(inside):
    for packet in (inside, b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + inside + b"</x:xmpmeta>\0\0"):
        assert texts_of(packet) == {}
        assert texts_of(with_texts(packet, TEXTS, "x", "y")) == TEXTS


@pytest.mark.parametrize(
    "before",
    [b"\xef\xbb\xbf", b'<?xml version="1.0" encoding="UTF-8"?>\n', b"\xef\xbb\xbf<?xml version='1.0'?>"],
)
def test_marks_before_a_packet_are_kept(before):
    new = with_texts(before + LIGHTROOM, {"keywords": ["a"]})
    assert new.startswith(before + LIGHTROOM[:-200]) and texts_of(new)["keywords"] == ("a",)


@pytest.mark.parametrize(
    ("history", "entries"),
    [
        (b"<m:History/>", 0),
        (b"<m:History><rdf:Seq/></m:History>", 0),
        (b"<m:History><rdf:Seq></rdf:Seq></m:History>", 1),
        (b"<m:History><rdf:Seq><rdf:li/></rdf:Seq></m:History>", 1),
    ],
)
def test_an_entry_goes_into_a_history_that_has_entries(history, entries):
    about = b'<rdf:Description rdf:about="" xmlns:m="http://ns.adobe.com/xap/1.0/mm/">%s</rdf:Description></rdf:RDF>'
    packet = EMPTY.replace(b"</rdf:RDF>", about % history)
    new = with_texts(packet, {"alt_text": ["A"]}, "what", "who")
    assert new.count(b"stEvt:action") == entries and texts_of(new) == {"alt_text": ("A",)}
    assert new.count(b":History") == packet.count(b":History")  # there must not be two
    if entries:
        assert new[new.index(b"stEvt:when") :].partition(b"/>")[2].startswith(b"</rdf:Seq></m:History>")


def test_a_blank_text_is_none():
    packet = with_texts(None, {"description": [" \n"], "keywords": ["a"]})
    assert texts_of(packet) == {"keywords": ("a",)}
    assert texts_of(with_texts(packet, {"description": ["said"]}))["description"] == ("said",)


XML_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1
)


@settings(deadline=None)
@given(description=XML_TEXT, words=st.lists(XML_TEXT, max_size=4), about=XML_TEXT, event=XML_TEXT)
def test_any_text_survives(description, words, about, event):
    base = LIGHTROOM.replace(b'"uuid:1"', b'""')
    new = with_texts(base, {"description": [description], "keywords": words}, event, about)
    wanted = {"description": (description.strip(),), "keywords": tuple(filter(None, map(str.strip, words)))}
    assert texts_of(new) == {key: value for key, value in wanted.items() if any(value)} | {
        "writer": ("Mina",)
    }


def test_what_no_xml_can_hold_is_left_out():
    packet = with_texts(
        None, {"description": ["a\0b\x1b\ud800\uffff c\r"], "writer": ["\x08x"]}, "\0e", "\0f"
    )
    assert texts_of(packet) == {"description": ("ab c",), "writer": ("x",)}


LAUGHS = b'<!DOCTYPE l [<!ENTITY a "ha">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)
)
HOSTILE = {
    "entities": LAUGHS + b"]>" + EMPTY.replace(b"\n </rdf", b"&j;</rdf"),
    "a file": b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    + EMPTY.replace(b"\n </rdf", b"&f;</rdf"),
    "another document": b'<!DOCTYPE x SYSTEM "http://localhost:1/x.dtd">' + EMPTY,
    "parameters": b'<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///dev/zero"> %p;]>' + EMPTY,
    "depth": EMPTY.replace(b"\n </rdf", b"<a>" * 50_000 + b"</a>" * 50_000 + b"\n </rdf"),
    "size": EMPTY + b" " * MOST_BYTES,
    "nothing": b"",
    "another XML": b"<svg/>",
    "no end": EMPTY[:-20],
    "two roots": EMPTY + EMPTY,
    "UTF-16": EMPTY.decode().encode("utf-16"),
    "a byte that is no UTF-8": EMPTY.replace(b"\n </rdf", b"\xff</rdf"),
    "an unknown entity": EMPTY.replace(b"\n </rdf", b"&nbsp;</rdf"),
    "a namespace that is not declared": EMPTY.replace(b"\n </rdf", b"<dc:x/></rdf"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_packets_are_refused_at_once(kind):
    assert_refused_at_once(HOSTILE[kind], r"^The XMP (is damaged \(|has \d+ MiB|declares a document type)")


def assert_refused_at_once(packet: bytes, why: str) -> None:
    start = time.thread_time()
    for read in (texts_of, lambda packet: with_texts(packet, TEXTS)):
        with pytest.raises(DataError, match=why):
            read(packet)
    assert time.thread_time() - start < 2


def inside(content: bytes) -> bytes:
    """A packet with these properties."""
    start = b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    return EMPTY.replace(b"\n </rdf", start + content + b"</rdf:Description></rdf")


BULKY = {
    "one property again and again": inside(b"<dc:subject>a</dc:subject>" * 300_000),
    "blank properties": inside(b"<dc:subject/>" * 300_000),
    "descriptions": EMPTY.replace(
        b"\n </rdf",
        b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:subject="a"/>' * 90_000 + b"</rdf",
    ),
}


@pytest.mark.parametrize("kind", BULKY)
def test_a_property_in_thousands_of_places_is_refused_at_once(kind):
    """Compressed in a PNG they take some kilobytes."""
    assert_refused_at_once(BULKY[kind], r"^The XMP is damaged \(more than 1000 ")


def test_as_many_places_and_values_as_there_may_be_take_a_moment():
    packet = inside(b"<dc:subject>a</dc:subject>" * 1000)
    assert texts_of(packet)["keywords"] == ("a",) * 1000
    assert texts_of(with_texts(packet, {"keywords": ["b"]})) == {"keywords": ("b",)}
    start = time.thread_time()
    assert texts_of(inside(b"<dc:subject>" + b"a<b/>" * 500_000 + b"</dc:subject>")) == {
        "keywords": ("a" * 500_000,)
    }
    many = inside(
        (b"<dc:subject><rdf:Bag>" + b"<rdf:li>a</rdf:li>" * 100 + b"</rdf:Bag></dc:subject>") * 1000
    )
    assert len(texts_of(many)["keywords"]) == 100_000
    assert time.thread_time() - start < 5  # with each copied for the next one, a minute


def test_a_tag_ends_where_it_ends():
    packet = inside(b"""<dc:subject />x="y"><dc:subject xml:lang='a/>b' >c</dc:subject>""")
    assert with_texts(packet, {"keywords": []}) == inside(b"""x="y">""")


def test_a_large_packet_is_read_and_kept():
    mask = b'<e:mask xmlns:e="urn:e">' + b"QUJD" * 1_500_000 + b"</e:mask>"
    packet = EMPTY.replace(b"\n </rdf", b'<rdf:Description rdf:about="">' + mask + b"</rdf:Description></rdf")
    new = with_texts(packet, TEXTS)
    assert mask in new and texts_of(new) == TEXTS
    with pytest.raises(DataError, match="has 9 MiB"):
        with_texts(packet, {"description": ["x" * 3_000_000]})


# In files


def encode(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    if more := options.pop(
        "more", None
    ):  # copies, as Pillow notes settings of a format in the picture itself
        options |= {"save_all": True, "append_images": [more.copy()]}
    image.copy().save(buffer, form, **options)
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    """Files of all kinds, without XMP and with other metadata."""
    photo = Image.open(CHINA).convert("RGB").resize((161, 107))
    photo.info.clear()
    clear = photo.copy()
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "A camera", 6
    about = {"exif": exif.tobytes(), "icc_profile": Image.open(CHINA).info["icc_profile"]}
    second = photo.rotate(180)
    tags = ImageFileDirectory_v2()
    tags[0x0110], tags[33432] = "A camera", "© 2026"  # 33432 comes behind XMP's 700
    return {
        "JPEG": encode(photo, "JPEG", **about, comment=b"said"),
        "JPEG, progressive": encode(photo, "JPEG", progressive=True),
        "JPEG, grey, odd": encode(photo.convert("L"), "JPEG")[:2] + b"\xff\xff\xfe\0\4ab" + encode(photo, "JPEG")[2:],
        "JPEG, something behind": encode(photo, "JPEG") + b"SEFT" + bytes(range(256)),
        "MPO": encode(photo, "MPO", more=second),
        "PNG": encode(photo, "PNG", **about),
        "PNG, clear": encode(clear, "PNG", dpi=(300, 300)) + b"behind",
        "PNG, moving": encode(photo, "PNG", more=second),
        "WebP": encode(photo, "WEBP"),
        "WebP, described": encode(photo, "WEBP", **about),
        "WebP, lossless": encode(photo, "WEBP", lossless=True),
        "WebP, lossless, clear": encode(clear, "WEBP", lossless=True),
        "WebP, clear": encode(clear, "WEBP"),
        "WebP, moving": encode(photo, "WEBP", more=second) + b"behind",
        "TIFF": encode(photo, "TIFF", tiffinfo=tags),
        "TIFF, odd": encode(photo, "TIFF", compression="tiff_lzw", tiffinfo=tags) + b"x",
        "TIFF, big": encode(photo, "TIFF", big_tiff=True),
        "TIFF, two pages": encode(photo, "TIFF", compression="jpeg", more=second),
        "TIFF, Motorola": encode(Image.frombytes("I;16B", (60, 40), bytes(range(240)) * 20), "TIFF"),
    }  # fmt: skip


FILES = files()


def pixels(data: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(data)) as image:
        return [np.array(frame) for frame in ImageSequence.Iterator(image)]


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a WebP file."""
    found, at, end = [], 12, 8 + int.from_bytes(data[4:8], "little")
    while at < end:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    assert at == end
    return found


def test_the_files_are_what_they_are_called():
    assert FILES["TIFF, Motorola"].startswith(b"MM\0*") and FILES["TIFF, big"].startswith(b"II+\0")
    assert len(FILES["TIFF, odd"]) % 2 or len(FILES["TIFF, odd"][:-1]) % 2
    assert {data[12:16] for name, data in FILES.items() if "WebP" in name} == {b"VP8 ", b"VP8L", b"VP8X"}


@pytest.mark.parametrize("name", FILES)
def test_texts_come_back_and_nothing_else_changes(name):
    old = FILES[name]
    assert packets(old) == []
    new = with_packet(old, with_texts(None, TEXTS, "written by AI", "x"))
    (packet,) = packets(new)
    assert texts_of(packet) == TEXTS
    for before, after in zip(pixels(old), pixels(new), strict=True):
        assert np.array_equal(before, after)
    lost, added = difference(old, new)
    if old.startswith((b"\xff\xd8", b"\x89PNG")):
        assert lost == b"" and packet in added and len(added) - len(packet) < 50  # one piece, at one place
        if old.startswith(b"\x89PNG"):
            size, kind = struct.unpack_from(">I4s", new, 33)
            assert kind == b"iTXt" and struct.unpack_from(">I", new, 41 + size)[0] == zlib.crc32(
                new[37 : 41 + size]
            )
    elif old.startswith(b"RIFF"):
        canvas, *rest = chunks(new)
        assert canvas[0] == b"VP8X" and canvas[1][0] & 4
        assert [chunk for chunk in rest if chunk[0] != b"XMP "] == [
            chunk for chunk in chunks(old) if chunk[0] != b"VP8X"
        ]
        for kind, content in chunks(old):
            if kind == b"VP8X":
                assert canvas[1] == bytes([content[0] | 4]) + content[1:]
        tail = old[8 + int.from_bytes(old[4:8], "little") :]
        assert new.endswith(tail) and Image.open(io.BytesIO(new)).mode == Image.open(io.BytesIO(old)).mode
    else:
        header = 16 if old[2:4] in (b"+\0", b"\0+") else 8
        assert new[header : len(old)] == old[header:]  # all that was there is where it was
        with Image.open(io.BytesIO(old)) as image, Image.open(io.BytesIO(new)) as changed:
            tags = dict(changed.tag_v2)
            assert tags.pop(700) == packet
            assert tags == dict(image.tag_v2)
    # Once more: what fits into the packet's room moves nothing at all.
    again = with_packet(new, with_texts(packet, {"description": ["Another."], "keywords": []}))
    assert len(again) == len(new) and texts_of(packets(again)[0])["description"] == ("Another.",)
    lost, _ = difference(new, again)
    assert len(lost) <= len(packet) + 4  # and the sum of a chunk
    # And what does not fit makes a longer packet in the place of the old one, or behind it.
    longer = with_packet(new, with_texts(packet, {"description": ["word " * 2000]}))
    assert len(packets(longer)) == 1 and len(texts_of(packets(longer)[0])["description"][0]) == 9999
    for before, after in zip(pixels(old), pixels(longer), strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("photo", [CHINA, FLOWER], ids=["china", "flower"])
def test_a_real_photo_keeps_what_its_programs_wrote(photo):
    """Both have Lightroom's settings, in a segment with an odd header."""
    old = photo.read_bytes()
    (before,) = packets(old)
    new = with_packet(old, with_texts(before, TEXTS, "written by AI", "x"))
    (after,) = packets(new)
    assert texts_of(after) == TEXTS
    body = before[before.index(b"<rdf:RDF") : before.index(b"</rdf:RDF>")]
    assert after[after.index(b"<rdf:RDF") :].startswith(body)
    assert (
        new.replace(after, b"").replace(b"http://ns.adobe.com/xap", b"XMP\0://ns.adobe.com/xap")[:100]
        == (old.replace(before, b"")[:100])
    )
    lost, _ = difference(old, new)
    assert len(lost) <= len(before) + 40  # the segment, with its header
    assert np.array_equal(pixels(old)[0], pixels(new)[0])
    if photo == FLOWER:
        assert len(new) == len(old)  # Lightroom left room


def test_other_pictures_in_a_file_are_found_where_they_are():
    first, second = pixels(FILES["MPO"])
    assert not np.array_equal(first, second)
    # Behind the table of pictures, a longer packet would move the second one away from where it is said to be.
    plain = FILES["MPO"]
    table = plain.index(b"MPF\0") - 4
    size = int.from_bytes(plain[table + 2 : table + 4], "big")
    (packet,) = packets(with_packet(FILES["PNG"], with_texts(None, {"alt_text": ["x"]})))  # with padding
    segment = b"http://ns.adobe.com/xap/1.0/\0" + packet
    segment = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    odd = plain[: table + 2 + size] + segment + plain[table + 2 + size :]
    with pytest.raises(DataError, match="holds several pictures, and its XMP lies where"):
        with_packet(odd, with_texts(packet, {"description": ["word " * 1000]}))
    same = with_packet(odd, with_texts(packet, TEXTS))  # which fits into the padding
    assert len(same) == len(odd) and texts_of(packets(same)[0]) == TEXTS


def extended(content: bytes, pieces: int = 2, missing: int | None = None) -> bytes:
    """A JPEG whose XMP is in two parts, the second in pieces."""
    name = b"0123456789ABCDEF" * 2
    note = b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"/>'
    new = with_packet(FILES["JPEG"], EMPTY.replace(b"\n </rdf", note % name + b"</rdf"))
    at = new.index(b"</x:xmpmeta>")
    end = new.index(b'<?xpacket end="w"?>', at) + len(b'<?xpacket end="w"?>')
    step = -(-len(content) // pieces)
    for number in reversed(range(pieces)):
        if number != missing:
            place = number * step
            body = b"http://ns.adobe.com/xmp/extension/\0" + name + struct.pack(">II", len(content), place)
            body += content[place : place + step]
            new = new[:end] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + new[end:]
    return new


def test_extended_xmp_is_kept():
    content = with_texts(None, {"keywords": ["from there"]}) + b" " * 70_000
    old = extended(content)
    main, more = packets(old)
    assert texts_of(more) == {"keywords": ("from there",)}
    new = with_packet(old, with_texts(main, {"alt_text": ["A."]}))
    assert packets(new)[1] == more and b"HasExtendedXMP" in packets(new)[0]
    assert texts_of(packets(new)[0]) == {"alt_text": ("A.",)}
    with pytest.raises(DataError, match="extended XMP with a piece missing"):
        packets(extended(content, missing=1))


def test_what_does_not_fit_into_a_jpeg_is_refused():
    with pytest.raises(DataError, match=r"would have \d\d KB, more than .* Write a sidecar"):
        with_packet(FILES["JPEG"], with_texts(None, {"description": ["x" * 65_400]}))
    full = with_packet(FILES["JPEG"], with_texts(None, {"description": ["x" * 64_500]}))  # with less padding
    assert len(packets(full)[0]) == 65_502 and pixels(full)
    assert packets(with_packet(FILES["PNG"], with_texts(None, {"description": ["x" * 65_400]})))


def claimed(name: str) -> bytes:
    """A file with the place of Content Credentials in it."""
    data = FILES[name]
    match name:
        case "JPEG":
            body = b"JP\0\1\0\0\0\1\0\0\0\x20jumb\0\0\0\x18jumdc2pa"
            return data[:2] + b"\xff\xeb" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]
        case "PNG":
            body = b"caBXjumb"
            return data[:33] + struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]
        case "WebP, described":
            size = int.from_bytes(data[4:8], "little") + 12
            return b"RIFF" + size.to_bytes(4, "little") + data[8:] + b"C2PA\4\0\0\0jumb"
    tags = ImageFileDirectory_v2()
    tags[0xCD41], tags.tagtype[0xCD41] = b"jumb" * 4, 7
    return encode(Image.open(io.BytesIO(data)), "TIFF", tiffinfo=tags)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WebP, described", "TIFF"])
def test_a_signed_picture_is_left_alone(name):
    data = claimed(name)
    assert packets(data) == []
    with pytest.raises(DataError, match="has Content Credentials .* Write a sidecar"):
        with_packet(data, with_texts(None, TEXTS))


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_ends_too_early_is_refused_or_read(name):
    whole = with_packet(FILES[name], with_texts(None, TEXTS))
    packet = packets(whole)[0]
    for size in [*range(400), *range(400, len(whole), 997)]:
        try:
            assert packets(whole[:size]) in ([], [packet])  # never a part of it
        except DataError as error:
            assert str(error).startswith(("The file is not as its format wants it", "Texts are written into"))


def test_compressed_and_old_forms_in_png():
    packet = with_texts(None, TEXTS)

    def png(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        part = struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
        return FILES["PNG"][:33] + part + FILES["PNG"][33:]

    small = png(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0name\0" + zlib.compress(packet))
    assert packets(small) == [packet]
    assert texts_of(packets(with_packet(small, packet))[0]) == TEXTS
    bomb = png(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2**28)))
    assert len(packets(bomb)[0]) == MOST_BYTES + 1  # and no more of it, which is too much for a packet
    for kind, content in (
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0"),
        (b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(b"\nxmp\n 1\n00\n")),
    ):
        with pytest.raises(DataError, match="not as its format wants it"):
            packets(png(kind, content))


def test_two_packets_are_refused_before_either_is_unpacked():
    body = b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(MOST_BYTES))
    part = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="two XMP packets"):
            packets(FILES["PNG"][:33] + part * 20 + FILES["PNG"][33:])
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    webp = FILES["WebP, described"]
    twice = webp[8:] + b"XMP \2\0\0\0ab" * 2
    with pytest.raises(DataError, match="two XMP packets"):
        packets(b"RIFF" + len(twice).to_bytes(4, "little") + twice)


@pytest.mark.parametrize("form", ["GIF", "BMP", "AVIF"])
def test_other_formats_are_refused(form):
    with pytest.raises(DataError, match="into JPEG, PNG, WebP, TIFF files only"):
        packets(encode(Image.open(CHINA), form))


# Read by another program


def exiftool(path) -> dict:
    """All tags of a file, but what is of the disk."""
    command = ["exiftool", "-json", "-a", "-G1:4", "-struct", "-u", path]
    (tags,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {name: value for name, value in tags.items() if not name.startswith(("System", "SourceFile"))}


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("name", [*FILES, "china", "flower", "Lightroom"])
def test_exiftool_reads_the_texts_and_finds_all_else_as_it_was(name, tmp_path):
    if name in FILES:
        old = FILES[name]
    elif name == "Lightroom":
        old = with_packet(FILES["JPEG"], LIGHTROOM)
    else:
        old = {"china": CHINA, "flower": FLOWER}[name].read_bytes()
    (before,) = packets(old) or [None]
    new = with_packet(old, with_texts(before, TEXTS, "written by AI", "img2prompt 1"))
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "new").write_bytes(new)
    was, now = exiftool(tmp_path / "old"), exiftool(tmp_path / "new")
    assert now["XMP-dc:Description"] == TEXTS["description"][0]
    assert now["XMP-iptcCore:AltTextAccessibility"] == "A dog."
    assert now["XMP-dc:Subject"] == list(TEXTS["keywords"])
    assert now["XMP-photoshop:CaptionWriter"] == "img2prompt (AI)"
    event = now["XMP-xmpMM:History"][-1]
    assert (event["SoftwareAgent"], event["Parameters"]) == ("img2prompt 1", "written by AI")
    written = {"Description", "Description-ko", "AltTextAccessibility", "Subject", "CaptionWriter", "History"}
    moved = {"MPImageStart", "MPImage2", "ExifToolVersion", "Warning"}
    moved |= {
        "ApplicationNotes",
        "FileType",
    }  # a BigTIFF's packet as bytes, and a WebP file of more than one chunk
    moved |= {"WebP_Flags", "ImageWidth", "ImageHeight"} if "WebP" in name else set()

    def others(tags: dict) -> dict:
        return {key: value for key, value in tags.items() if key.split(":")[-1] not in written | moved}

    assert others(now) == others(was)
    warned = {str(value) for key, value in now.items() if key.endswith(":Warning")}
    warned -= {str(value) for key, value in was.items() if key.endswith(":Warning")}
    assert all(
        "Skipped unknown 1 bytes" in said for said in warned
    )  # a byte that may stand before any marker
