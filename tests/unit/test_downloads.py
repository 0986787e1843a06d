"""Downloads in the background, from a hub on this machine: paused, continued, broken off, one at a time."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import pytest
from filelock import FileLock

from img2prompt import weights
from img2prompt.cli.main import main
from img2prompt.errors import WeightsError
from img2prompt.weights import fetch
from img2prompt.weights.downloads import Downloads, Pace
from tests.helpers import ROOT
from tests.helpers.hub import COMMIT, Hub, save_captioner, serve, use

PART, OTHER = weights.part("blip-base"), weights.part("git-large-coco")  # neither has a hash in the table
MEGABYTE = 1_000_000
PATIENCE = 300  # seconds


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    with serve() as hub:
        use(hub, tmp_path, monkeypatch)
        folder = save_captioner(tmp_path / "published")
        for part in (PART, OTHER):
            hub.add(part.repository, COMMIT, folder)
        yield hub


@pytest.fixture
def downloads() -> Iterator[Downloads]:
    downloads = Downloads()
    yield downloads
    downloads.pause()
    downloads.wait(PATIENCE)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def done(downloads: Downloads) -> int:
    step = downloads.status().step
    return step.done if step else 0


def partial() -> Path:
    [file] = (weights.home() / ".incomplete").rglob("*.part")
    return file


def pause_at(downloads: Downloads, hub: Hub, bytes: int) -> int:
    """Fetch `PART`, and pause when so much has come; how much of its weights is there."""
    hub.most = bytes
    downloads.start([PART])
    until(lambda: done(downloads) > bytes - fetch.CHUNK)
    downloads.pause()
    assert downloads.status().pausing
    hub.let_go()
    downloads.wait(PATIENCE)
    return partial().stat().st_size


def test_parts_are_fetched_one_after_the_other_and_it_is_told_how_far(hub):
    called = []
    downloads = Downloads(on_installed=lambda: called.append(downloads.status().step.part.name))
    hub.most = MEGABYTE
    downloads.start([PART, OTHER])
    until(lambda: done(downloads) > MEGABYTE // 2)
    status = downloads.status()
    assert status.working and not status.pausing and not status.installed
    assert status.names == (PART.name, OTHER.name)
    assert status.step.stage == "fetching" and status.step.file == "model.safetensors"
    assert status.step.file_bytes == status.step.total // 2 - 6  # two parts, each with three files of {}
    hub.let_go()
    downloads.wait(PATIENCE)
    status = downloads.status()
    assert not status.working and not status.error and status.rate is None
    assert status.installed == (PART.name, OTHER.name)
    assert status.step.stage == "installed" and status.step.done == status.step.total
    assert called == [PART.name, OTHER.name]
    for part in (PART, OTHER):
        assert weights.verify(part, weights.locate(part)) == f"the hub's hashes of {COMMIT[:7]}"
    assert not fetch.begun(PART)


def test_what_is_installed_is_not_fetched_again(hub, downloads):
    downloads.start([PART])
    downloads.wait(PATIENCE)
    asked = len(hub.asked)
    downloads.start([PART])
    downloads.wait(PATIENCE)
    downloads.start([PART, OTHER])
    downloads.wait(PATIENCE)
    assert downloads.status().names == (OTHER.name,)
    assert not [path for path in hub.asked[asked:] if PART.repository in path]


def test_paused_it_stops_and_goes_on_where_it_was(hub, downloads):
    got = pause_at(downloads, hub, 2 * MEGABYTE)
    status = downloads.status()
    assert not status.working and not status.pausing and not status.error
    assert 2 * MEGABYTE - fetch.CHUNK <= got < 3 * MEGABYTE and weights.locate(PART) is None
    assert got < fetch.begun(PART) < got + 100  # and the small files before it
    assert fetch.begun(OTHER) == 0
    hub.ranges.clear()
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert hub.ranges == [f"bytes={got}-"]
    assert weights.locate(PART) and not downloads.status().error


@pytest.mark.parametrize("command", [False, True])
def test_another_program_goes_on_too(hub, downloads, command):
    got = pause_at(downloads, hub, 2 * MEGABYTE)
    hub.ranges.clear()
    if command:
        with pytest.raises(SystemExit) as left:
            main(["models", "pull", PART.name])
        assert left.value.code == 0
    else:
        again = Downloads()
        again.start([PART])
        again.wait(PATIENCE)
    assert hub.ranges == [f"bytes={got}-"] and weights.locate(PART)


def test_it_stops_while_the_files_are_checked(hub):
    """A hash of 15 GB takes a while."""
    steps = fetch.pull([PART])
    next(step for step in steps if step.stage == "checking" and step.file == "model.safetensors")
    steps.close()
    assert weights.locate(PART) is None and not partial_files()
    hub.ranges.clear()
    assert [step.stage for step in fetch.pull([PART])][-1] == "installed"
    assert not hub.ranges  # it had all come


def partial_files() -> list[Path]:
    return list((weights.home() / ".incomplete").rglob("*.part"))


def test_one_at_a_time(hub, downloads):
    hub.most = MEGABYTE
    downloads.start([PART])
    until(lambda: done(downloads))
    with pytest.raises(WeightsError, match=f"Another download is running: {PART.name}"):
        downloads.start([OTHER])
    hub.let_go()
    downloads.wait(PATIENCE)
    downloads.start([OTHER])
    downloads.wait(PATIENCE)
    assert weights.locate(PART) and weights.locate(OTHER)


def test_what_another_program_fetches_is_left_alone(hub, downloads):
    pause_at(downloads, hub, MEGABYTE)
    workshop = partial().parent
    with FileLock(workshop.with_name(f"{workshop.name}.lock")):
        downloads.start([PART])
        downloads.wait(PATIENCE)
        assert "is being fetched by another process" in downloads.status().error
        with pytest.raises(WeightsError, match="is being fetched by another process"):
            downloads.discard([PART])
    assert fetch.begun(PART)


def test_it_is_told_before_the_first_byte_that_the_disk_is_too_small(hub, downloads):
    hub.sizes = {"model.safetensors": 10**15}
    downloads.start([PART])
    downloads.wait(PATIENCE)
    error = downloads.status().error
    assert f"{PART.name}: 1000000.0 GB more are needed" in error and "GB are missing" in error
    assert not hub.ranges


def test_a_disk_that_fills_up(hub, downloads, full_disk):
    with full_disk(3 * MEGABYTE):
        downloads.start([PART])
        downloads.wait(PATIENCE)
    status = downloads.status()
    assert "blip-base could not be written to" in status.error and not status.working
    assert fetch.begun(PART) >= 2 * MEGABYTE
    downloads.start([PART])
    assert not downloads.status().error
    downloads.wait(PATIENCE)
    assert weights.locate(PART)


def test_a_folder_that_cannot_be_written(hub, downloads, tmp_path):
    (tmp_path / "models").write_text("a file")
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert "could not be written to" in downloads.status().error


def test_damage_on_the_way_is_told_and_fetched_again(hub, downloads):
    hub.spoilt = {"model.safetensors"}
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert "was damaged on its way: its SHA-256 is" in downloads.status().error
    assert weights.locate(PART) is None and not partial_files()
    hub.spoilt.clear()
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert weights.locate(PART) and not downloads.status().error


def test_a_line_that_breaks_and_comes_back(hub, downloads):
    hub.busy = 2  # as many in a row as it has patience for
    hub.breaks = [MEGABYTE, 3 * MEGABYTE]
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert not downloads.status().error and weights.locate(PART)
    assert hub.ranges[:3] == ["", "", ""] and len(hub.ranges) == 5 and all(hub.ranges[3:])


def test_it_waits_a_while_for_a_line_that_is_gone(hub, monkeypatch):
    monkeypatch.setattr(fetch, "WAITS", (3, 5))
    slept = []
    monkeypatch.setattr(fetch, "time", SimpleNamespace(sleep=slept.append))
    hub.cut = 2 * MEGABYTE
    stages = []
    with pytest.raises(WeightsError, match="503"):
        for step in fetch.pull([PART]):
            stages.append(step.stage)
    assert slept == [1] * 8 and stages.count("waiting") == 8 and stages[-1] == "waiting"


def test_a_line_that_does_not_come_back(hub, downloads):
    hub.cut = 2 * MEGABYTE
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert "The hub does not give Salesforce/blip-image-captioning-base" in downloads.status().error
    got = partial().stat().st_size
    assert got > MEGABYTE
    hub.cut = None
    hub.ranges.clear()
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert weights.locate(PART) and hub.ranges == [f"bytes={got}-"]


def test_a_line_that_falls_silent(hub, downloads, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    hub.most = MEGABYTE
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert "The Hugging Face hub cannot be reached" in downloads.status().error
    assert fetch.begun(PART) >= MEGABYTE // 2


def test_a_hub_out_of_reach(hub, downloads, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    downloads.start([PART])
    downloads.wait(PATIENCE)
    status = downloads.status()
    assert "The Hugging Face hub cannot be reached" in status.error
    assert status.step.stage == "asking" and not status.step.total


def test_what_was_not_foreseen_ends_in_a_sentence_too(hub, downloads, monkeypatch):
    monkeypatch.setattr(fetch, "check_space", lambda *_: 1 / 0)
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert downloads.status().error.startswith("Something went wrong") and not downloads.status().working


def test_what_has_come_can_be_deleted(hub, downloads):
    pause_at(downloads, hub, 2 * MEGABYTE)
    neighbour = weights.folder_in(weights.home() / ".incomplete", PART.kind, f"{PART.name}/x@{COMMIT}")
    neighbour.mkdir()
    (neighbour / "model.safetensors.part").write_bytes(b"of another part")
    hub.cut = MEGABYTE
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert downloads.status().error
    hub.cut = None
    downloads.discard([PART])
    assert not downloads.status().error
    assert fetch.begun(PART) == 0 and [file.parent for file in partial_files()] == [neighbour]
    downloads.discard([PART])  # there is nothing
    hub.ranges.clear()
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert weights.locate(PART) and hub.ranges == [""]


PROGRAM = f"""
import sys, time
from img2prompt import weights
from img2prompt.weights.downloads import Downloads
downloads = Downloads()
downloads.start([weights.part({PART.name!r})])
while not (step := downloads.status().step) or step.done < 1_000_000:
    time.sleep(0.01)
"""


@pytest.mark.slow
def test_the_end_of_the_program_pauses_it(hub, downloads, tmp_path):
    """Even while the line is silent."""
    hub.most = 2 * MEGABYTE
    places = {"HF_ENDPOINT": hub.address, "HF_HUB_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | places,
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0 and not done.stderr
    got = partial().stat().st_size
    assert got >= MEGABYTE
    hub.let_go()
    hub.ranges.clear()
    downloads.start([PART])
    downloads.wait(PATIENCE)
    assert weights.locate(PART) and hub.ranges == [f"bytes={got}-"]


def test_pace():
    pace = Pace()
    assert pace.rate(0) is None
    for tenth in range(200):
        pace.note(tenth / 10, tenth * 1000)  # 10 kB a second
    assert pace.rate(19.9) == pytest.approx(10_000, rel=0.02)
    assert 4_000 < pace.rate(25) < 6_000  # nothing for five seconds
    assert pace.rate(40) is None
    pace.note(40, 5 * MEGABYTE)
    assert pace.rate(40) is None  # of one moment
    pace.note(42, 6 * MEGABYTE)
    assert pace.rate(42) == pytest.approx(MEGABYTE / 2)
    pace.note(43, 0)  # begun anew
    assert pace.rate(43) is None
