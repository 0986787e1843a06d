"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import sklearn.datasets

from img2prompt import Pipeline, load_pipeline


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets (``IMG2PROMPT_SHARED_DATA``, else ``../shared/data``); without it the test skips."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("IMG2PROMPT_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the data sets, and there is no {folder} (name one with IMG2PROMPT_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    """The pipeline on the bundled weights, loaded once."""
    return load_pipeline(engine="lite", device="cpu")


@pytest.fixture(scope="session")
def sample_photos() -> list[str]:
    """Two real photos that scikit-learn ships: a temple by the water and a flower."""
    folder = Path(sklearn.datasets.__file__).parent / "images"
    return [str(folder / "china.jpg"), str(folder / "flower.jpg")]
