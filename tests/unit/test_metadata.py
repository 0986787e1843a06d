"""What picture files say of themselves; the files are written here, as the tools document theirs."""

import io
import json
import time
import zlib

import pytest
from PIL import ExifTags, Image
from pillow_heif import register_heif_opener

from img2prompt import metadata
from img2prompt.errors import ImageError
from img2prompt.images import Limits, open_image, read_metadata
from img2prompt.metadata import comfyui, fields, tools, xmp
from img2prompt.metadata.fields import MOST_BYTES, MOST_CHARACTERS
from img2prompt.results import Stored
from tests.helpers import stored as files
from tests.helpers.stored import DREAM, INFOTEXT, MADE_BY_A_MODEL, UGLY, Base

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow warns about damaged EXIF data

FROM_INFOTEXT = Stored(
    DREAM, UGLY, "dreamy_v3", "DPM++ 2M Karras", 28, 1234567890, (832, 1216), "AUTOMATIC1111"
)
FROM_COMFYUI = Stored(DREAM, UGLY, "sdxl.safetensors", "euler", 20, 42, (512, 768), "ComfyUI")


def stored(data: bytes) -> Stored | None:
    """What a file holds: the same, whether the picture is decoded or not."""
    found = read_metadata(data)
    assert metadata.of(open_image(data)) == found
    return found.stored


def notes(data: bytes) -> metadata.Notes | None:
    return read_metadata(data).notes


# AUTOMATIC1111, Forge


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
@pytest.mark.parametrize("order", ["be", "le"])
def test_infotext_in_the_comment_in_either_byte_order(form, order):
    assert stored(files.with_comment(form, INFOTEXT, order)) == FROM_INFOTEXT


def test_infotext_in_a_png():
    assert stored(files.png({"parameters": INFOTEXT})) == FROM_INFOTEXT


def test_infotext_in_other_encodings():
    plain = INFOTEXT.replace("등대, ", "")
    for comment in (
        b"ASCII\0\0\0" + plain.encode(),
        bytes(8) + INFOTEXT.encode(),
        b"UNICODE\0\xff\xfe" + INFOTEXT.encode("utf-16-le"),
    ):
        found = stored(files.with_exif("JPEG", second={Base.UserComment: comment}))
        assert found and found.prompt in (DREAM, DREAM.replace("등대, ", "")) and found.seed == 1234567890


def test_utf8_in_a_chunk_that_is_latin1_by_its_standard():
    texts = {"parameters": INFOTEXT.encode().decode("latin-1")}
    assert stored(files.png(texts)) == FROM_INFOTEXT
    french = INFOTEXT.replace(DREAM, "un café à l'été")
    assert stored(files.png({"parameters": french})).prompt == "un café à l'été"


def test_infotext_without_this_or_that():
    assert stored(files.png({"parameters": "only a prompt\nof two lines"})) == Stored(
        "only a prompt\nof two lines", tool="AUTOMATIC1111"
    )
    assert stored(files.png({"parameters": "\nSteps: 5, Sampler: Euler a, Seed: 1"})).prompt is None
    assert stored(files.png({"parameters": " \n "})) is None
    forge = INFOTEXT.replace("v1.10.1", "f2.0.1v1.10.1-previous")
    assert stored(files.png({"parameters": forge})).tool == "Forge"
    assert (
        stored(files.png({"parameters": INFOTEXT.replace("Version: ", "App: SD.Next, Version: ")})).tool
        == "SD.Next"
    )


def test_a_comment_of_a_camera_is_no_prompt():
    for comment in (
        b"ASCII\0\0\0Screenshot",
        b"UNICODE\0" + "a note: yes, place: there, x: y".encode("utf-16-be"),
    ):
        assert stored(files.with_exif("JPEG", second={Base.UserComment: comment})) is None


# Fooocus, NovelAI, InvokeAI

FOOOCUS = {
    "base_model": "juggernautXL",
    "full_prompt": [DREAM, "cinematic still"],
    "metadata_scheme": "fooocus",
    "negative_prompt": UGLY,
    "prompt": DREAM,
    "resolution": "(1152, 896)",
    "sampler": "dpmpp_2m_sde_gpu",
    "seed": "7012345678901234567",
    "steps": 30,
    "version": "Fooocus v2.5.5",
}


