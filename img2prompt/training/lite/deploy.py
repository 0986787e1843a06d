"""Write the graphs that the engine runs, from its weights; and hold them against PyTorch.

python -m img2prompt.training.lite.deploy models/lite [--check ../shared/data/flickr8k --photos 1000]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.engines.lite import packed
from img2prompt.engines.lite.engine import Features, LiteEngine
from img2prompt.engines.lite.networks import LOOK, SEEN, WRITE, cache_names, remember
from img2prompt.engines.lite.pixels import INPUT_SIZE
from img2prompt.engines.lite.search import Step
from img2prompt.images import open_image
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.graphs import write_graph
from img2prompt.training.lite.net.captioner import CaptionerConfig
from img2prompt.training.lite.net.network import LiteNet, Look, Write
from img2prompt.training.lite.net.tower import GRID

BATCH = 16
CELLS = GRID * GRID + 1


def load_net(folder: Path) -> LiteNet:
    """The network with the weights of a model's folder; the class names' vectors are zeros."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    net = LiteNet(CaptionerConfig(**config["captioner"]), len(config["words"]), len(config["labels"]))
    weights = packed.unpack(load_file(folder / "model.safetensors"))
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    net.load_state_dict(state | {"class_vectors": net.class_vectors})
    return net.eval()


def write_graphs(folder: Path) -> None:
    """Write the graphs for a model's weights into its folder."""
    net = load_net(folder)
    config = net.captioner.config
    caches = cache_names(config.decoder_layers)
    write_graph(
        folder / LOOK,
        Look(net).eval(),
        {"pixels": torch.zeros(3, 3, INPUT_SIZE, INPUT_SIZE)},
        [*SEEN, *caches],
        {"pixels": [0]},
    )
    pictures, beams, written = 3, 4, 5  # an example
    head = config.width // config.heads
    write_graph(
        folder / WRITE,
        Write(net.captioner).eval(),
        {
            "tokens": torch.zeros(pictures, beams, dtype=torch.long),
            "rows": torch.arange(pictures * beams),
            "pictures": {name: torch.zeros(pictures, config.heads, CELLS, head) for name in caches},
            "past": {
                f"past_{name}": torch.zeros(pictures * beams, config.heads, written, head) for name in caches
            },
        },
        ["logp", "offered", "end", *(f"next_{name}" for name in caches)],
        {"tokens": [0, 1], "rows": [0]}
        | {name: [0] for name in caches}
        | {f"past_{name}": [0, 2] for name in caches},
    )


class Torch:
    """The networks in PyTorch, as `img2prompt.engines.lite.networks.Networks`."""

    def __init__(self, net: LiteNet):
        self._look, self._write = Look(net).eval(), Write(net.captioner).eval()
        self._names = [*SEEN, *cache_names(net.captioner.config.decoder_layers)]

    @torch.inference_mode()
    def look(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        seen = self._look(torch.from_numpy(pixels))
        return {name: value.numpy() for name, value in zip(self._names, seen, strict=True)}

    def writer(self, pictures: Sequence[np.ndarray]) -> Step:
        return writer(self._write, pictures)


def writer(write: Write, pictures: Sequence[np.ndarray]) -> Step:
    """A captioner in PyTorch that has written nothing yet; see `img2prompt.engines.lite.networks.Networks`."""

    @torch.inference_mode()
    def write_word(
        tokens: np.ndarray, rows: np.ndarray, pictures: Sequence[np.ndarray], past: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
        seen, written = ([torch.from_numpy(part) for part in parts] for parts in (pictures, past))
        answers = write(torch.from_numpy(tokens), torch.from_numpy(rows), seen, written)
        logp, offered, end, *following = (answer.numpy() for answer in answers)
        return logp, offered, end, following

    return remember(write_word, pictures)


def in_pytorch(folder: Path, class_vectors: np.ndarray) -> Torch:
    """The networks of a model's folder, with the class names' vectors (1000, 384)."""
    net = load_net(folder)
    net.class_vectors = torch.from_numpy(class_vectors)
    return Torch(net)


def check(folder: Path, pairs: PairsFolder, split: str, count: int) -> dict[str, Any]:
    """How near the graphs come to PyTorch on pictures: largest difference of each output, share of equal captions."""
    graphs = LiteEngine(folder, SentenceEncoder())
    torch_engine = LiteEngine(folder, graphs.sentences)
    torch_engine.networks = in_pytorch(folder, graphs.class_vectors)
    furthest = dict.fromkeys(SEEN, 0.0)
    equal, names = 0, [pair.name for pair in pairs.select(split, count)]
    for start in range(0, len(names), BATCH):
        images = [open_image(pairs.read(name)) for name in names[start : start + BATCH]]
        ours, theirs = graphs.encode(images), torch_engine.encode(images)
        for name in SEEN:
            furthest[name] = max(furthest[name], _distance(ours, theirs, name))
        both = zip(graphs.describe(ours), torch_engine.describe(theirs), strict=True)
        equal += sum(one == other for one, other in both)
    return {"pictures": len(names), "equal_captions": equal / len(names), "largest_difference": furthest}


def _distance(ours: Features, theirs: Features, name: str) -> float:
    return float(np.abs(getattr(ours, name) - getattr(theirs, name)).max())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m img2prompt.training.lite.deploy", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the model")
    parser.add_argument("--check", type=Path, help="data set whose pictures are described with both")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--photos", type=int, default=1000)
    args = parser.parse_args()
    write_graphs(args.folder)
    if args.check:
        print(json.dumps(check(args.folder, PairsFolder(args.check), args.split, args.photos), indent=1))


if __name__ == "__main__":
    main()
