"""A small pairs folder and quick settings for the tests of training."""

import numpy as np
from PIL import Image

from img2prompt.training.regressor.train import TrainingConfig

THINGS = "dog cat horse car boat house tree flower".split()
PLACES = ("on a beach", "in the snow", "at night", "under a red sky")
QUICK = TrainingConfig(model="test_efficientnet", input=32, epochs=3, batch=8, rate=2e-3, average=0.9)


def paint(path, count=32):
    """A pairs folder of coloured patterns: every thing in every place, each of its own look."""
    (path / "images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows = []
    for i in range(count):
        pixels = generator.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).resize((48, 40), Image.Resampling.NEAREST).save(path / "images" / f"{i}.png")
        rows.append(f"{i}.png,train,a {THINGS[i % 8]} {PLACES[i // 8 % 4]}")
    (path / "captions.csv").write_text("\n".join(["image,split,caption", *rows]) + "\n")
    return path
