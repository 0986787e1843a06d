"""Find the prompt in a graph of ComfyUI: from the sampler up to the nodes that hold its texts.

A graph may be large, broken, or go in circles: each walk goes to a node once, and to so many nodes at most.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from img2prompt.metadata.fields import MOST_CHARACTERS, as_number, as_size, as_text
from img2prompt.results import MOST_STEPS, Stored

GRAPHS = ("prompt", "workflow")  # as it ran, by names; as it was drawn, whose values have places only
MOST_NODES = 20_000
MOST_SAMPLERS = 20
SIDES = ("positive", "negative")

_TEXT = re.compile(r"(text|string|prompt|value|clip_l|t5xxl|populated_text)(_?[a-z0-9]{1,2})?")
# Inputs on whose way there are no words of the prompt.
_WORDLESS = frozenset(
    "clip model vae image images pixels latent latent_image samples mask control_net clip_vision "
    "clip_vision_output style_model noise sigmas sampler".split()
)
_SAMPLING = frozenset("sampler_name steps seed noise_seed sampler noise sigmas".split())
_GUIDES = ("guider", "text_embeds")  # inputs that lead to a node with the two sides
_MODEL = ("ckpt_name", "unet_name", "model_name", "base_ckpt_name", "gguf_name", "model")
_LITERAL = ("value", "int", "number", "Number", "Value", "seed")

# The names of the values of common nodes in a workflow, in their places; "" for what does not matter.
_PLACES = {
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl"),
    "CLIPTextEncodeSDXL": ("", "", "", "", "", "", "text_g", "text_l"),
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": ("add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler"),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "RandomNoise": ("noise_seed",),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name",),
    "UnetLoaderGGUF": ("unet_name",),
    "EmptyLatentImage": ("width", "height"),
    "EmptySD3LatentImage": ("width", "height"),
    "PrimitiveNode": ("value",),
    "PrimitiveString": ("value",),
    "PrimitiveStringMultiline": ("value",),
}


class Node(NamedTuple):
    """A node: its type, and its inputs by name, each a value or a link ``[node, place]``."""

    kind: str
    inputs: dict[str, Any]


Nodes = dict[str, Node]


def read(prompt: object, workflow: object) -> Stored | None:
    """The prompt of the picture that a graph makes.

    Parameters
    ----------
    prompt, workflow : the parsed JSON of ComfyUI's two graphs; either may be missing or something else

    Returns
    -------
    None where neither is a graph with a sampler or a text.
    """
    for nodes in (_as_ran(prompt), _as_drawn(workflow)):
        found = None
        for sampler in islice(_samplers(nodes), MOST_SAMPLERS):
            stored = _stored(nodes, sampler)
            if stored.prompt:
                return stored
            found = found or stored
        if found:
            return found
    return None


def _as_ran(graph: object) -> Nodes:
    nodes = {}
    if isinstance(graph, dict):
        for name, node in islice(graph.items(), MOST_NODES):
            if isinstance(node, dict) and isinstance(node.get("inputs"), dict):
                nodes[str(name)] = Node(str(node.get("class_type")), node["inputs"])
    return nodes


def _as_drawn(graph: object) -> Nodes:
    if not isinstance(graph, dict) or not isinstance(graph.get("nodes"), list):
        return {}
    sources: dict[int, list[Any]] = {}  # link → the node and the output that it comes from
    for link in graph["links"] if isinstance(graph.get("links"), list) else ():
        if isinstance(link, list) and len(link) >= 3 and isinstance(link[0], int):
            sources[link[0]] = link[1:3]
    nodes = {}
    for node in graph["nodes"][:MOST_NODES]:
        if not isinstance(node, dict):
            continue
        kind, values, inputs = str(node.get("type")), node.get("widgets_values"), {}
        if isinstance(values, list):
            inputs = {name: value for name, value in zip(_PLACES.get(kind, ()), values, strict=False) if name}
        elif isinstance(values, dict):
            inputs = dict(values)
        for entry in node["inputs"] if isinstance(node.get("inputs"), list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("link"), int) and entry["link"] in sources:
                inputs[str(entry.get("name"))] = sources[entry["link"]]
        nodes[str(node.get("id"))] = Node(kind, inputs)
    return nodes


def _samplers(nodes: Nodes) -> Iterator[Node]:
    """The samplers: first those whose picture is saved, and of them those that begin with noise only."""
    saving = [name for name, node in nodes.items() if "Save" in node.kind or "Preview" in node.kind]
    saved = [node for _, node in _upstream(nodes, *saving) if _is_sampler(node)]
    whole = [node for node in saved if not _is_partial(node)]
    others = (node for node in nodes.values() if _is_sampler(node))
    yield from whole
    yield from (node for node in saved if _is_partial(node))
    if not saved:
        yield from others


def _is_sampler(node: Node) -> bool:
    return not {SIDES[0], *_GUIDES}.isdisjoint(node.inputs) and not _SAMPLING.isdisjoint(node.inputs)


def _is_partial(node: Node) -> bool:
    denoise = node.inputs.get("denoise")
    return isinstance(denoise, int | float) and denoise < 1


def _stored(nodes: Nodes, sampler: Node) -> Stored:
    guides = (_linked(nodes, sampler.inputs.get(name)) for name in _GUIDES)
    guide = next((node for node in guides if node), sampler)
    sides = [_texts(nodes, guide.inputs.get(side), side) for side in SIDES]
    if "conditioning" in guide.inputs:  # a guider without a negative side
        sides[0] = sides[0] or _texts(nodes, guide.inputs["conditioning"], SIDES[0])
    latent = (node.inputs for node in _from(nodes, sampler.inputs.get("latent_image")))
    sizes = (as_size(_literal(nodes, i.get("width")), _literal(nodes, i.get("height"))) for i in latent)
    model = sampler.inputs.get("model") or guide.inputs.get("model")
    return Stored(
        prompt=sides[0],
        negative=sides[1],
        model=next((text for node in _from(nodes, model) if (text := _first_text(node, _MODEL))), None),
        sampler=_setting(nodes, sampler, "sampler", "sampler_name", as_text)
        or _first_text(sampler, ("scheduler",)),
        steps=_setting(nodes, sampler, "sigmas", "steps", partial(as_number, most=MOST_STEPS)),
        seed=_setting(nodes, sampler, "noise", "noise_seed", as_number)
        or _setting(nodes, sampler, "noise", "seed", as_number),
        size=next((size for size in sizes if size), None),
        tool="ComfyUI",
    )


def _setting(nodes: Nodes, sampler: Node, link: str, name: str, convert: Any) -> Any:
    """A sampler's setting: its own, or one of the node that it is linked to for that."""
    for node in (sampler, _linked(nodes, sampler.inputs.get(link))):
        if node and (value := convert(_literal(nodes, node.inputs.get(name)))) is not None:
            return value
    return None


