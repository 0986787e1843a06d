"""Label tables: reading, cutting down, ranking, storing."""

import hashlib
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from img2prompt import vector_cache
from img2prompt.errors import DataError
from img2prompt.labels import ranking, readable, tables
from img2prompt.labels.ranking import LabelTable
from img2prompt.labels.tables import ASPECTS
from img2prompt.minilm import SentenceEncoder
from img2prompt.results import Match
from img2prompt.tensors import mapped
from img2prompt.vector_cache import label_vectors
from tests.helpers import ROOT


@pytest.fixture(scope="module")
def vocabulary() -> dict[str, int]:
    return SentenceEncoder().vocabulary


class TwoAxes:
    """The smallest engine that can embed labels: their vectors are given."""

    name = "test"
    space = "ViT-B-32/test@1"
    device = "cpu"
    label_file = None
    vocabulary = None

    def __init__(self, vectors: np.ndarray):
        self.vectors = vectors
        self.asked: list[str] = []

    def embed_texts(self, texts):
        self.asked += texts
        return self.vectors[: len(texts)]


class Numbered(TwoAxes):
    """Embeds "7" as its seventh vector; may be stopped after so many calls."""

    def __init__(self, vectors: np.ndarray, calls: int = 10**9):
        super().__init__(vectors)
        self.calls = calls

    def embed_texts(self, texts):
        if self.calls == 0:
            raise KeyboardInterrupt
        self.calls -= 1
        self.asked += texts
        return self.vectors[[int(text) for text in texts]]


def unit(rows: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, 384)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_every_table_of_the_package_is_read():
    sizes = {name: len(tables.read_labels(name)) for name in ASPECTS}
    assert sizes == {
        "mediums": 95,
        "movements": 200,
        "artists": 2 * 5265,
        "trendings": 72,
        "flavors": 100_970,  # one of them blank
    }


def test_ranking_equals_sorting_all_scores():
    vectors, pictures = unit(500), unit(3, seed=1)
    table = LabelTable("flavors", [f"label {i}" for i in range(500)], TwoAxes(vectors))
    exact = pictures @ table.vectors.T
    for row, matches in zip(exact, table.rank(pictures, 7), strict=True):
        order = np.argsort(-row)[:7]
        assert [m.label for m in matches] == [f"label {i}" for i in order]
        assert np.allclose([m.score for m in matches], row[order])


def test_asking_for_more_than_there_is_gives_all():
    table = LabelTable("mediums", ["a", "b"], TwoAxes(unit(2)))
    assert len(table.rank(unit(1), 10)[0]) == 2


def test_distinct_tables_do_not_say_the_same_twice():
    same = unit(1)[0]
    vectors = np.stack([same, same, *unit(3, seed=5)])
    words = ["running dog", "dog running", "beach", "beaches", "sun"]
    table = LabelTable("flavors", words, TwoAxes(vectors), distinct=True)
    found = [match.label for match in table.rank(same[None], 5)[0]]
    assert found[0] in ("running dog", "dog running")
    assert not {"running dog", "dog running"} <= set(found)
    assert not {"beach", "beaches"} <= set(found)


def test_a_blank_label_is_no_answer():
    vectors = unit(6)
    table = LabelTable("flavors", ["a", "b", "", "c", "d", "e"], TwoAxes(vectors))
    found = [match.label for match in table.rank(vectors[2:3], 5)[0]]
    assert sorted(found) == ["a", "b", "c", "d", "e"]
    assert "" not in ranking.pools({"content": vectors[2:3]}, [table], 4)[0]


def test_of_equal_labels_the_first_come_first():
    same = np.repeat(unit(1), 40, axis=0)
    table = LabelTable("mine", [str(i) for i in range(40)], TwoAxes(same))
    assert [match.label for match in table.rank(same[:1], 7)[0]] == list("0123456")
    expected = [str(i) for start in (0, 15, 30) for i in range(start, start + 5)]
    assert ranking.pools({"both": same[:1]}, [table], 15) == [expected]


