"""Where the parts of the full engine are found, and how damage shows. Nothing here uses a network."""

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import open_clip
import pytest
import torch
from clip_interrogator.clip_interrogator import CAPTION_MODELS
from PIL import Image
from safetensors.torch import load_file, save_file

from img2prompt import weights
from img2prompt.engines.full.engine import FullEngine
from img2prompt.engines.full.parts import find_parts
from img2prompt.errors import ConfigError, DataError, WeightsError
from img2prompt.files import sha256
from img2prompt.settings import Settings
from img2prompt.weights import fetch
from img2prompt.weights.verify import SHA256
from tests.helpers import ROOT

BLIP, CLIP = weights.part("blip-large"), weights.part("ViT-B-32/laion2b_s34b_b79k")


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path) -> dict[str, Path]:
    """Three empty folders of models: the one that is named, the hub's cache, and the user's."""
    found = {name: tmp_path / name for name in ("named", "cache", "user")}
    monkeypatch.setenv("IMG2PROMPT_MODELS", str(found["named"]))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(found["cache"]))
    monkeypatch.setenv("XDG_DATA_HOME", str(found["user"]))
    return found


def install(part: weights.Part, source: Path) -> Path:
    [(_, folder)] = fetch.copy([part], source)
    return folder


def in_hub_cache(cache: Path, part: weights.Part, source: Path, commit: str) -> Path:
    """What huggingface_hub makes of a download: links to blobs that are named by their SHA-256."""
    repository = cache / f"models--{part.repository.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for file in source.iterdir():
        blob = repository / "blobs" / sha256(file)
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


def test_table_agrees_with_clip_interrogator_and_open_clip():
    captions = {name: part.repository for name, part in weights.parts().items() if part.kind == "caption"}
    assert CAPTION_MODELS.items() <= captions.items()
    for name, part in weights.parts().items():
        if part.kind == "clip":
            assert open_clip.get_pretrained_cfg(*name.split("/"))["hf_hub"] == f"{part.repository}/"
        for digest in part.sha256.values():
            assert SHA256.fullmatch(digest)
    for names in weights.presets().values():
        assert [part.kind for part in weights.expand(names)] == ["caption", "clip"]
    defaults = Settings()
    assert weights.presets()["full"] == [defaults.caption_model, defaults.clip_model]


def test_presets_and_parts_are_named_once():
    assert [part.name for part in weights.expand(["sd1", "blip-large", "blip-base"])] == [
        "blip-large",
        "ViT-L-14/openai",
        "blip-base",
    ]
    assert weights.part("ViT-g-14/laion2b_s12b_b42k").repository == "laion/CLIP-ViT-g-14-laion2B-s12B-b42K"
    for name in ("blip-huge", "ViT-H-14/unheard-of", "../blip-base"):
        with pytest.raises(ConfigError, match="full, sd1"):
            weights.part(name)


@pytest.mark.parametrize(
    "name", ["..", "../..", "/etc/passwd", "a/../../b", "ViT-H-14/laion2b", "c:\\x", "."]
)
def test_no_name_leaves_the_folder_of_models(tmp_path, name):
    folder = weights.folder_in(tmp_path, "clip", name)
    assert folder.parent == tmp_path / "clip"
    assert folder.resolve() == folder


@pytest.mark.parametrize(
    "file",
    ["pytorch_model.bin", "model-/../../x-of-1.safetensors", "model-\\x-of-1.safetensors", "README.md"],
)
def test_no_other_file_is_taken(file):
    assert not weights.takes("caption", file)
    assert weights.takes("caption", "model-00001-of-00002.safetensors")


@pytest.mark.parametrize(
    "file",
    [
        *("chat_template.jinja", "chat_template.json", "processor_config.json", "preprocessor_config.json"),
        *("video_preprocessor_config.json", "tokenizer.json", "tokenizer.model", "merges.txt", "vocab.json"),
    ],
)
def test_what_a_chat_model_needs_is_taken(file):
    assert weights.takes("caption", file)


