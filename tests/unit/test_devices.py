"""Where networks run, and with how many threads."""

import os
import sys
from dataclasses import replace

import pytest

from img2prompt import doctor, threads
from img2prompt.engines.full.parts import find_parts, load_regressor
from img2prompt.engines.registry import choose, find_device
from img2prompt.errors import ConfigError, WeightsError
from img2prompt.settings import Settings


@pytest.fixture
def no_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)


def test_without_pytorch_the_device_is_the_processor(no_pytorch):
    assert find_device("auto") == find_device("auto", "onnxruntime") == find_device("cpu") == "cpu"
    assert doctor.graphics() is None


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_without_pytorch_says_what_to_install(no_pytorch, name):
    with pytest.raises(
        ConfigError, match=rf"device is '{name}', which needs PyTorch\. Run: .*install \"?torch"
    ):
        find_device(name)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_the_bundled_engine_finds_no_gpu_without_a_runtime_for_it(name):
    if "CUDAExecutionProvider" in pytest.importorskip("onnxruntime").get_available_providers():
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match=f"device is '{name}', but ONNX Runtime finds no such GPU"):
        find_device(name, "onnxruntime")


def test_parts_that_nothing_can_run_are_not_installed(no_pytorch, small_models, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_MODELS", str(small_models))
    settings = Settings(
        engine="full", caption_model="blip-base", clip_model="ViT-L-14/openai", regressor="none"
    )
    with pytest.raises(WeightsError, match=r"The full engine needs torch\. Run: .*install"):
        find_parts(settings)
    assert choose(replace(settings, engine="auto")).settings.engine == "lite"


def test_a_regressor_without_pytorch_says_what_to_install(no_pytorch, tmp_path):
    with pytest.raises(
        WeightsError, match=r"A trained regressor needs torch(?:, torchvision, timm)?\. Run: .*install"
    ):
        load_regressor(tmp_path, "cpu", "auto", 4)


@pytest.mark.parametrize(("said", "count"), [("3", 3), ("2,4", 2)])
def test_threads_are_as_many_as_openmp_is_told(monkeypatch, said, count):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads.count() == count


@pytest.mark.parametrize("said", [None, "", "0", "many"])
def test_threads_are_one_a_core_unless_a_number_is_said(monkeypatch, said):
    monkeypatch.delenv("OMP_NUM_THREADS")
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert 1 <= threads.count() <= (os.cpu_count() or 1)
