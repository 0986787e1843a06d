"""The full engine on small, freshly initialised models, loaded from disk like the published ones."""

from __future__ import annotations

import json
import re
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from transformers import AutoProcessor

from img2prompt import Pipeline, load_pipeline, weights
from img2prompt.engines.device import Batches, Place, SkipInit, near, spread_linears
from img2prompt.engines.full import clip_text, memory
from img2prompt.engines.full.engine import FullEngine
from img2prompt.engines.full.families import blip_attention
from img2prompt.engines.full.parts import find_parts
from img2prompt.engines.full.vit_regressor import RegressorConfig, VitRegressor, save_regressor
from img2prompt.engines.registry import choose, load_engine
from img2prompt.errors import ConfigError, WeightsError
from img2prompt.labels.ranking import LabelTable
from img2prompt.minilm import SentenceEncoder
from img2prompt.settings import Settings
from tests.helpers.fresh_models import bert_tokenizer, exaggerate, save_blip, save_clip

VISION = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 16,
}
TEXT = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 48, "heads": 4, "layers": 2},
}
REGRESSOR = RegressorConfig("vit_tiny_patch16_224")
PARTS = {"caption_model": "blip-base", "clip_model": "tiny/fresh", "regressor": "tiny"}
TEXTS = ["", "a cat", "by rembrandt", "a dog in the deep snow of a long winter, oil on canvas", "word " * 90]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder of models, named by ``IMG2PROMPT_MODELS`` during these tests."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    save_blip(folder / "caption" / "blip-base", VISION, TEXT, stop=2.0)
    save_clip(folder / "clip" / "tiny--fresh", CLIP)
    net = REGRESSOR.build()
    exaggerate(net)
    save_regressor(folder / "regressor" / "tiny", REGRESSOR, net, np.arange(384, dtype=np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2PROMPT_MODELS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def engine(root) -> FullEngine:
    return build()


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Coloured blotches in many sizes and shapes."""
    rng = np.random.default_rng(0)
    sizes = [(90, 60 + 9 * i) for i in range(6)] + [(300, 200), (64, 64), (1, 40), (500, 30)]
    return [
        Image.fromarray(rng.integers(0, 255, (5 + i, 7, 3), dtype=np.uint8)).resize(size)
        for i, size in enumerate(sizes)
    ]


def build(**overrides) -> FullEngine:
    settings = Settings(engine="full", device="cpu", **(PARTS | overrides))
    return load_engine(settings, SentenceEncoder())


def captions(engine, features):
    return [description.caption for description in engine.describe(features)]


def answers(engine, pictures):
    """All that an engine says about pictures."""
    features = engine.encode(pictures)
    return captions(engine, features), engine.embed_images(features), engine.regress(features)


def assert_same(found, expected):
    assert found[0] == expected[0]
    for vectors, others in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(vectors, others, atol=2e-6)


# what it says


@pytest.mark.slow
def test_many_pictures_get_the_words_and_vectors_of_each_alone(engine, pictures):
    together = answers(engine, pictures)
    one_by_one = [answers(engine, [picture]) for picture in pictures]
    words = [captions[0] for captions, _, _ in one_by_one]
    assert_same(together, (words, *(np.concatenate([one[i] for one in one_by_one]) for i in (1, 2))))
    assert len(set(words)) == len(pictures)
    assert len({len(caption.split()) for caption in words}) > 3  # some end before others
    for vectors, width in ((together[1], 32), (together[2], 384)):
        assert vectors.shape == (len(pictures), width) and vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.fixture
def interrogator(root, tmp_path, monkeypatch):
    """clip-interrogator on the same files, through its own loading, with a few labels."""
    import clip_interrogator

    clip = root / "clip" / "tiny--fresh"
    (tmp_path / "tiny.json").write_text(json.dumps(CLIP))
    open_clip.add_model_config(tmp_path / "tiny.json")
    for table in ("artists", "flavors", "mediums", "movements", "negative"):
        (tmp_path / f"{table}.txt").write_text("one\ntwo")
    monkeypatch.setitem(
        clip_interrogator.clip_interrogator.CAPTION_MODELS, "blip-base", str(root / "caption" / "blip-base")
    )
    monkeypatch.chdir(clip)  # where its "name/tag" finds the file called like the tag
    config = clip_interrogator.Config(
        caption_model_name="blip-base",
        clip_model_name="tiny/open_clip_model.safetensors",
        cache_path=None,
        data_path=str(tmp_path),
        device="cpu",
        quiet=True,
    )
    return clip_interrogator.Interrogator(config)


@pytest.mark.slow
def test_words_and_vectors_are_those_of_clip_interrogator(engine, interrogator, pictures):
    features = engine.encode(pictures)
    assert captions(engine, features) == [interrogator.generate_caption(picture) for picture in pictures]
    theirs = torch.cat([interrogator.image_to_features(picture) for picture in pictures])
    np.testing.assert_allclose(engine.embed_images(features), theirs.numpy(), atol=2e-6)


def test_texts_are_embedded_as_open_clip_does(engine, root):
    name = f"local-dir:{root / 'clip' / 'tiny--fresh'}"
    net = open_clip.create_model(name)
    with torch.no_grad():
        expected = net.encode_text(open_clip.get_tokenizer(name)(TEXTS), normalize=True)
    np.testing.assert_allclose(engine.embed_texts(TEXTS), expected.numpy(), atol=2e-6)
    assert abs(expected @ expected.T).fill_diagonal_(0).max() < 0.9


def test_clip_statistics_of_the_seed(root, pictures):
    """With mean and deviation 0.5, black is -1 and white is 1."""
    clip = build(caption_model="none", regressor="none", clip_statistics="half")._clip
    black, white = (clip.prepare(Image.new("RGB", (80, 70), colour)) for colour in ("black", "white"))
    assert black.min() == black.max() == -1 and white.min() == white.max() == 1


@pytest.fixture
def log(caplog):
    """The lines that say which short cuts were left out."""
    return lambda: [record.getMessage() for record in caplog.records if "is left out" in record.getMessage()]


@pytest.fixture(params=[torch.float32, torch.bfloat16, torch.float16], ids=str)
def blip(request, tmp_path):
    torch.manual_seed(1)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    vision = {"hidden_size": 48, "image_size": 64, "patch_size": 16, **sizes}
    save_blip(tmp_path, vision, {"hidden_size": 64, **sizes}, stop=2.0)
    return transformers.BlipForConditionalGeneration.from_pretrained(tmp_path, dtype=request.param).eval()


@torch.inference_mode()
def test_fused_attention_sees_the_same(blip, log):
    pixels = torch.randn(3, 3, 64, 64, dtype=blip.dtype)
    expected = blip.vision_model(pixel_values=pixels)[0]
    blip_attention.fuse_attention(blip)
    blocks = [layer.self_attn for layer in blip.vision_model.encoder.layers]
    assert all("forward" in vars(block) for block in blocks) and log() == []
    assert near(blip.vision_model(pixel_values=pixels)[0], expected)


def fail(*_, **__):
    raise TypeError("another version's signature")


@pytest.mark.parametrize("wrong", ["raises", "answers otherwise"])
def test_plain_attention_where_fused_is_wrong(wrong, engine, pictures, monkeypatch, log):
    right, expected = blip_attention._forward, engine.describe(engine.encode(pictures))

    def double(*arguments, **options):
        return 2 * right(*arguments, **options)[0], None

    monkeypatch.setattr(blip_attention, "_forward", fail if wrong == "raises" else double)
    plain = build(clip_model="none", regressor="none")
    assert len(log()) == 1
    layers = plain._captioner._net.vision_model.encoder.layers
    assert not any("forward" in vars(layer.self_attn) for layer in layers)
    assert plain.describe(plain.encode(pictures)) == expected
    assert len(log()) == 1


@pytest.mark.parametrize("wrong", ["raises", "answers otherwise"])
def test_whole_texts_where_the_short_cut_is_wrong(wrong, engine, monkeypatch, log):
    right = clip_text._encode
    expected = engine.embed_texts(TEXTS)
    assert engine._clip._encode.func is right and log() == []
    monkeypatch.setattr(
        clip_text, "_encode", fail if wrong == "raises" else lambda *given: right(*given) * 1.01
    )
    plain = build(caption_model="none", regressor="none")
    np.testing.assert_allclose(plain.embed_texts(TEXTS), expected, atol=2e-6)
    plain.embed_texts(TEXTS)
    assert len(log()) == 1


def test_more_beams_find_other_words(engine, pictures):
    features = engine.encode(pictures)
    assert engine.describe(features, beams=1) == engine.describe(features)
    assert engine.describe(features, beams=4) != engine.describe(features)


def test_regressor_answers_like_the_network_it_was_saved_from(root, pictures):
    net = REGRESSOR.build()
    folder = root / "regressor" / "again"
    save_regressor(folder, REGRESSOR, net)
    regressor = VitRegressor(folder, Place(torch.device("cpu")), "auto", 4)
    transform = timm.data.create_transform((3, 224, 224), interpolation="bicubic", crop_pct=1.0)
    squares = [picture.resize((224, 224), Image.Resampling.BICUBIC) for picture in pictures]
    pixels = torch.stack([transform(square) for square in squares])
    # this network's default statistics are 0.5, not ImageNet's
    with torch.no_grad():
        expected = F.normalize(net.eval()(pixels), dim=1)
    found = regressor.regress([regressor.prepare(picture) for picture in pictures])
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert regressor.mean_embedding is None


@pytest.mark.slow
def test_mirror_makes_left_and_right_the_same(root, pictures):
    plain, mirrored = (build(caption_model="none", clip_model="none", mirror=m) for m in (False, True))
    turned = [picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for picture in pictures]
    there, back = (plain.regress(plain.encode(some)) for some in (pictures, turned))
    assert (there * back).sum(1).min() < 0.999
    expected = (there + back) / np.linalg.norm(there + back, axis=1, keepdims=True)
    for some in (pictures, turned):
        np.testing.assert_allclose(mirrored.regress(mirrored.encode(some)), expected, atol=1e-4)


def test_mean_embedding_is_a_unit_vector(engine):
    expected = np.arange(384) / np.linalg.norm(np.arange(384))
    np.testing.assert_allclose(engine.mean_embedding, expected, atol=1e-6)


# caption models of other families


def save_git(folder: Path) -> None:
    tokenizer = bert_tokenizer()
    ids = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    config = transformers.GitConfig(vision_config=VISION, vocab_size=len(tokenizer), **TEXT, **ids)
    net = transformers.GitForCausalLM(config)
    exaggerate(net)
    net.save_pretrained(folder)
    images = transformers.CLIPImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}
    )
    transformers.GitProcessor(images, tokenizer).save_pretrained(folder)


def save_blip2(folder: Path) -> None:
    tokenizer = bert_tokenizer()
    words = {"vocab_size": len(tokenizer), "bos_token_id": 101, "eos_token_id": 102, "pad_token_id": 0}
    decoder = {"hidden_size": 64, "ffn_dim": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.Blip2Config(
        vision_config=VISION | {"initializer_range": 0.02},
        qformer_config=TEXT | {"encoder_hidden_size": 48, "vocab_size": 100},
        text_config={"model_type": "opt", "word_embed_proj_dim": 64, **decoder, **words},
        num_query_tokens=4,
        image_token_index=1,
    )
    net = transformers.Blip2ForConditionalGeneration(config)
    exaggerate(net)
    net.save_pretrained(folder)
    images = transformers.BlipImageProcessor(size={"height": 64, "width": 64})
    transformers.Blip2Processor(images, tokenizer, num_query_tokens=4).save_pretrained(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "save, family",
    [(save_git, transformers.AutoModelForCausalLM), (save_blip2, transformers.Blip2ForConditionalGeneration)],
)
def test_other_families_write_what_they_write_alone(save, family, tmp_path, pictures):
    torch.manual_seed(0)
    save(tmp_path)
    engine = build(caption_model=str(tmp_path), clip_model="none", regressor="none")
    net, processor = family.from_pretrained(tmp_path).eval(), AutoProcessor.from_pretrained(tmp_path)
    expected = []
    for picture in pictures:  # as clip-interrogator does
        tokens = net.generate(**processor(images=picture, return_tensors="pt"), max_new_tokens=32)
        expected.append(processor.batch_decode(tokens, skip_special_tokens=True)[0].strip())
    assert captions(engine, engine.encode(pictures)) == expected
    assert len(set(expected)) > 1


# parts, missing and damaged


@pytest.mark.parametrize("missing", ["caption_model", "clip_model", "regressor"])
def test_the_pipeline_works_without_any_one_part(root, pictures, missing):
    engine = build(**{missing: "none"})
    settings = Settings(engine="full", **(PARTS | {missing: "none"}))
    tables = [LabelTable(n, ["ink", "oil", "wax"], engine) for n in ("mediums", "movements", "flavors")]
    tables = tables if engine.space else []
    results = Pipeline(engine, SentenceEncoder(), tables, settings)(pictures[:3])
    for result in results:
        assert bool(result.caption) == (missing != "caption_model")
        assert bool(result.labels) == (missing != "clip_model")
        assert result.prompt and not result.prompt.startswith(",")
        assert result.embedding.shape == (384,) and abs(np.linalg.norm(result.embedding) - 1) < 1e-5
    assert engine.captioner == (None if missing == "caption_model" else "blip-base")


def test_regressor_alone_gives_its_own_embedding(root, pictures):
    parts = {"caption_model": "none", "clip_model": "none", "regressor": "tiny"}
    pipeline = load_pipeline(engine="full", device="cpu", **parts)
    expected = pipeline.engine.regress(pipeline.engine.encode(pictures[:2]))
    results = pipeline(pictures[:2])
    np.testing.assert_allclose([result.embedding for result in results], expected, atol=1e-6)
    assert [(result.caption, result.prompt, result.labels) for result in results] == [("", "", {})] * 2


def test_a_part_that_is_not_there_says_so_only_when_it_is_asked(root, pictures):
    engine = build(caption_model="none", clip_model="none")
    features = engine.encode(pictures[:1])
    for ask in (engine.describe, engine.embed_images):
        with pytest.raises(WeightsError, match="is loaded. Set c"):
            ask(features)
    with pytest.raises(WeightsError, match="Set clip_model"):
        engine.embed_texts(["a cat"])
    engine = build(regressor="none")
    assert engine.regress(engine.encode(pictures[:1])) is None and engine.mean_embedding is None


def test_missing_weights_are_all_named_with_what_to_do(root):
    with pytest.raises(WeightsError) as error:
        build(caption_model="blip-large", clip_model="ViT-H-14/laion2b_s32b_b79k")
    for words in ("blip-large", "ViT-H-14/laion2b_s32b_b79k", "img2prompt models pull blip-large"):
        assert words in str(error.value)
    assert "tiny" not in str(error.value)


def test_a_part_may_be_named_by_its_folder(root):
    folder = root / "clip" / "tiny--fresh"
    assert find_parts(Settings(**(PARTS | {"clip_model": str(folder)})))["clip"] == folder


def test_a_published_name_is_no_folder(root, tmp_path, monkeypatch):
    """Not even where one is called like it; a folder that is meant is written as a path."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(root / "caption" / "blip-base", tmp_path / "blip-base")
    found = [
        find_parts(Settings(**(PARTS | {"caption_model": name})))["caption"]
        for name in ("blip-base", "./blip-base", str(tmp_path / "blip-base"))
    ]
    assert found[0] == root / "caption" / "blip-base"
    assert [folder.resolve() for folder in found[1:]] == [tmp_path / "blip-base"] * 2


@pytest.mark.parametrize("name, quick", [("ViT-L-14/openai", True), ("ViT-H-14/laion2b_s32b_b79k", False)])
def test_openai_weights_are_used_with_the_activation_they_were_trained_with(root, name, quick):
    """As open_clip says of the tag, even if the configuration beside the weights does not."""
    target = root / "clip" / name.replace("/", "--")
    shutil.copytree(root / "clip" / "tiny--fresh", target)
    try:
        clip = build(caption_model="none", regressor="none", clip_model=name)._clip
    finally:
        shutil.rmtree(target)
    blocks = [*clip._net.visual.transformer.resblocks, *clip._net.transformer.resblocks]
    expected = open_clip.transformer.QuickGELU if quick else torch.nn.GELU
    assert {type(block.mlp.gelu) for block in blocks} == {expected}


@pytest.fixture
def installed(root, tmp_path, monkeypatch):
    """Parts by these names are installed, and no others; sizes are theirs, contents are tiny."""

    def install(*names: str) -> None:
        monkeypatch.setenv("IMG2PROMPT_MODELS", str(tmp_path))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
        for name in names:
            kind = weights.part(name).kind
            source = root / kind / {"caption": "blip-base", "clip": "tiny--fresh"}[kind]
            shutil.copytree(source, weights.folder_in(tmp_path, kind, name))

    return install


H14, B32 = "ViT-H-14/laion2b_s32b_b79k", "ViT-B-32/laion2b_s34b_b79k"


@pytest.mark.parametrize(
    ("gpu", "names", "parts", "chosen"),
    [
        (True, ["blip-large", "qwen3-vl-2b", H14], {}, ("qwen3-vl-2b", H14, "lite")),
        (True, ["blip-large", B32], {}, ("blip-large", B32, "lite")),
        (True, ["blip-large"], {}, ("blip-large", "lite", "lite")),
        (True, ["blip-large", "qwen3-vl-2b"], {"clip_model": "none"}, ("qwen3-vl-2b", "none", "lite")),
        (True, ["blip-base", "qwen3-vl-2b"], {"caption_model": "blip-base"}, ("blip-base", "lite", "lite")),
        (True, ["qwen3-vl-2b"], {"caption_model": "blip-base"}, None),  # named, and not there
        (True, ["qwen3-vl-2b"], {"clip_model": "ViT-H-14/none"}, None),
        (True, [H14], {}, None),
        (True, [H14], {"caption_model": "none"}, ("none", H14, "lite")),
        (True, [], {"caption_model": "none"}, None),
        (False, [H14], {"caption_model": "none"}, None),
        (False, ["qwen3-vl-2b", "blip-large", "blip-base"], {}, None),
        (False, ["qwen3-vl-2b", "florence-2-base", B32], {}, ("florence-2-base", B32, "lite")),
    ],
)
def test_auto_takes_the_best_that_is_installed_and_sensible(
    installed, monkeypatch, gpu, names, parts, chosen
):
    installed(*names)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**9, 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    found = choose(Settings(**parts))
    if chosen is None:
        assert found.settings.engine == "lite"
    else:
        assert found.settings.engine == "full"
        settings = found.settings
        assert (settings.caption_model, settings.clip_model, settings.regressor) == chosen
        assert found.why.endswith("well on cuda." if gpu else "well on cpu.")


@pytest.mark.parametrize(("names", "engine"), [([], "lite"), (["florence-2-base"], "full")])
def test_a_pipeline_says_what_auto_stood_for(installed, names, engine):
    """So that whoever gets its settings, as workers of Ray do, loads the same."""
    installed(*names)
    settings = load_pipeline(Settings(engine="auto", device="cpu")).settings
    assert (settings.engine, settings.device) == (engine, "cpu")
    if names:
        assert (settings.caption_model, settings.clip_model, settings.regressor) == (*names, "lite", "lite")


def test_auto_keeps_to_what_fits(installed, monkeypatch):
    installed("qwen3-vl-2b", "blip-large")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**5, 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    found = choose(Settings())
    assert found.settings.engine == "lite"
    assert found.why == "Too large for the memory of cuda: qwen3-vl-2b, blip-large."
    assert choose(Settings(engine="full")).settings.caption_model == "blip-large"
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 10**9)  # by this process: it is loaded
    assert choose(Settings()).settings.caption_model == "qwen3-vl-2b"


def test_too_little_memory_is_told_before_loading(root, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device: 10**6)
    with pytest.raises(ConfigError, match=r"blip-base \+ tiny/fresh \+ tiny: about \d+ MB .* 1 MB are free"):
        build()
    with pytest.raises(ConfigError, match="Use --engine lite"):
        build(caption_model="none")
    settings = Settings(**(PARTS | {"clip_model": "none"}))
    needed = memory.needed(settings, find_parts(settings), "cpu")
    monkeypatch.setattr(memory, "free", lambda device: needed // 2 + 1)
    with pytest.raises(ConfigError, match="It would fit with precision=bf16"):
        build(clip_model="none")
    monkeypatch.setattr(memory, "free", lambda device: needed)
    assert build().captioner == "blip-base"  # a CLIP's weights stay in their file


def test_weights_are_counted_without_loading_them(root):
    folder = root / "caption" / "blip-base"
    net = transformers.BlipForConditionalGeneration.from_pretrained(folder)
    tied = net.text_decoder.get_input_embeddings().weight.numel()
    count = sum(weight.numel() for weight in net.parameters())
    assert memory.parameters(folder) in (count, count + tied, count - tied)
    (folder / "notes.safetensors").write_bytes(b"no tensors")
    try:
        assert memory.parameters(folder) in (count, count + tied, count - tied)
    finally:
        (folder / "notes.safetensors").unlink()


def test_what_would_fit_a_gpu_instead(root, monkeypatch):
    settings = Settings(engine="full", caption_model="blip-base", clip_model="none")
    folders = find_parts(settings)
    size = memory.needed(settings, folders, "cuda")
    for share, advice in (
        (0.6, "It would fit with quantize=8bit."),
        (0.4, "It would fit with quantize=4bit."),
    ):
        monkeypatch.setattr(memory, "free", lambda device, share=share: int(size * share))
        with pytest.raises(ConfigError, match=advice):
            memory.check_memory(settings, folders, "cuda")
    monkeypatch.setattr(memory, "needed", lambda *_: 3 * 10**9 if _[1] else 0)
    monkeypatch.setattr(memory, "free", lambda device: 7 * 10**8)
    with pytest.raises(ConfigError, match="As caption_model, .* would fit"):
        memory.check_memory(settings, folders, "cuda")


@pytest.mark.parametrize(
    ("device", "settings", "size"),
    [
        ("cuda", {}, 2.0),
        ("cpu", {}, 4.0),
        ("cuda", {"precision": "fp32"}, 4.0),
        ("cuda", {"quantize": "4bit"}, 0.8),
    ],
)
def test_the_model_that_is_advised_fits(device, settings, size, monkeypatch):
    """With as many bytes a weight as it would have there."""
    room = 2 * 10**9
    monkeypatch.setattr(memory, "parameters", lambda folder: 10**11)
    monkeypatch.setattr(memory, "free", lambda device: room)
    with pytest.raises(ConfigError, match="As caption_model") as caught:
        memory.check_memory(Settings(**settings), {"caption": Path("large")}, device)
    name = re.search("As caption_model, (.*) would fit", str(caught.value))[1]
    sizes = {
        part.name: part.parameters * size * 1.2 for part in weights.parts().values() if part.kind == "caption"
    }
    assert name == next(name for name, bytes in sizes.items() if bytes <= room)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize(
    ("engine", "device", "runtime"),
    [("full", "cuda:1", "PyTorch"), ("lite", "cuda", "ONNX Runtime"), ("lite", "mps", "ONNX Runtime")],
)
def test_a_gpu_that_is_not_there(root, engine, device, runtime):
    with pytest.raises(ConfigError, match=f"{device}', but {runtime} finds no such GPU"):
        load_engine(Settings(engine=engine, device=device, **PARTS), SentenceEncoder())


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def pickle(file: Path) -> None:
    torch.save({}, file.with_suffix(".bin"))
    file.unlink()


@pytest.mark.parametrize(
    "part, file, harm",
    [
        ("caption_model", "model.safetensors", cut),
        ("caption_model", "model.safetensors", pickle),
        ("caption_model", "config.json", Path.unlink),
        ("caption_model", "tokenizer.json", Path.unlink),
        ("clip_model", "open_clip_model.safetensors", cut),
        ("clip_model", "open_clip_model.safetensors", pickle),
        ("clip_model", "open_clip_config.json", Path.unlink),
        ("regressor", "model.safetensors", cut),
        ("regressor", "model.safetensors", pickle),
        ("regressor", "config.json", lambda file: file.write_text('{"model": "vit_tiny_patch16_384"}')),
    ],
)
def test_damaged_folders_are_named(root, tmp_path, part, file, harm):
    intact = find_parts(Settings(**PARTS))[part.removesuffix("_model")]
    folder = shutil.copytree(intact, tmp_path / "damaged")
    harm(folder / file)
    with pytest.raises(WeightsError, match="damaged holds no"):
        build(**(dict.fromkeys(PARTS, "none") | {part: str(folder)}))


@pytest.mark.parametrize("name", ["hf-hub:timm/vit_tiny_patch16_224.augreg", "local-dir:elsewhere", 7])
@pytest.mark.parametrize(("part", "file"), [("regressor", "config.json"), ("clip", "open_clip_config.json")])
def test_no_folder_sends_for_a_network(root, tmp_path, part, file, name):
    """timm fetches a name with a source in front, with the user's token, although the weights are at hand."""
    folder = shutil.copytree(find_parts(Settings(**PARTS))[part], tmp_path / "folder")
    config = json.loads((folder / file).read_text())
    if part == "clip":
        config["model_cfg"]["vision_cfg"]["timm_model_name"] = name
    else:
        config["model"] = name
    (folder / file).write_text(json.dumps(config))
    setting = "clip_model" if part == "clip" else part
    with pytest.raises(WeightsError, match=f"folder holds no .* used \\(timm has no model {name!r}"):
        build(**(dict.fromkeys(PARTS, "none") | {setting: str(folder)}))


def test_no_folder_runs_code_of_its_own(root, tmp_path):
    """A tokenizer's options are in the folder too, and one of transformers' is to trust the code beside them."""
    folder = shutil.copytree(find_parts(Settings(**PARTS))["clip"], tmp_path / "folder")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {
        "hf_tokenizer_name": "own",
        "tokenizer_kwargs": {"trust_remote_code": True},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    own = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(own))
    (folder / "own.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass OwnTokenizer: pass\n"
    )
    with pytest.raises(WeightsError, match="folder holds no CLIP model"):
        build(caption_model="none", regressor="none", clip_model=str(folder))
    assert not (tmp_path / "ran").exists()


def test_other_weights_make_another_space(engine, tmp_path):
    torch.manual_seed(1)
    save_clip(tmp_path, CLIP)
    other = build(caption_model="none", regressor="none", clip_model=str(tmp_path))
    assert engine.space.startswith("tiny/fresh@")
    assert engine.space.partition("@")[2] != other.space.partition("@")[2]
    assert engine.space == build().space


# the machine


def refuse_more_than(most: int, net: torch.nn.Module, seen: list[int]) -> None:
    """Let a network run out of memory for larger batches, as CUDA reports it."""

    def check(_module, arguments):
        seen.append(len(arguments[0]))
        if len(arguments[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    next(module for module in net.modules() if isinstance(module, torch.nn.Conv2d)).register_forward_pre_hook(
        check
    )


@pytest.mark.slow
def test_out_of_memory_halves_the_batch_for_good(engine, root, pictures):
    tight = build()
    seen = []
    for part in (tight._captioner, tight._clip, tight._regressor):
        refuse_more_than(3, part._net, seen)
    assert_same(answers(tight, pictures), answers(engine, pictures))
    assert max(seen) == len(pictures) and seen.count(len(pictures)) == 3
    seen.clear()
    answers(tight, pictures)
    assert max(seen) <= 3


def test_texts_run_out_of_memory_too(engine, root):
    tight = build(caption_model="none", regressor="none")
    tight._clip._net.ln_final.register_forward_pre_hook(lambda _, arguments: refuse(len(arguments[0]) > 2))
    np.testing.assert_allclose(tight.embed_texts(TEXTS), engine.embed_texts(TEXTS), atol=2e-6)


def refuse(really: bool) -> None:
    if really:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_memory_that_does_not_suffice_for_one_picture(root, pictures):
    tight = build(caption_model="none", regressor="none")
    refuse_more_than(0, tight._clip._net, [])
    with pytest.raises(ConfigError, match="Set low_vram"):
        tight.encode(pictures)


class Wanderer(torch.nn.Linear):
    """Notes where it is sent."""

    def __init__(self):
        super().__init__(2, 2)
        self.sent = []

    def to(self, *arguments, **options):
        self.sent.append(str(*arguments))
        return super().to(*arguments, **options)


def test_low_vram_keeps_one_network_on_the_device():
    place = Place(torch.device("cpu:0"), low_vram=True)  # is not "cpu", by name
    first, second = Wanderer(), Wanderer()
    runs = [Batches(place, place.settle(net), 8) for net in (first, second)]
    for run in (0, 0, 1, 0):
        runs[run](lambda items: items, [1])
    assert (first.sent, second.sent) == (["cpu:0", "cpu", "cpu:0"], ["cpu:0", "cpu"])


def test_low_vram_changes_no_answer(engine, root, pictures):
    assert_same(answers(build(low_vram=True), pictures), answers(engine, pictures))


@pytest.mark.slow
def test_eight_threads_get_the_answers_of_one(engine, pictures):
    groups = [pictures[i:] + pictures[:i] for i in range(8)]
    expected = answers(engine, pictures)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda group: answers(engine, group), groups))
    for i, (captions, *vectors) in enumerate(found):
        back = [np.roll(vector, i, axis=0) for vector in vectors]
        assert_same(([*captions[len(captions) - i :], *captions[: len(captions) - i]], *back), expected)


def test_half_precision_is_near(engine, pictures):
    half = build(precision="bf16", caption_model="none")
    exact, near = engine.encode(pictures[:3]), half.encode(pictures[:3])
    assert (exact.embedded * near.embedded).sum(1).min() > 0.99
    assert (exact.regressed * near.regressed).sum(1).min() > 0.99
    assert half._clip._net.visual.conv1.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(1, 12), (3, 12), (2, 5, 12), (90, 12), (0, 12)])