def test_sizes_agree_with_the_numbers_of_weights():
    """Two or four bytes a weight, as it is published."""
    for part in weights.parts().values():
        assert part.bytes and part.parameters and part.memory
        per_weight = part.bytes / part.parameters
        assert abs(per_weight - 2) < 0.1 or abs(per_weight - 4) < 0.1, part.name
        assert (
            weights.readable(part.memory) in (ROOT / "docs/models.md").read_text("utf-8")
            or part.kind != "caption"
        )


def test_named_folder_comes_first_then_the_cache_then_the_users(monkeypatch, places, blip):
    shutil.copytree(
        blip, weights.folder_in(places["user"] / "img2prompt" / "models", "caption", "blip-large")
    )
    assert places["user"] in weights.find("caption", "blip-large").parents
    snapshot = in_hub_cache(places["cache"], BLIP, blip, BLIP.revision)
    assert weights.find("caption", "blip-large") == snapshot
    assert (
        install(BLIP, blip) == weights.find("caption", "blip-large") == places["named"] / "caption/blip-large"
    )
    monkeypatch.delenv("IMG2PROMPT_MODELS")
    assert weights.find("caption", "blip-large") == snapshot
    assert weights.home() == places["user"] / "img2prompt" / "models"


def test_cache_holds_what_a_reference_points_to(places, blip):
    part, commit = weights.part("blip-base"), "0" * 39 + "1"
    snapshot = in_hub_cache(places["cache"], part, blip, commit)
    assert weights.locate(part) is None  # nothing says that this commit is what the table means
    reference = snapshot.parents[1] / "refs" / "refs" / "pr" / "50"
    reference.parent.mkdir(parents=True)
    reference.write_text(commit)
    assert weights.locate(part) == snapshot
    assert weights.verify(part, snapshot) == "the hub's hashes"
    flip(snapshot / "model.safetensors")
    with pytest.raises(WeightsError, match="SHA-256 of model.safetensors"):
        weights.verify(part, snapshot)


def test_missing_part_is_told_with_the_command():
    with pytest.raises(WeightsError, match=r"img2prompt models pull ViT-L-14/openai$"):
        weights.find("clip", "ViT-L-14/openai")
    with pytest.raises(WeightsError, match=r"img2prompt models pull blip-large$"):
        weights.find("caption", "blip-large")


def test_own_part_is_found_by_its_name(places, clip):
    folder = shutil.copytree(clip, places["named"] / "clip" / "ViT-B-16--my_own")
    assert weights.find("clip", "ViT-B-16/my_own") == folder


def test_regressor_is_the_folder_that_was_named(tmp_path):
    with pytest.raises(WeightsError, match="no such folder"):
        weights.find("regressor", str(tmp_path / "vit"))
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="model.safetensors is missing"):
        weights.find("regressor", str(tmp_path / "vit"))
    save_file({"a": torch.zeros(1)}, tmp_path / "vit" / "model.safetensors")
    assert weights.find("regressor", str(tmp_path / "vit")) == tmp_path / "vit"


def test_installed_parts_run(places, blip, clip):
    install(weights.part("blip-base"), blip)
    install(CLIP, clip)
    settings = Settings(engine="full", caption_model="blip-base", clip_model=CLIP.name, device="cpu")
    engine = FullEngine(settings, find_parts(settings))
    features = engine.encode([Image.new("RGB", (40, 30), "red"), Image.new("RGB", (30, 40), "blue")])
    assert len(engine.describe(features)) == 2
    np.testing.assert_allclose(np.linalg.norm(engine.embed_images(features), axis=1), 1.0, atol=1e-5)


def flip(file: Path) -> None:
    with open(file, "r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)[0]
        stream.seek(-1, 2)
        stream.write(bytes([last ^ 1]))


def truncate(file: Path) -> None:
    with open(file, "r+b") as stream:
        stream.truncate(file.stat().st_size - 1)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (flip, "SHA-256 of model.safetensors"),
        (truncate, "model.safetensors has"),
        (Path.unlink, "model.safetensors is missing"),
    ],
)
def test_verify_sees_damage(blip, damage, told):
    folder = install(BLIP, blip)
    assert weights.verify(BLIP, folder) == "the hashes taken when it was copied"
    damage(folder / "model.safetensors")
    with pytest.raises(WeightsError, match=told) as raised:
        weights.verify(BLIP, folder)
    assert str(raised.value).endswith("img2prompt models pull blip-large")
    # At a glance only what changes a size is seen; that is what is looked for before every use.
    assert (weights.locate(BLIP) is None) == (damage is not flip)


