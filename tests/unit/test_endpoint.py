"""The endpoint engine, asked of a server that answers well, badly, slowly, too much, or not at all."""

import base64
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

pytest.importorskip("openai", reason="needs the extra endpoint")

from img2prompt import load_pipeline
from img2prompt.batch import fingerprint
from img2prompt.cli.main import main
from img2prompt.engines.base import Question, Request
from img2prompt.engines.endpoint import answers, asking, client, load
from img2prompt.engines.endpoint.address import parse, permitted
from img2prompt.engines.endpoint.client import Server, data_url
from img2prompt.engines.endpoint.trial import models, picture, try_out
from img2prompt.errors import AnswerError, ConfigError, EndpointError
from img2prompt.pipeline import Pipeline
from img2prompt.results import Description
from img2prompt.settings import Settings
from tests.helpers import ROOT, chat_server
from tests.helpers.chat_server import PLAIN, RECORD, breaks, fails, says, says_at_once
from tests.helpers.pictures import CHINA, FLOWER, paint

KEY = "sk-Tr0ub4dor-3"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Other tries come at once."""
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.02)


@pytest.fixture
def chat():
    with chat_server.serve() as chat:
        yield chat


def settings(chat, **more) -> Settings:
    return Settings(engine="endpoint", endpoint_url=chat.address, **{"endpoint_timeout": 20.0, **more})


def server(chat, **more) -> Server:
    return Server(parse(chat.address), settings(chat, **more))


@pytest.fixture(scope="module")
def loaded():
    """A pipeline on the endpoint engine, whose server each test replaces."""
    with chat_server.serve() as chat:
        return load_pipeline(settings(chat))


@pytest.fixture
def seeing(loaded, chat) -> Pipeline:
    loaded.engine.server = server(chat)
    return loaded


# --- addresses


@pytest.mark.parametrize(
    ("url", "host", "here", "private"),
    [
        ("http://localhost:11434/v1/", "localhost:11434", True, True),
        ("http://127.0.0.1/v1", "127.0.0.1", True, True),
        ("http://127.8.9.1:80/v1", "127.8.9.1:80", True, True),
        ("http://[::1]:8080/v1", "[::1]:8080", True, True),
        ("http://[::ffff:127.0.0.1]/v1", "[::ffff:127.0.0.1]", True, True),
        ("http://2130706433/v1", "2130706433", True, True),  # 127.0.0.1, as systems read it
        ("http://192.168.1.5:1234/v1", "192.168.1.5:1234", False, False),
        ("https://api.example.com/v1", "api.example.com", False, True),
        ("http://localhost.example.com/v1", "localhost.example.com", False, False),
        ("http://127.0.0.1.example.com/v1", "127.0.0.1.example.com", False, False),
    ],
)
def test_addresses_of_this_machine_and_others(url, host, here, private):
    address = parse(url)
    assert (address.host, address.is_here, address.is_private) == (host, here, private)
    if here:
        assert permitted(url, remote=False) == address
    else:
        with pytest.raises(ConfigError, match="is not this machine, and your pictures would be sent there"):
            permitted(url, remote=False)
        assert permitted(url, remote=True) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:11434",
        "ftp://localhost/v1",
        "file:///etc/passwd",
        "http://",
        "http://local host/v1",
        "http://localhost:port/v1",
        "http://[::1/v1",
        "http://localhost/v1?key=secret",
        "http://localhost/v1#secret",
        "http://me:secret@localhost/v1",
        "http://secret@localhost/v1",
        "http://169.254.169.254/latest",  # tells cloud machines their secrets
        "http://0xa9fea9fe/latest",
        "http://2852039166/latest",
        "http://[::ffff:169.254.169.254]/",
        "http://[fe80::1]/v1",
        "http://100.100.100.200/latest",
        "http://192.0.0.192/latest",
        "http://[fd00:ec2::254]/latest",
        "http://[FD00:0EC2:0::254]/latest",
        "http://[fd20:ce::254]/computeMetadata/v1",
        "http://0.0.0.0:8000/v1",
        "http://[::]/v1",
        "http://224.0.0.1/v1",
        "http://255.255.255.255/v1",
    ],
)
def test_addresses_where_no_model_server_is(url):
    with pytest.raises(ConfigError) as caught:
        permitted(url, remote=True)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize(
    "peer",
    [
        *("169.254.169.254", "::ffff:169.254.169.254", "100.100.100.200", "fe80::1%eth0", "fd00:ec2::254"),
        *("fd20:ce::254", "ff02::1"),
    ],
)
def test_a_name_that_leads_elsewhere_is_not_followed(chat, monkeypatch, here, peer):
    """What resolves to an address that would be refused gets nothing, though its name passed."""
    guarded = Server(replace(parse(chat.address), is_here=here), settings(chat, endpoint_model="m"))
    monkeypatch.setattr(socket.socket, "getpeername", lambda _: (peer, chat.port))
    told = peer.removeprefix("::ffff:").partition("%")[0]
    with pytest.raises(EndpointError, match=f"leads to {told}, where no model server is"):
        guarded.answer(Question("?"))
    assert not chat.asked


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_has_several_addresses(chat, monkeypatch, peer):
    monkeypatch.setattr(socket.socket, "getpeername", lambda _: (peer, chat.port))
    assert try_out(settings(chat)).said.caption


# --- what is sent


def test_a_picture_is_small_and_bare():
    """Neither place nor date nor camera nor comment nor profile leaves."""
    exif = Image.Exif()
    exif[0x010F] = "Camera of Mina"
    exif.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    buffer = io.BytesIO()
    Image.new("RGB", (3000, 1500), "red").save(
        buffer, "JPEG", exif=exif, comment=b"for Mina only", icc_profile=profile, dpi=(72, 72)
    )
    opened = Image.open(io.BytesIO(buffer.getvalue()))
    assert b"Mina" in buffer.getvalue() and opened.info["comment"] == b"for Mina only"
    scheme, _, data = data_url(opened).partition(",")
    assert scheme == "data:image/jpeg;base64"
    sent = base64.b64decode(data)
    assert b"Mina" not in sent
    markers = segments(sent)
    assert set(markers) <= {0xE0, 0xDB, 0xC0, 0xC4, 0xDA} and 0xE0 in markers  # JFIF and the picture
    image = Image.open(io.BytesIO(sent))
    assert image.size == (1024, 512) and not image.getexif() and "icc_profile" not in image.info


def segments(jpeg: bytes) -> list[int]:
    """The kinds of the segments of a JPEG file, up to its pixels."""
    found, place = [], 2
    while True:
        assert jpeg[place] == 0xFF
        found.append(jpeg[place + 1])
        if jpeg[place + 1] == 0xDA:
            return found
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")


def test_a_turned_photo_is_sent_upright(seeing, chat):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    buffer = io.BytesIO()
    photo = Image.open(FLOWER).resize((300, 200))
    photo.save(buffer, "JPEG", exif=exif)
    seeing(buffer.getvalue())
    [sent] = chat.pictures
    assert Image.open(io.BytesIO(sent)).size == (200, 300)


def test_the_request_says_nothing_about_who_asks(chat, monkeypatch):
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "secret")
    try_out(settings(chat))
    models(settings(chat))
    names = {name.lower() for headers in chat.headers for name in headers}
    assert names == {
        *("host", "connection", "accept", "content-type", "content-length"),
        *("accept-encoding", "user-agent"),
    }
    assert {headers["User-Agent"] for headers in chat.headers} == {"img2prompt"}


def test_a_server_that_nobody_vouches_for_gets_nothing(chat, tmp_path):
    chat.encrypt(self_signed(tmp_path / "certificate.pem"))
    asked = Server(parse(f"https://localhost:{chat.port}/v1"), settings(chat, endpoint_model="m"))
    with pytest.raises(
        EndpointError, match=r"does not prove who it is, so nothing was sent \(self.signed cert"
    ):
        asking.describe(asked, picture())
    assert not chat.asked and not chat.headers


def self_signed(file: Path) -> Path:
    """A file with a certificate for localhost that its own key has signed, and that key."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(certificate.public_bytes(pem) + secret)
    return file


