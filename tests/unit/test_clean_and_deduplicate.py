"""dataset clean and filter, from the command line and below it."""

import csv
import json

import numpy as np
import pytest

from img2prompt.cli.main import main
from img2prompt.datasets.clean import clean_prompt, clean_texts
from img2prompt.datasets.deduplicate import embed_texts, find_twins, measure_recall, near_duplicates
from img2prompt.datasets.table import read_table, write_rows
from img2prompt.errors import ConfigError, DataError
from img2prompt.minilm import SentenceEncoder

ODD = 'line one\r\nline "two",\n\ttab 写真 🦊 \x00é = \u2028 end '
SCENES = [
    "a red fox in deep snow",
    "portrait of an old sailor, oil on canvas",
    "a neon city at night in the rain",
    "macro photo of a dew drop on a leaf",
    "an astronaut riding a horse on mars",
    "isometric render of a tiny bakery",
]
PARAPHRASES = [  # of the scenes, in their order
    "A red fox in the deep snow",
    "portrait of an old sailor, oil painting on canvas",
    "a neon city in the rain at night",
    "macro photograph of a dew drop on a leaf",
    "an astronaut who rides a horse on mars",
    "isometric rendering of a tiny bakery",
]


@pytest.fixture(scope="module")
def encoder():
    return SentenceEncoder()


