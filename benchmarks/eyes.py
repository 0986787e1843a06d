"""Chat models on a GPU: our batches beside the library's call for one picture after the other, as JSON on stdout.

    python -m benchmarks.eyes [smolvlm2-500m] [qwen3-vl-2b] [--pictures 64] [--tokens 64]
    python -m benchmarks.eyes --tiny                  a rehearsal, on any machine

The networks have the published shapes and random weights in fp16, which changes no times; pictures are
drawn. Both sides write as many words for the same pictures. It needs PyTorch, transformers and Pillow, and
no network. Without the library num2words, which SmolVLM2's processor asks for, the first SmolVLM-500M stands
in for it: its shape is the same.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from PIL import Image

from img2prompt.engines.base import Request
from img2prompt.engines.device import Place
from img2prompt.engines.full.families import chat, watch
from img2prompt.engines.full.families.published import Published
from tests.helpers import fresh_models

SMOLVLM2_500M: dict[str, Any] = {
    "text": {
        "vocab_size": 49280,
        "hidden_size": 960,
        "intermediate_size": 2560,
        "num_hidden_layers": 32,
        "num_attention_heads": 15,
        "num_key_value_heads": 5,
        "head_dim": 64,
    },
    "vision": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 512,
        "patch_size": 16,
    },
}
QWEN3_VL_2B: dict[str, Any] = {
    "text": {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "vision": {
        "depth": 24,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_heads": 16,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [5, 11, 17],
    },
}
TINY = {"num_hidden_layers": 1, "depth": 1, "vocab_size": 2000, "deepstack_visual_indexes": [0]}
PICTURE = (640, 480)  # pixels
ALONE = 8  # pictures for the library's call
INSTRUCTION = "Describe this picture."
Pictures = Sequence[Image.Image]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*", choices=[[], *MODELS], metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--pictures", type=int, default=64, help="in a batch of ours; 64 by default")
    parser.add_argument("--tokens", type=int, default=64, help="that each picture gets; 64 by default")
    parser.add_argument("--tiny", action="store_true", help="one layer of each network, and few pictures")
    options = parser.parse_args()
    if options.tiny:
        options.pictures, options.tokens = 3, 12
    report = {name: measure(name, options) for name in options.models or MODELS}
    print(json.dumps({**report, "machine": machine()}, indent=2))


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Both sides for one model, and how many times as many pictures a second ours looks at."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    if device.type == "cuda":
        torch.cuda.empty_cache()  # of the model before
    net, processor = build(name, device, dtype, options.tiny)
    net.generation_config.eos_token_id = None  # both sides write as much as they may
    watch.EVERY = options.tokens + 1  # so that loops, which are all that such a net writes, go on
    chat.LONG = options.tokens
    model = chat.ChatModel(Published(net, processor, dtype), Place(device), options.pictures, details=False)
    pictures = draw(options.pictures)
    few = pictures[: ALONE if not options.tiny else 2]

    def ours(some: Pictures) -> list[str]:
        requests = [Request(INSTRUCTION)] * len(some)
        prepared = [model.prepare(picture) for picture in some]
        return [description.caption for description in model.describe(prepared, requests=requests)]

    def library(some: Pictures) -> list[str]:
        return [alone(net, processor, picture, options.tokens, dtype) for picture in some]

    report: dict[str, Any] = {"parameters": sum(weight.numel() for weight in net.parameters())}
    words = {}
    for side, work, some in (("library, one by one", library, few), ("ours, in a batch", ours, pictures)):
        work(some[:2])  # the first call of all takes longer
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        took, words[side] = seconds(lambda work=work, some=some: work(some), device)
        report[side] = {
            "pictures": len(some),
            "seconds": round(took, 2),
            "pictures_per_s": round(len(some) / took, 2),
            "tokens_per_s": round(len(some) * options.tokens / took, 1),
        }
        if device.type == "cuda":
            report[side]["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
    rates = [report[side]["pictures_per_s"] for side in report if side != "parameters"]
    both = zip(*(texts[: len(few)] for texts in words.values()), strict=True)
    report["ratio"] = round(rates[1] / rates[0], 2)
    report["same_words"] = f"{sum(one == other for one, other in both)} of {len(few)}"
    return report


def build(name: str, device: torch.device, dtype: torch.dtype, tiny: bool) -> tuple[Any, Any]:
    """The network, freshly initialised on the device, and its processor."""
    maker, shape = MODELS[name]
    if tiny:
        shape = {
            part: {key: TINY.get(key, value) for key, value in values.items()}
            for part, values in shape.items()
        }
    default = torch.get_default_dtype()
    torch.manual_seed(0)
    try:
        torch.set_default_dtype(dtype)
        with device:
            net, processor = maker(**shape)
    finally:
        torch.set_default_dtype(default)
    return net.to(device).eval().requires_grad_(False), processor


def smolvlm(**shape: Any) -> tuple[Any, Any]:
    return fresh_models.smolvlm(**shape, first=find_spec("num2words") is None)


MODELS: dict[str, tuple[Callable[..., tuple[Any, Any]], dict[str, Any]]] = {
    "smolvlm2-500m": (smolvlm, SMOLVLM2_500M),
    "qwen3-vl-2b": (fresh_models.qwen3_vl, QWEN3_VL_2B),
}


def alone(net: Any, processor: Any, picture: Image.Image, tokens: int, dtype: torch.dtype) -> str:
    """What the library's documentation shows: one picture, through the chat template."""
    content = [{"type": "image", "image": picture}, {"type": "text", "text": INSTRUCTION}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    ).to(net.device, dtype=dtype)
    with torch.inference_mode():
        written = net.generate(
            **inputs, max_new_tokens=tokens, do_sample=False, pad_token_id=processor.tokenizer.pad_token_id
        )
    start = inputs["input_ids"].shape[1]
    return processor.batch_decode(written[:, start:], skip_special_tokens=True)[0].strip()


def seconds(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """How long it takes, and what it returns."""
    start = time.perf_counter()
    answer = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, answer


def draw(count: int) -> list[Image.Image]:
    """Pictures of coloured blotches."""
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize(
            PICTURE, Image.Resampling.BICUBIC
        )
        for _ in range(count)
    ]


def machine() -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    libraries = {name: version(name) for name in ("torch", "transformers")}
    return {"gpu": gpu, "system": platform.platform(), **libraries}


if __name__ == "__main__":
    main()
