"""Train a regressor, build a bank and tune an ensemble on real photos; JSON on stdout.

    python -m benchmarks.ensemble ../shared/data/flickr8k runs/flickr8k

Every step is a command of img2prompt, at a size that takes two cores about an hour. Started again, it
goes on where it was; only the bank, which takes minutes, is built anew. Models learn on the split
train, are chosen on dev and reported on test.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

from benchmarks.lite import machine

NET = "--model tf_efficientnet_lite2 --init lite --input 128 --device cpu"
SEARCH = "--patch 0 --batch 16,32 --rate 1e-3,3e-3,1e-2 --epochs 1 --average 0 --limit 800 --no-pruning"
TRAIN = "--batch 32 --rate 2e-3 --layer-decay 0.9 --epochs 3 --average 0.998"
MEMBERS = "-m prompt=lite:prompt -m lite -m knn=OUT/bank -m trained=OUT/vit"
STEPS = (
    f"search DATA -o OUT/search {NET} {SEARCH}",
    f"regressor DATA -o OUT/vit {NET} {TRAIN}",
    "knn DATA -o OUT/bank --engine lite --device cpu",
    f"ensemble DATA -o OUT/ensemble.json {MEMBERS} --device cpu",
)


def main() -> None:
    data, out = sys.argv[1:3]
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for step in STEPS:
        arguments = shlex.split(step.replace("DATA", shlex.quote(data)).replace("OUT", shlex.quote(out)))
        print("img2prompt train", step, file=sys.stderr)
        command = [sys.executable, "-m", "img2prompt", "train", *arguments]
        subprocess.run(command, check=True, stdout=sys.stderr)
    report = {
        "commands": [f"img2prompt train {step}" for step in STEPS],
        "search": searched(folder / "search"),
        "regressor": best(folder / "vit"),
        "bank": json.loads((folder / "bank" / "bank.json").read_text()),
        **json.loads((folder / "ensemble.json").read_text()),
        "machine": machine(),
    }
    print(json.dumps(report, indent=2))


def searched(folder: Path) -> list[dict[str, float]]:
    """Batch, rate and validation cosine of each run, best first."""
    records = [json.loads(file.read_text()) for file in folder.glob("*/training.json")]
    rows = [
        {name: record["config"][name] for name in ("batch", "rate")} | {"cosine": record["best"]["cosine"]}
        for record in records
    ]
    return sorted(rows, key=lambda row: -row["cosine"])


def best(run: Path) -> dict[str, float]:
    """The best epoch, and the validation cosine if the answer were the same for all pictures."""
    record = json.loads((run / "training.json").read_text())
    return {**record["best"], "baseline": record["baseline"]}


if __name__ == "__main__":
    main()
