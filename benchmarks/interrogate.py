"""clip-interrogator against img2prompt on the same weights and pictures, as JSON on stdout.

    python -m benchmarks.interrogate [ranking] [cpu] [gpu] [start] [start-short]

Without names, all rows that can run on this machine are measured, each in a process of its own.
Ratios are the reference's seconds divided by ours. Weights are freshly initialised and label
vectors random, which changes no times; both programs read the same files. Run it on a quiet
machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.lite import machine, seconds
from tests.helpers import fresh_models

if TYPE_CHECKING:
    from clip_interrogator import Interrogator
    from PIL import Image

    from img2prompt.pipeline import Pipeline

SIDES = ("reference", "ours")
TARGETS = {"ranking": 50.0, "cpu": 2.0, "gpu": 8.0, "start": 2.0, "start-short": 2.0}
MODELS = {"cpu": ("blip-base", "ViT-B-32"), "gpu": ("blip-large", "ViT-H-14")}
VISION = {"blip-base": {}, "blip-large": fresh_models.BLIP_LARGE_VISION}
TABLES = ("mediums", "movements", "artists", "trendings", "flavors")
RANKED, RANKED_WIDTH = 64, 1024  # pictures, as ViT-H-14 embeds them
STARTS = 3  # of each side, by turns; their medians count
LONGEST, USUAL = 32, 12  # tokens of a caption: fresh weights never end one, published ones soon do
PICTURES = {"cpu": 32, "gpu": 256}
WEIGHTS = "open_clip_model.safetensors"  # stands where clip-interrogator expects a pretrained tag
TAG = "fresh"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[[], *TARGETS], metavar="ROW", help=", ".join(TARGETS))
    parser.add_argument("--pictures", type=int, help="instead of 32 on a CPU and 256 on a GPU")
    parser.add_argument("--child", nargs=2, metavar=("ROW", "SIDE"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        row, side = options.child
        print(json.dumps(MEASURES[row](side, options.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        report = {row: compare(row, Path(folder), options.pictures) for row in options.rows or possible()}
    print(json.dumps({**report, "machine": {**machine(), "gpu": gpu_name()}}, indent=2))


def possible() -> list[str]:
    return [row for row in TARGETS if row != "gpu" or gpu_name()]


def gpu_name() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def compare(row: str, folder: Path, pictures: int | None) -> dict[str, Any]:
    """Both sides of a row and their ratio."""
    if row != "ranking":
        size = "gpu" if row == "gpu" else "cpu"
        build_models(folder / size, *MODELS[size])
        save_pictures(folder / size / "pictures", pictures or PICTURES[size])
        folder = folder / size
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(STARTS if row.startswith("start") else 1):
        for side in SIDES:
            start = time.perf_counter()
            runs[side].append(run_child(row, side, folder))
            if row.startswith("start"):
                runs[side][-1]["whole_process_seconds"] = round(time.perf_counter() - start, 3)
    medians = {
        side: sorted(each, key=lambda run: run["seconds"])[len(each) // 2] for side, each in runs.items()
    }
    prompts = [medians[side].pop("prompts", []) for side in SIDES]
    report: dict[str, Any] = {
        **medians,
        "ratio": round(medians["reference"]["seconds"] / medians["ours"]["seconds"], 2),
        "aim": TARGETS[row],
    }
    if any(prompts):
        report["same_prompts"] = f"{sum(map(str.__eq__, *prompts))} of {len(prompts[0])}"
    return report


def run_child(row: str, side: str, folder: Path) -> dict[str, Any]:
    """One measurement in a fresh process that can reach neither the hub nor the user's own cache."""
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "IMG2PROMPT_MODELS": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    command = [sys.executable, "-m", "benchmarks.interrogate", "--child", row, side, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# what is measured


def measure_ranking(side: str, folder: Path) -> dict[str, Any]:
    """Milliseconds a picture for its best labels of all tables: 3 mediums, 3 movements, 5 of each other."""
    import torch

    from img2prompt.labels.tables import read_labels

    pictures = unit_vectors(RANKED, RANKED_WIDTH, seed=0)
    tables = {name: read_labels(name) for name in TABLES}
    counts = {name: 3 if name in ("mediums", "movements") else 5 for name in TABLES}
    vectors = {
        name: unit_vectors(len(labels), RANKED_WIDTH, seed=len(labels)).astype(np.float16)
        for name, labels in tables.items()
    }
    if side == "reference":
        from clip_interrogator import Config
        from clip_interrogator.clip_interrogator import LabelTable

        config = Config(device="cpu", quiet=True, cache_path=None)
        ci: Any = SimpleNamespace(clip_model=None, config=config, tokenize=None)
        theirs = {}
        for name, labels in tables.items():
            theirs[name] = LabelTable([], None, ci)  # as its own merged tables are made
            theirs[name].labels = labels
            theirs[name].embeds = list(vectors[name].astype(np.float32))
        rows = torch.from_numpy(pictures)

        def rank() -> None:
            for row in rows.split(1):
                for name, table in theirs.items():
                    table.rank(row, counts[name])

        repeats = 1
    else:
        from img2prompt.labels.ranking import LabelTable as Table

        engine: Any = SimpleNamespace(device=torch.device("cpu"))
        ours = [Table(name, labels, engine) for name, labels in tables.items()]
        for table in ours:
            table.vectors = torch.from_numpy(vectors[table.name])

        def rank() -> None:
            for table in ours:
                table.rank(pictures, counts[table.name])

        rank()
        repeats = 5
    took = statistics.median(seconds(rank) for _ in range(repeats))
    return {"seconds": took, "ms_per_picture": round(1000 * took / RANKED, 3)}


def measure_prompts(side: str, folder: Path) -> dict[str, Any]:
    """Seconds from files to seed prompts, models loaded and warm."""
    files = sorted((folder / "pictures").iterdir())
    write = prompter(side, folder, len(files))
    write(files[:1])
    prompts: list[str] = []
    took = seconds(lambda: prompts.extend(write(files)))
    report = {"seconds": round(took, 3), "pictures_per_s": round(len(files) / took, 2), "prompts": prompts}
    if side == "ours" and gpu_name():
        report["image_encoders"] = measure_encoders(len(files))
    return report


def measure_start(side: str, folder: Path, tokens: int = LONGEST) -> dict[str, Any]:
    """Seconds from loading to the first prompt, in a process that has imported what both sides need.

    `tokens` is the length of the caption, which takes most of the time.
    """
    import open_clip  # noqa: F401
    from transformers import AutoProcessor, BlipForConditionalGeneration  # noqa: F401

    file = min((folder / "pictures").iterdir())
    prompts: list[str] = []
    took = seconds(lambda: prompts.extend(prompter(side, folder, 1, tokens)([file])))
    return {"seconds": round(took, 3), "prompts": prompts}


def measure_encoders(batch: int) -> dict[str, Any]:
    """Which share of this card's measured matrix peak BLIP-large's and ViT-H-14's image towers reach, fp16."""
    import open_clip
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import BlipVisionConfig, BlipVisionModel

    from img2prompt.engines.full.families.blip_attention import fuse_attention

    def settled(net: torch.nn.Module) -> torch.nn.Module:
        return net.half().cuda().eval().to(memory_format=torch.channels_last)

    def fastest(work: Callable[..., object], *arguments: Any) -> float:
        def timed() -> None:
            work(*arguments)
            torch.cuda.synchronize()

        for _ in range(3):
            timed()
        return min(seconds(timed) for _ in range(10))

    with torch.inference_mode(), torch.device("cuda"):
        side = 8192
        matrices = torch.randn(2, side, side, dtype=torch.float16)
        peak = 2 * side**3 / fastest(torch.matmul, *matrices)
        blip = BlipVisionModel(BlipVisionConfig(image_size=384, **fresh_models.BLIP_LARGE_VISION))
        fuse_attention(blip)
        towers = {"blip-large": (settled(blip), 384)}
        clip = open_clip.create_model("ViT-H-14", load_weights=False)
        towers["ViT-H-14"] = (settled(clip.visual), 224)
        shares = {}
        for name, (tower, size) in towers.items():
            pixels = torch.randn(min(batch, 64), 3, size, size, dtype=torch.float16)
            with FlopCounterMode(display=False) as counter:
                tower(pixels)
            speed = counter.get_total_flops() / fastest(tower, pixels)
            shares[name] = {"tflops": round(speed / 1e12, 1), "share": round(speed / peak, 3)}
    return {"matrix_peak_tflops": round(peak / 1e12, 1), **shares}


MEASURES: dict[str, Callable[[str, Path], dict[str, Any]]] = {
    "ranking": measure_ranking,
    "cpu": measure_prompts,
    "gpu": measure_prompts,
    "start": measure_start,
    "start-short": partial(measure_start, tokens=USUAL),
}


# the two programs


def prompter(
    side: str, folder: Path, batch: int, tokens: int = LONGEST
) -> Callable[[Sequence[Path]], list[str]]:
    """A loaded program: picture files → seed prompts, of captions of at most so many tokens."""
    size = "gpu" if folder.name == "gpu" else "cpu"
    caption_model, clip_model = MODELS[size]
    device = "cuda" if size == "gpu" else "cpu"
    if side == "ours":
        from img2prompt import load_pipeline
        from img2prompt.engines.full.families import captioner as captions

        captions.MAX_NEW_TOKENS = tokens
        pipeline: Pipeline = load_pipeline(
            engine="full",
            device=device,
            caption_model=caption_model,
            clip_model=f"{clip_model}/{TAG}",
            batch_size=batch,
        )
        return lambda files: [result.prompt for result in pipeline(list(files))]

    import clip_interrogator
    from PIL import Image

    program = clip_interrogator.clip_interrogator
    program.CAPTION_MODELS[caption_model] = str(folder / "caption" / caption_model)
    os.chdir(folder / "clip" / f"{clip_model}--{TAG}")
    config = clip_interrogator.Config(
        caption_model_name=caption_model,
        clip_model_name=f"{clip_model}/{WEIGHTS}",
        cache_path=str(folder / "labels"),
        caption_max_length=tokens,
        download_cache=False,
        device=device,
        quiet=True,
    )
    interrogator = clip_interrogator.Interrogator(config)
    return lambda files: [seed_prompt(interrogator, Image.open(file).convert("RGB")) for file in files]


def seed_prompt(interrogator: Interrogator, image: Image.Image) -> str:
    """The seed's form of the prompt, from clip-interrogator's own parts."""
    from clip_interrogator.clip_interrogator import _truncate_to_fit

    caption = interrogator.generate_caption(image)
    features = interrogator.image_to_features(image)
    (medium,) = interrogator.mediums.rank(features, 1)
    subject = [caption] if caption.startswith(medium) else [caption, medium]
    terms = [*interrogator.movements.rank(features, 1), *interrogator.flavors.rank(features, 3)]
    return _truncate_to_fit(", ".join(subject + terms), interrogator.tokenize)


# what they read


def build_models(folder: Path, caption_model: str, clip_model: str) -> None:
    """Both models and both programs' kept label vectors."""
    if folder.exists():
        return
    import open_clip
    import torch

    torch.manual_seed(0)
    fresh_models.save_blip(folder / "caption" / caption_model, VISION[caption_model], {})
    clip = folder / "clip" / f"{clip_model}--{TAG}"
    fresh_models.save_clip(clip, clip_model)
    width = open_clip.get_model_config(clip_model)["embed_dim"]
    from img2prompt.engines.full.clip_model import digest

    save_labels(folder, clip_model, f"{clip_model}/{TAG}@{digest(clip / WEIGHTS)}", width)


def save_labels(folder: Path, clip_model: str, space: str, width: int) -> None:
    """The same random vectors where clip-interrogator and img2prompt each keep theirs."""
    from safetensors.numpy import save_file

    from img2prompt import vector_cache
    from img2prompt.labels.tables import read_labels

    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    for name in (*TABLES, "negative"):
        labels = read_labels(name)
        key = hashlib.sha256(",".join(labels).encode()).hexdigest()
        stored = {
            "embeds": unit_vectors(len(labels), width, seed=len(labels)).astype(np.float16),
            "hash": np.frombuffer(key.encode(), np.int8),
        }
        theirs = folder / "labels" / f"{clip_model}_{WEIGHTS}_{name}.safetensors"
        own = vector_cache.cache_folder(space) / f"{name}-{vector_cache.digest(labels)}.safetensors"
        for file in (theirs, own):
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(stored, file)


def save_pictures(folder: Path, count: int) -> None:
    """JPEG files of 512×512 coloured blotches."""
    from PIL import Image

    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        blotches = Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8))
        blotches.resize((512, 512), Image.Resampling.BICUBIC).save(folder / f"{i:04}.jpg", quality=90)


def unit_vectors(count: int, width: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, width), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
