"""The networks of the lite engine as graphs: one looks at pictures, one writes captions a word at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from img2prompt.engines.lite.search import Step
from img2prompt.graphs import Graph

if TYPE_CHECKING:
    from onnxruntime import OrtValue

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
        pictures : of each decoder layer keys and values of P pictures, each (P, heads, 50, width / heads), in
            the order of `cache_names`
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
        return remember(self._write_word, pictures)

    def _write_word(
        self, tokens: np.ndarray, rows: np.ndarray, pictures: Sequence[np.ndarray], past: Sequence[Any]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, Sequence[OrtValue]]:
        from onnxruntime import OrtValue

        names = ["tokens", "rows", *cache_names(self._layers), *cache_names(self._layers, "past_")]
        values = [tokens, rows, *pictures, *past]
        feed = {
            name: OrtValue.ortvalue_from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in zip(names, values, strict=True)
        }
        outputs = ["logp", "offered", "end", *cache_names(self._layers, "next_")]
        logp, offered, end, *following = self._write.run_with_ort_values(outputs, feed)
        return logp.numpy(), offered.numpy(), end.numpy(), following


def remember(
    write: Callable[..., tuple[Any, Any, Any, Sequence[Any]]], pictures: Sequence[np.ndarray]
) -> Step:
    """A step that keeps what it has written so far.

    Parameters
    ----------
    write : words (P, K), rows (P · K,) of the past, the pictures and the past → what a `Step` answers, and the
        new past, in whatever form the next call of `write` takes it; the first is of arrays without a word
    pictures : see `Networks.writer`
    """
    seen: Sequence[np.ndarray] = pictures
    past: Sequence[Any] = ()

    def step(
        tokens: np.ndarray, rows: np.ndarray, places: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        nonlocal seen, past
        if not past:
            past = [np.zeros((tokens.size, part.shape[1], 0, part.shape[3]), part.dtype) for part in seen]
        if len(places) < len(seen[0]):
            seen = [part[places] for part in seen]
        logp, offered, end, past = write(np.ascontiguousarray(tokens), rows.reshape(-1), seen, past)
        return logp, offered, end

    return step