def test_no_proxy_stands_before_this_machine(chat, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert try_out(settings(chat)).said.caption


def test_a_proxy_stands_before_others(chat, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://me:secret@localhost:{chat.port}")
    with pytest.raises(EndpointError, match="192.0.2.7 finds nothing there"):  # it is no proxy
        models(Settings(endpoint_url="http://192.0.2.7/v1", endpoint_remote=True))
    assert chat.headers[-1]["Host"] == "192.0.2.7"


@pytest.mark.parametrize(
    "proxy",
    [
        "http://me:secret@host:notaport",
        "http://me:secret@host:99999",
        "http://me:secret@host:0",
        "http://me:secret@",
        "http://me:secret@[::1",
        "http://me:secret@ho\x01st:80",
        "ftp://me:secret@host:21",
        "me:secret@host:3128",
        "socks4://me:secret@host:1080",
        "socks5://me:secret@host:1080",
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_and_not_shown(monkeypatch, capsys, proxy):
    monkeypatch.setitem(sys.modules, "socksio", None)  # as where it is not installed
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigError, match="HTTPS_PROXY names no proxy that can be used") as caught:
        models(Settings(endpoint_url="https://models.example.com/v1", endpoint_remote=True))
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    told = ["--set", "endpoint_url=https://models.example.com/v1", "--set", "endpoint_remote=yes"]
    with pytest.raises(SystemExit) as left:
        main(["caption", str(FLOWER), "--engine", "endpoint", *told])
    said = "".join(capsys.readouterr())
    assert left.value.code == 2 and "HTTPS_PROXY" in said and "secret" not in said


def test_the_key_goes_to_the_server_and_nowhere_else(chat, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    told = settings(chat, endpoint_key=KEY)
    try_out(told)
    assert chat.headers[-1]["authorization"] == f"Bearer {KEY}"
    chat.say = lambda body: f"I see {KEY}"  # a server that repeats it
    for behave in (fails(401, f"wrong key {KEY}"), fails(400, f"not for {KEY}"), fails(500, KEY)):
        chat.script.extend([behave] * 3)
        with pytest.raises(EndpointError) as caught:
            try_out(told)
        assert KEY not in str(caught.value)
        chat.script.clear()
    assert KEY not in repr(told) and KEY not in caplog.text
    assert KEY not in "".join(capsys.readouterr())


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_what_is_no_key_is_not_shown(chat, key):
    with pytest.raises(ConfigError, match="endpoint_key holds characters that no key has") as caught:
        server(chat, endpoint_key=key)
    assert key not in str(caught.value)


def test_the_key_stands_in_no_command_line(chat, capsys):
    with pytest.raises(SystemExit) as left:
        main(["doctor", "--set", f"endpoint_key={KEY}"])
    error = capsys.readouterr().err
    assert left.value.code == 2 and "IMG2PROMPT_ENDPOINT_KEY" in error and KEY not in error


# --- what comes back


def test_a_structured_answer(chat):
    said = asking.describe(server(chat), picture())
    assert said == Description(
        caption="a red ball lies on green grass",
        detailed=RECORD["detailed"],
        prompt=RECORD["prompt"],
        tags=("ball", "grass", "sky"),
        alt=RECORD["alt"],
    )
    [body] = chat.asked
    form = body["response_format"]
    assert form["type"] == "json_schema" and set(form["json_schema"]["schema"]["required"]) == set(RECORD)


def test_a_server_without_schemas_is_asked_for_a_sentence_and_that_is_remembered(chat):
    chat.structures = False
    asked = server(chat)
    for _ in range(2):
        assert asking.describe(asked, picture()) == Description("a red ball lies on green grass")
    assert ["response_format" in body for body in chat.asked] == [True, False, False]
    assert not asked.structures


def test_first_questions_that_are_asked_together_find_out_together(seeing, chat):
    """Each is refused its schema before any has learned from it, and each is asked again without."""
    asked = threading.Barrier(4, timeout=300)

    def refuse(handler):
        asked.wait()
        handler.reply(chat_server.NO_SCHEMAS, 400)

    chat.structures = False
    chat.script.extend([refuse] * 4)
    photos = [Image.open(FLOWER).crop((0, 0, 100 + i, 100)) for i in range(4)]
    assert {result.caption for result in seeing(photos)} == {"a red ball lies on green grass"}
    assert ["response_format" in body for body in chat.asked] == [True] * 4 + [False] * 4


def test_a_record_is_asked_for_with_its_schema_or_not_at_all(chat):
    """Also where another question found out that there are no schemas while this one waited for its turn."""
    chat.structures = False
    asked = server(chat)
    for _ in range(2):
        with pytest.raises(client.Unstructured, match="takes no JSON schema"):
            asked.answer(Question(answers.ASK, schema=answers.SCHEMA), strict=True)
    assert len(chat.asked) == 1


def test_a_server_that_takes_no_limit_is_asked_without(chat):
    chat.script.append(fails(400, "Unsupported parameter: 'max_tokens'"))
    asked = server(chat)
    assert asking.describe(asked, picture()).prompt
    assert ["max_tokens" in body for body in chat.asked] == [True, False]
    assert asked.structures


def test_a_server_that_does_not_stream(chat):
    chat.script.append(says_at_once(json.dumps(RECORD)))
    assert asking.describe(server(chat), picture()).tags == ("ball", "grass", "sky")


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ('{"caption": "A cat."}', "a cat"),
        ('```json\n{"caption": "A cat.", "tags": [],}\n```', "a cat"),
        ('Here it is:\n```\n{"caption": "A cat."}\n```\nAnything else?', "a cat"),
        ('<think>A cat? {maybe}</think>\n\nI {think}: {"caption": "A\ncat"} or so', "a cat"),
        ('thoughts without a beginning</think>{"caption": "A cat"}', "a cat"),
        ('{"caption": "A cat", "detailed": "It sl', "a cat"),
        ('{"caption": "A cat", "tags": "cat, sofa", "text": null, "alt": 7}', "a cat"),
        ('[{"caption": "A cat"}]', "a cat"),
        ("A cat sleeps on a sofa.", "a cat sleeps on a sofa"),
        ("Sure! Here is a caption:\n\nA cat sleeps.", "a cat sleeps"),
        ('Caption: "A cat sleeps."', "a cat sleeps"),
        ("The image shows a cat on a sofa.\n\nIt seems happy.", "a cat on a sofa"),
        ("NASA's rocket", "NASA's rocket"),
        ('{"caption": "A cat\\u0007\\u202e"}', "a cat\\x07\\u202e"),
        ('{"caption": "A cat \\ud83d"}', "a cat ?"),  # half an emoji
    ],
)
def test_answers_are_read_and_repaired(answer, caption):
    assert answers.describe(answer, "m").caption == caption


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "it is empty"),
        ("   \n", "it is empty"),
        ("<think>for ever and ever", "it is empty"),
        ("{}", "it is no JSON with a caption"),
        ('{"title": "A cat"}', "it is no JSON with a caption"),
        ('{"caption": ["A cat"]}', "it is no JSON with a caption"),
        ("{'caption': 'A cat'}", "it is no JSON with a caption"),
        ('{"' * 9000, "it is no JSON with a caption"),
        ('{"a":' * 9000, "it is no JSON with a caption"),
        ('{"caption": ' + "[" * 40000, "it is no JSON with a caption"),
        ('{"caption": " "}', "it is empty"),
        ("I'm sorry, but I can't help with that.", "it refuses"),
        ("I cannot describe people.", "it refuses"),
        ('{"caption": "I am unable to see the picture"}', "it refuses"),
    ],
)
def test_answers_that_cannot_be_used_are_quoted(answer, why):
    with pytest.raises(AnswerError) as caught:
        answers.describe(answer, "seer")
    assert str(caught.value).startswith(f"The answer of seer cannot be used, as {why}: ")
    assert answer[:50].strip() in str(caught.value)


