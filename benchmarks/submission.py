"""How fast a submission is written, as JSON on stdout, beside pandas.to_csv in the same run.

    python -m benchmarks.submission [PICTURES]

By default 16,000 pictures, as many as the competition's test set has. pandas gets its table
ready-made with all ids, and writes no index.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.lite import machine, seconds
from img2prompt.embeddings import WIDTH
from img2prompt.files import replacing
from img2prompt.submission import read_submission, write_submission

PICTURES = 16_000
TARGETS = {"write_s": "<= 10", "times_faster_than_pandas": ">= 5"}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    vectors = np.random.default_rng(0).normal(size=(count, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    stems = [f"{i:09x}" for i in range(count)]
    frame = pd.DataFrame(
        {"imgId_eId": [f"{stem}_{i}" for stem in stems for i in range(WIDTH)], "val": vectors.ravel()}
    )
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours.csv"), Path(folder, "pandas.csv")

        def write() -> None:
            with replacing(ours) as file:
                write_submission(file, zip(stems, vectors, strict=True))

        write_s = min(seconds(write) for _ in range(3))
        pandas_s = min(seconds(lambda: frame.to_csv(theirs, index=False)) for _ in range(2))
        read_s = seconds(lambda: read_submission(ours))
        read = read_submission(ours)
        assert read.ids == stems and read.vectors.tobytes() == vectors.tobytes()
        size = ours.stat().st_size
    print(
        json.dumps(
            {
                "rows": count * WIDTH,
                "write_s": round(write_s, 2),
                "pandas_s": round(pandas_s, 2),
                "times_faster_than_pandas": round(pandas_s / write_s, 1),
                "read_s": round(read_s, 2),
                "megabytes": round(size / 1e6),
                "targets": TARGETS,
                "machine": machine(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