def _texts(nodes: Nodes, link: object, side: str) -> str | None:
    """The texts above a link, in the order of the inputs that lead to them, each once; None without any."""
    found: dict[str, None] = {}
    if isinstance(link, str):  # loaders that hold the texts themselves
        return as_text(link)
    waiting, seen, size = [link], set(), 0
    while waiting and size <= MOST_CHARACTERS:
        value = waiting.pop()
        if isinstance(value, str):
            if text := as_text(value):
                size += len(text)
                found[text] = None
            continue
        name = _target(value)
        node = nodes.get(name) if name is not None and name not in seen else None
        if node is None or node.kind == "ConditioningZeroOut":  # of which nothing is left
            continue
        seen.add(name)
        inputs = node.inputs
        ways = [inputs[key] for key in inputs if _TEXT.fullmatch(key) and isinstance(inputs[key], str | list)]
        if not ways and side in inputs:
            ways = [inputs[side]]
        if not ways:
            ways = [
                value for key, value in inputs.items() if isinstance(value, list) and key not in _WORDLESS
            ]
        waiting += reversed(ways)
    return as_text("\n".join(found))


def _literal(nodes: Nodes, value: object) -> object:
    """A value, or the one that its link leads to."""
    if not isinstance(value, list):
        return value
    for node in islice(_from(nodes, value), 20):
        for name in _LITERAL:
            if isinstance(node.inputs.get(name), int | float | str):
                return node.inputs[name]
    return None


def _first_text(node: Node, names: tuple[str, ...]) -> str | None:
    return next((text for name in names if (text := as_text(node.inputs.get(name)))), None)


def _linked(nodes: Nodes, link: object) -> Node | None:
    name = _target(link)
    return None if name is None else nodes.get(name)


def _target(link: object) -> str | None:
    """The node that a link leads to; None for what is no link."""
    if isinstance(link, list) and link and isinstance(link[0], str | int):
        return str(link[0])
    return None


def _from(nodes: Nodes, link: object) -> Iterator[Node]:
    """The node that a link leads to, and those above it, the nearest first."""
    name = _target(link)
    return (node for _, node in _upstream(nodes, name)) if name is not None else iter(())


def _upstream(nodes: Nodes, *names: str) -> Iterator[tuple[str, Node]]:
    waiting, seen = deque(names), set(names)
    while waiting:
        name = waiting.popleft()
        node = nodes.get(name)
        if node is None:
            continue
        yield name, node
        for value in node.inputs.values():
            target = _target(value)
            if target is not None and target not in seen:
                seen.add(target)
                waiting.append(target)
