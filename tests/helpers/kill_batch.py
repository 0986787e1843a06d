"""Kill a batch run at random moments and see that it never shows: python -m tests.helpers.kill_batch FOLDER WORK KILLS

The model is loaded once and each run is a forked copy of this process, so that a run takes
as long as its pictures do. Prints JSON: the pictures in the journal after each kill, and how
many finished outputs differed from an undisturbed run's.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # threads do not survive a fork
import torch

torch.set_num_threads(1)
import img2prompt.pipeline
from img2prompt import load_pipeline
from img2prompt.cli.main import main

folder, work, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
pipeline = load_pipeline(engine="lite", device="cpu", beams=1)
img2prompt.pipeline.load_pipeline = lambda *_, **__: pipeline


def start(output):
    """The same command in a copy of this process."""
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        arguments = ["batch", str(folder), "-o", str(output), "--batch-size", "4", "--format", "submission"]
        main([*arguments, "--errors", f"{output}.errors"])
    return process


def finished(process):
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 3, status  # one picture is broken
    return not os.WIFSIGNALED(status)


def count(journal):
    try:
        with closing(sqlite3.connect(journal)) as database:
            return database.execute("SELECT count(*) FROM results").fetchone()[0]
    except sqlite3.OperationalError:  # killed before there was a table
        return 0


def read(output):
    return output.read_bytes(), Path(f"{output}.errors").read_bytes()


began = time.monotonic()
assert finished(start(work / "whole.csv"))
seconds = time.monotonic() - began
expected = read(work / "whole.csv")

random.seed(0)
killed, journal = work / "killed.csv", work / "killed.csv.journal"
kept, different, outputs = [], 0, 0
while len(kept) < kills or not killed.exists():
    process = start(killed)
    if len(kept) < kills:
        time.sleep(random.uniform(0, seconds))
        os.kill(process, signal.SIGKILL)
    if not finished(process):
        kept.append(count(journal))
        continue
    outputs += 1
    different += read(killed) != expected
    if len(kept) < kills:
        for file in (killed, journal, Path(f"{killed}.errors")):
            file.unlink()
leftover = sorted(file.name for file in work.iterdir())
print(json.dumps({"kept": kept, "outputs": outputs, "different": different, "files": leftover}))
