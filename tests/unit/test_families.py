"""Chat models and Florence-2: real architectures, tiny and freshly initialised, saved in their published format."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import AutoModelForImageTextToText, AutoProcessor

from img2prompt import load_pipeline
from img2prompt.cli.main import main
from img2prompt.engines.base import Question, Request
from img2prompt.engines.device import Place
from img2prompt.engines.full.families import ChatModel, chat, load_captioner, task_token, words
from img2prompt.engines.full.families.watch import looping
from img2prompt.errors import ConfigError, WeightsError
from img2prompt.settings import Settings
from tests.helpers import fresh_models, records

LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
TEXT = {"hidden_size": 64, "num_key_value_heads": 2, "head_dim": 16, **LAYERS}
VISION = {"hidden_size": 48, "image_size": 64, "patch_size": 16, **LAYERS}
ROPE = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
GEMMA_VISION = {"hidden_size": 48, "num_key_value_heads": 4, "head_dim": 12, "position_embedding_size": 1024}
GEMMA_VISION |= LAYERS
QWEN_VISION = {"hidden_size": 48, "intermediate_size": 96, "depth": 3, "num_heads": 4}
QWEN_VISION |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
HEADS = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
BART = {"d_model": 64, "encoder_layers": 2, "decoder_layers": 2, **HEADS}
BART |= {"encoder_ffn_dim": 96, "decoder_ffn_dim": 96}
DAVIT = {"depths": [1] * 4, "embed_dim": [16, 32, 48, 64], "num_heads": [2] * 4, "num_groups": [2] * 4}

FRESH: dict[str, Callable[[], fresh_models.Pair]] = {
    "florence2": partial(fresh_models.florence2, BART, DAVIT | {"window_size": 2}, side=64),
    "gemma3": partial(fresh_models.gemma3, TEXT, VISION),
    "gemma4": partial(fresh_models.gemma4, TEXT, GEMMA_VISION),
    "llava": partial(fresh_models.llava, TEXT, VISION),
    "qwen3_vl": partial(fresh_models.qwen3_vl, TEXT | {"rope_parameters": ROPE}, QWEN_VISION, side=128),
    "smolvlm": partial(fresh_models.smolvlm, TEXT, VISION, tiles=2),
}
FACTORS = {"gemma3": 2.0, "gemma4": 2.0}  # that exaggerate weights, so that pictures get different words
CHATS = [name for name in FRESH if name != "florence2"]
MOST = 12  # new tokens, in most of these tests
INSTRUCTION = "Name the animals."


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module")
def folder(root) -> Callable[[str], Path]:
    """The folder of a family, saved when it is first asked for."""

    def saved(name: str) -> Path:
        if not (root / name).exists():
            torch.manual_seed(1)
            fresh_models.save_chat(root / name, *FRESH[name](), FACTORS.get(name, 6.0))
        return root / name

    return saved


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Coloured blotches in several sizes and shapes."""
    rng = np.random.default_rng(0)
    sizes = [(90, 60), (90, 100), (64, 64), (120, 50)]
    return [
        Image.fromarray(rng.integers(0, 255, (5 + i, 7, 3), dtype=np.uint8)).resize(size)
        for i, size in enumerate(sizes)
    ]


@pytest.fixture(autouse=True)
def short(monkeypatch) -> None:
    monkeypatch.setattr(chat, "SHORT", MOST)
    monkeypatch.setattr(chat, "LONG", MOST)
    monkeypatch.setattr(task_token, "MOST", dict.fromkeys(task_token.MOST, MOST))


def load(place: Path, **how: Any) -> Any:
    return load_captioner(place, Place(torch.device("cpu")), "auto", 64, **how)


def said(model: Any, pictures: list[Image.Image], **how: Any) -> list[str]:
    """What a model answers to an instruction, as it was written."""
    requests = [Request(INSTRUCTION)] * len(pictures)
    prepared = [model.prepare(picture) for picture in pictures]
    return [description.caption for description in model.describe(prepared, requests=requests, **how)]


