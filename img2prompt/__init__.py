"""img2prompt looks at a picture and writes words for it.

>>> from img2prompt import load_pipeline
>>> pipeline = load_pipeline()
>>> result = pipeline("photo.jpg")[0]
>>> result.caption, result.prompt, result.embedding.shape
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from img2prompt.pipeline import Pipeline, load_pipeline
    from img2prompt.results import Result

__version__ = "0.1.0"
__all__ = ["Pipeline", "Result", "__version__", "load_pipeline"]

# ONNX Runtime sends events to its makers unless it is told not to before it is loaded. Nothing leaves the machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# NumPy's OpenBLAS lets its threads turn for some 25 ms after each product of matrices, on the cores that the networks
# wait for. Told so before NumPy is imported, they sleep at once.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")


def __getattr__(name: str) -> Any:
    # The networks' libraries take a while to import; `img2prompt --help` should not pay for it.
    if name in ("Pipeline", "Result", "load_pipeline"):
        from img2prompt import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
