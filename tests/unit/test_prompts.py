import gzip
import itertools
import random
import re
import subprocess
import sys
import types
from typing import NamedTuple

import numpy as np
import pytest

from img2prompt import clip_tokens, prompts
from img2prompt.errors import ConfigError, WeightsError


class Match(NamedTuple):
    label: str
    score: float


def ranked(*labels: str, start: float = 1.0) -> list[Match]:
    return [Match(label, start - 0.01 * i) for i, label in enumerate(labels)]


LABELS = {
    "mediums": ranked("a photo", "a pastel"),
    "movements": ranked("naturalism", "realism"),
    "flavors": ranked("warm light", "bokeh", "golden hour", "film grain"),
    "artists": ranked("by Ansel Adams", "by Monet"),
    "trendings": ranked("flickr", "unsplash"),
}


def test_seed():
    expected = "a dog on a beach, a photo, naturalism, warm light, bokeh, golden hour"
    assert prompts.build("seed", "a dog on a beach", LABELS) == expected


def test_seed_does_not_repeat_the_medium():
    expected = "a photo of a dog, naturalism, warm light, bokeh, golden hour"
    assert prompts.build("seed", "a photo of a dog", LABELS) == expected


def test_absent_tables_leave_no_holes():
    labels = {"mediums": ranked("a photo"), "movements": [], "flavors": ranked("bokeh")}
    assert prompts.build("seed", "a dog", labels) == "a dog, a photo, bokeh"
    assert prompts.build("classic", "a dog", labels) == "a dog, a photo, bokeh"
    assert prompts.build("fast", "a dog", {}) == "a dog"


@pytest.mark.parametrize("style", ["seed", "classic", "fast"])
def test_every_style_asks_for_what_it_uses_and_what_people_see(style):
    needed = prompts.labels_needed(style)
    assert needed["mediums"] >= 3 and needed["movements"] >= 3 and needed["flavors"] >= 5
    everything = {table: ranked(*(f"{table} {i}" for i in range(99))) for table in prompts.FAST_TABLES}
    enough = {table: matches[: needed.get(table, 0)] for table, matches in everything.items()}
    assert prompts.build(style, "a dog", enough) == prompts.build(style, "a dog", everything)


def test_unknown_style():
    with pytest.raises(ConfigError, match="seed, classic, fast"):
        prompts.build("best", "a dog", LABELS)  # takes an engine
    with pytest.raises(ConfigError, match="best, nearest, negative"):
        prompts.labels_needed("worst")


def test_own_tables_are_shown_and_their_labels_join_the_fast_prompt():
    assert prompts.labels_needed("seed", ["mine"])["mine"] == prompts.SHOWN_OWN
    assert prompts.labels_needed("fast", ["mine"])["mine"] == prompts.FAST_TERMS
    labels = LABELS | {"mine": ranked("watercolor", start=2.0)}
    assert prompts.build("fast", "a dog", labels).startswith("a dog, watercolor, ")
    assert "watercolor" not in prompts.build("classic", "a dog", labels)


def by_length(texts):
    """Longer is more similar, up to 41 characters for the first picture and 61 for the second."""
    limits = [41, 61]
    return [
        np.array([-abs(limit - len(text)) for text in row], dtype=float)
        for limit, row in zip(limits, texts, strict=False)
    ]


def test_chains_of_all_pictures_go_forward_in_step(monkeypatch):
    monkeypatch.setattr(prompts, "SURE_TERMS", 2)
    calls = []

    def similar(texts):
        calls.append([len(row) for row in texts])
        return by_length(texts)

    pools = [["ab" * i for i in range(1, 12)]] * 2
    scores = [float(row[0]) for row in by_length([["a dog"], ["a dog"]])]
    together = prompts.chain(["a dog", "a dog"], scores, pools, similar)
    assert [len(text) for text in together] == [41, 61]
    assert calls[0] == [11, 11] and calls[-1][0] == 0 < calls[-1][1]  # the first had ended
    assert together[0] == prompts.chain(["a dog"], scores[:1], pools[:1], by_length)[0]


def test_a_chain_ends_where_clip_reads_no_more():
    pool = [f"{word} painting" for word in "red blue green brown black white pink gray gold".split()] * 9
    pool += [f"number {i}" for i in range(99)]
    (text,) = prompts.chain(["a dog"], [0.0], [pool], lambda rows: [np.array([len(t) for t in rows[0]])])
    assert prompts.CONTEXT <= prompts.count_tokens(text) < prompts.CONTEXT + 9
    assert len(text.split(", ")) < prompts.CHAIN_TERMS