def library(place: Path, pictures: list[Image.Image], most: int = MOST, endless: bool = False) -> list[str]:
    """The library's own call for one picture after the other, as its documentation shows it."""
    net = AutoModelForImageTextToText.from_pretrained(place).eval()
    if endless:
        net.generation_config.eos_token_id = None
    processor = AutoProcessor.from_pretrained(place)
    answers = []
    for picture in pictures:
        content = [{"type": "image", "image": picture}, {"type": "text", "text": INSTRUCTION}]
        if "llava" in place.name:  # JoyCaption's documentation
            talk = [{"role": "user", "content": INSTRUCTION}]
            prompt = processor.apply_chat_template(talk, add_generation_prompt=True, tokenize=False)
            inputs = processor(text=[prompt], images=[picture], return_tensors="pt", add_special_tokens=False)
        else:
            inputs = processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        tokens = net.generate(**inputs, max_new_tokens=most, do_sample=False)
        written = tokens[0, inputs["input_ids"].shape[1] :]
        answers.append(processor.tokenizer.decode(written, skip_special_tokens=True).strip())
    return answers


# the same words


@pytest.mark.slow
@pytest.mark.parametrize("name", CHATS)
def test_a_batch_gets_the_words_of_the_librarys_call_one_by_one(name, folder, pictures):
    expected = library(folder(name), pictures)
    assert said(load(folder(name)), pictures) == expected
    assert len(set(expected)) > 1, "else padding could do no harm"


@pytest.mark.slow
def test_florence_does_its_tasks_as_the_library_does(folder, pictures):
    place = folder("florence2")
    net, processor = (kind.from_pretrained(place) for kind in (AutoModelForImageTextToText, AutoProcessor))
    expected = []
    for picture in pictures:
        row = []
        for task in ("<CAPTION>", "<MORE_DETAILED_CAPTION>", "<OCR>"):
            inputs = processor(text=task, images=picture, return_tensors="pt")
            tokens = net.eval().generate(**inputs, max_new_tokens=MOST)
            row.append(processor.batch_decode(tokens, skip_special_tokens=True)[0].strip())
        expected.append((words.as_caption(row[0]), *row[1:]))
    model = load(place, details=True)
    found = model.describe([model.prepare(picture) for picture in pictures])
    assert [(one.caption, one.detailed, one.text) for one in found] == expected
    assert len(set(expected)) > 1
    [plain] = load(place).describe([model.prepare(pictures[0])])
    assert (plain.caption, plain.detailed, plain.text) == (expected[0][0], "", "")
    assert not model.follows and not isinstance(model, ChatModel)


def test_details_are_a_paragraph_of_a_chat_model(folder, pictures, monkeypatch):
    model = load(folder("qwen3_vl"), details=True)
    found = model.describe([model.prepare(picture) for picture in pictures[:2]])
    monkeypatch.setattr(chat, "CAPTION", chat.PARAGRAPH)
    alone = load(folder("qwen3_vl"))
    again = alone.describe([alone.prepare(picture) for picture in pictures[:2]])
    assert all(
        words.as_caption(words.first_sentence(one.detailed)) == two.caption
        for one, two in zip(found, again, strict=True)
    )
    assert all(one.detailed for one in found)


# what is left out of them


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("A cat.", "A cat."),
        ("<think>\nA cat? </think>\n\nA cat.", "A cat."),
        ("It is a cat.\n</think>\nA cat.", "A cat."),  # where the template opened the thought
        ("<think>It never ends", ""),
        ("<thi", ""),  # not yet said
        ("<b>A cat", "<b>A cat"),
    ],
)
def test_thoughts_are_left_out(written, answer):
    assert words.spoken(written) == answer


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ([5] * 23, [5] * 23),
        ([5] * 24, [5]),
        ([1, 2, 3, *[4, 5] * 12], [1, 2, 3, 4, 5]),
        ([1, *[2, 3, 4] * 9, 2], [1, 2, 3, 4]),
        ([*range(9)] * 2, [*range(9)] * 2),
        ([*range(9)] * 3, [*range(9)]),
        ([*range(33)] * 4, [*range(33)] * 4),  # a verse, not a loop
        ([], []),
    ],
)
def test_loops_are_said_once(tokens, kept):
    assert list(words.unlooped(tokens)) == kept
    if tokens:
        assert bool(looping(torch.tensor([tokens]))[0]) == (tokens != kept)


