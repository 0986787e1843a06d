"""Shared fixtures."""

from __future__ import annotations

import os

# One thread for each process that a test starts, too: two that wait for each other on cores that a
# browser or another server has taken are many times slower. OpenMP reads it once, with torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import streamlit as st
from streamlit.runtime.context import StreamlitHeaders

from img2prompt import Pipeline, load_pipeline, weights
from tests.helpers import CHROMIUM, ROOT, SMALL_BLIP, SMALL_CLIP, hub
from tests.helpers.pictures import CHINA, FLOWER

if find_spec("torch") is None:  # make test-lite: these need what make install does not bring
    collect_ignore = [
        "app/test_explore_page.py",
        "app/test_load.py",
        "browser",
        "deploy",
        "fuzz",
        "training",
        "unit/test_blend.py",
        "unit/test_captioner.py",
        "unit/test_clean_and_deduplicate.py",
        "unit/test_full_engine.py",
        "unit/test_generate.py",
        "unit/test_members.py",
        "unit/test_networks.py",
        "unit/test_parity.py",
        "unit/test_ray_pool.py",
        "unit/test_survey.py",
        "unit/test_weights.py",
    ]


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker("data")
        if ROOT / "tests" / "browser" in item.path.parents:
            item.add_marker("browser")
        if CHROMIUM is None and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="needs Debian's chromium: apt-get install chromium"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets (``IMG2PROMPT_SHARED_DATA``, else ``../shared/data``); without it the test skips."""
    default = ROOT.parent / "shared" / "data"
    folder = Path(os.environ.get("IMG2PROMPT_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the data sets, and there is no {folder} (name one with IMG2PROMPT_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def offline():
    """Every attempt to reach another machine fails."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def here(host) -> bool:
        name = host.decode() if isinstance(host, bytes) else host
        return name in (None, "", "localhost", "::1", "0.0.0.0", "::") or name.startswith("127.")

    def guarded_connect(self, address):
        assert self.family == socket.AF_UNIX or here(address[0]), f"a test connects to {address}"
        return connect(self, address)

    def guarded_look_up(host, *arguments, **options):
        assert here(host), f"a test looks up {host}"
        return look_up(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield


@pytest.fixture(scope="session", autouse=True)
def temporary_folders(tmp_path_factory) -> Iterator[None]:
    """The history of every app that a test opens is a temporary file, and nobody's own tones, weights or caches count.

    The vectors of labels are cached once for all tests, those in other processes of pytest-xdist too.
    """
    folder = tmp_path_factory.mktemp("user")
    everybody = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        everybody = everybody.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2PROMPT_DATABASE_URL", f"sqlite:///{folder / 'history.db'}")
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        patch.setenv("XDG_CACHE_HOME", str(everybody / "cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_cookies() -> Iterator[None]:
    """The browser that `AppTest` pretends to be remembers nothing; of its own it has a mock that answers all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(st.context), "cookies", {})
        yield


@pytest.fixture(autouse=True)
def request_headers(monkeypatch) -> Callable[..., None]:
    """Sets the headers of the requests that `AppTest` pretends to make; by default somebody at this machine asks.

    Of its own it has none, and an address that is none.
    """

    def ask_with(headers: Mapping[str, str]) -> None:
        monkeypatch.setattr(type(st.context), "headers", StreamlitHeaders(headers.items()))

    monkeypatch.setattr(type(st.context), "ip_address", None)
    ask_with({"Host": "localhost:8501", "Origin": "http://localhost:8501"})
    return ask_with


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    """The pipeline on the bundled weights, loaded once."""
    return load_pipeline(engine="lite", device="cpu")


@pytest.fixture(scope="session")
def sample_photos() -> list[str]:
    """Two real photos: a temple by the water and a flower."""
    return [str(CHINA), str(FLOWER)]


@pytest.fixture(scope="session")
def small_models(tmp_path_factory) -> Path:
    """A folder of models with a small caption model and a small CLIP."""
    torch = pytest.importorskip("torch")
    from tests.helpers.fresh_models import save_blip, save_clip

    root = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    save_blip(weights.folder_in(root, "caption", SMALL_BLIP), hub.BLIP_VISION, hub.BLIP_TEXT)
    save_clip(weights.folder_in(root, "clip", SMALL_CLIP), hub.CLIP)
    return root


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """A context in which no file can grow beyond a number of bytes, as on a disk that has no more."""
    resource = pytest.importorskip("resource", reason="needs limits on the size of a file")

    @contextmanager
    def limit(most: int) -> Iterator[None]:
        usual = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, usual[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)

    return limit
