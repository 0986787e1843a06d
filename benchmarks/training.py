"""How fast a regressor trains beside a plain timm loop, as JSON on stdout. Run it on a quiet machine.

    python -m benchmarks.training [MODEL] [PICTURES] [BATCH]

By default vit_small_patch16_224, 256 and 32. Both loops read, augment and learn from the same
pictures with equally many processes, on the GPU in bf16 where there is one; ours also averages the
weights, clips gradients and logs. They take turns. Each turn starts from fresh weights, and its
first steps are not counted.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from benchmarks.batch import fill
from benchmarks.lite import machine, samples
from img2prompt.datasets.pairs import PairsFolder
from img2prompt.evaluation.pictures import mean_texts
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.regressor import train
from img2prompt.training.regressor.pictures import Batches, Pictures, Share

MODEL, PICTURES, BATCH = "vit_small_patch16_224", 256, 32
SKIPPED, EPOCHS, TURNS = 3, 2, 3  # steps not counted; epochs of a turn
TARGETS = {"share_of_plain_speed": ">= 0.95"}


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else MODEL
    pictures, batch = (int(text) for text in (sys.argv[2:4] or (PICTURES, BATCH)))
    workers = min(train.MOST_WORKERS, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "pairs")
        path.mkdir()
        fill(path / "images", pictures, samples())
        rows = [f"{i:06}.jpg,a temple and a flower in view {i}" for i in range(pictures)]
        (path / "prompts.csv").write_text("\n".join(["imgId,prompt", *rows]) + "\n")
        folder = PairsFolder(path)
        config = train.TrainingConfig(model=model, batch=batch, epochs=EPOCHS)
        speeds: dict[str, list[float]] = {"ours": [], "plain": []}
        for turn in range(TURNS):
            speeds["plain"].append(plain(folder, config, workers))
            speeds["ours"].append(ours(folder, config, workers, Path(place, str(turn))))
    mine, theirs = (statistics.median(speeds[name]) for name in ("ours", "plain"))
    report = {
        "model": model,
        "batch": batch,
        "workers": workers,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "pictures_per_s": round(mine, 2),
        "plain_pictures_per_s": round(theirs, 2),
        "share_of_plain_speed": round(mine / theirs, 3),
        "targets": TARGETS,
        "machine": machine(),
    }
    print(json.dumps(report, indent=2))


def ours(folder: PairsFolder, config: train.TrainingConfig, workers: int, out: Path) -> float:
    """Pictures a second between the first counted step and the end of the last one."""
    times: list[float] = []
    make_step = train._Learner.step

    def timed(learner: train._Learner, *arguments: object) -> torch.Tensor:
        loss = make_step(learner, *arguments)
        times.append(now())
        return loss

    train._Learner.step = timed
    try:
        train.train(folder, folder.pairs, folder.pairs[:1], out, config, workers=workers)
    finally:
        train._Learner.step = make_step
    return speed(times, folder, config)


def plain(folder: PairsFolder, config: train.TrainingConfig, workers: int) -> float:
    """The same of the shortest loop there is."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape, net = train.build(config)
    net.to(device).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.rate)
    targets = torch.from_numpy(mean_texts(folder.pairs, SentenceEncoder())).to(device)
    steps = EPOCHS * -(-len(folder) // config.batch)
    batches = Batches(len(folder), config.batch, 0, steps, seed=0)
    loader = DataLoader(
        Pictures(folder, folder.pairs, shape, seed=0),
        batch_sampler=batches.keys(Share()),
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    times = []
    for pixels, (_, indices) in zip(loader, batches, strict=True):
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            predicted = net(pixels.to(device, non_blocking=True))
        loss = 1 - F.cosine_similarity(predicted.float(), targets[indices]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(now())
    return speed(times, folder, config)


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def speed(times: list[float], folder: PairsFolder, config: train.TrainingConfig) -> float:
    """Pictures a second within epochs: validation and saving at their ends are not the loop's."""
    an_epoch = -(-len(folder) // config.batch)
    gaps = [
        later - earlier
        for step, (earlier, later) in enumerate(pairwise(times), 1)
        if step > SKIPPED and step % an_epoch
    ]
    return config.batch / statistics.mean(gaps)


if __name__ == "__main__":
    main()
