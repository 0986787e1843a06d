"""Read the prompt that a tool has stored in the picture it made.

One function for each tool; it is given all texts of the file and returns None where none is its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from PIL import ExifTags

from img2prompt.metadata import UNNAMED, comfyui
from img2prompt.metadata.fields import Fields, as_number, as_size, as_text, parsed
from img2prompt.results import MOST_STEPS, Stored

NEGATIVE = "Negative prompt:"
MOST_SETTINGS = 10_000  # characters of the line of settings that is read
# "Steps: 20, Sampler: Euler a, Lora hashes: "a: 1, b: 2"". Each part has an end, so that no line takes long.
_SETTING = re.compile(r'(\w[\w \-/]{0,60}):[ \t]{0,8}("(?:\\.|[^\\"]){0,4000}"|[^,]{0,4000})(?:,|$)')
_FEWEST_SETTINGS = 3  # on the last line, or it belongs to the prompt
_SIZE = re.compile(r"\s*[(\[]?\s*(\d{1,9})\s*[x×,]\s*(\d{1,9})\s*[)\]]?\s*")

_JOB = re.compile(r"\s*Job ID: *[0-9a-fA-F-]{36}\s*$")
_OPTION = re.compile(r"(?:^|\s)--(\w{1,20})(?:[ \t]+((?:(?!\s--\w).){0,2000}))?", re.DOTALL)
MOST_MIDJOURNEY = 20_000  # characters; it takes some 6,000

MADE_BY_A_MODEL = "/trainedAlgorithmicMedia"  # the end of IPTC's address for such pictures
_NAMES = {  # in a credit or a manifest → what the tool is called; the first that is there counts
    "ChatGPT": "ChatGPT",
    "DALL": "DALL·E",
    "OpenAI": "OpenAI",
    "Firefly": "Adobe Firefly",
    "Midjourney": "Midjourney",
    "Google": "Google",
    "Microsoft": "Microsoft",
    "Stability": "Stability AI",
}


def stored_in(fields: Fields) -> Stored | None:
    """The prompt that is stored in a file, or at least that a model made the picture; None without either."""
    for read in READERS:
        if stored := read(fields):
            return stored
    return None


def from_parameters(fields: Fields) -> Stored | None:
    """``parameters`` as AUTOMATIC1111, Forge, Fooocus and SwarmUI write them; in a JPEG or WebP, the UserComment."""
    text = fields.texts.get("parameters", "")
    values = parsed(text or fields.comment)
    if values is not None:
        return from_fooocus(values) or from_swarmui(values)
    return from_infotext(text) if text else from_infotext(fields.comment, alone=False)


def from_infotext(text: str, alone: bool = True) -> Stored | None:
    """AUTOMATIC1111's form: the prompt, the negative prompt, and a last line of settings.

    Parameters
    ----------
    alone : whether a prompt without the settings counts too
    """
    *lines, last = text.strip().split("\n")
    settings = {name.strip(): _unquoted(value) for name, value in _SETTING.findall(last[:MOST_SETTINGS])}
    if len(settings) < _FEWEST_SETTINGS:
        lines.append(last)
        settings = {}
    if not settings.get("Steps") and not alone:
        return None
    at = next((i for i, line in enumerate(lines) if line.strip().startswith(NEGATIVE)), len(lines))
    negative = "\n".join(lines[at:]).strip().removeprefix(NEGATIVE)
    sampler = settings.get("Sampler", "")
    if (schedule := settings.get("Schedule type", "")) not in ("", "Automatic"):
        sampler = f"{sampler} {schedule}".strip()
    size = _SIZE.fullmatch(settings.get("Size", ""))
    stored = Stored(
        prompt=as_text("\n".join(lines[:at])),
        negative=as_text(negative),
        model=as_text(settings.get("Model")),
        sampler=as_text(sampler),
        steps=as_number(settings.get("Steps"), MOST_STEPS),
        seed=as_number(settings.get("Seed")),
        size=as_size(size[1], size[2]) if size else None,
        tool=_dialect(settings.get("Version", ""), settings.get("App", "")),
    )
    return stored if stored.prompt or settings else None


def _unquoted(value: str) -> str:
    value = value.strip()
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            pass
    return value


def _dialect(version: str, app: str) -> str:
    """Which of the programs that share AUTOMATIC1111's form wrote it, by the version that it names."""
    if app:
        return as_text(app[:40]) or "AUTOMATIC1111"
    for name in ("Fooocus", "ComfyUI"):
        if name in version:
            return name
    return "Forge" if version.startswith("f") else "AUTOMATIC1111"


def from_fooocus(values: object) -> Stored | None:
    """Fooocus's own scheme, a JSON object."""
    if not isinstance(values, dict) or not ({"base_model", "full_prompt", "metadata_scheme"} & values.keys()):
        return None
    size = _SIZE.fullmatch(str(values.get("resolution"))[:40])
    return Stored(
        prompt=as_text(values.get("prompt")),
        negative=as_text(values.get("negative_prompt")),
        model=as_text(values.get("base_model")),
        sampler=as_text(values.get("sampler")),
        steps=as_number(values.get("steps"), MOST_STEPS),
        seed=as_number(values.get("seed")),
        size=as_size(size[1], size[2]) if size else None,
        tool="Fooocus",
    )


def from_swarmui(values: object) -> Stored | None:
    """SwarmUI's JSON object."""
    values = _object(values).get("sui_image_params")
    if not isinstance(values, dict):
        return None
    return Stored(
        prompt=as_text(values.get("prompt")),
        negative=as_text(values.get("negativeprompt")),
        model=as_text(values.get("model")),
        sampler=as_text(values.get("sampler")),
        steps=as_number(values.get("steps"), MOST_STEPS),
        seed=as_number(values.get("seed")),
        size=as_size(values.get("width"), values.get("height")),
        tool="SwarmUI",
    )