@pytest.mark.parametrize("count", [1, 9, 1100])
def test_half_precision_is_ranked_as_sorting_all_scores_ranks(count):
    vectors, pictures = unit(1100), unit(5, seed=1)
    vectors[700:900] = vectors[100:300]  # half of them in another slice
    table = LabelTable("mine", [str(i) for i in range(1100)], TwoAxes(vectors))
    assert table.vectors.dtype == np.float16
    scores = table.scores(pictures)
    assert np.allclose(scores, pictures @ vectors.T, atol=1e-3)
    for row, matches in zip(scores, table.rank(pictures, count), strict=True):
        order = np.argsort(-row, kind="stable")[:count]
        assert [match.label for match in matches] == [str(i) for i in order]


def test_a_gpu_machine_converts_a_table_once():
    engine = TwoAxes(unit(4))
    engine.device = "cuda"
    table = LabelTable("mediums", list("abcd"), engine)
    assert table.vectors.dtype == np.float32
    assert np.array_equal(table.vectors, unit(4).astype(np.float16).astype(np.float32))


def test_pools_take_the_best_few_of_all_neighbours():
    vectors, pictures = unit(103), unit(2, seed=1)
    table = LabelTable("mine", [str(i) for i in range(103)], Numbered(vectors))
    scores = pictures @ table.vectors.T
    for least in (False, True):
        for row, pool in zip(
            -scores if least else scores, ranking.pools({"both": pictures}, [table], 25, least), strict=True
        ):
            expected = [
                start + int(i)
                for start in range(0, 103, 25)
                for i in np.argsort(-row[start : start + 25])[:5]
            ]
            assert pool == [str(i) for i in sorted(expected, key=lambda i: -row[i])]


def test_texts_are_compared_with_their_own_picture_in_one_call():
    engine = Numbered(unit(9), calls=1)
    pictures = unit(3, seed=1)
    found = ranking.similarities(engine, pictures, [["1", "2"], [], ["3"]])
    assert [len(row) for row in found] == [2, 0, 1]
    assert np.allclose(found[0], engine.vectors[[1, 2]] @ pictures[0])
    assert np.allclose(found[2], engine.vectors[[3]] @ pictures[2])


def test_packing_keeps_the_direction():
    rows = unit(200)
    assert (vector_cache.unpack(vector_cache.pack(rows)) * rows).sum(1).min() > 0.999


def test_vectors_are_computed_once():
    engine = TwoAxes(unit(4))
    first = LabelTable("mediums", list("abcd"), engine).vectors
    engine.vectors = unit(4, seed=9)  # would be seen if they were computed again
    assert np.array_equal(first, LabelTable("mediums", list("abcd"), engine).vectors)
    assert not np.array_equal(first, LabelTable("mediums", list("abce"), engine).vectors)
    engine.space = "ViT-B-32/test@2"
    assert not np.array_equal(first, LabelTable("mediums", list("abcd"), engine).vectors)


def test_vectors_are_kept_as_clip_interrogator_keeps_them(tmp_path):
    engine = TwoAxes(unit(3))
    kept = label_vectors(engine, "mediums", ["a", "b", "c"])
    assert kept.dtype == np.float16
    (file,) = vector_cache.cache_folder(engine.space).iterdir()
    arrays = load_file(file)
    assert np.array_equal(arrays["embeds"], engine.vectors.astype(np.float16))
    assert bytes(arrays["hash"]).decode() == hashlib.sha256(b"a,b,c").hexdigest()


def test_a_stopped_run_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr(vector_cache, "CHUNK", 10)
    names = [str(i) for i in range(45)]
    stopped = Numbered(unit(45), calls=3)
    with pytest.raises(KeyboardInterrupt):
        label_vectors(stopped, "mine", names)
    assert stopped.asked == names[:30]
    again = Numbered(unit(45))
    found = label_vectors(again, "mine", names)
    assert again.asked == names[30:]
    assert np.array_equal(found, unit(45).astype(np.float16))
    assert len(list(vector_cache.cache_folder(again.space).iterdir())) == 1  # nothing but the whole is left


