"""Shared fixtures."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import sklearn.datasets
import streamlit as st
from streamlit.runtime.context import StreamlitHeaders

from img2prompt import Pipeline, load_pipeline


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets (``IMG2PROMPT_SHARED_DATA``, else ``../shared/data``); without it the test skips."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("IMG2PROMPT_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the data sets, and there is no {folder} (name one with IMG2PROMPT_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def offline():
    """Every attempt to reach another machine fails."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def here(host) -> bool:
        return host in (None, "", "localhost", "::1", "0.0.0.0", "::") or str(host).startswith("127.")

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
def temporary_history(tmp_path_factory) -> Iterator[None]:
    """The history of every app that a test opens is a temporary file."""
    with pytest.MonkeyPatch.context() as patch:
        file = tmp_path_factory.mktemp("history") / "history.db"
        patch.setenv("IMG2PROMPT_DATABASE_URL", f"sqlite:///{file}")
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
    """Two real photos that scikit-learn ships: a temple by the water and a flower."""
    folder = Path(sklearn.datasets.__file__).parent / "images"
    return [str(folder / "china.jpg"), str(folder / "flower.jpg")]