def test_long_answers_are_cut_and_quoted_shortly():
    said = answers.describe(json.dumps({"caption": "word " * 500, "tags": list(map(str, range(99)))}), "m")
    assert 900 < len(said.caption) <= 1000 and len(said.tags) == answers.MOST_TAGS
    with pytest.raises(AnswerError) as caught:
        answers.describe("{" + "x\x1b[31m" * 9999, "m")
    assert len(str(caught.value)) < 400 and "\x1b" not in str(caught.value)


def test_the_caption_is_heard_while_it_comes(chat):
    heard = []
    record = {**RECORD, "caption": 'A "red" ball lies on green grass – 잔디.'}
    chat.script.append(says("<think>{hm}</think>" + json.dumps(record), size=3))
    asking.describe(server(chat), picture(), Request(hear=heard.append))
    grown = [text for text in dict.fromkeys(heard) if text]
    assert len(grown) >= 3 and grown[-1] == record["caption"]
    assert all(record["caption"].startswith(text) for text in grown)


def test_an_instruction_is_followed_in_plain_words(chat):
    heard = []
    chat.say = lambda body: "```\nohwx ball,\ngrass\n```" if "tags" in text_of(body) else "no"
    said = asking.describe(server(chat), picture(), Request("as tags", heard.append))
    assert said == Description("ohwx ball,\ngrass")
    assert "response_format" not in chat.asked[0] and text_of(chat.asked[0]).startswith("as tags\n")
    assert heard[-1].startswith("```\nohwx ball,")


