"""Two apps and one browser for all of these tests."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.helpers.browser import launch
from tests.helpers.server import Server, serve


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright) -> Iterator[Browser]:
    with launch(playwright, "--use-fake-device-for-media-stream") as browser:
        yield browser


@pytest.fixture(scope="package")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of an app without a history. It may keep nothing, wherever it puts an upload meanwhile."""
    folder = tmp_path_factory.mktemp("server")
    with serve(folder, IMG2PROMPT_HISTORY="off") as server:
        yield server.address
        assert [file for file in folder.rglob("*") if file.is_file()] == []


@pytest.fixture(scope="package")
def home(tmp_path_factory, small_models) -> Iterator[Server]:
    """An app that keeps batches and a history, and has a small caption model, a small CLIP and no other parts."""
    folder = tmp_path_factory.mktemp("home")
    places = {"IMG2PROMPT_MODELS": small_models, "HF_HUB_CACHE": folder, "XDG_DATA_HOME": folder / "user"}
    with serve(folder, **{name: str(place) for name, place in places.items()}) as server:
        yield server