@pytest.mark.slow
def test_a_model_that_repeats_itself_is_stopped(folder, pictures, monkeypatch):
    most = 200
    monkeypatch.setattr(chat, "LONG", most)
    model = load(folder("gemma3"))
    model._net.generation_config.eos_token_id = None
    steps = []
    model._net.register_forward_pre_hook(lambda *_: steps.append(1))
    found = said(model, pictures[:1])
    assert len(steps) < most
    [expected] = library(folder("gemma3"), pictures[:1], most=len(steps), endless=True)
    assert expected.startswith(found[0]) and len(found[0]) < len(expected)


@pytest.mark.parametrize(
    ("text", "caption", "detailed"),
    [
        ("A brown dog runs.", "a brown dog runs", ""),
        ('"A brown dog runs."', "a brown dog runs", ""),
        ("**A dog.** It is brown.", "a dog", "**A dog.** It is brown."),
        ("A view of St. Paul's at 5 p.m. with Mr. Lee", "a view of st. paul's at 5 p.m. with mr. lee", ""),
        ("Is it a dog? It is.", "is it a dog?", "Is it a dog? It is."),
        ("A dog\nruns", "a dog runs", ""),
        ("", "", ""),
    ],
)
def test_a_caption_is_a_sentence_in_lower_case(text, caption, detailed):
    found = chat._described(text, "", instructed=False)
    assert (found.caption, found.detailed) == (caption, detailed)
    assert chat._described(text, "", instructed=True).caption == text


# each on its own, and word by word


def test_each_picture_has_its_own_instruction_and_listener(folder, pictures):
    model = load(folder("qwen3_vl"))
    prepared = [model.prepare(picture) for picture in pictures]
    heard: list[list[str]] = [[] for _ in pictures]
    requests = [Request(f"Say {i}." if i else "", heard[i].append) for i in range(len(pictures))]
    found = model.describe(prepared, requests=requests)
    alone = [
        model.describe([one], requests=[Request(r.instruction)])[0]
        for one, r in zip(prepared, requests, strict=True)
    ]
    assert found == alone
    for texts, description in zip(heard, found, strict=True):
        assert len(texts) > 1 and all(later.startswith(text) for text, later in pairwise(texts))
        assert texts[-1].strip().lower().startswith(description.caption.lower()[:5])
    assert [texts[-1].strip() for texts in heard[1:]] == [description.caption for description in found[1:]]


@pytest.mark.parametrize("name", ["qwen3_vl", "llava"])
def test_pieces_of_a_chat_are_its_answer(name, folder, pictures):
    model = load(folder(name))
    [whole] = said(model, pictures[:1])
    pieces = list(model.chat(Question(INSTRUCTION, pictures[0], most=MOST)))
    assert "".join(pieces).strip() == whole and len(pieces) > 1
    assert "".join(model.chat(Question("Hello", most=5)))  # without a picture


def test_who_stops_listening_stops_the_model(folder, pictures):
    model = load(folder("qwen3_vl"))
    steps = []
    model._net.register_forward_pre_hook(lambda *_: steps.append(1))
    pieces = model.chat(Question(INSTRUCTION, pictures[0], most=100_000))
    next(pieces)
    pieces.close()
    assert len(steps) < 1000 and not [t for t in threading.enumerate() if t.name.startswith("chat")]


def test_a_schema_is_put_in_words(folder, monkeypatch):
    model = load(folder("qwen3_vl"))
    asked = []
    monkeypatch.setattr(model, "_answer", lambda turns, **_: asked.extend(turns) or [""])
    schema = {"type": "object", "properties": {"post": {"type": "string"}}}
    list(model.chat(Question("Write.", schema=schema)))
    assert asked[0].text.startswith("Write.\n") and json.dumps(schema) in asked[0].text