def text_of(body: dict) -> str:
    content = body["messages"][0]["content"]
    return content if isinstance(content, str) else content[0]["text"]


def test_chat_comes_in_pieces(chat):
    chat.say = lambda body: "one two three four"
    pieces = list(server(chat).chat(Question("Count.", most=99)))
    assert "".join(pieces) == "one two three four" and len(pieces) == 2
    [body] = chat.asked
    assert body["messages"] == [{"role": "user", "content": "Count."}] and body["max_tokens"] == 99
    chat.structures = False
    assert "".join(server(chat).chat(Question("Count.", schema={"type": "object"}))) == "one two three four"
    chat.script.append(breaks("one"))
    with pytest.raises(AnswerError, match="broke before its answer was complete"):
        list(server(chat).chat(Question("Count.")))
    one_at_a_time = server(chat, endpoint_parallel=1)
    for _ in range(2):  # who has heard enough lets others ask
        pieces = one_at_a_time.chat(Question("Count."))
        assert next(pieces) == "one two thre"
        pieces.close()


# --- what goes wrong


@pytest.mark.parametrize(
    ("script", "tries"),
    [
        ([fails(429, Retry_After="0.01")] * 5, 6),
        ([fails(503, "Loading model")] * 5, 6),
        ([fails(502), fails(504)], 3),
        ([fails(500)] * 2, 3),
        ([breaks(), breaks('{"cap')], 3),
    ],
)
def test_what_may_pass_is_tried_again(chat, script, tries):
    chat.script.extend(script)
    assert asking.describe(server(chat), picture()).prompt == RECORD["prompt"]
    assert len(chat.asked) == tries


