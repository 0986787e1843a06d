"""Greedy search with BLIP's text decoder, word by word without what `generate` does around each word.

The modules and their arithmetic are those of transformers' ``modeling_blip_text``, so the words are too;
keys and values have their room from the start, and those of the picture are worked out once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# What a generation config may say without changing a greedy search for `limit` tokens.
HARMLESS = {
    *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "max_length", "use_cache"),
    *("output_attentions", "output_hidden_states", "_from_model_config", "transformers_version"),
}


def is_greedy(net: Any) -> bool:
    """Whether the network is BLIP and its own way to search is the plain greedy one."""
    from transformers import BlipForConditionalGeneration

    if not isinstance(net, BlipForConditionalGeneration):
        return False
    return set(net.text_decoder.generation_config.to_diff_dict()) <= HARMLESS


@torch.inference_mode()
def write(net: Any, pixels: Tensor, limit: int) -> Tensor:
    """Pixels (N, 3, H, W) → token ids (N, 2 … limit + 1): a first one, the words, an end, padding."""
    decoder, config = net.text_decoder, net.config.text_config
    picture = net.vision_model(pixel_values=pixels)[0]
    count = len(pixels)
    layers = []
    for layer in decoder.bert.encoder.layer:
        cross, own = layer.crossattention.self, layer.attention.self
        room = picture.new_empty(2, count, own.num_attention_heads, limit, own.attention_head_size)
        seen = (_heads(own, part(picture)).contiguous() for part in (cross.key, cross.value))
        layers.append((layer, *seen, *room))

    token = torch.full((count, 1), config.bos_token_id, device=pixels.device)
    tokens = [token]
    done = torch.zeros_like(token, dtype=torch.bool)
    for place in range(limit):
        x = decoder.bert.embeddings(input_ids=token, past_key_values_length=place)
        for layer, picture_keys, picture_values, keys, values in layers:
            own = layer.attention.self
            keys[:, :, place : place + 1] = _heads(own, own.key(x))
            values[:, :, place : place + 1] = _heads(own, own.value(x))
            x = _attend(layer.attention, x, keys[:, :, : place + 1], values[:, :, : place + 1])
            x = _attend(layer.crossattention, x, picture_keys, picture_values)
            x = layer.feed_forward_chunk(x)
        token = decoder.cls(x).argmax(-1).masked_fill(done, config.pad_token_id)
        tokens.append(token)
        done |= token == config.sep_token_id
        if done.all():
            break
    return torch.cat(tokens, dim=1)


def _heads(attention: Any, x: Tensor) -> Tensor:
    """(N, T, width) → (N, heads, T, width / heads)"""
    return x.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)


def _attend(block: Any, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One attention block for the newest token (N, 1, width), with the scores as transformers rounds them."""
    query = _heads(block.self, block.self.query(x))
    scores = query @ keys.transpose(-1, -2) / block.self.attention_head_size**0.5
    return block.output((scores.softmax(-1) @ values).transpose(1, 2).flatten(2), x)
