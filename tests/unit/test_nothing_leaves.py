"""The libraries that networks run in are told to report nothing to their makers."""

import os
import subprocess
import sys

from tests.helpers import ROOT
from tests.helpers.pictures import CHINA


def test_a_caption_leaves_nothing_behind_for_a_report(tmp_path):
    """ONNX Runtime keeps what it has not sent yet, and who it is for, in the folders of the user."""
    places = {name: str(tmp_path) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | places
    command = [sys.executable, "-m", "img2prompt", "caption", str(CHINA), "--engine", "lite"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0 and "building" in done.stdout, done.stderr
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
