"""Arrays that stay in their safetensors file until they are used."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

import numpy as np

TYPES = {  # of https://github.com/huggingface/safetensors, as far as NumPy has them
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "BOOL": "?",
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
}


def mapped(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name: read-only and memory-mapped, so that unused ones cost nothing.

    safetensors itself copies what it gives to NumPy. Arrays of types that NumPy lacks, such as bfloat16,
    are left out.

    Raises
    ------
    OSError, safetensors.SafetensorError
        When the file is missing or damaged.
    """
    from safetensors import safe_open

    with safe_open(file, "np"):
        pass  # the library has compared the whole header with the file's size
    with open(file, "rb") as stream:
        buffer = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(buffer[:8], "little")
    header = json.loads(buffer[8:start])
    header.pop("__metadata__", None)
    return {
        name: np.ndarray(
            entry["shape"], TYPES[entry["dtype"]], buffer=buffer, offset=start + entry["data_offsets"][0]
        )
        for name, entry in header.items()
        if entry["dtype"] in TYPES
    }
