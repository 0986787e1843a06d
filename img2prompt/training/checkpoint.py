"""Save and resume training: weights and optimizer state in one safetensors file, replaced whole."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from img2prompt.errors import DataError
from img2prompt.files import replacing_path
from img2prompt.wording import reason

FILE = "last.safetensors"


def save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Replace the checkpoint in `folder`, which is made if need be.

    Raises
    ------
    DataError
        When there is no space or no permission.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer.{index}.{name}": value.contiguous() for name, value in state.items()})
    with replacing_path(folder / FILE, durable=False) as part:
        save_file(tensors, part, metadata={"step": str(step)})


def load(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Restore a checkpoint in place and return its step; 0 where there is none.

    Raises
    ------
    DataError
        When it is damaged.
    """
    if not (folder / FILE).exists():
        return 0
    try:
        return _load(folder / FILE, model, optimizer)
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(
            f"{folder / FILE} is damaged ({reason(error)}). Delete {folder} to start again."
        ) from error


def _load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> int:
    weights: dict[str, torch.Tensor] = {}
    states: dict[int, dict[str, torch.Tensor]] = {}
    with safe_open(path, "pt") as file:
        step = int(file.metadata()["step"])
        for key in file.keys():  # noqa: SIM118 - not a dict
            kind, name = key.split(".", 1)
            if kind == "model":
                weights[name] = file.get_tensor(key)
            elif optimizer is not None:
                index, entry = name.split(".")
                states.setdefault(int(index), {})[entry] = file.get_tensor(key)
    model.load_state_dict(weights)
    if optimizer is not None:
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return step


def blend(model: nn.Module, before: dict[str, torch.Tensor], share: float) -> None:
    """Interpolate, in place, between the weights `before` (share 0) and those of now (share 1).

    Wortsman et al., *WiSE-FT*, CVPR 2022.
    """
    now = model.state_dict()
    model.load_state_dict({name: torch.lerp(before[name], now[name], share) for name in now})
