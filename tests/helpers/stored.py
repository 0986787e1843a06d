"""Pictures that say how they were made, in the forms that the tools document."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

Base = ExifTags.Base
DREAM = "a lighthouse at dawn, 등대, watercolor"
UGLY = "blurry, low quality"
INFOTEXT = (
    f"{DREAM}\nNegative prompt: {UGLY}\n"
    "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 1234567890, Size: 832x1216, "
    'Model hash: 31e35c80fc, Model: dreamy_v3, Lora hashes: "a: 1f, b: 2e", Version: v1.10.1'
)
MADE_BY_A_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def picture(size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert("RGB")


def png(texts: dict[str, str] | None = None, image: Image.Image | None = None, **options: Any) -> bytes:
    """A PNG with these texts; those that Latin-1 lacks characters for become iTXt, as Pillow's users have it."""
    info = PngInfo()
    for keyword, text in (texts or {}).items():
        info.add_text(keyword, text)
    buffer = BytesIO()
    (image or picture()).save(buffer, "PNG", pnginfo=info, **options)
    return buffer.getvalue()


def encoded(form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    picture().save(buffer, form, **options)
    return buffer.getvalue()


def with_exif(form: str, first: dict[int, Any] | None = None, second: dict[int, Any] | None = None) -> bytes:
    """A file with EXIF tags in its first directory, and in the one of the photo."""
    exif = Image.Exif()
    for tag, value in (first or {}).items():
        exif[tag] = value
    exif.get_ifd(ExifTags.IFD.Exif).update(second or {})
    return encoded(form, exif=exif.tobytes())


def with_comment(form: str, text: str, order: str = "be") -> bytes:
    """A file with a UserComment in UTF-16, as most tools write it."""
    return with_exif(form, second={Base.UserComment: b"UNICODE\0" + text.encode(f"utf-16-{order}")})


def xmp(properties: str) -> bytes:
    """An XMP packet with these elements, or attributes, of its description."""
    attributes, elements = ("", properties) if properties.startswith("<") else (properties, "")
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpCore="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" {attributes}>{elements}</rdf:Description>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def iptc(values: dict[int, list[str]]) -> bytes:
    """A Photoshop block with data sets of IPTC's second record, for a JPEG's APP13."""
    sets = b"\x1c\x01\x5a\0\x03\x1b%G"  # UTF-8
    for number, texts in values.items():
        for text in texts:
            sets += bytes([0x1C, 2, number]) + len(text.encode()).to_bytes(2, "big") + text.encode()
    sets += bytes(len(sets) % 2)
    return b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(sets).to_bytes(4, "big") + sets


def with_segment(marker: int, content: bytes) -> bytes:
    """A JPEG with one more segment, such as 0xED for APP13."""
    data = encoded("JPEG")
    return data[:2] + bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content + data[2:]


def graph(positive: str = DREAM, negative: str = UGLY, seed: int = 42) -> dict[str, Any]:
    """ComfyUI's first workflow, as it ran."""
    return {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": seed,
                "steps": 20,
                "cfg": 8,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1,
                "model": ["4", 0],
                "positive": ["6", 0],
                "negative": ["7", 0],
                "latent_image": ["5", 0],
            },
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdxl.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": positive, "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": negative, "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    }


def comfyui(**changed: Any) -> bytes:
    return png({"prompt": json.dumps(graph(**changed))})
