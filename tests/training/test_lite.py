"""The training stages on small real data."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from img2prompt.embeddings import WIDTH
from img2prompt.engines.lite.imagenet import Trust
from img2prompt.engines.lite.search import BOS, EOS, NOBODY, PAD, SOMEBODY
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.lite import (
    evidence,
    examples,
    joint,
    pictures,
    regression,
    selfcritical,
    style,
    trust,
    vocabulary,
)
from img2prompt.training.lite.backbone import imagenet_backbone
from img2prompt.training.lite.cider import CiderD
from img2prompt.training.lite.classes import class_forms
from img2prompt.training.lite.net.captioner import Captioner, CaptionerConfig
from img2prompt.training.lite.net.heads import Evidence, Locator
from img2prompt.training.lite.net.tower import GRID, GRID_WIDTH
from img2prompt.training.schedule import Shuffle
from tests.helpers import ROOT

CAPTIONS = [
    ["A dog runs on the beach.", "A brown dog is running on the sand."],
    ["Two men play football.", "Men are playing a game of football."],
    ["A cup of coffee on a table.", "Coffee in a white cup."],
    ["A woman rides a horse.", "A lady is riding a brown horse."],
]
CONFIG = joint.JointConfig(
    steps=30, images=(4, 0, 0, 0), rate=5e-3, warmup=3, bank=8, save_every=10, average=0.5
)


@pytest.fixture(scope="module")
def learned() -> examples.Examples:
    """Four pictures with two captions each."""
    texts = [[vocabulary.clean(text) for text in own] for own in CAPTIONS]
    flat = [text for own in texts for text in own]
    tokenizer = vocabulary.build_tokenizer(flat, minimum=1)
    mention = np.array([examples.people_in(text) for text in flat], np.int8)
    people = np.eye(3, dtype=np.float32)[mention[::2]]
    vectors = SentenceEncoder().encode(flat)
    return examples.Examples(
        source=np.zeros(4, np.int8),
        name=np.array(["0", "1", "2", "3"]),
        first=np.arange(0, 9, 2),
        sided=np.array([False, True, False, False]),
        tokens=np.array([vocabulary.encode(tokenizer, text, 10) for text in flat], np.int16),
        mention=mention,
        vectors=np.round(vectors / np.abs(vectors).max(1, keepdims=True) * 127).astype(np.int8),
        people=people,
        words=np.array([[1, 0], [0, 0], [0, 1], [-1, -1]], np.float16),
        label=np.array([0, 1, 1, -1], np.int16),
        open_end=np.zeros(4, bool),
        word_names=np.array(["dog", "cup"]),
        label_names=np.array(["a beach"]),
    )


@pytest.fixture(scope="module")
def data(learned) -> joint.Data:
    """The four examples with pictures of noise, random but fixed."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 3, 224, 224), dtype=np.uint8)
    return joint.Data(learned, torch.from_numpy(noise), torch.device("cpu"))


def small_model(data: joint.Data) -> joint.JointModel:
    torch.manual_seed(0)
    config = CaptionerConfig(
        1 + int(data.tokens.max()),
        width=48,
        heads=4,
        feedforward=64,
        max_words=10,
        hint=WIDTH,
        grid=2 * GRID_WIDTH,
    )
    trunk, tail, classifier = imagenet_backbone()
    knowledge = joint.Knowledge(trunk, copy.deepcopy(tail), classifier, torch.zeros(1000, WIDTH))
    pooled = 2 * GRID_WIDTH + config.width
    evidence = Evidence(pooled + GRID_WIDTH, 2, 1)
    return joint.JointModel(tail, Captioner(config), Locator(pooled), evidence, knowledge)


def test_backbone_still_knows_imagenet(sample_photos):
    from PIL import Image

    trunk, tail, classifier = imagenet_backbone()
    pixels = pictures.stack([Image.open(photo).convert("RGB") for photo in sample_photos])
    with torch.inference_mode():
        grid = tail(trunk(pixels))
        likely = classifier(grid.mean((2, 3)))[0].topk(5).indices.tolist()
    assert grid.shape == (2, 1280, GRID, GRID)
    named = {form for index in likely for form in class_forms()[index]}
    assert named & {"palace", "monastery", "stupa", "boathouse", "triumphal arch"}, "china.jpg"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("A dog runs , fast !", "a dog runs fast"),
        ("A man's T-shirt - blue.", "a man's t-shirt blue"),
        ("“Café” ’s 3 cats", "caf 3 cats"),
    ],
)
def test_cleaning(text, cleaned):
    assert vocabulary.clean(text).replace(" s ", " ") == cleaned