def test_a_damaged_file_is_computed_again(tmp_path):
    engine = TwoAxes(unit(4))
    label_vectors(engine, "mediums", list("abcd"))
    (file,) = vector_cache.cache_folder(engine.space).iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    assert np.array_equal(label_vectors(engine, "mediums", list("abcd")), unit(4).astype(np.float16))
    assert len(engine.asked) == 8


def test_a_place_that_cannot_be_written_to_does_not_matter(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert label_vectors(TwoAxes(unit(4)), "mediums", list("abcd")).shape == (4, 384)


def test_other_peoples_vectors_are_taken_only_if_they_are_right(tmp_path, caplog):
    names = [str(i) for i in range(40)]
    theirs = {
        "embeds": unit(40).astype(np.float16),
        "hash": np.frombuffer(hashlib.sha256(",".join(names).encode()).hexdigest().encode(), np.int8),
    }
    save_file(theirs, tmp_path / "ViT-B-32_test_mine.safetensors")
    engine = Numbered(unit(40))
    found = label_vectors(engine, "mine", names, str(tmp_path))
    assert np.array_equal(found, theirs["embeds"]) and len(engine.asked) == vector_cache.CHECKED
    other = Numbered(unit(40, seed=1))
    other.space = "ViT-B-32/test@2"
    found = label_vectors(other, "mine", names, str(tmp_path))
    assert np.array_equal(found, unit(40, seed=1).astype(np.float16))
    assert "ViT-B-32_test_mine.safetensors" in caplog.text


def test_kept_vectors_are_mapped_not_read(tmp_path):
    """Opening 60 MB of vectors takes no memory of the process's own."""
    import psutil

    rows = np.zeros((80_000, 384), np.float32)
    engine = TwoAxes(rows)
    names = [str(i) for i in range(len(rows))]
    vector_cache._save(tmp_path / "x", names, rows.astype(np.float16), scratch=tmp_path)
    before = psutil.Process().memory_info()
    kept = vector_cache._read(tmp_path / "x", names)
    after = psutil.Process().memory_info()
    assert kept is not None and kept.shape == (80_000, 384)
    assert (after.rss - after.shared) - (before.rss - before.shared) < 20 * 2**20
    assert not engine.asked


def test_arrays_are_mapped_as_they_were_saved(tmp_path):
    arrays = {
        "bytes": np.arange(7, dtype=np.int8),  # after which nothing is aligned
        "halves": unit(3).astype(np.float16),
        "rows": unit(2),
        "none": np.zeros((0, 384), np.float32),
        "flags": np.array([True, False]),
        "one": np.array(5, np.int64),
    }
    save_file(arrays, tmp_path / "x", metadata={"made": "here"})
    found = mapped(tmp_path / "x")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
        assert not found[name].flags.writeable


def test_types_that_numpy_lacks_are_left_out(tmp_path):
    header = json.dumps(
        {
            "a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]},
            "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]},
        }
    ).encode()
    data = len(header).to_bytes(8, "little") + header + b"\0\0" + np.float32(1.5).tobytes()
    (tmp_path / "x").write_bytes(data)
    assert {name: array.tolist() for name, array in mapped(tmp_path / "x").items()} == {"b": [1.5]}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: data.replace(b'"F32"', b'"F16"'),
        lambda data: data.replace(b"[2,3]", b"[2,4]"),
        lambda data: data.replace(b'"shape"', b'"shade"'),
    ],
    ids="nothing length header short long endless type shape word".split(),
)
def test_a_damaged_file_is_not_mapped(tmp_path, damage):
    save_file({"rows": np.zeros((2, 3), np.float32)}, tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    assert damage(data) != data
    (tmp_path / "x").write_bytes(damage(data))
    with pytest.raises(SafetensorError):
        mapped(tmp_path / "x")


def test_own_labels(tmp_path):
    (tmp_path / "my_styles.txt").write_text(
        "\ufeffwatercolor\r\n\r\n film  noir\nwatercolor\n한국화\n", "utf-8"
    )
    (tmp_path / "places.txt").write_text("beach", "utf-8")
    found = tables.read_own_labels([str(tmp_path / "my_styles.txt"), str(tmp_path / "places.txt")])
    assert found == {"my_styles": ["watercolor", "film noir", "한국화"], "places": ["beach"]}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("mine.txt", b"fine\ncaf\xe9\n", "line 2: this is no UTF-8"),
        ("mine.txt", b"", "holds 0 labels"),
        ("mine.txt", b"\n \n", "holds 0 labels"),
        ("mine.txt", b"fine\n" + b"x" * 301, "line 2: a label has at most 300 characters, not 301"),
        ("mine.txt", b"a\x00b", "control characters"),
        ("mine.txt", b"\n".join(b"%d" % i for i in range(200_001)), "holds 200,001 labels"),
        ("mine.txt", b"long line\n" * 900_000, "larger than 8 MB"),
        ("flavors.txt", b"mint", "another table called flavors"),
        (".", b"", "one label a line"),
    ],
)
def test_own_labels_that_cannot_be_used(tmp_path, name, data, said):
    file = tmp_path / name
    if name != ".":
        file.write_bytes(data)
    with pytest.raises(DataError, match=said):
        tables.read_own_labels([str(file)])


