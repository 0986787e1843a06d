"""The training stages on small real data."""

import numpy as np
import pytest
import torch

from img2prompt.engines.lite.captioner import BOS, EOS, PAD, Captioner, CaptionerConfig
from img2prompt.engines.lite.heads import Locator
from img2prompt.engines.lite.imagenet import class_forms
from img2prompt.engines.lite.tower import GRID, GRID_WIDTH, TRUNK_WIDTH, to_tensor
from img2prompt.training.lite import joint, selfcritical, style, vocabulary
from img2prompt.training.lite.backbone import imagenet_backbone
from img2prompt.training.lite.cider import CiderD
from img2prompt.training.lite.corpus import Corpus
from img2prompt.training.schedule import Shuffle

CAPTIONS = [
    ["A dog runs on the beach.", "A brown dog is running on the sand."],
    ["Two men play football.", "Men are playing a game of football."],
    ["A cup of coffee on a table.", "Coffee in a white cup."],
    ["A woman rides a horse.", "A lady is riding a brown horse."],
]


class Noise:
    """One cached view whose features are random but fixed."""

    def get(self, names: list[str]) -> torch.Tensor:
        rows = [np.random.default_rng(int(name)).normal(size=(TRUNK_WIDTH, 14, 14)) for name in names]
        return torch.from_numpy(np.stack(rows)).float()


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    from img2prompt.datasets.pairs import Pair
    from img2prompt.minilm import SentenceEncoder

    tokenizer = vocabulary.build_tokenizer([t for texts in CAPTIONS for t in texts], minimum=1)
    pairs = [Pair(str(i), tuple(texts), "train") for i, texts in enumerate(CAPTIONS)]
    tokens = [torch.tensor([vocabulary.encode(tokenizer, t, 10) for t in texts]) for texts in CAPTIONS]
    vectors = [torch.from_numpy(SentenceEncoder().encode(texts)) for texts in CAPTIONS]
    return Corpus(pairs, [Noise()], tokens, vectors)


def small_model(vocabulary: int) -> joint.JointModel:
    torch.manual_seed(0)
    config = CaptionerConfig(vocabulary, width=48, heads=4, feedforward=64, max_words=10)
    _, tail, _ = imagenet_backbone()
    return joint.JointModel(tail, Captioner(config), Locator(GRID_WIDTH + config.width))


def test_backbone_still_knows_imagenet(sample_photos):
    from PIL import Image

    trunk, tail, classifier = imagenet_backbone()
    pixels = torch.stack([to_tensor(Image.open(photo).convert("RGB")) for photo in sample_photos])
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


@pytest.mark.slow
def test_joint_stage_learns_and_resumes(corpus, tmp_path):
    vocabulary = 1 + max(int(t.max()) for t in corpus.tokens)
    config = joint.JointConfig(
        steps=30, images=(4,), captions=(1,), rate=5e-3, warmup=3, bank=8, save_every=10
    )
    model = small_model(vocabulary)
    features, tokens = corpus.features([0, 1, 2, 3]), torch.stack([t[0] for t in corpus.tokens])

    def loss() -> float:
        with torch.no_grad():
            logits = model.captioner(model.look(features)[1], tokens[:, :-1])
        return float(
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD)
        )

    before = loss()
    joint.train(model, [corpus], config, tmp_path)
    assert loss() < 0.6 * before
    again = small_model(vocabulary)
    joint.train(again, [corpus], config, tmp_path)  # done already: only loads
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.slow
def test_self_critical_stage_raises_the_reward(corpus, tmp_path):
    vocabulary = 1 + max(int(t.max()) for t in corpus.tokens)
    model = small_model(vocabulary).eval()
    with torch.no_grad():
        memory = model.look(corpus.features([0, 1, 2, 3]))[1]
    reward = CiderD([[t[1:].tolist() for t in tokens] for tokens in corpus.tokens])

    def mean_reward() -> float:
        torch.manual_seed(5)
        sampled = model.captioner.sample(memory, 50, 10).tolist()
        return float(np.mean([reward(i // 50, tokens) for i, tokens in enumerate(sampled)]))

    before, encoder = mean_reward(), model.captioner.project.weight.clone()
    config = selfcritical.SelfCriticalConfig(steps=40, images=(4,), samples=8, rate=5e-3, warmup=2)
    selfcritical.train(model, [corpus], config, tmp_path)
    assert mean_reward() > before
    assert torch.equal(encoder, model.captioner.project.weight), "what makes the memory stays"


def test_style_split_is_a_third_and_never_changes(shared_data):
    from img2prompt.datasets.pairs import PairsFolder

    kept = [pair.name for pair in PairsFolder(shared_data / "sdxl_styles").pairs if style.held_out(pair.name)]
    assert len(kept) == 90
    assert kept == sorted(kept, key=kept.index) and style.held_out(kept[0])
