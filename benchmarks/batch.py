"""The time and memory that a batch takes beyond the model, as JSON on stdout. Run it on a quiet machine.

    python -m benchmarks.batch [FEW MANY [../shared/data/flickr8k]]     (Linux and macOS)

By default it takes 200 and 20,000 pictures and the better part of an hour. Speed: pictures a
second of `batch` (read, decode, describe, journal) and of the model alone on opened pictures,
measured in turns. Memory: the largest resident set of the whole command, once for few pictures
and once for many. The pictures are made from 64 photos of the folder, or from the two that come
with scikit-learn.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from benchmarks.lite import dev_photos, machine, samples, seconds
from img2prompt.images import open_image

FEW, MANY = 200, 20_000
SIDE = 512  # pixels, as the competition's pictures
BATCH, GROUPS, TURNS = 16, 4, 5
TARGETS = {"share_of_model_speed": ">= 0.9", "memory_many_to_few": "<= 1.1"}


def main() -> None:
    few, many = (int(value) for value in (sys.argv[1:3] or (FEW, MANY)))
    photos = [photo for folder in sys.argv[3:] for photo in dev_photos(folder)] or samples()
    with tempfile.TemporaryDirectory() as folder:
        peaks = [peak_mb(fill(Path(folder, str(count)), count, photos), count) for count in (few, many)]
        speeds = speed(fill(Path(folder, "speed"), BATCH * GROUPS, photos), Path(folder))
    print(
        json.dumps(
            {
                **speeds,
                "peak_mb": {str(few): peaks[0], str(many): peaks[1]},
                "memory_many_to_few": round(peaks[1] / peaks[0], 3),
                "targets": TARGETS,
                "machine": machine(),
            },
            indent=2,
        )
    )


def fill(folder: Path, count: int, photos: list[bytes]) -> Path:
    """Make a folder of `count` JPEG pictures; all but the first copy of each photo are hard links."""
    folder.mkdir()
    for i in range(count):
        path = folder / f"{i:06}.jpg"
        if i < len(photos):
            open_image(photos[i]).resize((SIDE, SIDE)).save(path, quality=90)
        else:
            os.link(folder / f"{i % len(photos):06}.jpg", path)
    return folder


def peak_mb(folder: Path, count: int) -> float:
    """The largest resident set of the command, in MB."""
    output = folder.with_suffix(".csv")
    command = [sys.executable, "-m", "img2prompt", "batch", str(folder), "-o", str(output)]
    command += ["--format", "submission", "--engine", "lite", "--device", "cpu"]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0 and output.is_file(), f"the run of {count} pictures failed"
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return round(usage.ru_maxrss * unit / 1e6)


def speed(folder: Path, work: Path) -> dict[str, float]:
    """Medians of the model alone and of the whole batch, measured in turns."""
    from img2prompt import batch, load_pipeline

    pipeline = load_pipeline(engine="lite", device="cpu")
    items = batch.discover(folder)
    opened = [pipeline.open(item.file) for item in items]
    groups = [opened[start : start + BATCH] for start in range(0, len(opened), BATCH)]
    pipeline(groups[0])
    alone, whole = [], []
    for turn in range(TURNS):
        alone.append(seconds(lambda: [pipeline(group) for group in groups]))
        with closing(batch.Journal(work / f"{turn}.journal", "benchmark")) as journal:
            whole.append(seconds(lambda journal=journal: list(batch.work(pipeline, items, journal, BATCH))))
    model, both = (len(items) / statistics.median(times) for times in (alone, whole))
    return {
        "model_photos_per_s": round(model, 2),
        "batch_photos_per_s": round(both, 2),
        "share_of_model_speed": round(both / model, 3),
    }


if __name__ == "__main__":
    main()
