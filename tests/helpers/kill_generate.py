"""Kill a run that makes pairs again and again: python -m tests.helpers.kill_generate GPT2 SD WORK KILLS

The libraries are imported once and each run is a forked copy of this process, so that kills hit
the work. After each kill every row of prompts.csv must have its whole picture. Prints JSON: the
pairs there after each kill, and whether what came of it in the end equals an undisturbed run's.
"""

import csv
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # threads do not survive a fork
import diffusers  # noqa: F401
import numpy as np
import torch
from PIL import Image

torch.set_num_threads(1)
from img2prompt.cli.main import main

gpt2, diffusion, work, kills = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
COUNT = 9


def start(folder):
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        arguments = ["dataset", "generate", folder, "--text-model", gpt2, "--image-model", diffusion]
        arguments += [
            "--count",
            COUNT,
            "--steps",
            "2",
            "--size",
            "16",
            "--batch-size",
            "2",
            "--device",
            "cpu",
        ]
        main([str(argument) for argument in arguments])
    return process


def finished(process):
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return not os.WIFSIGNALED(status)


def pairs(folder):
    """The rows, and their pictures, which must be whole."""
    if not (folder / "prompts.csv").exists():
        return [], np.array([])
    with open(folder / "prompts.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    pictures = [np.array(Image.open(folder / "images" / f"{row[0]}.png"), np.int16) for row in rows]
    return rows, np.array(pictures)


assert finished(start(work / "whole"))
random.seed(0)
kept, killed = [], work / "killed"
for target in range(kills):
    process = start(killed)
    # Once there is a plan, and then once there is a picture more than last time.
    while len(list(killed.glob("images/*.png"))) < target or not (killed / "plan.csv").exists():
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.02))
    os.kill(process, signal.SIGKILL)
    assert not finished(process)
    kept.append(len(pairs(killed)[0]))
assert finished(start(killed))
(expected, whole), (rows, pictures) = pairs(work / "whole"), pairs(killed)
# After a kill other pictures are made together, which may round a pixel otherwise.
equal = rows == expected and bool(np.abs(pictures - whole).max() <= 1)
print(json.dumps({"kept": kept, "pairs": len(expected), "equal": equal}))