@pytest.fixture
def run(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["dataset", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return left.value.code, captured.out, captured.err

    return run


def write(path, rows, columns=("imgId", "prompt")):
    write_rows(path, columns, rows)
    return path


def read(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    ("dirty", "cleaned"),
    [
        ("  A “fox” ,  ((masterpiece)) | 8k★ ", 'A "fox", masterpiece 8k'),
        ("cat|dog\n\nbird", "cat dog bird"),
        ("ｆｕｌｌ ｗｉｄｔｈ ﬁne…", "full width fine..."),
        ("cafe\u0301 \u200bzero\u00a0width\ufeff", "café zero width"),
        ("사진 写真、夜 фото दिल्ली", "사진 写真、夜 фото दिल्ली"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # this joiner is spelling
        ("❤️‍🔥 1️⃣ 👩‍🚀", "1"),
        ("\x00\x07\ud800", ""),
        ("don't re-do 50% off / on: yes! no? a&b +1; 1.5", "don't re-do 50% off / on: yes! no? a&b +1; 1.5"),
    ],
)
def test_cleans_prompts(dirty, cleaned):
    assert clean_prompt(dirty) == cleaned
    assert clean_prompt(cleaned) == cleaned


def test_counts_what_it_did():
    texts = [
        "a plain long prompt",
        "too short",
        "  white   space here ",
        "(((emphasis))) and more",
        "ﬁne ligature",
    ]
    cleaned, counts = clean_texts([*texts, "★" * 20])
    assert cleaned == [
        "a plain long prompt",
        None,
        "white space here",
        "emphasis and more",
        "fine ligature",
        None,
    ]
    assert vars(counts) == {
        "rows": 6, "kept": 4, "dropped": 2, "normalised": 1, "stripped": 1, "spaced": 1
    }  # fmt: skip


def test_clean_command_carries_the_rest_along(run, tmp_path):
    source = write(
        tmp_path / "in.csv", [[ODD, "1", "x  y zz top yes"], ["", "2", "short"]], ("note", "imgId", "prompt")
    )
    code, out, err = run("clean", source, "-o", tmp_path / "out.csv", "--json")
    assert code == 0 and json.loads(out)["dropped"] == 1 and "1 of 2 rows kept" in err
    assert read(tmp_path / "out.csv") == [["note", "imgId", "prompt"], [ODD, "1", "x y zz top yes"]]


def test_finds_planted_copies_and_paraphrases(run, tmp_path):
    rows = [[f"s{i}", text, ODD] for i, text in enumerate(SCENES)]
    rows += [[f"c{i}", text, ""] for i, text in enumerate(SCENES)]
    rows += [[f"p{i}", text, "x"] for i, text in enumerate(PARAPHRASES)]
    source = write(tmp_path / "in.csv", rows, ("imgId", "prompt", "note"))
    code, out, _ = run("filter", source, "-o", tmp_path / "out.csv", "--threshold", 0.9, "--json")
    counts = json.loads(out)
    assert code == 0
    assert (counts["rows"], counts["kept"], counts["removed"], counts["equal_texts"]) == (18, 6, 12, 6)
    assert read(tmp_path / "out.csv") == [["imgId", "prompt", "note"], *rows[:6]]
    header, *removed = read(tmp_path / "out.removed.csv")
    assert header == ["imgId", "prompt", "twin_imgId", "twin_prompt", "twin_file", "similarity"]
    for i, row in enumerate(removed):
        twin = i % len(SCENES)
        assert row[:5] == [*rows[6 + i][:2], f"s{twin}", SCENES[twin], str(source)]
        assert (row[5] == "1.000000") if i < 6 else 0.9 <= float(row[5]) < 1


def test_keeps_what_is_only_alike(encoder):
    alike = ["a cat sleeps on a sofa", "a dog sleeps on a sofa", "a cat runs in a park"]
    assert list(find_twins([*SCENES, *alike], encoder).rows) == [-1] * 9


def test_against_another_set(run, tmp_path):
    train = write(tmp_path / "train.csv", [["t0", SCENES[0]], ["t1", SCENES[0]], ["t2", SCENES[1]]])
    more = tmp_path / "more.txt"
    more.write_text(f"\n{SCENES[2]}\n", "utf-8")
    rows = [["v0", SCENES[3]], ["v1", SCENES[0]], ["v2", SCENES[2]], ["v3", SCENES[3]]]
    valid = write(tmp_path / "valid.csv", rows)
    report = tmp_path / "gone.csv"
    code, out, _ = run(
        "filter",
        valid,
        "-o",
        tmp_path / "out.csv",
        "--against",
        train,
        "--against",
        more,
        "--report",
        report,
        "--json",
    )
    assert code == 0 and json.loads(out)["removed_against"] == 2
    assert [row[0] for row in read(tmp_path / "out.csv")] == ["imgId", "v0"]
    assert [(row[0], row[2], row[4]) for row in read(report)[1:]] == [
        ("v1", "t0", str(train)),
        ("v2", "2", str(more)),
        ("v3", "v0", str(valid)),
    ]


def brute_force(vectors, threshold, known=0):
    """The definition, row by row."""
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    twins, kept = np.full(len(vectors), -1), list(range(known))
    for row in range(known, len(vectors)):
        close = [other for other in kept if exact[row] @ exact[other] >= threshold]
        if close:
            twins[row] = close[0]
        else:
            kept.append(row)
    return twins


def clustered(count, seed=0, width=32):
    """Unit vectors with many near-duplicates, chains of them included."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count // 8, width))
    vectors = centres[rng.integers(len(centres), size=count)] + 0.2 * rng.normal(size=(count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("known", [0, 37])
@pytest.mark.parametrize("batch_size", [1, 7, 100, 4096])
def test_equals_the_definition_whatever_the_batch_size(batch_size, known):
    vectors = clustered(600)
    found = near_duplicates(vectors, 0.95, known, batch_size)
    assert 100 < (found.rows >= 0).sum() < 590
    assert np.array_equal(found.rows, brute_force(vectors, 0.95, known))
    whole = near_duplicates(vectors, 0.95, known)
    assert found.similarities.tobytes() == whole.similarities.tobytes()
    assert np.all(found.similarities[found.rows >= 0] >= 0.95)


@pytest.mark.parametrize("batch_size", [1, 9, 4096])
def test_a_tie_at_the_threshold_counts_whatever_the_batch_size(batch_size):
    vectors = clustered(300)
    similarities = near_duplicates(vectors, 0.95).similarities
    tie = float(similarities[similarities > 0].min())  # to the last bit
    found = near_duplicates(vectors, tie, batch_size=batch_size)
    assert found.similarities[found.similarities > 0].min() == tie
    assert np.array_equal(found.rows, near_duplicates(vectors, tie).rows)


@pytest.mark.parametrize("batch_size", [50, 4096])
def test_approximate_index_finds_nearly_all(batch_size):
    vectors = clustered(6000, seed=1, width=64)
    exact = near_duplicates(vectors, 0.95, index="exact")
    found = near_duplicates(vectors, 0.95, batch_size=batch_size, index="approximate")
    assert found.index == "approximate"
    assert found.recall is not None and found.recall >= 0.99
    removed, should = found.rows >= 0, exact.rows >= 0
    assert should.sum() > 1000 and (removed & should).sum() >= 0.99 * should.sum()
    assert np.array_equal(found.rows, near_duplicates(vectors, 0.95, index="approximate").rows)


def test_recall_counts_what_was_missed():
    vectors = clustered(500)
    twins = brute_force(vectors, 0.95)
    assert measure_recall(vectors, twins, 0.95) == 1.0
    gone = np.flatnonzero(twins >= 0)
    missed = twins.copy()
    missed[gone[::2]] = -1
    assert 0.4 < measure_recall(vectors, missed, 0.95) < 0.6
    assert measure_recall(np.eye(5, dtype=np.float32), np.full(5, -1), 0.95) is None


def test_degenerate_sets(encoder):
    assert len(find_twins([], encoder).rows) == 0
    assert list(find_twins(["", "", "a"], encoder).rows) == [-1, 0, -1]
    assert list(find_twins(["same words"] * 50, encoder, threshold=1.0).rows) == [-1] + [0] * 49
    assert list(find_twins(SCENES, encoder, threshold=1e-9).rows[:1]) == [-1]


def test_sd_prompts(encoder, shared_data):
    texts = read_table(shared_data / "sd_prompts" / "prompts.txt").texts
    assert len(texts) == 43124
    sample = texts[:500]
    planted = [*sample, *(text.upper() for text in sample[::50])]  # MiniLM reads no capitals
    found = find_twins(planted, encoder, 0.95)
    assert np.all(found.rows[500:] >= 0)
    assert np.array_equal(found.rows, brute_force(embed_texts(planted, encoder), 0.95))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"imgId,words\n1,x\n", "needs a picture column"),
        (b"", "is empty: it needs a picture column"),
        (b"imgId,prompt\n1,two, cells too many\n", "line 2: 3 in place of 2 cells"),
        (b"imgId,prompt\n1\n", "line 2: 1 in place of 2 cells"),
        ("imgId,prompt\n1,café\n".encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_says_what_is_wrong_with_the_csv(run, tmp_path, content, message):
    (tmp_path / "in.csv").write_bytes(content)
    for command in ("clean", "filter"):
        code, _, err = run(command, tmp_path / "in.csv", "-o", tmp_path / "out.csv")
        assert code == 2 and message in err
        assert not (tmp_path / "out.csv").exists()


def test_refuses_what_would_spoil_the_outputs(run, tmp_path):
    source = write(tmp_path / "in.csv", [["1", "x"]])
    before = source.read_bytes()
    for arguments, message in [
        (["-o", source], "part of the input"),
        (["-o", tmp_path / "out.csv", "--report", source], "part of the input"),
        (["-o", tmp_path / "out.csv", "--report", tmp_path / "out.csv"], "written twice"),
        (["-o", tmp_path / "no" / "out.csv"], "is not a folder"),
        (["-o", tmp_path / "out.csv", "--threshold", "1.5"], "threshold is 1.5"),
        (["-o", tmp_path / "out.csv", "--batch-size", "0"], "batch-size is 0"),
        (["-o", tmp_path / "out.csv", "--index", "magic"], "index is 'magic'"),
    ]:
        code, _, err = run("filter", source, *arguments)
        assert code == 2 and message in err, err
    assert source.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(ConfigError):
        near_duplicates(np.eye(2, dtype=np.float32), 0.0)