def from_novelai(fields: Fields) -> Stored | None:
    """NovelAI's: the settings as JSON in ``Comment``, the prompt in ``Description``; in a WebP, both in the UserComment."""
    texts: dict[str, Any] = fields.texts
    if "Comment" not in texts and "Comment" in (outer := _object(parsed(fields.comment))):
        texts = outer
    if not isinstance(texts.get("Comment"), str):
        return None
    values = _object(parsed(texts["Comment"]))
    if not ("uc" in values or "NovelAI" in str(texts.get("Software"))):
        return None
    return Stored(
        prompt=as_text(values.get("prompt")) or as_text(texts.get("Description")),
        negative=as_text(values.get("uc")),
        model=as_text(texts.get("Source")),
        sampler=as_text(values.get("sampler")),
        steps=as_number(values.get("steps"), MOST_STEPS),
        seed=as_number(values.get("seed")),
        size=as_size(values.get("width"), values.get("height")),
        tool="NovelAI",
    )


def from_invokeai(fields: Fields) -> Stored | None:
    """InvokeAI's JSON: ``invokeai_metadata``, or ``sd-metadata`` before version 3."""
    if values := _object(parsed(fields.texts.get("invokeai_metadata", ""))):
        model = values.get("model")
        if isinstance(model, dict):
            model = model.get("name") or model.get("model_name")
        return Stored(
            prompt=as_text(values.get("positive_prompt")),
            negative=as_text(values.get("negative_prompt")),
            model=as_text(model),
            sampler=as_text(values.get("scheduler")),
            steps=as_number(values.get("steps"), MOST_STEPS),
            seed=as_number(values.get("seed")),
            size=as_size(values.get("width"), values.get("height")),
            tool="InvokeAI",
        )
    whole = _object(parsed(fields.texts.get("sd-metadata", "")))
    if values := _object(whole.get("image")):
        prompts = values.get("prompt")
        parts = (
            [_object(part).get("prompt") for part in prompts[:20]] if isinstance(prompts, list) else [prompts]
        )
        # What stood in brackets was the negative prompt then.
        text = "\n".join(part for part in parts if isinstance(part, str))
        return Stored(
            prompt=as_text(re.sub(r"\[[^\[\]]{0,5000}\]", "", text)),
            negative=as_text(", ".join(re.findall(r"\[([^\[\]]{1,5000})\]", text))),
            model=as_text(whole.get("model_weights")),
            sampler=as_text(values.get("sampler")),
            steps=as_number(values.get("steps"), MOST_STEPS),
            seed=as_number(values.get("seed")),
            size=as_size(values.get("width"), values.get("height")),
            tool="InvokeAI",
        )
    return None


def from_comfyui(fields: Fields) -> Stored | None:
    """ComfyUI's graphs, ``prompt`` and ``workflow``: texts of a PNG; in a WebP, EXIF's Make, Model and UserComment."""
    graphs: dict[str, Any] = {name: parsed(fields.texts.get(name, "")) for name in comfyui.GRAPHS}
    for tag in (ExifTags.Base.Model, ExifTags.Base.Make, ExifTags.Base.ImageDescription):
        name, _, graph = fields.exif.get(tag, "").partition(":")
        if name.lower() in comfyui.GRAPHS:
            graphs[name.lower()] = graphs[name.lower()] or parsed(graph)
    if not any(graphs.values()):
        graphs = _object(parsed(fields.comment))
    return comfyui.read(graphs.get("prompt"), graphs.get("workflow"))


def from_midjourney(fields: Fields) -> Stored | None:
    """Midjourney's description, which ends with the id of the job; its options stay in the prompt, as they were typed."""
    candidates = [
        fields.texts.get("Description", ""),
        *fields.xmp.get("description", ()),
        fields.exif.get(ExifTags.Base.ImageDescription, ""),
        *fields.iptc.get(120, ()),
    ]
    for text in candidates:
        if "Job ID:" in text[-60:] and len(text) <= MOST_MIDJOURNEY and (job := _JOB.search(text[-80:])):
            prompt = text[: len(text) - len(job[0])]
            options = {name: value.strip() for name, value in _OPTION.findall(prompt)}
            version = next(
                (f"{name} {options[name]}" for name in ("niji", "v", "version") if options.get(name)), ""
            )
            return Stored(
                prompt=as_text(prompt),
                negative=as_text(options.get("no")),
                model=as_text(version.replace("version ", "v ")),
                seed=as_number(options.get("seed")),
                tool="Midjourney",
            )
    return None


def from_provenance(fields: Fields) -> Stored | None:
    """That a model made the picture, as IPTC's source type in XMP says it, or a C2PA manifest; neither has the prompt.

    Manifests are only searched for words. Whether their signature is sound is not checked, so this is what the
    file claims.
    """
    credits = [*fields.xmp.get("CreatorTool", ()), *fields.xmp.get("Credit", ()), *fields.iptc.get(110, ())]
    if any(source.endswith(MADE_BY_A_MODEL) for source in fields.xmp.get("DigitalSourceType", ())):
        return Stored(tool=next((n for word, n in _NAMES.items() if word in " ".join(credits)), UNNAMED))
    if MADE_BY_A_MODEL.encode() in fields.manifest:
        return Stored(
            tool=next((n for word, n in _NAMES.items() if word.encode() in fields.manifest), UNNAMED)
        )
    return None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


READERS: tuple[Callable[[Fields], Stored | None], ...] = (
    from_parameters,
    from_novelai,
    from_invokeai,
    from_comfyui,
    from_midjourney,
    from_provenance,
)
