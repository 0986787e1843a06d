"""Linear layers whose weights stay in half precision, for processors.

One word of a caption is too little work to hide the reading of the weights, so a step of
the search takes as long as that. FBGEMM, which comes with torch on x86, reads them in
half precision, packed, and computes in single: several times faster for a few rows, and
exact for weights that were stored in half precision.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2prompt.shortcut import holds


class HalfLinear(nn.Module):
    """(…, in) → (…, out), as the `torch.nn.Linear` with this weight (out, in) and bias (out)."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        super().__init__()
        self.packed = torch.ops.quantized.linear_prepack_fp16(weight.detach(), bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.linear_dynamic_fp16(x, self.packed)


@functools.cache
def supported() -> bool:
    """Whether this processor's torch can, with operators of its own that it does not document."""
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        return False

    @torch.inference_mode()
    def check() -> bool:
        weight, bias, x = torch.linspace(-1, 1, 12 + 4 + 6).half().float().split([12, 4, 6])
        weight, x = weight.view(4, 3), x.view(2, 3)
        return torch.allclose(HalfLinear(weight, bias)(x), F.linear(x, weight, bias), rtol=0, atol=1e-5)

    return holds("Keeping the captioner's weights in half precision", check)


def halve(module: nn.Module) -> None:
    """Replace every linear layer inside the module; it can be neither trained nor saved then."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, HalfLinear(child.weight, child.bias))
        else:
            halve(child)