def test_fooocus_in_its_own_scheme_and_in_the_other():
    text = json.dumps(FOOOCUS)
    expected = Stored(
        DREAM, UGLY, "juggernautXL", "dpmpp_2m_sde_gpu", 30, 7012345678901234567, (1152, 896), "Fooocus"
    )
    assert stored(files.png({"parameters": text, "fooocus_scheme": "fooocus"})) == expected
    assert (
        stored(files.with_exif("WEBP", first={Base.UserComment: text, Base.Software: "Fooocus v2.5.5"}))
        == expected
    )
    other = INFOTEXT.replace("v1.10.1", "Fooocus v2.5.5")
    assert stored(files.png({"parameters": other, "fooocus_scheme": "a1111"})).tool == "Fooocus"


def test_swarmui_and_other_objects():
    values = {
        "prompt": DREAM,
        "negativeprompt": UGLY,
        "model": "flux",
        "seed": 7,
        "steps": 4,
        "width": 8,
        "height": 9,
    }
    text = json.dumps({"sui_image_params": values, "sui_extra_data": {}})
    expected = Stored(DREAM, UGLY, "flux", None, 4, 7, (8, 9), "SwarmUI")
    assert stored(files.png({"parameters": text})) == expected
    assert stored(files.with_comment("JPEG", text)) == expected
    assert stored(files.png({"parameters": '{"of": "somebody else"}'})) is None


NOVELAI = {
    "Title": "NovelAI generated image",
    "Description": DREAM,
    "Software": "NovelAI",
    "Source": "NovelAI Diffusion V4 37442FCA",
    "Comment": json.dumps(
        {"uc": UGLY, "steps": 28, "height": 1216, "width": 832, "seed": 99, "sampler": "k_euler_ancestral"}
    ),
}


def test_novelai_in_a_png_and_in_a_webp():
    expected = Stored(
        DREAM, UGLY, "NovelAI Diffusion V4 37442FCA", "k_euler_ancestral", 28, 99, (832, 1216), "NovelAI"
    )
    data = files.png(NOVELAI)
    assert stored(data) == expected
    assert notes(data) is None  # neither its title nor the prompt is a person's note
    assert stored(files.with_comment("WEBP", json.dumps(NOVELAI))) == expected


def test_invokeai_of_today_and_of_earlier():
    values = {
        "positive_prompt": DREAM,
        "negative_prompt": UGLY,
        "width": 1024,
        "height": 1024,
        "seed": 3,
        "steps": 30,
        "scheduler": "dpmpp_sde_k",
        "model": {"name": "Juggernaut XL v9", "base": "sdxl"},
    }
    expected = Stored(DREAM, UGLY, "Juggernaut XL v9", "dpmpp_sde_k", 30, 3, (1024, 1024), "InvokeAI")
    assert stored(files.png({"invokeai_metadata": json.dumps(values)})) == expected
    values["model"] = {"model_name": "Juggernaut XL v9"}
    assert stored(files.png({"invokeai_metadata": json.dumps(values)})) == expected
    image = {
        "prompt": [{"prompt": f"{DREAM} [{UGLY}]", "weight": 1.0}],
        "steps": 50,
        "seed": 4,
        "sampler": "k_lms",
        "width": 512,
        "height": 512,
    }
    earlier = {"model_weights": "stable-diffusion-1.5", "app_id": "invoke-ai/InvokeAI", "image": image}
    expected = Stored(DREAM, UGLY, "stable-diffusion-1.5", "k_lms", 50, 4, (512, 512), "InvokeAI")
    assert stored(files.png({"sd-metadata": json.dumps(earlier)})) == expected


# ComfyUI


def test_comfyui_in_a_png_and_in_a_webp():
    assert stored(files.comfyui()) == FROM_COMFYUI
    first = {Base.Model: f"prompt:{json.dumps(files.graph())}", Base.Make: 'workflow:{"nodes": []}'}
    assert stored(files.with_exif("WEBP", first=first)) == FROM_COMFYUI
    both = json.dumps({"prompt": files.graph(), "workflow": {}})
    assert stored(files.with_comment("WEBP", both)) == FROM_COMFYUI


