"""Errors in Korean: every sentence that a page can meet has one."""

import errno
import os
import re
from string import Formatter

import pytest

from img2prompt.errors import Img2PromptError
from img2prompt.images import open_image
from img2prompt.web.shared.i18n import catalogue
from img2prompt.web.shared.identity import SECRET_COMMAND
from img2prompt.web.shared.sentences import translated
from tests.helpers.sentences import sentences, strings

KOREAN = catalogue("ko.sentences")


def shape(template: str) -> str:
    """``{}`` for each value, whatever its name; values side by side are one."""
    parts = Formatter().parse(template)
    text = "".join(words + ("{}" if name is not None else "") for words, name, _, _ in parts)
    return re.sub(r"(\{\})+", "{}", text)


def test_every_error_that_a_page_can_meet_has_a_translation():
    said = sentences()
    assert len(said) > 150  # the reading itself works
    assert {
        "{} cannot be read: {}. Check its name and permissions.",  # what is raised
        "it is not UTF-8 text",  # what a function returns to stand in it
        "a list of paths",  # what a function is given to put in it
    } <= set(said)
    known = {shape(template) for template in KOREAN} | {SECRET_COMMAND}  # which is for a terminal
    missing = {
        sentence: place
        for sentence, place in said.items()
        # Some tell what is wrong with a file, whose name is put before them.
        if re.search("[a-z]{2}", sentence) and not {shape(sentence), f"{{}} {sentence}"} & known
    }
    assert not missing, "write them into ko.sentences.json"


def test_no_translation_is_left_over():
    spoken = strings() | {os.strerror(number) for number in errno.errorcode} | {"{}: {}"}
    spoken |= {re.sub(r"(\{\})+", "{}", text) for text in spoken} | {f"{{}} {text}" for text in spoken}
    spoken |= {"The full engine lacks weights.\n{}\nOr use --engine lite, which is bundled."}  # joined lines
    assert {template for template in KOREAN if shape(template) not in spoken} == set()


def test_translations_are_korean_and_take_the_same_values():
    for english, korean in KOREAN.items():
        names = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in (english, korean)]
        assert names[0] == names[1], english
        assert all(name.isidentifier() for name in names[0]), english
        assert re.search("[가-힣]", korean) or english == "{name}: {problem}", english


@pytest.mark.parametrize(
    ("english", "korean"),
    [
        (
            "The picture is empty. Copy or download it again.",
            "이 사진 파일이 비어 있어요. 다시 복사하거나 내려받아 주세요.",
        ),
        (
            "my: trip (1).jpg cannot be read: Permission denied. Check its name and permissions.",
            "my: trip (1).jpg 파일을 읽을 수 없어요(권한이 없어요). 이름과 권한을 확인해 주세요.",
        ),
        (
            "/tones/my.toml: cannot be read (Permission denied). Check its permissions.",
            "/tones/my.toml: 읽을 수 없어요(권한이 없어요). 권한을 확인해 주세요.",
        ),
        (
            "The clip model RN50/openai is not installed. Get it with: img2prompt models pull RN50/openai",
            "clip 모델 RN50/openai: 설치되어 있지 않아요. 이렇게 내려받아 주세요: img2prompt models pull RN50/openai",
        ),
        (
            "{name}.zip holds no pictures. Choose others.",
            "{name}.zip: 사진이 없어요. 다른 파일을 골라 주세요.",
        ),
        (
            "my.csv is not a CSV (it is not UTF-8 text). Save it as one.",
            "my.csv: 읽을 수 있는 형식이 아니에요(UTF-8로 저장된 글이 아니에요). 필요한 형식(CSV 파일)으로 저장해 주세요.",
        ),
        (
            "The clip model a/b in /w cannot be used: a.bin is missing (b.bin is a pickle, which is never loaded). Get it with: img2prompt models pull a/b",
            "clip 모델 a/b: /w에 있지만 쓸 수 없어요(a.bin 파일이 없어요. b.bin 파일은 pickle이라 불러오지 않아요). 이렇게 내려받아 주세요: img2prompt models pull a/b",
        ),
        ("nobody wrote this", "nobody wrote this"),
        ("", ""),
    ],
)
def test_values_come_along(english, korean):
    assert translated(english, "ko") == korean


def test_no_sentence_is_taken_for_another():
    for english, korean in KOREAN.items():
        names = {name for _, name, _, _ in Formatter().parse(english) if name}
        values = {name: f"value{number}" for number, name in enumerate(sorted(names))}
        assert translated(english.format_map(values), "ko") == korean.format_map(values)


def test_a_real_error():
    with pytest.raises(Img2PromptError) as caught:
        open_image(b"<svg/>")
    assert translated(str(caught.value), "ko") == "이 사진 파일은 SVG 그림이에요. PNG로 내보내 주세요."


def test_what_somebody_made_up_is_answered_at_once():
    for hostile in (": a", ", row 1: a text of 9 characters, and at most ", "{x}"):
        assert translated(hostile * 10_000, "ko")
