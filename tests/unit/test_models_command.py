"""`img2prompt models` against a hub on this machine, with nothing else in reach."""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import huggingface_hub.constants
import pytest

from img2prompt import weights
from img2prompt.cli.main import main
from tests.helpers.hub import COMMIT, Hub, serve, use

CLIP = "ViT-B-16/laion2b_s34b_b88k"  # one that open_clip knows and the table does not, so nothing is pinned
CLIP_REPOSITORY = "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"
CONFIG, WEIGHTS = (
    "open_clip_config.json",
    "open_clip_model.safetensors",
)  # the hub keeps the first without LFS
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as hub:
        yield hub


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch) -> None:
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            assert address[0] in ("127.0.0.1", "::1"), f"something reaches for {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def run(hub, tmp_path, monkeypatch, capsys) -> Run:
    """Run `img2prompt models …`: (exit code, stdout, stderr)."""
    use(hub, tmp_path, monkeypatch)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["models", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err and "reaches for" not in captured.err
        return left.value.code, captured.out, captured.err

    return run


def test_pull_list_verify_path(hub, run, tmp_path, blip, clip):
    (unused := shutil.copytree(blip, tmp_path / "blip")).joinpath("pytorch_model.bin").write_bytes(
        b"a pickle"
    )
    hub.add("Salesforce/blip-image-captioning-base", COMMIT, unused)
    hub.add(CLIP_REPOSITORY, COMMIT, clip)
    blip_folder, clip_folder = (
        tmp_path / "models" / name for name in ("caption/blip-base", "clip/ViT-B-16--laion2b_s34b_b88k")
    )

    code, out, _ = run("pull", "blip-base", CLIP)
    assert (code, out) == (0, f"blip-base is now in {blip_folder}\n{CLIP} is now in {clip_folder}\n")
    assert "/api/models/Salesforce/blip-image-captioning-base/revision/refs/pr/50" in hub.asked
    assert not [path for path in hub.asked if path.endswith(".bin")]
    assert {file.name for file in blip_folder.iterdir()} == {file.name for file in blip.iterdir()} | {
        weights.LOCK
    }
    lock = json.loads((clip_folder / weights.LOCK).read_text())
    content = (clip / "open_clip_model.safetensors").read_bytes()
    assert (lock["repository"], lock["commit"]) == (CLIP_REPOSITORY, COMMIT)
    expected = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert lock["files"]["open_clip_model.safetensors"] == expected

    asked = len(hub.asked)
    code, out, _ = run("pull", "blip-base")
    assert (code, out) == (0, f"blip-base is installed in {blip_folder}\n")
    parts = {part["name"]: part for part in json.loads(run("list", "--json")[1])["parts"]}
    assert parts["blip-base"]["folder"] == str(blip_folder) and parts["blip-large"]["folder"] is None
    assert parts["blip-large"]["bytes"] == 1_879_014_680 and parts["blip-large"]["license"] == "BSD-3-Clause"
    code, out, _ = run("list")
    assert code == 0 and f"blip-base is in {blip_folder}" in out and "ViT-H-14/laion2b_s32b_b79k" in out
    assert run("path") == (0, f"{tmp_path / 'models'}\n", "")
    assert run("path", "blip-base") == (0, f"{blip_folder}\n", "")
    assert run("verify") == (0, f"blip-base: intact, compared with the hub's hashes of {COMMIT[:7]}\n", "")
    assert len(hub.asked) == asked  # none of this asks the hub

    file = blip_folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    code, out, err = run("verify", "blip-base", CLIP)
    assert code == 1 and out.startswith(f"{CLIP}: intact") and "SHA-256 of model.safetensors" in err
    file.write_bytes(file.read_bytes()[:-1])
    code, _, err = run("verify")
    assert code == 1 and f"model.safetensors has {file.stat().st_size} bytes instead of" in err
    assert run("pull", "blip-base")[0] == 0  # a damaged part is fetched again
    assert run("verify", "blip-base")[0] == 0
    assert not [
        path for path in (tmp_path / "models" / ".incomplete").rglob("*") if path.suffix == ".safetensors"
    ]


def test_stopped_download_goes_on(hub, run, tmp_path, clip):
    hub.add(CLIP_REPOSITORY, COMMIT, clip)
    hub.cut = 11_000_000  # the line breaks there, and the hub is busy from then on
    code, _, err = run("pull", CLIP)
    assert code == 1 and "503" in err and weights.locate(weights.part(CLIP), [tmp_path / "models"]) is None
    [partial] = (tmp_path / "models").rglob("*.part")
    got = partial.stat().st_size
    assert got >= 10_000_000

    hub.cut = None
    hub.ranges.clear()
    code, _, err = run("pull", CLIP)
    assert code == 0 and f"{WEIGHTS}: 100%" in err  # the bar
    assert hub.ranges == [f"bytes={got}-"]
    assert run("verify", CLIP)[0] == 0


def test_damage_on_the_way_is_seen(hub, run, tmp_path, clip):
    hub.add(CLIP_REPOSITORY, COMMIT, clip)
    hub.spoilt = {"open_clip_model.safetensors"}
    code, _, err = run("pull", CLIP)
    assert code == 1 and "was damaged on its way" in err and f"img2prompt models pull {CLIP}" in err
    assert not (tmp_path / "models" / "clip").exists()
    hub.spoilt = set()
    assert run("pull", CLIP)[0] == 0


CONFIG, WEIGHTS = (
    "open_clip_config.json",
    "open_clip_model.safetensors",
)  # the hub keeps the first without LFS


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_files_of_another_size_or_hash_are_refused(hub, run, tmp_path, clip, name):
    hub.add(CLIP_REPOSITORY, COMMIT, clip)
    length = (clip / name).stat().st_size
    damages = (
        ({"spoilt": {name}}, r"its (SHA-256|Git hash) is"),
        ({"sizes": {name: length + 3}}, f"it has {length} bytes instead of {length + 3}"),
        ({"sizes": {name: length - 3}}, f"it has {length} bytes instead of {length - 3}"),
    )
    for damage, told in damages:
        vars(hub).update({"spoilt": set(), "sizes": {}} | damage)
        code, _, err = run("pull", CLIP)
        assert code == 1 and f"{name} of {CLIP} was damaged on its way: " in err and re.search(told, err)
        assert not (tmp_path / "models" / "clip").exists()
    hub.sizes = {}
    assert run("pull", CLIP)[0] == 0


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_what_cannot_be_the_beginning_of_a_file_is_fetched_anew(hub, run, tmp_path, clip, name):
    hub.add(CLIP_REPOSITORY, COMMIT, clip)
    workshop = weights.folder_in(tmp_path / "models" / ".incomplete", "clip", f"{CLIP}@{COMMIT}")
    workshop.mkdir(parents=True)
    content = (clip / name).read_bytes()
    partial = workshop / f"{name}.part"
    partial.write_bytes(content)
    hub.sizes = {name: len(content) + 3}  # so that the rest is asked for, of which there is none
    code, _, err = run("pull", CLIP)
    assert code == 1 and "416" in err and not partial.read_bytes()
    hub.sizes = {}
    partial.write_bytes(content + b"more")
    assert run("pull", CLIP)[0] == 0
    assert (tmp_path / "models" / "clip" / "ViT-B-16--laion2b_s34b_b88k" / name).read_bytes() == content


@pytest.mark.parametrize("silence", [{"sizes": {CONFIG: None}}, {"unhashed": {CONFIG}}])
def test_what_could_not_be_checked_is_not_fetched(hub, run, tmp_path, clip, silence):
    hub.add(CLIP_REPOSITORY, COMMIT, clip)
    vars(hub).update(silence)
    code, _, err = run("pull", CLIP)
    assert code == 1 and f"does not say how large {CONFIG} is or what its hash is" in err
    assert not hub.ranges and not (tmp_path / "models").exists()


def test_what_was_not_published_is_refused(hub, run, tmp_path, clip):
    part = weights.part("ViT-B-32/laion2b_s34b_b79k")
    hub.add(part.repository, part.revision, clip)
    code, _, err = run("pull", part.name)
    assert code == 1 and part.sha256["open_clip_model.safetensors"] in err
    assert not hub.ranges and not (tmp_path / "models" / "clip").exists()


def test_repository_with_pickles_only_is_refused(hub, run, tmp_path, blip):
    source = shutil.copytree(blip, tmp_path / "source")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    hub.add("microsoft/git-large-coco", COMMIT, source)
    code, _, err = run("pull", "git-large-coco")
    assert code == 1 and "pytorch_model.bin is a pickle, which is never loaded" in err


def test_full_disk_is_told_before_anything_is_fetched(hub, run, tmp_path, blip, clip):
    hub.add("Salesforce/blip-image-captioning-base", COMMIT, blip)
    hub.add(CLIP_REPOSITORY, COMMIT, clip)
    hub.sizes = {"open_clip_model.safetensors": 10**15}
    code, _, err = run("pull", "blip-base", CLIP)
    assert (
        code == 1
        and f"blip-base, {CLIP}: 1000000.0 GB more are needed" in err
        and "GB are missing. Make room" in err
    )
    assert not hub.ranges and not (tmp_path / "models").exists()


def test_without_a_hub_the_command_to_run_is_told(run, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    code, out, err = run("pull", "blip-base")
    assert code == 1 and not out
    assert "img2prompt models pull blip-base --from DIR" in err and err.count("img2prompt: ") == 1
    monkeypatch.undo()


@pytest.mark.slow
def test_hub_and_folder_come_from_the_environment(hub, tmp_path, clip):
    hub.add(CLIP_REPOSITORY, COMMIT, clip)
    settings = {"HF_ENDPOINT": hub.address, "IMG2PROMPT_MODELS": str(tmp_path / "models")}
    command = [sys.executable, "-m", "img2prompt", "models", "pull", CLIP]
    subprocess.run(command, env=os.environ | settings, check=True, timeout=300)
    assert weights.locate(weights.part(CLIP), [tmp_path / "models"])
    settings["HF_ENDPOINT"] = "http://127.0.0.1:9"  # nobody answers there
    command[-1] = "blip-base"
    done = subprocess.run(
        command, env=os.environ | settings, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1 and "img2prompt models pull blip-base --from DIR" in done.stderr


def test_local_copy_needs_no_hub(hub, run, tmp_path, blip):
    code, out, _ = run("pull", "blip-large", "--from", blip)
    assert (code, out) == (0, f"blip-large is now in {tmp_path / 'models' / 'caption' / 'blip-large'}\n")
    assert run("verify")[1] == "blip-large: intact, compared with the hashes taken when it was copied\n"
    code, _, err = run("pull", "full", "--from", tmp_path / "models")
    assert code == 2 and "cannot be used as ViT-H-14/laion2b_s32b_b79k" in err
    assert not hub.asked


def test_a_local_copy_takes_nothing_from_elsewhere(hub, run, tmp_path, clip):
    """Somebody else's folder may hold a link to a file of one's own, which a copy would publish."""
    source = shutil.copytree(clip, tmp_path / "theirs")
    (source / CONFIG).unlink()
    (source / CONFIG).symlink_to(clip / CONFIG)
    code, _, err = run("pull", CLIP, "--from", source)
    assert code == 2 and f"{source / CONFIG} leads to {clip / CONFIG}, outside of {source}" in err
    (tmp_path / "several" / "clip").mkdir(parents=True)
    weights.folder_in(tmp_path / "several", "clip", CLIP).symlink_to(clip)
    code, _, err = run("pull", CLIP, "--from", tmp_path / "several")
    assert code == 2 and "outside of" in err and not (tmp_path / "models").exists()


@pytest.mark.parametrize("named", [".", "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K/snapshots/COMMIT"])
def test_a_local_copy_follows_the_links_of_the_hubs_cache(hub, run, tmp_path, clip, named):
    part = weights.part("ViT-B-32/laion2b_s34b_b79k")
    repository = tmp_path / "hub" / f"models--{part.repository.replace('/', '--')}"
    snapshot = repository / "snapshots" / part.revision
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for number, name in enumerate((CONFIG, WEIGHTS)):
        shutil.copyfile(clip / name, repository / "blobs" / str(number))
        (snapshot / name).symlink_to(f"../../blobs/{number}")
    code, _, _ = run("pull", part.name, "--from", tmp_path / "hub" / named.replace("COMMIT", part.revision))
    assert code == 0
    copied = tmp_path / "models" / "clip" / "ViT-B-32--laion2b_s34b_b79k"
    assert not (copied / WEIGHTS).is_symlink()
    assert (copied / WEIGHTS).read_bytes() == (clip / WEIGHTS).read_bytes()


def test_damage_in_the_cache_is_left_to_its_owner(hub, run, tmp_path, blip, monkeypatch):
    """Fetched anew, the part would lie where it is looked for only after the cache."""
    monkeypatch.delenv("IMG2PROMPT_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    part = weights.part("blip-large")
    snapshot = (
        tmp_path / "cache" / "models--Salesforce--blip-image-captioning-large/snapshots" / part.revision
    )
    shutil.copytree(blip, snapshot)
    assert run("pull", part.name)[1] == f"blip-large is installed in {snapshot}\n"
    (snapshot / "model.safetensors").write_bytes(b"half a download")
    code, _, err = run("pull", part.name)
    assert code == 1 and f"Delete {snapshot} first" in err and not hub.asked


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["pull", "blip-huge"], 2, "There is no part 'blip-huge'"),
        (["pull"], 2, "PRESET|PART"),
        (["pull", "small", "--from", "nowhere"], 2, "nowhere is no folder"),
        (["verify", "blip-large"], 1, "img2prompt models pull blip-large"),
        (["path", "blip-large"], 1, "img2prompt models pull blip-large"),
        (["path", "small"], 2, "florence-2-base, ViT-B-32"),
    ],
)
def test_errors_say_what_to_do(run, arguments, code, told):
    found, _, err = run(*arguments)
    assert found == code and told in err