def test_a_chain_without_phrases_is_its_start():
    assert prompts.chain(["a dog"], [0.5], [[]], by_length) == ["a dog"]
    assert prompts.negative([["ugly"]], by_length) == ["ugly"]


WORDS = "dog cat snow oil painting watercolor sunset beach gold".split()


def bag(texts):
    """Each text's words as a unit vector, one dimension a word of `WORDS`; others share a last one."""
    rows = np.zeros((len(texts), len(WORDS) + 1), np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in text.replace(",", "").split():
            row[WORDS.index(word) if word in WORDS else -1] += 1
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def phrases(*texts):
    return prompts.Phrases(texts, bag(texts))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("dog", "dog"),  # nothing brings it nearer
        ("watercolor dog", "watercolor, dog"),
        ("dog snow beach snow", "dog, snow, beach"),
        ("dog oil painting gold gold", "oil painting, dog, gold"),  # not "gold painting" or "gold" again
    ],
)
def test_a_nearest_prompt_says_what_the_vector_says(target, expected):
    mediums = phrases("watercolor", "oil painting")
    flavors = phrases("beach", "cat", "gold painting", "gold", "snow")
    found = prompts.nearest(["dog", "cat"], bag([target, "cat sunset"]), mediums, flavors, bag)
    assert found == [expected, "cat"], "the second is as near as it can be"


def test_a_nearest_prompt_needs_no_caption_and_no_phrases():
    none = prompts.Phrases([], np.zeros((0, len(WORDS) + 1), np.float32))
    assert prompts.nearest([""], bag(["snow"]), none, phrases("snow", "gold"), bag) == ["snow"]
    assert prompts.nearest(["dog"], bag(["snow"]), none, none, bag) == ["dog"]
    assert prompts.nearest([], np.zeros((0, len(WORDS) + 1)), none, none, bag) == []


def test_a_nearest_prompt_is_no_longer_than_clip_reads():
    caption = "dog " * 72
    found = prompts.nearest([caption.strip()], bag(["snow"]), phrases("oil"), phrases("snow", "beach"), bag)
    assert prompts.count_tokens(found[0]) < prompts.CONTEXT and found[0].endswith("snow")


class Ranking:
    """The reference's label table, with the ranking already done."""

    def __init__(self, matches: list[Match]):
        self.matches = matches

    def rank(self, _features: object, count: int) -> list[str]:
        return [match.label for match in self.matches[:count]]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("style", ["classic", "fast"])
def test_equals_clip_interrogator(style, seed, monkeypatch):
    pytest.importorskip("torch")
    import open_clip
    from clip_interrogator import clip_interrogator as reference

    shuffled = random.Random(seed)
    labels = {}
    for table in prompts.FAST_TABLES:
        words = [f"{table[:-1]} {shuffled.choice('abcdefg') * shuffled.randint(1, 9)} {i}" for i in range(32)]
        scores = sorted((shuffled.random() for _ in words), reverse=True)
        labels[table] = [Match(word, score) for word, score in zip(words, scores, strict=True)]
    caption = "a dog" if seed % 2 else labels["mediums"][0].label + " of a dog, on a beach"

    interrogator = object.__new__(reference.Interrogator)
    interrogator.tokenize = open_clip.get_tokenizer("ViT-H-14")
    interrogator.image_to_features = lambda image: None
    for table, matches in labels.items():
        setattr(interrogator, table, Ranking(matches))
    everything = sorted(itertools.chain(*labels.values()), key=lambda match: -match.score)
    monkeypatch.setattr(reference, "_merge_tables", lambda tables, _: Ranking(everything))

    expected = getattr(interrogator, f"interrogate_{style}")(None, caption=caption)
    assert prompts.build(style, caption, labels) == expected


