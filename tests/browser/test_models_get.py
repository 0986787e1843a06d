"""Weights that are fetched from the Models page, on a desk and on a phone, from a hub on this machine."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from img2prompt import weights
from tests.helpers import SMALL_BLIP, SMALL_CLIP
from tests.helpers.browser import (
    PATIENCE,
    SIZES,
    assert_accessible,
    choose,
    launch,
    open_page,
    settle,
    sidebar,
)
from tests.helpers.hub import COMMIT, Hub
from tests.helpers.hub import serve as serve_hub
from tests.helpers.server import Server, serve

ELSEWHERE = "captions.example.org"
MEGABYTE = 1_000_000
OTHER = "git-large-coco"
SOME = re.compile(r"\d MB of \d MB")
LATER = r"bytes=[12]\d{6}-"  # what is asked for when 2 MB are there


@pytest.fixture
def hub(small_models) -> Iterator[Hub]:
    with serve_hub() as hub:
        for name in (SMALL_BLIP, OTHER):
            folder = weights.folder_in(small_models, "caption", SMALL_BLIP)
            hub.add(weights.part(name).repository, COMMIT, folder)
        yield hub


@pytest.fixture
def models(tmp_path, small_models) -> Path:
    """A folder with the CLIP of the preset `small` and nothing else."""
    folder = tmp_path / "models"
    clip = weights.folder_in(folder, "clip", SMALL_CLIP)
    shutil.copytree(weights.folder_in(small_models, "clip", SMALL_CLIP), clip)
    return folder


@contextmanager
def start(folder: Path, hub: Hub, models: Path) -> Iterator[Server]:
    folder.mkdir()
    places = {"HF_HUB_CACHE": folder / "cache", "XDG_DATA_HOME": folder / "user", "IMG2PROMPT_MODELS": models}
    places = {key: str(place) for key, place in places.items()}
    # Patience with a hub that holds back what it sends.
    with serve(folder, HF_ENDPOINT=hub.address, HF_HUB_DOWNLOAD_TIMEOUT="600", **places) as app:
        yield app


@pytest.fixture
def app(tmp_path, hub, models) -> Iterator[Server]:
    with start(tmp_path / "app", hub, models) as app:
        yield app


def row(page: Page, name: str = SMALL_BLIP) -> Locator:
    return page.locator(f".st-key-part-{name}")


def button(place: Locator, name: str) -> Locator:
    return place.get_by_role("button", name=name)


@pytest.mark.parametrize("size", SIZES)
def test_a_model_is_fetched_and_chosen(app, hub, browser, size):
    settings = {"color_scheme": "light", "locale": "en-US"}
    with open_page(f"{app.address}/models", browser, size, **settings) as page:
        expect(row(page)).to_contain_text("990 MB · BSD-3-Clause · Salesforce/")
        settle(page)
        assert_accessible(page, f"{size}-get")
        hub.most = 2 * MEGABYTE
        button(row(page), "Get it").click()
        bar = row(page).get_by_role("progressbar")
        expect(bar).to_be_visible()
        expect(row(page)).to_contain_text(SOME)
        expect(button(row(page, OTHER), "Get it")).to_be_disabled()
        assert_accessible(page, f"{size}-get-fetching")

        page.reload()
        expect(row(page)).to_contain_text(SOME)
        with open_page(f"{app.address}/models", browser, size, **settings) as another:
            expect(button(row(another), "Pause")).to_be_visible()
            expect(button(row(another, OTHER), "Get it")).to_be_disabled()
            button(row(another), "Pause").click()
            expect(row(another)).to_contain_text("pausing…")
            hub.let_go()
            button(row(another), "Go on").wait_for()
        button(row(page), "Go on").wait_for()  # on the first page too
        expect(row(page)).to_contain_text(re.compile(r"\d MB of 990 MB are here already"))
        assert_accessible(page, f"{size}-get-paused")

        hub.most = 3 * MEGABYTE
        hub.ranges.clear()
        button(row(page), "Go on").click()
        expect(row(page)).to_contain_text(SOME)
        hub.let_go()
        expect(row(page)).to_contain_text("Installed")
        assert len(hub.ranges) == 1 and re.fullmatch(LATER, hub.ranges[0])
        expect(row(page).get_by_role("button")).to_have_count(0)
        expect(button(row(page, OTHER), "Get it")).to_be_enabled()
        page.get_by_role("radio", name="Full").click()
        for label, name in (("Caption model", SMALL_BLIP), ("CLIP model", SMALL_CLIP)):
            choose(page, label, f"{name} ·")
        page.get_by_text("Full reads your photos from now on.").wait_for()

        with sidebar(page) as choices:
            choices.get_by_role("radio", name="한국어").click()
        hub.busy = 1000
        button(row(page, OTHER), "내려받기").click()
        expect(row(page, OTHER)).to_contain_text("다시 시도하고 있어요")
        button(row(page, OTHER), "일시 정지").click()
        button(row(page, OTHER), "이어받기").wait_for()
        button(row(page, OTHER), "삭제").click()
        page.get_by_role("button", name="받은 파일 삭제하기").click()
        button(row(page, OTHER), "내려받기").wait_for()


def test_a_server_that_ends_meanwhile(tmp_path, hub, models, browser):
    """It is killed, and another one goes on."""
    hub.most = 2 * MEGABYTE
    with start(tmp_path / "first", hub, models) as app, browser.new_context(locale="en-US") as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{app.address}/models")
        button(row(page), "Get it").click()
        expect(row(page)).to_contain_text(SOME)
        app.process.kill()
        app.process.wait()
    hub.let_go()
    hub.ranges.clear()
    with (
        start(tmp_path / "second", hub, models) as app,
        open_page(f"{app.address}/models", browser, locale="en-US") as page,
    ):
        expect(row(page)).to_contain_text("are here already")
        button(row(page), "Go on").click()
        expect(row(page)).to_contain_text("Installed")
    assert len(hub.ranges) == 1 and re.fullmatch(LATER, hub.ranges[0])


def test_what_fails_is_told_and_tried_again(app, hub, browser):
    hub.spoilt = {"model.safetensors"}
    with open_page(f"{app.address}/models", browser, "phone", color_scheme="light", locale="en-US") as page:
        button(row(page), "Get it").click()
        row(page).get_by_role("alert").get_by_text("was damaged on its way").wait_for()
        assert_accessible(page, "phone-get-failed")
        hub.spoilt.clear()
        button(row(page), "Go on").click()
        expect(row(page)).to_contain_text("Installed")


def test_others_see_the_command(app, hub, playwright):
    """A visitor who does not sit at the machine."""
    rules = f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"
    with launch(playwright, rules) as visitor, visitor.new_context(locale="en-US") as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(app.address.replace("localhost", ELSEWHERE) + "/models")
        page.get_by_role("radio", name="Full").click()
        page.get_by_text("Until this has been run where the app runs").wait_for()
        settle(page)
        expect(page.get_by_role("button", name="Get it")).to_have_count(0)
        commands = page.locator("[data-testid=stCode]").all_inner_texts()
        names = ["blip-large ViT-H-14/laion2b_s32b_b79k", *weights.presets()]
        assert [command.strip() for command in commands] == [
            f"img2prompt models pull {name}" for name in names
        ]
        assert_accessible(page, "desktop-get-others")
    assert not hub.asked
