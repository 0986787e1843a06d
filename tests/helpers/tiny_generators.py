"""GPT-2 and Stable Diffusion in their published form, but tiny and never trained."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
)

END = "<|endoftext|>"


def save_gpt2(folder: Path) -> Path:
    """A GPT-2 that babbles single bytes."""
    torch.manual_seed(0)
    letters = {letter: i for i, letter in enumerate([*sorted(ByteLevel.alphabet()), END])}
    config = GPT2Config(
        vocab_size=len(letters),
        n_positions=128,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=letters[END],
        eos_token_id=letters[END],
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    GPT2Tokenizer(vocab=letters, merges=[]).save_pretrained(folder)
    return folder


def save_stable_diffusion(folder: Path) -> Path:
    """A Stable Diffusion whose pictures are noise of 8 × 8 latents and up."""
    torch.manual_seed(0)
    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", END]
    tokenizer = CLIPTokenizer(
        vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=77
    )
    text = CLIPTextConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=len(pieces) - 2,
        eos_token_id=len(pieces) - 1,
    )
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 64),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            skip_prk_steps=True,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
