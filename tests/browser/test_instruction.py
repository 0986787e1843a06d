"""The fold for an instruction in a real browser, on a desk and on a phone, with an engine that follows and without."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.helpers import ROOT
from tests.helpers.browser import SIZES, assert_accessible, open_page, settle
from tests.helpers.pictures import small_photos
from tests.helpers.server import serve

FOLD = "어떻게 설명할지 모델에게 알려 주기"

# Python imports a module of this name when it starts.
FOLLOWING = """
import img2prompt.pipeline
from tests.helpers.following import following

load_pipeline = img2prompt.pipeline.load_pipeline


def load_following(settings):
    told = following(load_pipeline(settings))
    told.settings = settings
    return told


img2prompt.pipeline.load_pipeline = load_following
"""


@pytest.fixture(scope="module")
def obedient(tmp_path_factory) -> Iterator[str]:
    """The address of an app whose engine follows: it says what it is told."""
    folder = tmp_path_factory.mktemp("obedient")
    (folder / "code").mkdir()
    (folder / "code" / "sitecustomize.py").write_text(FOLLOWING, "utf-8")
    path = os.pathsep.join([str(folder / "code"), str(ROOT)])
    with serve(folder, IMG2PROMPT_HISTORY="off", IMG2PROMPT_ENGINE="lite", PYTHONPATH=path) as server:
        yield server.address


def unfold(page: Page, title: str) -> None:
    settle(page)  # while the page is drawn, a click may be lost
    page.get_by_text(title).click()


@pytest.mark.parametrize("size", SIZES)
def test_a_photo_is_described_as_it_was_said(obedient, browser, size):
    with open_page(obedient, browser, size, color_scheme="light", locale="en-US") as page:
        page.locator("input[type=file]").set_input_files(small_photos()[:1])
        page.get_by_role("button", name="Start Captioning").wait_for()
        words = page.get_by_label("In your words", exact=True)
        words.wait_for(state="attached")  # the model is loaded, after which the page is drawn once more
        expect(words).to_be_hidden()  # folded away
        unfold(page, "Tell the model how to describe it")
        words.fill("{trigger} called {name}")
        words.press("Control+Enter")
        trigger = page.get_by_label("Trigger word", exact=True)
        trigger.fill("ohwx")
        assert_accessible(page, f"{size}-instruction")
        page.get_by_role("button", name="Start Captioning").click()
        caption = page.locator("p.large")
        expect(caption).to_have_text("ohwx called 0")
        page.get_by_label("Text of post 5").wait_for()

        words.fill("{nobody}")
        words.press("Control+Enter")
        expect(page.get_by_role("alert")).to_contain_text(
            "one of {note} {name} {folder} {labels} {language} {trigger}"
        )


@pytest.mark.parametrize("size", SIZES)
def test_an_engine_that_follows_nothing_says_so(server, browser, size):
    with open_page(server, browser, size, color_scheme="light", locale="ko-KR") as page:
        explanation = page.get_by_text("라이트: 지시를 따르지 않고")
        explanation.wait_for(state="attached")  # the model is loaded, after which the page is drawn once more
        unfold(page, FOLD)
        explanation.wait_for()
        assert_accessible(page, f"{size}-no-instruction")
        page.get_by_role("link", name="다른 모델 고르기").click()
        page.get_by_role("heading", name="모델", exact=True).wait_for()

        page.goto(server)
        page.get_by_role("button", name="꽃").click()
        page.get_by_role("button", name="캡션 만들기").click()
        page.get_by_label("게시글 5의 내용").wait_for()
        expect(page.get_by_text(FOLD)).to_have_count(0)  # so that posts come further up


def test_a_batch_begins_with_an_instruction(obedient, browser):
    with open_page(f"{obedient}/batch", browser, "phone", color_scheme="light", locale="en-US") as page:
        page.locator("input[type=file]").set_input_files(small_photos()[:1])
        unfold(page, "Tell the model how to describe it")
        words = page.get_by_label("In your words", exact=True)
        words.fill("called {name}")
        words.press("Control+Enter")
        page.get_by_role("button", name="Start Captioning · 1 file").click()
        page.get_by_text("Instruction: called {name}").wait_for()
        caption = page.get_by_label("Caption of")
        assert caption.input_value().startswith("called ")
        assert_accessible(page, "phone-batch-instruction")