def test_without_a_record_the_published_hashes_count(places, clip):
    folder = shutil.copytree(clip, weights.folder_in(places["named"], "clip", CLIP.name))
    with pytest.raises(WeightsError, match=CLIP.sha256["open_clip_model.safetensors"]):
        weights.verify(CLIP, folder)


def test_without_any_hash_headers_are_read(places, blip):
    folder = shutil.copytree(blip, weights.folder_in(places["named"], "caption", "blip-large"))
    assert weights.verify(BLIP, folder) == "nothing but its own headers"
    (folder / "model.safetensors").write_bytes(b"\x08" + bytes(7) + b"not JSON")
    with pytest.raises(WeightsError, match="model.safetensors is no safetensors file"):
        weights.verify(BLIP, folder)


def test_all_shards_have_to_be_there(places, blip):
    folder = shutil.copytree(blip, weights.folder_in(places["named"], "caption", "blip-large"))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, keys in shards.items():
        save_file({key: tensors[key] for key in keys}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: file for file, keys in shards.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weights.locate(BLIP) == folder
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert weights.problem("caption", folder) == "model-00002-of-00002.safetensors is missing"
    index["weight_map"]["x"] = "../../elsewhere.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weights.problem("caption", folder) == "../../elsewhere.safetensors is missing"


def test_copy_takes_what_is_needed_and_never_a_pickle(tmp_path, blip):
    source = shutil.copytree(blip, tmp_path / "source")
    (source / "pytorch_model.bin").write_bytes(b"a pickle")
    (source / "modeling.py").write_text("print('never')")
    copied = {file.name for file in install(BLIP, source).iterdir()}
    assert copied == {file.name for file in blip.iterdir()} | {weights.LOCK}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("model.safetensors", None, r"\(pytorch_model.bin is a pickle, which is never loaded\)"),
        ("model.safetensors", b"half a download", "no safetensors file"),
        ("config.json", None, "config.json is missing"),
    ],
)
def test_copy_of_something_else_installs_nothing(tmp_path, places, blip, name, content, told):
    install(BLIP, blip)
    source = shutil.copytree(blip, tmp_path / "source")
    (source / "pytorch_model.bin").write_bytes(b"a pickle")
    (source / name).unlink()
    if content:
        (source / name).write_bytes(content)
    with pytest.raises(DataError, match=told):
        install(BLIP, source)
    assert weights.verify(BLIP, places["named"] / "caption" / "blip-large")  # the earlier one is untouched


def test_copies_come_from_a_cache_or_a_folder_of_models_too(tmp_path, places, blip, clip):
    """And all of them come, or none."""
    in_hub_cache(tmp_path / "usb", BLIP, blip, BLIP.revision)
    with pytest.raises(DataError, match="open_clip_config.json is missing"):
        list(fetch.copy([BLIP, CLIP], tmp_path / "usb"))
    assert weights.locate(BLIP) is None
    shutil.copytree(clip, weights.folder_in(tmp_path / "usb", "clip", CLIP.name))
    assert [part for part, _ in fetch.copy([BLIP, CLIP], tmp_path / "usb")] == [BLIP, CLIP]
    assert not any(file.is_symlink() for file in weights.find("caption", "blip-large").iterdir())


def test_full_disk_is_told_before_anything_is_copied(places):
    free = shutil.disk_usage(places["named"].parent).free
    with pytest.raises(WeightsError, match=r"ViT-B-32/laion2b_s34b_b79k: .* left on the disk of .*named"):
        fetch.check_space(free, [CLIP])
    assert not places["named"].exists()