def test_values_that_json_does_not_have_but_comfyui_writes():
    graph = files.graph()
    graph["5"]["is_changed"] = [float("nan")]
    assert stored(files.png({"prompt": json.dumps(graph)})) == FROM_COMFYUI


def test_a_workflow_alone():
    nodes = [
        {"id": 3, "type": "KSampler", "widgets_values": [42, "fixed", 20, 8, "euler", "normal", 1]},
        {"id": 4, "type": "CheckpointLoaderSimple", "widgets_values": ["sdxl.safetensors"]},
        {"id": 5, "type": "EmptyLatentImage", "widgets_values": [512, 768, 1]},
        {
            "id": 6,
            "type": "CLIPTextEncode",
            "widgets_values": [DREAM],
            "inputs": [{"name": "clip", "link": 9}],
        },
        {"id": 7, "type": "CLIPTextEncode", "widgets_values": [UGLY]},
        {"id": 8, "type": "SaveImage", "inputs": [{"name": "images", "link": 5}]},
    ]
    names = ("model", "positive", "negative", "latent_image")
    nodes[0]["inputs"] = [{"name": name, "link": link} for link, name in enumerate(names, 1)]
    links = [[1, 4, 0, 3, 0, "MODEL"], [2, 6, 0, 3, 1, "CONDITIONING"], [3, 7, 0, 3, 2, "CONDITIONING"]]
    links += [[4, 5, 0, 3, 3, "LATENT"], [5, 3, 0, 8, 0, "IMAGE"], [9, 4, 1, 6, 0, "CLIP"]]
    assert stored(files.png({"workflow": json.dumps({"nodes": nodes, "links": links})})) == FROM_COMFYUI


def test_a_guider_and_nodes_for_each_setting():
    """As Flux is drawn: no negative prompt, and the settings in nodes of their own."""
    graph = {
        "1": {
            "class_type": "SamplerCustomAdvanced",
            "inputs": {
                name: [str(number), 0]
                for number, name in enumerate(("noise", "guider", "sampler", "sigmas", "latent_image"), 2)
            },
        },
        "2": {"class_type": "RandomNoise", "inputs": {"noise_seed": ["12", 0]}},
        "3": {"class_type": "BasicGuider", "inputs": {"model": ["7", 0], "conditioning": ["8", 0]}},
        "4": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "5": {"class_type": "BasicScheduler", "inputs": {"steps": 20, "denoise": 1, "model": ["7", 0]}},
        "6": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 512, "height": 768}},
        "7": {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": "x", "model": ["11", 0]}},
        "8": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["9", 0]}},
        "9": {
            "class_type": "CLIPTextEncodeFlux",
            "inputs": {"clip_l": ["10", 0], "t5xxl": ["10", 0], "guidance": 3},
        },
        "10": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": DREAM}},
        "11": {"class_type": "UNETLoader", "inputs": {"unet_name": "sdxl.safetensors"}},
        "12": {"class_type": "PrimitiveInt", "inputs": {"value": 42}},
        "13": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
    }
    expected = Stored(DREAM, None, "sdxl.safetensors", "euler", 20, 42, (512, 768), "ComfyUI")
    assert stored(files.png({"prompt": json.dumps(graph)})) == expected


def test_a_sampler_whose_texts_come_together():
    """As the wrapper of Wan has it, whose sampler names a scheduler only."""
    graph = files.graph()
    graph["3"]["inputs"] = {
        "steps": 20,
        "seed": 42,
        "scheduler": "unipc",
        "model": ["4", 0],
        "text_embeds": ["2", 0],
    }
    graph["2"] = {
        "class_type": "WanVideoTextEmbedBridge",
        "inputs": {"positive": ["6", 0], "negative": ["7", 0]},
    }
    graph["4"] = {"class_type": "WanVideoModelLoader", "inputs": {"model": "wan.safetensors"}}
    expected = Stored(DREAM, UGLY, "wan.safetensors", "unipc", 20, 42, None, "ComfyUI")
    assert stored(files.png({"prompt": json.dumps(graph)})) == expected


