"""How fast the lite engine is here, as JSON on stdout. Run it on a quiet machine.

    python -m benchmarks.lite [../shared/data/flickr8k]     (Linux and macOS)

Times are medians. A cold run is `img2prompt caption photo.jpg` in a fresh process. Without a
folder of photos (see `img2prompt evaluate`) only the two that come with scikit-learn are
measured. They are a hard case, because the captioner searches from more than one beginning for both. Where
PyTorch is installed, the networks run in it too, in turns.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path

from img2prompt import load_pipeline
from img2prompt.engines.lite.engine import LiteEngine
from img2prompt.weights import bundled
from tests.helpers.pictures import CHINA, FLOWER

WARM_UP, SINGLES, BATCHES, COLD_RUNS = 5, 64, 8, 3
BATCH = 16
CALLERS = 50
PHOTOS = 64  # of the folder
SAMPLES = [CHINA, FLOWER]
TARGETS = {"warm_p50_ms": "<= 45", "photos_per_s": ">= 40", "cold_s": "<= 1.8", "peak_mb": "<= 700"}


def main() -> None:
    cold_s, peak_mb = cold(SAMPLES[0])  # first, while this process is still small
    report: dict[str, object] = {"cold_s": cold_s, "peak_mb": peak_mb}
    for folder in sys.argv[1:]:
        report[f"{PHOTOS} photos of {Path(folder).name}"] = warm(dev_photos(folder))
    report["sample photos"] = warm(samples() * (BATCH // 2))
    report[f"{CALLERS} callers at once"] = together(samples() * (CALLERS // 2))
    if find_spec("torch"):
        report["ms a photo, in a batch"] = beside_pytorch(samples() * (BATCH // 2))
    print(json.dumps({**report, "targets": TARGETS, "machine": machine()}, indent=2))


def samples() -> list[bytes]:
    return [sample.read_bytes() for sample in SAMPLES]


def dev_photos(folder: str) -> list[bytes]:
    from img2prompt.datasets.pairs import PairsFolder

    pairs = PairsFolder(folder)
    return [pairs.read(pair.name) for pair in pairs.select("dev", PHOTOS)]


def cold(photo: Path) -> tuple[float, float]:
    """Median seconds of the command in a fresh process, and the largest resident set in MB."""
    import resource  # which Windows lacks; the other benchmarks import this module too

    command = [sys.executable, "-m", "img2prompt", "caption", str(photo)]
    command += ["--engine", "lite", "--device", "cpu"]
    times = [
        seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
        for _ in range(COLD_RUNS)
    ]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return round(statistics.median(times), 2), round(peak * unit / 1e6)


def warm(photos: list[bytes]) -> dict[str, float]:
    """Milliseconds from bytes to all outputs for one photo, and photos a second in batches."""
    pipeline = load_pipeline(engine="lite", device="cpu")
    for _ in range(WARM_UP):
        pipeline(photos[0])
    singles = [seconds(lambda photo=photo: pipeline(photo)) for photo in islice(cycle(photos), SINGLES)]
    batches = [photos[start : start + BATCH] for start in range(0, len(photos), BATCH)]
    pipeline(batches[0])
    times = [seconds(lambda batch=batch: pipeline(batch)) for batch in islice(cycle(batches), BATCHES)]
    return {
        "warm_p50_ms": round(1000 * statistics.median(singles), 1),
        "photos_per_s": round(BATCH / statistics.median(times), 1),
    }


def together(photos: list[bytes]) -> dict[str, float]:
    """Seconds that callers of one pipeline wait who come at once, and that one batch of the same photos takes."""
    pipeline = load_pipeline(engine="lite", device="cpu")
    pipeline(photos)
    batch = statistics.median(seconds(lambda: pipeline(photos)) for _ in range(COLD_RUNS))
    ready = threading.Barrier(len(photos))

    def call(photo: bytes) -> float:
        ready.wait()
        return seconds(lambda: pipeline(photo))

    with ThreadPoolExecutor(len(photos)) as pool:
        waits = [wait for _ in range(COLD_RUNS) for wait in pool.map(call, photos)]
    p95 = statistics.quantiles(waits, n=20, method="inclusive")[18]
    return {"p95_s": round(p95, 2), "one_batch_s": round(batch, 2), "ratio": round(p95 / batch, 2)}


def beside_pytorch(photos: list[bytes]) -> dict[str, dict[str, float]]:
    """Milliseconds that looking at a photo, and captioning it, takes with ONNX Runtime and with PyTorch."""
    from img2prompt.training.lite.deploy import in_pytorch

    pipeline = load_pipeline(engine="lite", device="cpu")
    engine = pipeline.engine
    assert isinstance(engine, LiteEngine)
    pictures = [pipeline.open(photo) for photo in photos]
    networks = {"onnxruntime": engine.networks, "pytorch": in_pytorch(bundled("lite"), engine.class_vectors)}
    times: dict[str, dict[str, list[float]]] = {"look": {}, "caption": {}}
    for _ in range(BATCHES + 1):
        for name, runs in networks.items():
            engine.networks = runs
            features = engine.encode(pictures)
            times["look"].setdefault(name, []).append(seconds(lambda: engine.encode(pictures)))
            times["caption"].setdefault(name, []).append(
                seconds(lambda features=features: engine.describe(features))
            )
    return {
        what: {
            name: round(1000 * statistics.median(found[1:]) / len(photos), 1) for name, found in of.items()
        }
        for what, of in times.items()
    }


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def machine() -> dict[str, object]:
    """What the numbers depend on."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,  # Windows has none
        "system": platform.platform(),
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
        "torch": version("torch") if find_spec("torch") else None,
    }


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main()
