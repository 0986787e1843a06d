"""Run networks on a device: in batches that fit its memory, one network at a time where memory is short."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from img2prompt.errors import ConfigError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Net = TypeVar("Net", bound=nn.Module)

FEW_ROWS = 64  # up to so many rows, a CPU multiplies faster in pieces, see `spread_linears`
NEAR = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}  # of the largest number
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def resolve_precision(precision: str, device: torch.device) -> str:
    """``"auto"`` → ``"fp16"`` on an NVIDIA or AMD GPU, ``"fp32"`` elsewhere, as clip-interrogator chooses."""
    if precision != "auto":
        return precision
    return "fp16" if device.type == "cuda" else "fp32"


class Place:
    """A device on which networks run in turns, so that several threads get the results of one.

    Parameters
    ----------
    device : where networks run
    low_vram : keep only the network that ran last on the device; the others wait in main memory
    """

    def __init__(self, device: torch.device, low_vram: bool = False):
        self.device = device
        self.low_vram = low_vram
        self._turn = threading.RLock()
        self._guest: nn.Module | None = None

    def settle(self, net: Net) -> Net:
        """Prepare a network for inference; move it to the device, or leave it in memory with `low_vram`."""
        net.eval().requires_grad_(False)
        if self.device.type == "cuda" and all(weight.ndim != 5 for weight in net.parameters()):
            # Of the convolutions; the rest has no such format, and PyTorch refuses nets with some in 3-D.
            net.to(memory_format=torch.channels_last)
        elif self.device.type == "cpu":
            spread_linears(net)
        return net if self.low_vram else self._move(net)

    @contextmanager
    def turn(self, net: nn.Module) -> Iterator[None]:
        """A context in which `net` is on the device, no other network runs, and no gradients are kept."""
        with self._turn, torch.inference_mode():
            if self.low_vram and self._guest is not net:
                if self._guest is not None:
                    self._guest.to("cpu")
                self._guest = net
                self._move(net)
            yield

    def send(self, rows: Sequence[Tensor], dtype: torch.dtype | None = None) -> Tensor:
        """Stack N tensors of one shape on the device. The copy runs in the background."""
        batch = torch.stack(list(rows))
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        batch = batch.to(self.device, non_blocking=True).to(dtype)
        if batch.ndim == 4 and self.device.type == "cuda":
            batch = batch.contiguous(memory_format=torch.channels_last)
        return batch

    def _move(self, net: Net) -> Net:
        try:
            return net.to(self.device)
        except torch.OutOfMemoryError as error:
            raise out_of_memory(self.device) from error


class Batches:
    """Calls a network on batches; when memory runs out, on half as many items at a time.

    The smaller size is kept, so that later calls do not fail again.

    Parameters
    ----------
    place, net : the network that the calls run, and where
    size : items at a time, to begin with
    """

    def __init__(self, place: Place, net: nn.Module, size: int):
        self.place = place
        self.net = net
        self.size = size

    def __call__(
        self, work: Callable[[Sequence[Item]], Iterable[Answer]], items: Sequence[Item]
    ) -> list[Answer]:
        """One answer per item, in order.

        Parameters
        ----------
        work : a batch of items → one answer for each, on the CPU
        items : a sequence that can be sliced

        Raises
        ------
        ConfigError
            When the memory is too small for a single item.
        """
        answers: list[Answer] = []
        with self.place.turn(self.net):
            while len(answers) < len(items):
                batch = items[len(answers) : len(answers) + self.size]
                try:
                    answers.extend(work(batch))
                    continue
                except torch.OutOfMemoryError as error:
                    if len(batch) == 1:
                        raise out_of_memory(self.place.device) from error
                # Not in the handler: there the error still refers to the failed attempt's tensors.
                self.size = len(batch) // 2
                if self.place.device.type == "cuda":
                    torch.cuda.empty_cache()
        return answers


def near(features: Tensor, expected: Tensor) -> bool:
    """Whether two ways to compute features in one precision agree."""
    limit = NEAR[expected.dtype] * expected.abs().max().item()
    return torch.allclose(features.float(), expected.float(), rtol=0, atol=limit)


def spread_linears(net: nn.Module) -> None:
    """Let linear layers of single precision use every core for few rows, as in writing one caption.

    For one row, nearly all the time goes into reading the weights, and PyTorch's matrix library reads
    them on one core whatever the number of threads. As a batched product with one piece for each
    thread they are read 2.4 times as fast on two cores. Results may differ in the last digit.
    """
    for module in net.modules():
        if type(module) is nn.Linear and module.weight.dtype == torch.float32:
            module.forward = partial(_spread_linear, module)  # type: ignore[method-assign]


def _spread_linear(module: nn.Linear, x: Tensor) -> Tensor:
    """What `nn.Linear.forward` computes, (..., in) → (..., out)."""
    rows = x.numel() // module.in_features
    pieces = math.gcd(module.out_features, torch.get_num_threads())
    if not 0 < rows <= FEW_ROWS or pieces == 1:
        return F.linear(x, module.weight, module.bias)
    columns = x.reshape(rows, -1).t().expand(pieces, -1, -1)
    product = torch.bmm(module.weight.unflatten(0, (pieces, -1)), columns)  # (pieces, out / pieces, rows)
    product = product.flatten(0, 1).t().reshape(*x.shape[:-1], -1)
    return product if module.bias is None else product + module.bias


def out_of_memory(device: torch.device) -> ConfigError:
    """The error to raise when even a batch of one does not fit."""
    return ConfigError(
        f"The memory of {device} is too small for these models. Set low_vram, choose smaller models "
        '(caption_model="blip-base", clip_model="ViT-L-14/openai"), or run on the CPU.'
    )


class Ahead(Sequence[Answer]):
    """Answers that threads compute ahead; reading a slice waits for that slice only.

    Parameters
    ----------
    threads : compute the answers
    work : item → answer
    items : what to compute answers for, in this order
    """

    def __init__(self, threads: Executor, work: Callable[[Item], Answer], items: Sequence[Item]):
        self._futures: list[Future[Answer]] = [threads.submit(work, item) for item in items]

    def __len__(self) -> int:
        return len(self._futures)

    @overload
    def __getitem__(self, where: int) -> Answer: ...
    @overload
    def __getitem__(self, where: slice) -> list[Answer]: ...
    def __getitem__(self, where: int | slice) -> Answer | list[Answer]:
        if isinstance(where, slice):
            return [future.result() for future in self._futures[where]]
        return self._futures[where].result()


class SkipInit(TorchFunctionMode):
    """A context for building a network whose weights come from a file: random initialisation is skipped.

    For a ViT-H that saves many seconds. Unlike construction on the meta device, it initialises
    buffers that the file lacks (attention masks); unlike patches of `torch.nn.init`, it does not
    affect other threads. Weights that have the file's type are used as they are mapped, not copied,
    so parts of the file that nobody uses are not even read.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _FILLS:
            return args[0] if args else (kwargs or {})["tensor"]
        if func is Tensor.copy_ and isinstance(args[0], nn.Parameter) and _alike(args[0], args[1]):
            args[0].data = args[1]
            return args[0]
        return func(*args, **(kwargs or {}))


def _alike(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype, one.device, one.stride()) == (
        other.shape,
        other.dtype,
        other.device,
        other.stride(),
    )


_FILLS = frozenset(
    [
        Tensor.normal_,
        Tensor.uniform_,
        Tensor.erfinv_,
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.trunc_normal_,
        nn.init.kaiming_uniform_,
        nn.init.kaiming_normal_,
        nn.init.xavier_uniform_,
        nn.init.xavier_normal_,
    ]
)