def test_of_several_samplers_the_one_that_begins_with_noise_and_is_saved():
    graph = files.graph()
    graph["20"] = json.loads(json.dumps(graph["3"]))  # the second pass, larger
    graph["20"]["inputs"] |= {"denoise": 0.4, "steps": 8, "latent_image": ["3", 0]}
    graph["8"]["inputs"]["samples"] = ["20", 0]
    graph["0"] = json.loads(json.dumps(graph["3"]))  # a sampler that leads nowhere
    graph["0"]["inputs"]["steps"] = 99
    assert stored(files.png({"prompt": json.dumps(graph)})) == FROM_COMFYUI


def test_nodes_between_the_sampler_and_its_texts():
    graph = files.graph()
    graph["3"]["inputs"] |= {"positive": ["30", 0], "negative": ["30", 1]}
    graph["30"] = {
        "class_type": "ControlNetApplyAdvanced",
        "inputs": {
            "positive": ["31", 0],
            "negative": ["32", 0],
            "control_net": ["33", 0],
            "image": ["34", 0],
        },
    }
    graph["31"] = {
        "class_type": "ConditioningCombine",
        "inputs": {"conditioning_1": ["6", 0], "conditioning_2": ["35", 0]},
    }
    graph["32"] = {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["6", 0]}}
    graph["35"] = {"class_type": "CLIPTextEncode", "inputs": {"text": ["36", 0], "clip": ["4", 1]}}
    graph["36"] = {
        "class_type": "StringConcatenate",
        "inputs": {"string_a": "at night", "string_b": ["37", 0], "delimiter": ", "},
    }
    graph["37"] = {"class_type": "PrimitiveString", "inputs": {"value": "in fog"}}
    found = stored(files.png({"prompt": json.dumps(graph)}))
    assert (found.prompt, found.negative) == (f"{DREAM}\nat night\nin fog", None)


def test_a_graph_in_circles_ends():
    graph = {str(n): {"class_type": "Reroute", "inputs": {"any": [str((n + 1) % 50), 0]}} for n in range(50)}
    graph["k"] = {
        "class_type": "KSampler",
        "inputs": {
            name: ["0", 0] for name in ("model", "positive", "negative", "latent_image", "seed", "steps")
        },
    }
    graph["k"]["inputs"]["sampler_name"] = ["k", 0]
    graph["9"]["inputs"]["back"] = ["k", 0]
    graph["s"] = {"class_type": "SaveImage", "inputs": {"images": ["k", 0]}}
    assert stored(files.png({"prompt": json.dumps(graph)})) == Stored(tool="ComfyUI")


def test_a_huge_graph_takes_a_moment():
    """A chain and a net, both larger than what is looked at, and a thousand samplers."""
    count = comfyui.MOST_NODES
    graph = {
        str(n): {"class_type": "C", "inputs": {"a": [str(n + 1), 0], "b": [str(n * 7 % count), 0]}}
        for n in range(count)
    }
    for n in range(1000):
        graph[f"k{n}"] = {
            "class_type": "KSampler",
            "inputs": {"seed": n, "positive": ["0", 0], "model": ["1", 0]},
        }
    start = time.thread_time()
    assert comfyui.read(graph, graph) is None  # the samplers lie behind the last node that is looked at
    assert comfyui.read({"k": graph.pop("k5"), **graph}, None) == Stored(seed=5, tool="ComfyUI")
    assert time.thread_time() - start < 4