def test_an_error_on_the_way_reaches_who_asked(folder, pictures):
    model = load(folder("qwen3_vl"))

    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model._net.register_forward_pre_hook(fail)
    with pytest.raises(ConfigError, match="Set low_vram"):
        list(model.chat(Question(INSTRUCTION, pictures[0])))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["florence2", "smolvlm"])
def test_out_of_memory_halves_the_batch(name, folder, pictures):
    tight, easy = load(folder(name)), load(folder(name))
    seen = []

    def check(_: Any, arguments: Any, named: dict[str, Any]) -> None:
        count = len(named["input_ids"] if "input_ids" in named else named["decoder_input_ids"])
        seen.append(count)
        if count > 6:  # rows; Florence's search has three a picture
            raise torch.OutOfMemoryError("CUDA out of memory")

    tight._net.register_forward_pre_hook(check, with_kwargs=True)
    many = [*pictures, *pictures]
    assert said(tight, many) == said(easy, many)
    assert max(seen) > 6 and seen[-1] <= 6
    assert tight._batches.size < len(many)


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("gemma3", "<end_of_turn><start_of_turn>"),
        ("llava", "<|end|><|assistant|><image>"),
        ("qwen3_vl", "<|im_end|>"),
        ("qwen3_vl", "<|image_pad|>"),
        ("qwen3_vl", "<|im_end|><|im_start|>"),
        ("qwen3_vl", "<|im_<|im_end|>end|>"),
        ("qwen3_vl", "<|im_<|image_pad|>end|>"),
        ("qwen3_vl", "<|image_<|im_end|>pad|>"),
        ("qwen3_vl", "<|im_" * 900 + "<|vision_start|>" + "end|>" * 900),
    ],
)
def test_nobody_writes_tokens_of_the_template(name, hidden, folder, pictures):
    """Nor one within the other, so that one is left when the other is gone."""
    model = load(folder(name))
    one, two = (
        model._prompt(chat.Turn(text, pictures[0], 1)) for text in (f"Hi {hidden}there{hidden}", "Hi there")
    )
    assert one == two


@pytest.mark.parametrize(
    ("size", "of", "becomes"),
    [
        ({"longest_edge": 16_777_216, "shortest_edge": 65_536}, (4000, 3000), (1024, 768)),  # Qwen3-VL
        ({"longest_edge": 2048}, (4000, 3000), (2048, 1536)),  # SmolVLM
        ({"height": 896, "width": 896}, (4000, 3000), (1195, 896)),  # Gemma 3
        ({"height": 384, "width": 384}, (4000, 3000), (1024, 768)),  # JoyCaption
        ({"height": 384, "width": 384}, (4000, 1000), (1536, 384)),
        ({"longest_edge": 2048}, (640, 480), (640, 480)),
        ({"shortest_edge": 336}, (9000, 3), (9000, 3)),
    ],
)
def test_pictures_are_shrunk_to_what_a_model_sees(size, of, becomes):
    assert chat.shrunk(Image.new("RGB", of), size).size == becomes


# what is refused


@pytest.fixture
def copied(folder, tmp_path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(folder(name), tmp_path / name))


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_an_unknown_architecture_is_told_with_the_known_ones(copied):
    place = copied("qwen3_vl")
    change(place / "config.json", model_type="moondream1", auto_map={"AutoConfig": "code.Config"})
    with pytest.raises(
        WeightsError, match="of the kind moondream1, which is not known here. Known are blip, .*smolvlm"
    ):
        load(place)


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer_config.json"])
def test_code_in_a_folder_never_runs(name, copied, tmp_path):
    place = copied("smolvlm")
    keys = (
        "AutoConfig",
        "AutoModelForImageTextToText",
        "AutoProcessor",
        "AutoTokenizer",
        "AutoImageProcessor",
    )
    change(place / name, auto_map={key: "code.Thing" for key in keys})
    (place / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Thing: pass\n")
    try:
        load(place)
    except WeightsError:
        pass  # or transformers' own class is taken
    assert not (tmp_path / "ran").exists()


def test_weights_made_for_other_code_are_refused(copied):
    """transformers would fill the gaps with random numbers."""
    from safetensors.torch import load_file, save_file

    place = copied("florence2")
    weights = load_file(place / "model.safetensors")
    save_file({f"old.{name}": value for name, value in weights.items()}, place / "model.safetensors")
    with pytest.raises(WeightsError, match="the weights lack .* more"):
        load(place)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (None, "chat template is missing"),
        ("{% for", "could not be used|unexpected|Expected|expected"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ raise_exception('not me') }}", "not me"),
    ],
)
def test_a_template_that_cannot_be_used(template, why, copied):
    place = copied("qwen3_vl")
    if template is None:
        (place / "chat_template.jinja").unlink()
    else:
        (place / "chat_template.jinja").write_text(template)
    with pytest.raises(WeightsError, match=why):
        load(place)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_fewer_bits_need_a_gpu(bits, folder):
    with pytest.raises(ConfigError, match=f"quantize is '{bits}', which needs an NVIDIA GPU"):
        load(folder("qwen3_vl"), quantize=bits)