class Waits(threading.Event):
    """A question's `stop` that notes how long it was waited on, and does not keep anybody waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return False


def test_the_server_says_how_long_to_wait(chat):
    stop = Waits()
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    chat.script.extend([fails(429, Retry_After="7"), fails(503, Retry_After=soon), fails(429)])
    server(chat).answer(Question("?"), stop=stop)
    first, second, third = stop.seconds
    assert first == 7 and 1 < second <= 30 and third < 0.1
    chat.script.extend([fails(429, "come next year", Retry_After="9999999")])
    with pytest.raises(EndpointError, match=r"wants fewer questions \(come next year\)"):
        server(chat).answer(Question("?"))


@pytest.mark.parametrize(
    "header",
    [
        *("nan", "inf", "-inf", "1e999", "-5", "0", "1e-9", "", "soon"),
        *("Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 99 Foo 2026"),
    ],
)
def test_a_wait_that_is_none_is_our_own_that_grows(chat, monkeypatch, header):
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.16)
    stop = Waits()
    chat.script.extend([fails(429, Retry_After=header)] * 4)
    server(chat).answer(Question("?"), stop=stop)
    for seconds, expected in zip(stop.seconds, (0.02, 0.04, 0.08, 0.16), strict=True):
        assert 0.75 * expected <= seconds <= 1.25 * expected


@pytest.mark.parametrize(
    ("behave", "error", "words"),
    [
        (
            fails(400, "no \x1b[31mpictures\nplease " * 99),
            AnswerError,
            r"refuses the question \(no \\x1b\[31mpict",
        ),
        (fails(401, "who are you"), EndpointError, "asks for a key. Put it into IMG2PROMPT_ENDPOINT_KEY"),
        (fails(404, "no such model"), EndpointError, r"finds nothing there \(no such model\)"),
        (
            fails(302, Location="http://169.254.169.254/"),
            EndpointError,
            "another address, which is not followed",
        ),
        (fails(307, Location="/v1/elsewhere"), EndpointError, "another address, which is not followed"),
        (lambda handler: handler.reply(b"<html>hello"), AnswerError, "answers what no model server says"),
        (lambda handler: handler.reply({"choices": 3}), AnswerError, "answers what no model server says"),
        (lambda handler: handler.reply(b"x", Content_Encoding="gzip"), AnswerError, "compressed answer"),
        (chat_server.never_ends, AnswerError, "does not stop"),
        (lambda handler: handler.reply(b" " * 9 * 2**20), AnswerError, "answers more than 8 MB"),
        (says("", end="length"), AnswerError, "thought for too long"),
        (says("", end="content_filter"), AnswerError, "its content filter stopped it"),
    ],
)
def test_what_does_not_pass_is_asked_once(chat, behave, error, words):
    chat.script.append(behave)
    with pytest.raises(error, match=words) as caught:
        asking.describe(server(chat), picture())
    assert len(chat.asked) == 1 and len(str(caught.value)) < 500
    assert type(caught.value) is error


def test_halves_of_characters_harm_nothing(chat):
    chat.models = ["seer \ud83d"]
    chat.script.extend([says(json.dumps({**RECORD, "tags": ["\ud83d"]})), fails(400, "\ud83d")])
    asked = server(chat)
    assert asked.model == "seer ?" and asking.describe(asked, picture()).tags == ("?",)
    with pytest.raises(AnswerError, match=r"seer \? at localhost:\d+ refuses the question \(\?\)"):
        asking.describe(asked, picture())


@pytest.mark.parametrize("event", [b"{nonsense", b"[]", b'{"choices": [{}]}', b"\xff\xfe"])
def test_a_stream_of_nonsense(chat, event):
    def behave(handler):
        handler.begin_stream()
        handler.event(event)
        handler.close_connection = True

    chat.script.append(behave)
    with pytest.raises(AnswerError):
        asking.describe(server(chat), picture())


@pytest.mark.parametrize("behave", [chat_server.drips, chat_server.hangs])
def test_slow_answers_end(chat, behave):
    chat.script.append(behave)
    with pytest.raises(AnswerError, match="did not answer within 0.3 s. Set endpoint_timeout higher"):
        asking.describe(server(chat, endpoint_timeout=0.3), picture())
    assert len(chat.asked) == 1


def test_a_server_that_never_was_there_is_not_waited_for(chat):
    chat.stop()
    stop = Waits()
    with pytest.raises(EndpointError, match=r"Nothing answers at localhost:\d+ \(Connection refused\)"):
        server(chat, endpoint_model="m").answer(Question("?"), stop=stop)
    assert stop.seconds == []
    with pytest.raises(EndpointError, match="Nothing answers"):
        server(chat).models()


def test_the_servers_model_is_the_first_that_writes(chat):
    chat.models = ["nomic-embed-text", "qwen3-vl", "llava"]
    assert server(chat).model == "qwen3-vl" and server(chat, endpoint_model="llava").model == "llava"
    chat.models = []
    with pytest.raises(EndpointError, match="has no model. Load one there"):
        _ = server(chat).model


# --- the engine


def test_words_are_the_servers_and_the_rest_is_lites(seeing, chat, pipeline):
    [result] = seeing([FLOWER])
    [lite] = pipeline([FLOWER])
    assert (result.engine, result.model) == ("endpoint", "seer-7b")
    assert result.caption == "a red ball lies on green grass" and result.prompt == RECORD["prompt"]
    assert result.details.record().keys() == {"detailed", "prompt", "tags", "alt"}
    assert result.labels == lite.labels
    # The prompt's vector is in the embedding, in its share.
    written = pipeline.sentences.encode([RECORD["prompt"]])
    features = pipeline.engine.encode([pipeline.open(FLOWER)])
    mixed = 0.45 * written + 0.55 * pipeline.engine.regress(features)
    np.testing.assert_allclose(result.embedding, mixed[0] / np.linalg.norm(mixed), atol=1e-5)
    record = json.loads(json.dumps(result.record()))
    assert record["details"]["tags"] == RECORD["tags"] and record["model"] == "seer-7b"


def test_the_servers_prompt_counts_for_pictures_that_machines_made_too(seeing, chat, pipeline, monkeypatch):
    monkeypatch.setattr(
        type(seeing.engine), "generated", lambda self, features: np.ones(len(features.images))
    )
    [result] = seeing([FLOWER])
    assert result.prompt == RECORD["prompt"]
    assert float(result.embedding @ pipeline.sentences.encode([RECORD["prompt"]])[0]) > 0.6
    assert seeing([FLOWER], style="seed")[0].prompt.startswith(result.caption)


def test_nobodys_gender_is_guessed_in_any_field(seeing, chat):
    people = {
        "caption": "A woman walks her dog.",
        "detailed": "A woman walks her dog. She smiles at a man.",
        "prompt": "a woman with her dog, oil painting",
        "tags": ["woman", "dog", "man"],
        "text": "WOMAN WANTED",
        "alt": "A woman and her dog.",
    }
    chat.say = lambda body: json.dumps(people)
    [result] = seeing([FLOWER])
    said = result.details
    assert (
        result.caption == "a person walks their dog"
        and result.prompt == "a person with their dog, oil painting"
    )
    assert said.detailed == "A person walks their dog. They smile at another person."
    assert said.tags == ("person", "dog") and said.alt == "A person and their dog."
    assert said.text == "WOMAN WANTED"  # as it is written there
    assert seeing.with_people("as-seen")([FLOWER])[0].caption == "a woman walks her dog"


def test_only_so_many_questions_at_a_time(seeing, chat):
    chat.pause = 0.05
    photos = [Image.open(FLOWER).crop((0, 0, 100 + i, 100)) for i in range(7)]
    seeing.engine.server = server(chat, endpoint_parallel=3)
    seeing.engine._parallel = 3
    seeing(photos)
    assert len(chat.asked) == 7 and chat.most_at_once == 3


def test_a_picture_that_fails_fails_alone_and_no_answer_is_paid_for_twice(seeing, chat):
    """Its own question is asked a second time, when it is tried alone."""
    bad = Image.new("RGB", (50, 60), "red")
    photos = [Image.open(FLOWER).crop((0, 0, 100 + i, 100)) for i in range(3)]

    def behave(body):
        sent = Image.open(io.BytesIO(chat.pictures[chat.asked.index(body)]))
        return "{}" if sent.size == (50, 60) else json.dumps(RECORD)

    chat.say = behave
    with pytest.raises(AnswerError, match="it is no JSON with a caption"):
        seeing([*photos, bad])
    assert len(chat.asked) == 4
    good, failed = seeing.describe_each([photos[0], bad])
    assert good.caption == "a red ball lies on green grass" and isinstance(failed, AnswerError)
    assert len(chat.asked) == 6  # twice about the bad one
    seeing(photos)
    assert len(chat.asked) == 7  # the first one anew, the others' answers were kept


def test_a_server_that_is_gone_fails_all_at_once(seeing, chat, monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", 0.1)
    seeing([FLOWER])
    chat.stop()
    with pytest.raises(EndpointError, match="Nothing answers") as caught:
        seeing.describe_each([seeing.open(FLOWER), seeing.open(CHINA)])
    assert not isinstance(caught.value, AnswerError)


def test_the_fingerprint_knows_the_model_and_not_the_key(loaded, chat):
    def print_of(**more):
        engine = load(settings(chat, **more), loaded.sentences, "cpu")
        return fingerprint(Pipeline(engine, loaded.sentences, loaded.tables, settings(chat, **more)))

    first = print_of()
    assert first == print_of(endpoint_key=KEY, endpoint_timeout=3.0, endpoint_parallel=1)
    assert first == print_of(endpoint_model="seer-7b")
    assert first != print_of(endpoint_model="other")


def test_settings_name_what_cannot_be_used():
    with pytest.raises(ConfigError, match="endpoint_parallel is 0"):
        Settings(endpoint_parallel=0)
    with pytest.raises(ConfigError, match="endpoint_timeout is 0"):
        Settings(endpoint_timeout=0)
    assert KEY not in repr(Settings(endpoint_key=KEY))


# --- the commands


@pytest.fixture
def command(chat, monkeypatch, capsys):
    """Run a command with the server set: (exit code, stdout, stderr)."""
    monkeypatch.setenv("IMG2PROMPT_ENDPOINT_URL", chat.address)
    monkeypatch.setenv("IMG2PROMPT_ENDPOINT_KEY", KEY)

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert KEY not in captured.out + captured.err
        return left.value.code, captured.out, captured.err

    return run


def nonsense_about_one(chat):
    """Nothing that can be used about the picture that is asked about next, whenever it is asked about."""
    bad = []

    def say(body):
        sent = body["messages"][0]["content"][1]["image_url"]["url"]
        bad.append(sent)
        return "{}" if sent == bad[0] else json.dumps(RECORD)

    return say


@pytest.mark.slow
def test_captions_from_the_command_line(command, chat):
    code, out, err = command("caption", FLOWER, CHINA, "--engine", "endpoint", "--json")
    assert code == 0, err
    first, second = map(json.loads, out.splitlines())
    assert (
        first["model"] == "seer-7b" and first["details"]["alt"] == second["details"]["alt"] == RECORD["alt"]
    )
    chat.say = nonsense_about_one(chat)
    code, out, err = command(
        "caption", FLOWER, CHINA, "--engine", "endpoint", "--set", "endpoint_parallel=1", "--json"
    )
    bad, good = map(json.loads, out.splitlines())
    assert code == 3 and good["caption"] and "cannot be used" in bad["error"] and "flower.jpg" in err
    chat.stop()
    code, _, err = command("caption", FLOWER, "--engine", "endpoint")
    assert code == 1 and "Nothing answers" in err


@pytest.mark.slow
def test_a_batch_survives_the_servers_restart(command, chat, tmp_path):
    for seed in range(12):
        paint(tmp_path / "in" / f"{seed:02}.png", seed)
    chat.pause = 0.02
    chat.say = nonsense_about_one(chat)

    def restart():
        while len(chat.asked) < 6:
            time.sleep(0.01)
        chat.script.append(breaks('{"caption"'))  # what was being answered
        chat.stop()
        time.sleep(0.3)
        chat.start()

    thread = threading.Thread(target=restart)
    thread.start()
    code, _, err = command(
        *("batch", tmp_path / "in", "-o", tmp_path / "out.jsonl", "--engine", "endpoint"),
        *("--batch-size", 4, "--set", "endpoint_parallel=2", "--set", "endpoint_timeout=10"),
    )
    thread.join()
    assert code == 3 and "11 of 12 pictures described" in err and err.count("cannot be used") == 1, err
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert sum(row["caption"] == "a red ball lies on green grass" for row in rows) == 11
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes()
    asked = len(chat.asked)
    chat.say = lambda body: json.dumps(RECORD)
    code, _, err = command("batch", tmp_path / "in", "-o", tmp_path / "out.jsonl", "--engine", "endpoint")
    assert code == 0 and len(chat.asked) == asked + 1, err  # only the one that failed


@pytest.mark.slow
def test_a_batch_without_its_server_ends_and_goes_on_later(command, chat, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", 0.2)
    for seed in range(6):
        paint(tmp_path / "in" / f"{seed}.png", seed)
    chat.script.extend([says(json.dumps(RECORD))] * 2 + [fails(503, "gone to bed")] * 99)
    arguments = (
        "batch",
        tmp_path / "in",
        "-o",
        tmp_path / "out.csv",
        "--engine",
        "endpoint",
        "--batch-size",
        2,
    )
    code, _, err = command(*arguments)
    assert code == 1 and "is not ready (gone to bed)" in err and not (tmp_path / "out.csv").exists()
    chat.script.clear()
    asked = len(chat.asked)
    code, _, err = command(*arguments)
    assert (
        code == 0
        and len(chat.asked) == asked + 4
        and PLAIN.lower()[:-1] in (tmp_path / "out.csv").read_text()
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_who_presses_ctrl_c_waits_for_no_answer(chat):
    chat.pause = 600
    command = [sys.executable, "-m", "img2prompt", "caption", str(FLOWER), "--engine", "endpoint"]
    command += ["--set", f"endpoint_url={chat.address}"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not chat.asked:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (130, "img2prompt: stopped.\n")