WRONG = [
    None, True, 0, -1, 1.5, 1e400, "", "x", [], [[]], {}, [None], ["3"], ["3", 0], ["3", {}], [{}, 0], {"a": []}, 10**30
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_wrong_values_anywhere_in_a_graph(wrong):
    assert comfyui.read(wrong, wrong) is None
    whole = files.graph()
    for name, node in whole.items():
        comfyui.read({**whole, name: wrong}, None)
        comfyui.read({**whole, name: {**node, "inputs": wrong}}, None)
        for key in node["inputs"]:
            found = comfyui.read({**whole, name: {**node, "inputs": {**node["inputs"], key: wrong}}}, None)
            json.dumps(found and found.record(), allow_nan=False)
    drawn = {
        "nodes": [{"id": 3, "type": "KSampler", "widgets_values": [1], "inputs": []}],
        "links": [[1, 2, 0]],
    }
    for name in drawn:
        comfyui.read(None, {**drawn, name: wrong})
        comfyui.read(None, {**drawn, name: [wrong]})
    for name in drawn["nodes"][0]:
        comfyui.read(None, {**drawn, "nodes": [{**drawn["nodes"][0], name: wrong}]})


def test_numbers_that_no_tool_would_write():
    whole = files.graph(seed=2**64)
    for steps in (10**6, 2**63, 2**64, 10**4000, -1, 1e300):
        whole["3"]["inputs"]["steps"] = steps
        found = comfyui.read(whole, None)
        assert (found.steps, found.seed, found.prompt) == (None, None, DREAM)
    whole["3"]["inputs"]["steps"] = 999_999
    assert comfyui.read(whole, None).steps == 999_999


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_wrong_values_for_every_tool(wrong):
    for name in FOOOCUS:
        tools.from_fooocus({**FOOOCUS, name: wrong})
    for keyword in ("parameters", "Comment", "invokeai_metadata", "sd-metadata", "prompt", "workflow"):
        for value in (
            wrong,
            {"image": wrong},
            {"image": {"prompt": [wrong], "uc": wrong}, "uc": wrong, "model": wrong},
        ):
            tools.stored_in(fields.Fields(texts={keyword: json.dumps(value), "Software": "NovelAI"}))
            tools.stored_in(fields.Fields(comment=json.dumps({keyword: value})))


# Midjourney, and who says only that a model made it

JOB = "Job ID: 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


def test_midjourney_in_a_png_and_in_xmp():
    prompt = f"{DREAM} --ar 16:9 --no people, text --seed 77 --v 6.1"
    expected = Stored(prompt, "people, text", "v 6.1", seed=77, tool="Midjourney")
    assert stored(files.png({"Description": f"{prompt} {JOB}", "Author": "somebody"})) == expected
    packet = files.xmp(
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{prompt} {JOB}</rdf:li></rdf:Alt></dc:description>'
    )
    data = files.encoded("WEBP", xmp=packet)
    assert stored(data) == expected
    assert notes(data) is None
    assert stored(files.png({"Description": "a job. Job ID: 5"})) is None


def test_a_source_type_in_xmp():
    for packet in (
        files.xmp(
            f'Iptc4xmpExt:DigitalSourceType="{MADE_BY_A_MODEL}" photoshop:Credit="Made with Google AI"'
        ),
        files.xmp(
            f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{MADE_BY_A_MODEL}"/><xmp:CreatorTool>Google</xmp:CreatorTool>'
        ),
    ):
        assert stored(files.encoded("JPEG", xmp=packet)) == Stored(tool="Google")
    unnamed = files.xmp(f'Iptc4xmpExt:DigitalSourceType="{MADE_BY_A_MODEL}"')
    assert stored(files.png(None, xmp=unnamed) if False else files.encoded("WEBP", xmp=unnamed)) == Stored(
        tool="AI"
    )
    edited = unnamed.replace(b"/trained", b"/compositeWithTrained")
    assert stored(files.encoded("JPEG", xmp=edited)) is None


def test_a_manifest_of_c2pa_in_a_png_and_a_jpeg():
    claim = (
        b"jumb\0c2pa.claim\0{claim_generator: ChatGPT}{digitalSourceType: " + MADE_BY_A_MODEL.encode() + b"}"
    )
    assert stored(files.with_segment(0xEB, b"JP\0\x01" + claim)) == Stored(tool="ChatGPT")
    data = files.png()
    part = len(claim).to_bytes(4, "big") + b"caBX" + claim
    part += zlib.crc32(part[4:]).to_bytes(4, "big")
    assert stored(data[:33] + part + data[33:]) == Stored(tool="ChatGPT")
    camera = claim.replace(b"/trainedAlgorithmicMedia", b"/digitalCapture")
    assert stored(files.with_segment(0xEB, b"JP\0\x01" + camera)) is None


# What people wrote


def test_notes_in_xmp():
    packet = files.xmp(
        "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Mina's birthday</rdf:li></rdf:Alt></dc:title>"
        "<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>We ate 케이크.</rdf:li></rdf:Alt></dc:description>"
        "<dc:subject><rdf:Bag><rdf:li>cake</rdf:li><rdf:li>family</rdf:li><rdf:li>cake</rdf:li></rdf:Bag></dc:subject>"
        "<photoshop:City>Busan</photoshop:City><photoshop:Country>South Korea</photoshop:Country>"
        "<Iptc4xmpCore:Location>Gamcheon</Iptc4xmpCore:Location>"
        "<photoshop:DateCreated>2024-05-31T10:11:12+09:00</photoshop:DateCreated>"
        "<exif:GPSLatitude>35,5.8N</exif:GPSLatitude>"
    )
    data = files.encoded("JPEG", xmp=packet)
    assert notes(data) == metadata.Notes(
        "Mina's birthday", "We ate 케이크.", ("cake", "family"), "2024-05-31", "Gamcheon, Busan, South Korea"
    )
    assert stored(data) is None
    assert "35,5" not in repr(read_metadata(data))


def test_what_a_model_described_is_no_note_of_a_person():
    words = "<dc:title>A title</dc:title><dc:description>A dog.</dc:description><dc:subject>dogs</dc:subject>"
    writer = "<photoshop:CaptionWriter>img2prompt 0.1.0 (AI)</photoshop:CaptionWriter>"
    assert notes(files.encoded("JPEG", xmp=files.xmp(words))).keywords == ("dogs",)
    assert notes(files.encoded("JPEG", xmp=files.xmp(words + writer))) == metadata.Notes("A title")


def test_the_history_says_which_words_are_a_model_s_in_whatever_form_it_is():
    words = "<dc:description>A dog.</dc:description><dc:subject>dogs</dc:subject>"
    space = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
    forms = (
        "<rdf:li xmlns:e='{0}' e:action='edited' e:parameters='{1}'/>",
        "<rdf:li xmlns:e='{0}' rdf:parseType='Resource'><e:parameters>{1}</e:parameters></rdf:li>",
    )

    def found(*events):
        both = []
        for form in forms:
            entries = "".join(form.format(space, each) for each in events)
            history = "<m:History xmlns:m='http://ns.adobe.com/xap/1.0/mm/'><rdf:Seq>{}</rdf:Seq></m:History>"
            both.append(notes(files.encoded("WEBP", xmp=files.xmp(words + history.format(entries)))))
        assert both[0] == both[1]
        return both[0]

    assert found("keywords written by AI") == metadata.Notes(description="A dog.")
    assert found("description, alt text written by AI") == metadata.Notes(keywords=("dogs",))
    assert found("description, alt text, keywords written by AI") is None
    assert found("description written by AI", "description, keywords from a caption by a person") == (
        metadata.Notes(description="A dog.")
    )
    whole = metadata.Notes(description="A dog.", keywords=("dogs",))
    author = "<p:CaptionWriter xmlns:p='http://ns.adobe.com/photoshop/1.0/'>{}</p:CaptionWriter>"
    event = forms[0].format(space, "description written by AI")
    for name, described in (("Mina", whole), ("img2prompt (AI)", metadata.Notes(keywords=("dogs",)))):
        history = (
            f"<m:History xmlns:m='http://ns.adobe.com/xap/1.0/mm/'><rdf:Seq>{event}</rdf:Seq></m:History>"
        )
        xmp = files.xmp(words + history + author.format(name))
        assert notes(files.encoded("WEBP", xmp=xmp)) == described  # Mina has described it since
    assert found("a poem, keywords written by AI") == found("from image/png to image/jpeg") == whole
    assert found(*["converted"] * 1000, "keywords written by AI") == metadata.Notes(description="A dog.")


def test_notes_in_iptc():
    values = {
        5: ["Mina's birthday"],
        25: ["cake", "family"],
        55: ["20240531"],
        90: ["부산"],
        120: ["We ate."],
    }
    assert notes(files.with_segment(0xED, files.iptc(values))) == metadata.Notes(
        "Mina's birthday", "We ate.", ("cake", "family"), "2024-05-31", "부산"
    )


def test_notes_in_exif_and_never_where_it_was():
    exif = Image.Exif()
    exif[Base.ImageDescription] = "We ate."
    exif[Base.XPTitle] = "생일".encode("utf-16-le") + b"\0\0"
    exif[Base.XPKeywords] = "cake;가족".encode("utf-16-le")
    exif.get_ifd(ExifTags.IFD.Exif)[Base.DateTimeOriginal] = "2024:05:31 10:11:12"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (35.0, 5.0, 48.0), 3: "E", 4: (129.0, 0.0, 36.0)})
    register_heif_opener()
    for form in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"):
        data = files.encoded(form, exif=exif.tobytes())
        picture = open_image(data)
        assert metadata.of(picture).notes == metadata.Notes("생일", "We ate.", ("cake", "가족"), "2024-05-31")
        assert "129" not in repr(picture.info) and not dict(picture.getexif())


