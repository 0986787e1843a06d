"""Whether the parts of the full engine fit into memory, from the headers of their files: nothing is loaded."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from img2prompt import weights
from img2prompt.errors import ConfigError
from img2prompt.settings import NONE, Settings

BYTES = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "8bit": 1.15, "4bit": 0.8}  # a weight; embeddings stay whole
ROOM = 1.2  # for what networks compute, as a factor

Folders = Mapping[str, Path]  # kind (caption, clip, regressor) → folder


def parameters(folder: Path) -> int:
    """The number of weights in a folder's safetensors; those of files that cannot be read are left out."""
    from safetensors import SafetensorError, safe_open

    count = 0
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, "np") as tensors:
                names = tensors.keys()
                count += sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
        except (OSError, SafetensorError):  # loading it says what is wrong
            continue
    return count


def needed(settings: Settings, folders: Folders, device: str) -> int:
    """Bytes that the parts take on a device, about."""
    sizes = []
    for kind, folder in folders.items():
        form = _form(settings, kind, device)
        if (kind, form, device) == ("clip", "fp32", "cpu"):
            continue  # its weights stay in their file, from which they are mapped
        sizes.append(parameters(folder) * BYTES[form])
    return round(ROOM * (max(sizes, default=0) if settings.low_vram else sum(sizes)))


def _form(settings: Settings, kind: str, device: str) -> str:
    """How the weights of a kind of part are kept on a device: one of `BYTES`."""
    if kind == "caption" and settings.quantize != NONE:
        return settings.quantize
    if settings.precision != "auto":
        return settings.precision
    return "fp16" if device.startswith("cuda") else "fp32"


def free(device: str) -> int | None:
    """Free bytes of a device's memory; None if the system does not tell."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(device)[0]
    if device != "cpu":
        return None
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return 1024 * (kilobytes["MemAvailable"] + kilobytes["SwapFree"])
    except (OSError, ValueError, KeyError):  # not Linux
        return None


def taken(device: str) -> int:
    """Bytes of a device's memory that this process has already."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.memory_reserved(device)
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def check_memory(settings: Settings, folders: Folders, device: str) -> None:
    """Make sure that the parts fit.

    Raises
    ------
    ConfigError
        When they do not, with what would.
    """
    wanted, room = needed(settings, folders, device), free(device)
    if room is None or wanted <= room:
        return
    chosen = {"caption": settings.caption_model, "clip": settings.clip_model, "regressor": settings.regressor}
    names = [chosen[kind] for kind in folders]
    raise ConfigError(
        f"{' + '.join(names)}: about {weights.readable(wanted)} of memory are needed on {device}, but only "
        f"{weights.readable(room)} are free. {_advice(settings, folders, device, room)}"
    )


def _advice(settings: Settings, folders: Folders, device: str, room: int) -> str:
    """What would fit instead, as a sentence."""
    changes = [("precision", "bf16")]
    may_quantize = device.startswith("cuda") and "caption" in folders and not settings.low_vram
    if may_quantize and settings.quantize == NONE:
        changes += [("quantize", "8bit"), ("quantize", "4bit")]
    for name, value in changes:
        smaller: dict[str, Any] = {name: value}
        if needed(replace(settings, **smaller), folders, device) <= room:
            return f"It would fit with {name}={value}."
    others = {kind: folder for kind, folder in folders.items() if kind != "caption"}
    left = room - needed(settings, others, device)
    weight = BYTES[_form(settings, "caption", device)]
    fitting = [
        part.name
        for part in weights.parts().values()
        if part.kind == "caption" and part.parameters and ROOM * part.parameters * weight <= left
    ]
    if "caption" in folders and fitting:
        return f"As caption_model, {fitting[0]} would fit."
    return "Use --engine lite."