def test_tokens_come_back_as_words():
    tokenizer = vocabulary.build_tokenizer([t for texts in CAPTIONS for t in texts], minimum=1)
    ids = vocabulary.encode(tokenizer, "A dog runs on the beach.", 8)
    assert (ids[0], ids[7], ids[8:]) == (BOS, EOS, [PAD, PAD])
    assert [tokenizer.id_to_token(i) for i in ids[1:7]] == ["a", "dog", "runs", "on", "the", "beach"]
    assert EOS not in vocabulary.encode(tokenizer, "A dog runs on the beach.", 3)


def test_reward_equals_the_reference_scorer():
    cider = pytest.importorskip("pycocoevalcap.cider.cider")
    tokenizer = vocabulary.build_tokenizer([t for texts in CAPTIONS for t in texts], minimum=1)
    references = [[vocabulary.encode(tokenizer, t, 12)[1:] for t in texts] for texts in CAPTIONS]
    answers = [
        "a dog runs on a table",
        "men play football",
        "coffee on a beach",
        "a woman is riding a brown horse",
    ]
    ours = CiderD(references)
    got = [ours(i, vocabulary.encode(tokenizer, answer, 12)[1:]) for i, answer in enumerate(answers)]
    as_text = {i: [vocabulary.clean(t) + " <eos>" for t in texts] for i, texts in enumerate(CAPTIONS)}
    _, wanted = cider.Cider().compute_score(as_text, {i: [a + " <eos>"] for i, a in enumerate(answers)})
    assert np.allclose(got, wanted, atol=1e-6)


def test_shuffle_sees_everything_once_a_pass():
    shuffle = Shuffle(10, 4, seed=1)
    first = [i for _ in range(5) for i in shuffle()]
    assert sorted(first[:10]) == sorted(first[10:20]) == list(range(10))


@pytest.mark.parametrize(
    ("prompt", "about"),
    [
        ("a watercolor painting of a dog riding a skateboard, pastel", "a dog riding a skateboard"),
        ("two bears doing jiu-jitsu, artstation", "two bears doing jiu-jitsu"),
        ("highest quality photo of a woman in a city, 8k", "a woman in a city"),
        ("surreal", None),
    ],
)
def test_what_a_prompt_is_about(prompt, about):
    assert examples.subject(prompt) == about


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("a dog on a beach", 0),
        ("a man with a dog", 1),
        ("two men", 2),
        ("a crowd", 2),
        ("a man and a boy", 2),
    ],
)
def test_people_in_a_caption(text, people):
    assert examples.people_in(text) == people


def test_examples_come_back_from_their_file(learned, tmp_path):
    learned.save(tmp_path / "examples.npz")
    again = examples.Examples.load(tmp_path / "examples.npz")
    assert np.array_equal(again.tokens, learned.tokens)
    assert again.label_names.tolist() == ["a beach"]


def test_pictures_with_a_label_borrow_captions_of_the_same_thing(learned, monkeypatch):
    from img2prompt.training.lite import borrow

    monkeypatch.setattr(borrow, "ENOUGH", 1)
    tokenizer = vocabulary.build_tokenizer((vocabulary.clean(t) for own in CAPTIONS for t in own), minimum=1)
    labelled = replace(
        learned,
        source=np.array([0, 0, 0, 2], np.int8),
        label=np.array([0, 0, 1, 0], np.int16),
        people=np.array([[1, 0, 0]] * 4, np.float32),
        open_end=np.array([False, False, False, True]),
        label_names=np.array(["a cup"]),
    )
    seen = SentenceEncoder().encode(["a cup of coffee"] * 4)
    borrowed = borrow.borrow(labelled, seen, tokenizer)
    assert borrowed.first.tolist() == [0, 2, 4, 6, 8]
    assert borrowed.tokens[6:].tolist() == learned.tokens[4:6].tolist(), "both captions with a cup"
    assert not borrowed.open_end.any()
    rare = replace(labelled, label=np.array([0, 0, 1, 1], np.int16))  # with a label that is none of those
    assert borrow.borrow(rare, seen, tokenizer).tokens.tolist() == learned.tokens.tolist()
    far = borrow.borrow(labelled, -seen, tokenizer)
    assert far.tokens.tolist() == learned.tokens.tolist(), "nothing that looks alike"
    assert far.open_end[3]