def test_coordinates_are_not_even_parsed(monkeypatch):
    asked = []
    look = Image.Exif.get_ifd
    monkeypatch.setattr(Image.Exif, "get_ifd", lambda exif, tag: asked.append(tag) or look(exif, tag))
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (35.0, 5.0, 48.0)})
    exif[Base.ImageDescription] = "We ate."
    data = files.encoded("JPEG", exif=exif.tobytes())
    asked.clear()
    assert notes(data).description == "We ate."
    assert asked == [ExifTags.IFD.Exif]


@pytest.mark.parametrize(
    "text",
    [
        "OLYMPUS DIGITAL CAMERA",
        "DCIM\\100MEDIA\\DJI_0001.JPG",
        "SONY DSC",
        "default",
        "  ",
        "{}",
        "Created with GIMP",
    ],
)
def test_what_cameras_and_programs_write_is_no_note(text):
    assert notes(files.with_exif("JPEG", first={Base.ImageDescription: text})) is None


def test_dates_that_are_none():
    for text in ("0000:00:00 00:00:00", "2024:13:01 00:00:00", "    :  :  ", "9", "20240230"):
        assert notes(files.with_exif("JPEG", second={Base.DateTimeOriginal: text})) is None


# What strangers put into files


def test_nothing_is_said_where_nothing_is_said():
    for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        picture = open_image(files.encoded(form))
        assert picture.info == {} and metadata.of(picture) == metadata.NOTHING


