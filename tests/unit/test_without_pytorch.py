"""What `make install` leaves out is not missed: the program in processes that cannot import it.

`make test-lite` runs this, and all fast tests beside it, where it really is not there.
"""

import csv
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.pictures import CHINA, FLOWER

LEFT_OUT = """
    accelerate diffusers faiss imagehash joblib matplotlib onnx onnxscript optuna plotly psycopg pywt ray scipy
    sentence_transformers tensorboard threadpoolctl timm torch torchvision transformers
""".split()


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """Variables for a Python without what is left out."""
    folder = tmp_path_factory.mktemp("site")
    code = f"import sys\nsys.modules.update(dict.fromkeys({LEFT_OUT!r}))\n"
    (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture
def run(environment, tmp_path):
    """Run a command: (exit code, stdout, stderr)."""

    def run(*arguments):
        command = [sys.executable, "-m", "img2prompt", *map(str, arguments)]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, cwd=tmp_path
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.skipif(Path(sys.prefix).name != ".venv-lite", reason="make test-lite runs it")
def test_the_environment_is_what_make_install_leaves():
    assert not [name for name in LEFT_OUT if find_spec(name)]


def test_a_photo_is_captioned(run):
    code, out, err = run("caption", CHINA, "--engine", "lite", "--json")
    assert code == 0, err
    record = json.loads(out)
    assert "building" in record["caption"] and record["caption"] in record["prompt"]
    assert record["engine"] == "lite" and record["labels"]["flavors"]


def test_a_folder_becomes_a_table(run, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, photo in enumerate([CHINA, FLOWER, CHINA]):
        (photos / f"{number}.jpg").write_bytes(photo.read_bytes())
    code, _, err = run("batch", photos, "-o", tmp_path / "captions.csv", "--engine", "lite")
    assert code == 0, err
    with open(tmp_path / "captions.csv", newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and rows[0]["caption"] == rows[2]["caption"] != rows[1]["caption"]


def test_prompts_are_embedded(run, tmp_path):
    assert run("embed", CHINA, "-o", tmp_path / "out.npz")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "needs"),
    [
        (["caption", CHINA, "--engine", "full"], ["torch", "torchvision", "timm", "transformers"]),
        (
            ["dataset", "explore", "prompts.csv", "-o", "out.html"],
            ["faiss-cpu", "joblib", "plotly", "scipy", "threadpoolctl"],
        ),
        (["dataset", "filter", "prompts.csv", "-o", "out.csv"], ["faiss-cpu"]),
        (
            ["train", "regressor", "pairs", "-o", "out"],
            ["torch", "torchvision", "timm", "accelerate", "tensorboard"],
        ),
        (["train", "knn", "pairs", "-o", "out"], ["faiss-cpu"]),
    ],
    ids=["full engine", "explore", "filter", "regressor", "knn"],
)
def test_a_command_that_needs_more_says_how_to_install_it(run, tmp_path, arguments, needs):
    (tmp_path / "prompts.csv").write_text("imgId,prompt\n1,a fox in the snow\n2,a boat on a lake\n")
    code, _, err = run(*arguments)
    assert code in (1, 2)  # weights or usage
    said = " ".join(err.split())
    assert f" needs {', '.join(needs)}. Run: " in said
    assert "-m pip install" in said and all(name in said.partition("install")[2] for name in needs)
