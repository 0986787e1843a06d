"""The networks of the lite engine as graphs: one looks at pictures, one writes captions a word at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from img2prompt.engines.lite.search import Step
from img2prompt.graphs import Graph

LOOK, WRITE = "look.onnx", "write.onnx"
# What `look` returns besides the layers' keys and values.
SEEN = (
    "located",
    "regressed",
    "classes",
    "named",
    "style",
    "somebody",
    "words",
    "labels",
    "prompts",
    "made",
)


def cache_names(layers: int, prefix: str = "") -> list[str]:
    """Names of the keys and values of a captioner's decoder layers."""
    return [f"{prefix}{kind}{layer}" for layer in range(layers) for kind in ("key", "value")]


class Networks(Protocol):
    """What the engine asks of its networks. PyTorch can answer too, see `img2prompt.training.lite.deploy`."""

    def look(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Pixels (N, 3, 224, 224) → each of `SEEN` for N pictures, and the captioner's keys and values of them."""

    def writer(self, pictures: Sequence[np.ndarray]) -> Step:
        """A captioner that has written nothing yet.

        Parameters
        ----------
        pictures : keys and values of P pictures, in the order of `cache_names`
        """


class Graphs:
    """The networks in ONNX Runtime.

    Parameters
    ----------
    folder : with the two graphs
    weights : of both
    layers : of the captioner's decoder
    device : see `img2prompt.graphs.Graph`

    Raises
    ------
    WeightsError
        When a graph is missing or damaged, or does not fit the weights.
    """

    def __init__(self, folder: Path, weights: Mapping[str, np.ndarray], layers: int, device: str = "cpu"):
        self._look = Graph(folder / LOOK, weights, device)
        self._write = Graph(folder / WRITE, weights, device)
        self._layers = layers
        self._seen = [*SEEN, *cache_names(layers)]

    def look(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(self._seen, self._look.run(self._seen, {"pixels": pixels}), strict=True))

    def writer(self, pictures: Sequence[np.ndarray]) -> Step:
        from onnxruntime import OrtValue

        to_ort = OrtValue.ortvalue_from_numpy
        names, past_names = cache_names(self._layers), cache_names(self._layers, "past_")
        outputs = ["logp", "offered", "end", *cache_names(self._layers, "next_")]
        seen = dict(zip(names, pictures, strict=True))
        _, heads, _, width = pictures[0].shape
        past: dict[str, OrtValue] = {}

        def step(
            tokens: np.ndarray, rows: np.ndarray, places: np.ndarray
        ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            nonlocal seen, past
            if not past:  # nothing is written yet: of each row no keys and no values
                nothing = np.zeros((tokens.size, heads, 0, width), np.float32)
                past = {name: to_ort(nothing) for name in past_names}
            if len(places) < len(seen[names[0]]):
                seen = {name: array[places] for name, array in seen.items()}
            feed = {
                "tokens": to_ort(np.ascontiguousarray(tokens)),
                "rows": to_ort(np.ascontiguousarray(rows.reshape(-1))),
                **{name: to_ort(array) for name, array in seen.items()},
                **past,
            }
            logp, offered, end, *following = self._write.run_with_ort_values(outputs, feed)
            past = dict(zip(past_names, following, strict=True))
            return logp.numpy(), offered.numpy(), end.numpy()

        return step