TRICKY = [
    "",
    " ",
    "!",
    "!" * 200,
    "café naïve Zürich, Ærø, İstanbul " * 4,
    "😀 👩‍👩‍👧‍👦 🇩🇪, " * 12,
    "&lt;b&gt; &amp;amp; &nGt; fish &amp; chips, " * 9,
    "tabs\tand\nnew lines\r\n   and   spaces, " * 8,
    "1234567890 3.14 1,000,000, " * 8,
    "it's we're I'd they'll you've, o'clock, 'quoted', " * 6,
    "“curly” ‘quotes’ — dashes… ﬁ ﬂ ﬀ, " * 8,
    "写真、富士山, 夕日, 日本 " * 8,
    "mÃ©lange of â€œbrokenâ€ text, " * 6,
    "<start_of_text> and <end_of_text>, " * 8,
    "a" * 300,
    "a, " * 100,
    ", , ,, ,",
    "no comma at all " * 40,
    "ſ ŉ ǆ ﷺ \u0958 \U0001d160, " * 6,
    "\x1b[31mred\x1b[0m, \x00\x07, " * 9,
]


def generated_prompts() -> list[str]:
    """Comma-separated parts of odd words, most of them longer than CLIP reads."""
    chooser = random.Random(0)
    words = [
        "castle",
        "dragon",
        "8k",
        "octane-render",
        "f/1.8",
        "don't",
        "Ünder",
        "naïve",
        "写真",
        "😀",
        "&amp;",
    ]
    return [
        ", ".join(
            " ".join(chooser.choices(words, k=chooser.randint(1, 5))) for _ in range(chooser.randint(1, 30))
        )
        for _ in range(300)
    ]


def assert_same_as_reference(texts: list[str]) -> None:
    import open_clip
    from clip_interrogator.clip_interrogator import _truncate_to_fit

    tokenize = open_clip.get_tokenizer("ViT-H-14")
    for text in texts:
        assert prompts.count_tokens(text) == len(tokenize.encode(text)) + 2, text
        assert prompts.truncate(text) == _truncate_to_fit(text, tokenize), text


@pytest.mark.slow
def test_tokens_and_truncation_equal_the_reference():
    texts = TRICKY + generated_prompts()
    assert sum(prompts.truncate(text) != text for text in texts) > 50
    assert_same_as_reference(texts)


def test_real_prompts_are_cut_like_the_reference(shared_data):
    lines = (shared_data / "sd_prompts" / "prompts.txt").read_text(encoding="utf-8").splitlines()
    assert_same_as_reference(random.Random(0).sample(lines, 300))


def test_whole_parts_that_fit_clip():
    prompt = ", ".join(["a very detailed matte painting of a castle"] * 30)
    kept = prompts.truncate(prompt)
    assert prompt.startswith(kept + ", ")
    assert prompts.count_tokens(kept) <= prompts.CONTEXT


@pytest.mark.slow
def test_the_tokenizer_comes_without_open_clip():
    code = (
        "import sys; from img2prompt import prompts; prompts.truncate('a café, b');"
        "assert not {'torch', 'open_clip', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_vocabulary_is_open_clips():
    import open_clip

    reference = open_clip.SimpleTokenizer()
    chooser = random.Random(0)
    letters = [0x80, 0x300, 0xD800, 0x20000]  # ends of ranges that are drawn equally often
    texts = [
        "".join(chr(chooser.randrange(chooser.choice(letters))) for _ in range(chooser.randint(1, 20)))
        for _ in range(2000)
    ]
    for text in [*TRICKY, *(text for text in texts if text.isprintable())]:
        assert clip_tokens.tokenizer().encode(text) == reference.encode(text), text


def test_without_open_clip_it_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="open.clip.torch"):
        clip_tokens.tokenizer.__wrapped__()


@pytest.mark.parametrize(
    "content", [None, b"", b"no archive", gzip.compress(b"# version\na b\nx y z\n", mtime=0)]
)
def test_a_damaged_vocabulary_is_named(content, tmp_path, monkeypatch):
    file = tmp_path / clip_tokens.VOCABULARY
    if content is not None:
        file.write_bytes(content)
    package = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: package)
    with pytest.raises(WeightsError, match=re.escape(str(file))):
        clip_tokens.tokenizer.__wrapped__()


def test_another_caption_takes_the_place_of_the_prompts_own():
    prompt = prompts.recaption("a red fox, a photo, minimalism, a red fox", "a red fox", "A vixen at dawn")
    assert prompt == "A vixen at dawn, a photo, minimalism, a red fox"
    for before in ("", "a dog", "x"):  # none, one that is not there, and itself
        assert prompts.recaption("blurry, ugly", before, "x") == "blurry, ugly"
    long = prompts.recaption("a fox, a photo, minimalism", "a fox", "a fox and " * 23 + "a hen")
    assert long == "a fox and " * 23 + "a hen, a photo"  # cut where CLIP reads no more
