"""Networks as ONNX Runtime runs them: a small file with the graph, and weights from a safetensors file.

The graph leaves its weights out, so that they are stored once, in the form that training writes and
other programs read; a JSON file beside it lists their names. `img2prompt.training.graphs` writes both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2prompt import threads as computing
from img2prompt.errors import WeightsError
from img2prompt.wording import reason

if TYPE_CHECKING:
    from onnxruntime import OrtValue

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class Graph:
    """A graph with its weights, ready to run. Safe to share between threads.

    Parameters
    ----------
    file : of the graph, ``.onnx``; the names of its weights are in a ``.json`` beside it
    weights : name → array; those that the graph does not use are ignored
    device : ``"cuda"`` is used by the onnxruntime that knows GPUs; all else is the processor
    threads : that one run uses; 0 for as many as `img2prompt.threads.count` says

    Raises
    ------
    WeightsError
        When the file is missing or damaged, or a weight is missing or has another shape.
    """

    def __init__(self, file: Path, weights: Mapping[str, np.ndarray], device: str = "cpu", threads: int = 0):
        import onnxruntime
        from onnxruntime import OrtValue

        onnxruntime.disable_telemetry_events()  # if another program loaded it first, see img2prompt/__init__.py
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or computing.count()
        options.log_severity_level = 3  # errors; they are raised too
        # A thread that waits for others sleeps: spinning, it takes a core from those who read pictures and draw
        # pages, and under load a picture costs twice the time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        has_gpu = device.startswith("cuda") and CUDA in onnxruntime.get_available_providers()
        try:
            names = json.loads(names_file(file).read_text(encoding="utf-8"))
            # The session reads these arrays as long as it lives, and does not keep them alive.
            self._weights = [np.ascontiguousarray(weights[name]) for name in names]
            options.add_external_initializers(names, list(map(OrtValue.ortvalue_from_numpy, self._weights)))
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=[CUDA, CPU] if has_gpu else [CPU]
            )
        except Exception as error:  # the library's own kinds of errors are not public
            raise WeightsError(
                f"{file} cannot be used ({reason(error)}). Install img2prompt again."
            ) from error

    def run(self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """These outputs for these inputs, in NumPy."""
        return self._session.run(list(outputs), dict(inputs))

    def run_with_ort_values(self, outputs: Sequence[str], inputs: Mapping[str, OrtValue]) -> list[OrtValue]:
        """The same in the runtime's own form, for what the next run needs and nobody else."""
        return self._session.run_with_ort_values(list(outputs), dict(inputs))


def names_file(file: Path) -> Path:
    """Where the names of a graph's weights are listed."""
    return file.with_suffix(".json")