@pytest.mark.parametrize("bias", [True, False])
def test_spread_linears_compute_the_same(shape, bias):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(12, 18, bias))
    x = torch.randn(shape)
    threads = torch.get_num_threads()
    torch.set_num_threads(4)  # has the factor 2 in common with 18
    try:
        with torch.inference_mode():
            expected = net(x)
            spread_linears(net)
            np.testing.assert_allclose(net(x), expected, atol=1e-6)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs to see what is mapped")
def test_clip_weights_stay_mapped_from_their_file(root):
    """So that only what is used of them is read."""
    clip = build(caption_model="none", regressor="none")._clip
    file = str((root / "clip" / "tiny--fresh" / "open_clip_model.safetensors").resolve())
    spans = [
        line.split()[0].split("-")
        for line in Path("/proc/self/maps").read_text().splitlines()
        if file in line
    ]
    mapped = [
        any(int(low, 16) <= weight.data_ptr() < int(high, 16) for low, high in spans)
        for weight in clip._net.parameters()
    ]
    assert all(mapped) and len(mapped) > 20


def test_skip_init_draws_nothing_but_builds_the_same():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with SkipInit():
        net = timm.create_model("vit_tiny_patch16_224")
        torch.nn.init.normal_(torch.zeros(3), std=1.0)
    assert torch.equal(torch.get_rng_state(), state)
    assert net.state_dict().keys() == timm.create_model("vit_tiny_patch16_224").state_dict().keys()
    assert torch.nn.init.normal_(torch.zeros(3)).abs().min() > 0


def test_the_guard_of_the_network_works():
    with pytest.raises(AssertionError, match="huggingface"):
        socket.create_connection(("huggingface.co", 443), timeout=1)


def test_the_nearest_prompt_needs_no_clip(root, pictures):
    """Its phrases lie in MiniLM's space, in which this engine ranks nothing."""
    settings = Settings(engine="full", device="cpu", **(PARTS | {"clip_model": "none"}))
    result = load_pipeline(settings)(pictures[:1], style="nearest")[0]
    assert not result.labels and result.caption in result.prompt
    near = SentenceEncoder().encode([result.prompt, result.caption]) @ result.embedding
    assert near[0] > near[1]