def test_a_picture_keeps_nothing_else_and_passes_nothing_on():
    exif = Image.Exif()
    exif[Base.Artist] = "Jo Secret"
    picture = open_image(files.png({"parameters": INFOTEXT, "Author": "Jo Secret"}, exif=exif.tobytes()))
    assert "Jo" not in repr(picture.info)
    for form in ("JPEG", "PNG", "WEBP", "TIFF", "GIF"):
        buffer = io.BytesIO()
        picture.copy().save(buffer, form)
        assert b"lighthouse" not in buffer.getvalue()


def test_a_picture_of_pillow_says_what_its_file_says():
    opened = Image.open(io.BytesIO(files.png({"parameters": INFOTEXT})))
    assert metadata.of(open_image(opened)).stored == FROM_INFOTEXT


def test_texts_of_ten_megabytes_are_left_alone():
    for text in ("a" * 10_000_000, f'{{"prompt": "{"a" * 10_000_000}"}}', "[" * 10_000_000):
        data = files.png({"parameters": text, "prompt": text, "Description": text, "Comment": text})
        start = time.thread_time()
        assert read_metadata(data, Limits(max_megabytes=100)) == metadata.NOTHING
        assert time.thread_time() - start < 2


def test_texts_as_large_as_they_may_be_take_a_moment():
    most = MOST_BYTES - 100
    for text in (
        "a" * most,
        "a:" * (most // 2),
        'a: "' * (most // 4),
        'a:"\\' * (most // 4),
        " " * most + "x",
        "Steps: 1, Sampler: a, Seed: 1, " + "b" * most,
        "--no " * (most // 5),
        "[" * most,
        '{"a":' * (most // 5),
        "[" * 900 + "]" * 900,
        "{" + ",".join(f'"{n}":{{"class_type":"KSampler","inputs":{{"positive":["{n + 1}",0],"seed":1}}}}' for n in range(20_000)) + "}",
    ):  # fmt: skip
        start = time.thread_time()
        found = tools.stored_in(fields.Fields(texts={"parameters": text, "prompt": text, "Comment": text}))
        tools.stored_in(fields.Fields(texts={"Description": f"{text[:15000]} {JOB}"}, comment=text))
        assert time.thread_time() - start < 60, text[:40]  # 3 was too little in a large process
        assert found is None or len(found.prompt or "") <= MOST_CHARACTERS


def test_numbers_that_are_none():
    for value in (-1, 2**64, "9" * 30, 1.5, float("inf"), float("nan"), True, None, "x", [], "١"):
        assert fields.as_number(value) in (None, 1)
    assert (fields.as_number("12"), fields.as_number(12.0), fields.as_number(2**64 - 1)) == (
        12,
        12,
        2**64 - 1,
    )
    huge = '{"positive_prompt": "a", "seed": ' + "9" * 5000 + "}"
    assert stored(files.png({"invokeai_metadata": huge})) is None  # more digits than Python reads


def test_texts_come_out_fit_to_be_shown():
    values = {"positive_prompt": "a\x1b[31m\0 \ud800b\x07\r\nc\u202e d", "scheduler": "\ud83d\ude00"}
    found = stored(files.png({"invokeai_metadata": json.dumps(values)}))
    assert (found.prompt, found.sampler) == ("a[31m b\nc\u202e d", "\U0001f600")
    found.prompt.encode()


def test_broken_xmp_gives_what_came_before():
    packet = files.xmp("<dc:title><rdf:Alt><rdf:li>a title</rdf:li></rdf:Alt></dc:title>")
    assert xmp.read(packet) == {"title": ["a title"]}
    assert xmp.read(packet[:-60]) == {"title": ["a title"]}
    for broken in (
        b"",
        b"\0" * 100,
        b"<",
        b"\xff\xfe\xff",
        b"<?xml version='1.0' encoding='x-no'?><a/>",
        "<a/>".encode("utf-16"),
    ):
        assert xmp.read(broken) == {}


def test_xmp_bombs():
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(20))
    packet = files.xmp("<dc:title>&e20;</dc:title>").split(b"?>", 1)[1]
    for bomb in (
        f'<!DOCTYPE a [<!ENTITY e0 "ha">{entities}]>'.encode() + packet,
        b'<!DOCTYPE a [<!ENTITY e20 SYSTEM "file:///etc/passwd">]>' + packet,
        b"<a>" * 300_000,
        files.xmp("<dc:title>" + "<rdf:li>" * 200_000),
        files.xmp("<dc:title>" * 50_000 + "x"),
        files.xmp("<dc:subject><rdf:Bag>" + "<rdf:li>x</rdf:li>" * 80_000 + "</rdf:Bag></dc:subject>"),
    ):
        start = time.thread_time()
        found = xmp.read(bomb)
        assert sum(map(len, found.values())) <= xmp.MOST_VALUES and "title" not in found
        assert time.thread_time() - start < 1


def test_damage_to_metadata_is_no_damage_to_the_picture():
    for data in (
        files.with_segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
        files.with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<broken"),
        files.with_segment(
            0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x05\xff\xff\xff\xff\xff"
        ),
        files.with_segment(0xEB, b"JP"),
        files.with_exif("WEBP", second={Base.UserComment: b"UNICODE\0\xd8"}),
    ):
        assert open_image(data).size == (64, 48)
        assert read_metadata(data) == metadata.NOTHING


def test_files_that_are_no_pictures(tmp_path):
    file = tmp_path / "broken.png"
    file.write_bytes(files.comfyui()[:60])
    for source, reason in (
        (file, "broken.png is damaged"),
        (tmp_path / "no.png", "cannot be read"),
        (b"", "empty"),
    ):
        with pytest.raises(ImageError, match=reason):
            read_metadata(source)


def test_pictures_too_small_to_describe_still_say_what_they_are():
    data = files.png({"parameters": INFOTEXT}, Image.new("RGB", (1, 1)))
    assert read_metadata(data).stored == FROM_INFOTEXT


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_of_a_picture_that_says_nothing_nothing_is_gathered(monkeypatch, form):
    """A quick look is all that a photo without texts costs."""
    gathered = []
    monkeypatch.setattr(fields, "gather", gathered.append)
    assert metadata.read(Image.open(io.BytesIO(files.encoded(form)))) == metadata.NOTHING
    assert gathered == []
