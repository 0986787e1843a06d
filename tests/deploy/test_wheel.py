"""The wheel in a new environment, away from the checkout."""

import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.helpers import ROOT
from tests.helpers.browser import launch

PATIENCE = 240  # seconds until the app must be well
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("PYTHON", "IMG2PROMPT_", "STREAMLIT_"))
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", folder, ROOT], check=True)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> Path:
    """The bin folder of an environment with the wheel; what it needs is read from this environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name == "posix")
    place = sysconfig.get_path("scripts", "venv", {"base": str(folder)})
    python = Path(place) / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, wheel], check=True)
    # Folders that a .pth names are searched, but what other .pth files there add (this checkout) is not.
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    show = "import img2prompt, sys; print(img2prompt.__file__); print(*sys.path, sep='\\n')"
    found = subprocess.check_output([python, "-c", show], text=True, env=ENVIRONMENT, cwd=folder).splitlines()
    assert Path(found[0]).is_relative_to(packages) and str(ROOT) not in found
    return Path(place)


@pytest.fixture(scope="module")
def app(programs, tmp_path_factory) -> Iterator[str]:
    """The address of the app that the wheel's command started."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    address = f"http://localhost:{port}"
    history = f"sqlite:///{tmp_path_factory.mktemp('history') / 'history.db'}"
    process = subprocess.Popen(
        [programs / "img2prompt", "app", "--headless", "--port", str(port)],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**ENVIRONMENT, "IMG2PROMPT_DATABASE_URL": history},
    )
    try:
        start = time.monotonic()
        while True:
            assert process.poll() is None, "the app ended"
            assert time.monotonic() - start < PATIENCE
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as answer:
                    assert answer.read() == b"ok"
                    break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def test_carries_what_a_checkout_has(wheel):
    pages = list((ROOT / "pages").glob("*.py"))
    assert pages
    tracked = [path for name in ("assets", "models/lite") for path in (ROOT / name).rglob("*")]
    tracked += [ROOT / "app.py", ROOT / ".streamlit" / "config.toml", *pages]
    beside = {
        f"img2prompt/_bundled/{path.relative_to(ROOT).as_posix()}"
        for path in tracked
        if path.is_file() and "__pycache__" not in path.parts
    }
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "img2prompt").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (about,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(about).decode()
    assert "img2prompt/py.typed" in package
    assert names == beside | package
    assert re.search(r"^Requires-Dist: onnxruntime\S+$", metadata, re.MULTILINE)
    assert re.search(r"^Requires-Dist: torch==\S+; extra == 'full'$", metadata, re.MULTILINE)
    assert re.search(r"^Requires-Dist: ray\[data\]\S+; extra == 'ray'$", metadata, re.MULTILINE)


def test_captions_a_photo(programs, sample_photos, tmp_path):
    command = [programs / "img2prompt", "caption", "--engine", "lite", "--json", sample_photos[0]]
    answer = json.loads(subprocess.check_output(command, text=True, cwd=tmp_path, env=ENVIRONMENT))
    assert "building" in answer["caption"] and answer["engine"] == "lite"


def test_names_a_command_that_installs_what_is_missing(programs, tmp_path):
    python = programs / "python"
    code = "from img2prompt.libraries import install; print(install('diffusers', 'unheard-of'))"
    said = subprocess.check_output([python, "-c", code], text=True, cwd=tmp_path, env=ENVIRONMENT).strip()
    assert re.fullmatch(rf'Run: {re.escape(str(python))} -m pip install "diffusers\S+" unheard-of', said)


def test_starts_the_app(app):
    with urllib.request.urlopen(app) as answer:
        assert b'<div id="root">' in answer.read()


@pytest.mark.browser
def test_the_app_looks_as_in_a_checkout(app):
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(locale="en-US", color_scheme="light")
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(app)
        page.get_by_test_id("stTopNav").get_by_role("link", name="Batch").wait_for()
        page.get_by_role("heading", level=1).wait_for()
        ground = page.locator(".stApp").evaluate("element => getComputedStyle(element).backgroundColor")
        assert ground == "rgb(253, 252, 250)"  # of the theme in .streamlit/config.toml
        assert page.locator("[data-testid=stHeaderLogo], [data-testid=stSidebarLogo]").count()
        browser.close()