def test_views_keep_what_must_not_be_mirrored(sample_photos):
    with open(sample_photos[0], "rb") as file:
        plain = torch.from_numpy(pictures.decode(file.read())).repeat(64, 1, 1, 1)
    torch.manual_seed(0)
    seen = pictures.view(plain, torch.ones(64, dtype=torch.bool))
    assert seen.shape == plain.shape and seen.min() >= -1 and seen.max() <= 1
    reference = pictures.plain(plain[:1]).flatten()
    straight = [float(torch.corrcoef(torch.stack([reference, x.flatten()]))[0, 1]) for x in seen]
    turned = [float(torch.corrcoef(torch.stack([reference, x.flip(2).flatten()]))[0, 1]) for x in seen]
    assert np.mean(straight) > np.mean(turned), "none of them is a mirror image"


@pytest.mark.slow
def test_joint_stage_learns_and_resumes(data, tmp_path):
    model = small_model(data)
    tokens = data.tokens[::2]
    start = torch.tensor([NOBODY, SOMEBODY, NOBODY, SOMEBODY])
    told = torch.cat([start[:, None], tokens[:, 1:-1]], dim=1)

    def loss() -> float:
        with torch.no_grad():
            logits = model.eval().captioner(model.look(pictures.plain(data.pictures))[1], told)
        return float(
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD)
        )

    before = loss()
    joint.train(model, data, CONFIG, tmp_path)
    assert loss() < 0.6 * before
    again = small_model(data)
    joint.train(again, data, CONFIG, tmp_path)  # done already: only loads
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_stage_for_the_decoder_leaves_the_rest(data, tmp_path):
    model = small_model(data)
    before = copy.deepcopy(model.state_dict())
    joint.train(model, data, replace(CONFIG, steps=2, decoder_only=True), tmp_path)
    after = model.state_dict()
    for name, value in before.items():
        if name.startswith(joint.FIXED):
            assert torch.equal(value, after[name]), name
    assert not torch.equal(before["captioner.words.weight"], after["captioner.words.weight"])


def test_people_in_one_cell_are_enough():
    evidence = Evidence(3 * GRID_WIDTH + 8, 2, 1).eval()
    torch.manual_seed(1)
    grids, memory = torch.randn(1, 2 * GRID_WIDTH, GRID, GRID), torch.randn(1, 50, 8)
    with torch.no_grad():
        scores = evidence.cells(grids.flatten(2).transpose(1, 2))[0].sum(1)
        one = grids.clone()
        strongest = int(scores.argmax())
        others = [i for i in range(GRID * GRID) if i != strongest]
        flat = one.flatten(2)
        flat[:, :, others] = flat[:, :, [int(scores.argmin())]]
        people = evidence(grids, memory)[0].softmax(1)
        alone = evidence(flat.view_as(grids), memory)[0].softmax(1)
    assert people.shape == (1, 3)
    assert alone[0, 0] < 1, "a cell with evidence is not outvoted by those without"


def test_labels_tell_wider_words():
    kinds = examples.read_kinds()
    oranges = examples.wider("oranges", kinds)
    assert oranges["fruit"] == 1 and oranges["vegetable"] == oranges["animal"] == 0
    assert "food" not in oranges, "fruit is food, but a caption may call it either"
    flamingo = examples.wider("a flamingo", kinds)
    assert flamingo["bird"] == 1 and "animal" not in flamingo and flamingo["fruit"] == 0
    assert examples.wider("a desert", kinds) == {}
    labels = [label for kind in kinds for label in kind.labels]
    assert len(labels) == len(set(labels)), "no label is of two kinds"


def test_evidence_stage_learns_words_and_mixes_weights(data):
    model = small_model(data)
    before = copy.deepcopy(model.state_dict())
    config = evidence.EvidenceConfig(
        epochs=40, images=(4,), rate=3e-3, warmup=5, words=1.0, dropout=0.0, average=0.5, new=0.5
    )
    with torch.no_grad():
        grids, memory = model.eval().look(pictures.plain(data.pictures))
    known = data.words >= 0

    def wrong() -> float:
        with torch.no_grad():
            seen = model.evidence(grids, memory)[1].sigmoid()
        return float((seen - data.words.float())[known].abs().mean())

    first = wrong()
    evidence.train(model, data, [1], config)
    assert wrong() < 0.8 * first
    for name, value in model.state_dict().items():
        assert name.startswith("evidence.layers.") or torch.equal(value, before[name]), name
    halfway = copy.deepcopy(model.evidence.layers.state_dict())
    model.load_state_dict(before)
    evidence.train(model, data, [1], replace(config, new=1.0))
    last = list(halfway)[-1]  # the bias of the last layer: of two words, one label and none
    new, old = model.evidence.layers.state_dict()[last], before[f"evidence.layers.{last}"]
    assert torch.allclose(halfway[last][0], (old[0] + new[0]) / 2, atol=1e-6)
    assert torch.equal(halfway[last][1], new[1]), "a wider word is all new"