def test_two_own_tables_need_two_names(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.txt").write_text("beach")
    with pytest.raises(DataError, match="another table called mine"):
        tables.read_own_labels([str(tmp_path / "a" / "mine.txt"), str(tmp_path / "b" / "mine.txt")])
    with pytest.raises(DataError, match="nowhere.txt"):
        tables.read_own_labels([str(tmp_path / "nowhere.txt")])


def test_readable_flavors_are_plain_and_judge_no_one(vocabulary):
    kept = readable.readable_labels("flavors", vocabulary)
    assert 5_000 < len(kept) < 10_000
    assert {"golden hour", "sharp focus", "street scene"} <= set(kept)
    words = {word for flavor in kept for word in flavor.replace("-", " ").split()}
    assert words <= set(vocabulary)
    assert not words & readable.PRIVATE_WORDS
    assert "greg rutkowski" not in kept and "gary baseman" not in kept


def test_the_bundled_engine_ships_the_vectors_of_its_common_tables(pipeline):
    with safe_open(pipeline.engine.label_file, "np") as stored:
        keys = set(stored.keys())
    common = [table for table in pipeline.tables if table.name != "artists"]
    assert {f"{table.name}-{vector_cache.digest(table.labels)}" for table in common} <= keys


def test_match_reads_as_label_and_score():
    label, score = Match("a photo", 0.5)
    assert (label, score) == ("a photo", 0.5)


def test_labels_are_ranked_where_pytorch_cannot_be_imported():
    """In a process in which importing it, or what stands on it, fails."""
    code = """
        import importlib, pkgutil, sys

        class Refused:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in (
                    "torch", "torchvision", "timm", "transformers", "open_clip", "sentence_transformers"
                ):
                    raise ImportError(f"{name} is refused")

        sys.meta_path.insert(0, Refused())
        import numpy as np

        import img2prompt.batch.ray_pool, img2prompt.engines.base, img2prompt.engines.registry
        import img2prompt.labels.phrases, img2prompt.pipeline, img2prompt.web.models
        from img2prompt.labels.ranking import LabelTable, pools

        for package in ("batch", "ensemble", "evaluation", "labels"):
            for module in pkgutil.iter_modules([f"img2prompt/{package}"]):
                importlib.import_module(f"img2prompt.{package}.{module.name}")

        class Axes:
            space, device, label_file, vocabulary = "axes@1", "cpu", None, None

            def embed_texts(self, texts):
                return np.eye(3, dtype=np.float32)[[int(text) for text in texts]]

        table = LabelTable("mine", ["0", "1", "2"], Axes())
        picture = np.array([[0.6, 0, 0.8]], np.float32)
        print([match.label for match in table.rank(picture, 2)[0]], pools({"both": picture}, [table], 3))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['2', '0'] [['2', '0', '1']]"
