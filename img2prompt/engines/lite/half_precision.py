"""Linear layers whose weights stay in half precision, for processors.

One word of a caption is too little work to hide the reading of the weights, so a step of
the search takes as long as that. FBGEMM, which comes with torch on x86, reads them in
half precision, packed, and computes in single: several times faster for a few rows, and
exact for weights that were stored in half precision.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HalfLinear(nn.Module):
    """(…, in) → (…, out), as the `torch.nn.Linear` with this weight (out, in) and bias (out)."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        super().__init__()
        self.packed = torch.ops.quantized.linear_prepack_fp16(weight.detach(), bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.linear_dynamic_fp16(x, self.packed)


def supported() -> bool:
    """Whether this processor's torch can."""
    return "fbgemm" in torch.backends.quantized.supported_engines


def halve(module: nn.Module) -> None:
    """Replace every linear layer inside the module; it can be neither trained nor saved then."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, HalfLinear(child.weight, child.bias))
        else:
            halve(child)