def test_trust_follows_what_was_right():
    generator = np.random.default_rng(0)
    indices = np.repeat([5, 500, 501], 200)
    right = generator.random(600) < np.where(indices == 500, 0.2, 0.8)
    told = trust.regress(indices, np.full(600, 0.9), right, 502)
    believe = Trust(**told)
    assert believe(500, 0.9) < 0.35
    assert believe(501, 0.9) > 0.65
    assert believe(7, 0.9) == believe(5, 0.9), "animals share one"
    assert believe(500, 0.9) < believe(499, 0.9) < believe(501, 0.9), "a class never seen lies between"


@pytest.mark.slow
def test_trust_is_fitted_on_pictures(learned, sample_photos):
    names = json.loads((ROOT / "models" / "lite" / "config.json").read_text())["class_names"]
    texts = ["a dog on a bed", "a honeycomb"]  # the second is what the classifier makes of a dahlia
    tokenizer = vocabulary.build_tokenizer(texts, minimum=1)
    two = replace(
        learned,
        **{name: getattr(learned, name)[:2] for name in ("source", "name", "sided", "mention", "vectors")},
        **{name: getattr(learned, name)[:2] for name in ("people", "words", "label", "open_end")},
        first=np.arange(3),
        tokens=np.array([vocabulary.encode(tokenizer, text, 10) for text in texts], np.int16),
    )
    pixels = [torch.from_numpy(pictures.decode(Path(photo).read_bytes())) for photo in sample_photos]
    data = joint.Data(two, torch.stack(pixels), torch.device("cpu"))
    believe = Trust(**trust.fit(small_model(data).knowledge, data, two, tokenizer, names, SentenceEncoder()))
    assert believe(names.index("honeycomb"), 0.85) > believe(names.index("palace"), 0.85)


@pytest.mark.slow
def test_self_critical_stage_raises_the_reward(learned, data, tmp_path):
    model = small_model(data).eval()
    references = [learned.tokens[first : first + 2, 1:].tolist() for first in learned.first[:-1]]
    reward = CiderD(references)
    with torch.no_grad():
        memory = model.look(pictures.plain(data.pictures))[1]
    starts = torch.tensor([NOBODY, SOMEBODY, NOBODY, SOMEBODY])

    def judge(rows: list[int], sampled: list[list[int]], samples: int) -> torch.Tensor:
        scores = [
            [reward(row, sampled[i * samples + j]) for j in range(samples)] for i, row in enumerate(rows)
        ]
        return torch.tensor(scores)

    def mean_reward() -> float:
        torch.manual_seed(5)
        sampled = model.captioner.sample(memory, starts, 50, 10).tolist()
        return float(judge([0, 1, 2, 3], sampled, 50).mean())

    before, encoder = mean_reward(), model.captioner.project.weight.clone()
    config = selfcritical.SelfCriticalConfig(
        steps=40, images=(4, 0), references=2, samples=8, rate=5e-3, warmup=2, share=1.0
    )
    selfcritical.train(model, learned, data, judge, config, tmp_path)
    assert mean_reward() > before
    assert torch.equal(encoder, model.captioner.project.weight), "what makes the memory stays"


def test_judges_in_other_processes_agree(learned):
    rows = [0, 2]
    judge = selfcritical.Judge(learned, rows, 2)
    said = learned.tokens[[0, 1, 4, 5], 1:].tolist()
    reward = CiderD([learned.tokens[learned.first[r] : learned.first[r + 1], 1:].tolist() for r in rows])
    wanted = [[reward(0, said[0]), reward(0, said[1])], [reward(1, said[2]), reward(1, said[3])]]
    assert np.allclose(judge(rows, said, 2), wanted)


def test_the_regressor_comes_nearer(data):
    model = small_model(data).eval()
    config = regression.ReadoutConfig(epochs=60, batch=4, views=1, dropout=0.0, mixup=1e-3)
    head = regression.train(model, data, config)
    rows = torch.arange(4)
    with torch.no_grad():
        found = head(joint.look_at_all(model, data, rows, augmented=False))
    assert float((found * data.means).sum(1).mean()) > 0.8


def test_style_split_is_a_third_and_never_changes(shared_data):
    from img2prompt.datasets.pairs import PairsFolder

    kept = [pair.name for pair in PairsFolder(shared_data / "sdxl_styles").pairs if style.held_out(pair.name)]
    assert len(kept) == 90
    assert kept == sorted(kept, key=kept.index) and style.held_out(kept[0])
