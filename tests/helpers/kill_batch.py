"""Kill a batch run at random moments and see that it never shows: python -m tests.helpers.kill_batch FOLDER WORK KILLS

The undisturbed run is this process's own, and each other run is a forked copy of it, which has
loaded the model and all libraries. So a run takes as long as its pictures do. Prints JSON: the pictures in the journal after each kill, how many
finished outputs differed from an undisturbed run's, and what a run says at SIGTERM.
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


def run(output):
    """The command, which exits."""
    arguments = ["batch", str(folder), "-o", str(output), "--batch-size", "4", "--format", "submission"]
    main([*arguments, "--errors", f"{output}.errors"])


def start(output):
    """The same command in a copy of this process."""
    process = os.fork()
    if process == 0:
        os.dup2(os.open(work / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        run(output)
    return process


def end(process, sent=None):
    """Send a signal, if any, and wait for the end; the exit code, or minus the number of a signal."""
    if sent:
        os.kill(process, sent)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def wait(process, output, grown):
    """Wait until the journal has grown by so many bytes, or the run has ended.

    It cannot be read meanwhile, but SQLite appends to a file beside it: 33 kB for the tables of a new one,
    and 29 kB for each group. A killed run leaves that file, and `count` clears it away.
    """
    log = Path(f"{output}.journal-wal")
    while not (log.exists() and log.stat().st_size >= grown):
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.001)


def count(journal):
    try:
        with closing(sqlite3.connect(journal)) as database:
            return database.execute("SELECT count(*) FROM results").fetchone()[0]
    except sqlite3.OperationalError:  # killed before there was a table
        return 0


def read(output):
    return output.read_bytes(), Path(f"{output}.errors").read_bytes()


FAILED = 3  # the exit code of a run that finished: one picture is broken
try:
    run(work / "whole.csv")
except SystemExit as left:
    assert left.code == FAILED
expected = read(work / "whole.csv")

random.seed(0)
killed, kept, different, outputs = work / "killed.csv", [], 0, 0
while len(kept) < kills:
    process = start(killed)
    wait(process, killed, random.randrange(75_000))
    time.sleep(random.uniform(0, 0.1))
    if (code := end(process, signal.SIGKILL)) == -signal.SIGKILL:
        kept.append(count(f"{killed}.journal"))
        continue
    assert code == FAILED, (work / "said").read_text()
    outputs += 1
    different += read(killed) != expected
    for suffix in ("", ".journal", ".errors"):
        Path(f"{killed}{suffix}").unlink()
assert end(start(killed)) == FAILED
different += read(killed) != expected

stopped = work / "stopped.csv"
process = start(stopped)
wait(process, stopped, 50_000)  # the first group is there
code, said = end(process, signal.SIGTERM), (work / "said").read_text()
assert end(start(stopped)) == FAILED
different += read(stopped) != expected

found = {"kept": kept, "outputs": outputs, "different": different, "code": code, "said": said}
print(json.dumps({**found, "files": [file.name for file in work.iterdir()]}))
