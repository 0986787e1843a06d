"""Posts that a model writes, in a real browser: they come one by one, and disturb nobody's typing."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers import ROOT
from tests.helpers.browser import SIZES, assert_accessible, open_page, settle
from tests.helpers.chatting import MODEL
from tests.helpers.server import serve

HOOKS = ["soft light, soft plans", "still here for the colour", "not a filter in sight"]


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    """A folder: a file in it, named by a number, lets the model write that post."""
    (folder := tmp_path / "gates").mkdir()
    return folder


@pytest.fixture
def address(tmp_path: Path, gates: Path) -> Iterator[str]:
    """The address of an app whose engine writes those posts."""
    (start := tmp_path / "start").mkdir()
    (start / "sitecustomize.py").write_text(
        f"from pathlib import Path\nfrom tests.helpers.chatting import serve_with_gates\n"
        f"serve_with_gates({HOOKS!r}, Path({str(gates)!r}))\n"
    )
    python_path = os.pathsep.join([str(start), str(ROOT)])
    with serve(tmp_path, IMG2PROMPT_HISTORY="off", PYTHONPATH=python_path) as server:
        yield server.address


@pytest.mark.parametrize("size", SIZES)
def test_posts_come_one_by_one(address, gates, browser, size):
    with open_page(address, browser, size, color_scheme="light", locale="en-US") as page:
        page.get_by_role("button", name="Flower").click()
        page.get_by_role("button", name="Start Captioning").click()
        page.get_by_label("Text of post 5").wait_for()
        settle(page)
        assert page.get_by_text("By the phrasebook").count() == 0
        page.get_by_role("button", name=f"Write with {MODEL}").click()
        page.get_by_text(f"{MODEL} is writing post 1 of 5").wait_for()
        expect(page.get_by_role("button", name=f"Write with {MODEL}")).to_be_disabled()

        (gates / "1").touch()
        expect(page.get_by_label("Text of post 1")).to_have_value(re.compile(f"^{HOOKS[0]}"))
        page.get_by_text(f"{MODEL} is writing post 2 of 5").wait_for()
        page.get_by_label("Text of post 6").wait_for()

        # What is typed meanwhile stays, and a click ends nothing.
        page.get_by_label("Text of post 1").fill("my own words")
        page.get_by_label("Text of post 1").blur()
        page.get_by_role("button", name="Star post 2").click()
        (gates / "2").touch()
        expect(page.get_by_label("Text of post 2")).to_have_value(re.compile(f"^{HOOKS[1]}"))
        expect(page.get_by_label("Text of post 1")).to_have_value("my own words")

        (gates / "3").touch()
        page.get_by_text("3 of the 5 posts by").wait_for()
        expect(page.get_by_text(f"By {MODEL}", exact=True)).to_have_count(3)
        expect(page.get_by_text("By the phrasebook")).to_have_count(5)
        assert_accessible(page, f"{size}-posts-by-a-model")