def test_settings_that_exclude_each_other():
    with pytest.raises(ConfigError, match="exclude each other"):
        Settings(quantize="4bit", low_vram=True)
    with pytest.raises(ConfigError, match="choose one of none, 8bit, 4bit"):
        Settings(quantize="2bit")


# the whole way


@pytest.fixture(scope="module")
def pipeline(folder) -> Iterator[Any]:
    parts = {"caption_model": str(folder("qwen3_vl")), "clip_model": "lite", "regressor": "lite"}
    return load_pipeline(engine="full", device="cpu", **parts)


def test_the_pipeline_follows_instructions(pipeline, pictures):
    [plain] = pipeline(pictures[0])
    assert plain.engine == "full" and plain.model.endswith("qwen3_vl")
    assert plain.caption == plain.caption.lower() and plain.caption in plain.prompt
    [told] = pipeline.describe([pictures[0]], requests=[Request("Say it in capitals.")])
    assert told.caption != plain.caption
    heard: list[str] = []
    pipeline.describe([pictures[0]], requests=[Request("", heard.append)])
    assert heard


def test_labels_and_embedding_may_be_lites(pipeline, pictures):
    lite = load_pipeline(engine="lite")
    [mine], [its] = pipeline(pictures[0]), lite(pictures[0])
    assert mine.labels == its.labels and mine.labels["mediums"]
    features, others = pipeline.engine.encode(pictures[:2]), lite.engine.encode(pictures[:2])
    np.testing.assert_allclose(pipeline.engine.regress(features), lite.engine.regress(others), atol=1e-5)
    assert pipeline.engine.space == lite.engine.space
    assert lite.engine.weights_id in pipeline.engine.weights_id


@pytest.mark.slow
def test_a_batch_goes_on_with_the_same_words(folder, pictures, tmp_path, monkeypatch):
    """What a stopped batch has is kept; another instruction begins anew."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, picture in enumerate(pictures):
        picture.save(photos / f"{i}.png")
    seen: list[int] = []
    describe = chat.ChatModel.describe

    def count(self: Any, prepared: Any, *how: Any) -> Any:
        seen.append(len(prepared))
        return describe(self, prepared, *how)

    monkeypatch.setattr(chat.ChatModel, "describe", count)

    def run(*more: str) -> list[str]:
        seen.clear()
        parts = (f"caption_model={folder('qwen3_vl')}", "clip_model=none")
        chosen = [word for part in parts for word in ("--set", part)]
        command = [
            "batch",
            str(photos),
            "-o",
            str(tmp_path / "words.jsonl"),
            "--engine",
            "full",
            "--device",
            "cpu",
        ]
        with pytest.raises(SystemExit, match="^0$"):
            main([*command, *chosen, *more])
        return [row["caption"] for row in records((tmp_path / "words.jsonl").read_text("utf-8"))]

    first = run()
    assert sum(seen) == len(pictures) and len(set(first)) > 1
    pictures[0].save(photos / "more.png")
    again = run()
    assert sum(seen) == 1 and again == [*first, first[0]]
    told = run("--set", f"instruction={INSTRUCTION}")
    assert sum(seen) == len(again) and told != again
