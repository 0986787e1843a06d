import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from img2prompt.embeddings import WIDTH
from img2prompt.errors import DataError
from img2prompt.submission import Embeddings, read_submission, read_truth, score, write_submission

STEMS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)
VECTORS = hnp.arrays(np.float32, WIDTH, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


def unit(rows, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def save(path, ids, vectors):
    with open(path, "wb") as file:
        write_submission(file, zip(ids, vectors, strict=True))
    return path


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, [(name, float(value)) for name, value in rows]


def test_the_competitions_own_file_comes_back_digit_for_digit(shared_data, tmp_path):
    sample = shared_data / "kaggle_sample" / "sample_submission.csv"
    found = read_submission(sample)
    assert found.ids == sorted(path.stem for path in (shared_data / "kaggle_sample" / "images").iterdir())
    again = save(tmp_path / "again.csv", found.ids, found.vectors)
    assert read_rows(again) == read_rows(sample)


@settings(max_examples=30, deadline=None)
@given(st.lists(STEMS, min_size=1, max_size=3, unique=True), st.data())
def test_ids_and_values_survive_a_round_trip(tmp_path_factory, stems, data):
    vectors = [data.draw(VECTORS) for _ in stems]
    path = save(tmp_path_factory.mktemp("csv") / "out.csv", stems, vectors)
    found = read_submission(path)
    assert found.ids == stems
    assert found.vectors.tobytes() == np.stack(vectors).tobytes()  # the very bits, -0.0 too
    assert [name for name, _ in read_rows(path)[1]] == [f"{stem}_{i}" for stem in stems for i in range(WIDTH)]


def test_rows_may_come_in_any_order(tmp_path):
    vectors = unit(3)
    path = save(tmp_path / "a.csv", ["c", "a_1", "b"], vectors)
    header, *lines = path.read_text().splitlines()
    order = np.random.default_rng(1).permutation(len(lines))
    path.write_text("\n".join([header, *(lines[i] for i in order)]) + "\n")
    found = read_submission(path)
    assert np.array_equal(found.aligned(["c", "a_1", "b"]), vectors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "a_383 is there 0 times"),
        (lambda lines: [*lines, lines[-1]], "a_383 is there 2 times"),
        (lambda lines: [*lines[:-1], "a_384,0.5"], "a_384 does not end in 0 … 383"),
        (lambda lines: [*lines[:-1], "a_383,nan"], "a_383 has no finite value"),
        (lambda lines: [*lines[:-1], "a_383,"], "a_383 has no finite value"),
        (lambda lines: [*lines[:-1], "a_383,high"], "is not a submission"),
        (lambda lines: [*lines[:-1], "a_x,0.5"], "does not end in a number"),
        (lambda lines: [*lines[:-1], "383,0.5"], "ids must look like"),
        (lambda lines: lines[:1], "ids must look like"),
        (lambda lines: ["image,value", *lines[1:]], "it needs imgId_eId and val"),
        (lambda lines: [], "is not a submission"),
    ],
)
def test_a_damaged_submission_says_where(tmp_path, change, message):
    path = save(tmp_path / "a.csv", ["a"], unit(1))
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    with pytest.raises(DataError, match=message):
        read_submission(path)


def test_a_vector_that_is_none_is_not_written():
    for vector in (np.full(WIDTH, np.nan, np.float32), np.zeros(3, np.float32)):
        with pytest.raises(DataError, match="'a' is not 384 finite numbers"):
            write_submission(io.BytesIO(), [("a", vector)])


def test_score_is_the_mean_of_the_cosines():
    truth = np.eye(4, WIDTH, dtype=np.float32)
    answers = truth.copy()
    answers[1] = [3.0, 4.0] + [0.0] * (WIDTH - 2)  # cosine 0.8, whatever its length
    answers[2] = 0.0  # no answer
    answers[3] *= -1
    found = score(Embeddings(list("dcba"), answers[::-1]), Embeddings(list("abcd"), truth))
    assert found.ids == list("abcd")
    assert found.cosines == pytest.approx([1.0, 0.8, 0.0, -1.0])
    assert found.mean == pytest.approx(0.2)
    assert [name for name, _ in found.worst(2)] == ["d", "c"]
    assert found.interval[0] < found.mean < found.interval[1]


def test_the_interval_is_the_textbooks_for_many_pictures():
    truth = unit(400)
    answers = truth + 0.05 * np.random.default_rng(1).normal(size=truth.shape).astype(np.float32)
    ids = [str(i) for i in range(len(truth))]
    found = score(Embeddings(ids, answers), Embeddings(ids, truth))
    margin = 1.96 * found.cosines.std(ddof=1) / np.sqrt(len(ids))
    assert found.interval == pytest.approx((found.mean - margin, found.mean + margin), abs=0.1 * margin)
    assert score(Embeddings(ids, answers), Embeddings(ids, truth)).interval == found.interval


def test_pictures_in_one_file_only_are_named():
    vectors = unit(3)
    found = score(Embeddings(["a", "b", "x"], vectors), Embeddings(["a", "b", "y"], vectors))
    assert (found.ids, found.missing, found.extra) == (["a", "b"], ["y"], ["x"])
    assert found.mean == pytest.approx(1.0)
    with pytest.raises(DataError, match="No picture is in both"):
        score(Embeddings(["x"], vectors[:1]), Embeddings(["y"], vectors[:1]))


def test_truth_from_prompts(pipeline, tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text('imgId,prompt\nb,"ramen, carved"\na,a red boat\n', encoding="utf-8")
    found = read_truth(path, pipeline.sentences)
    assert found.ids == ["b", "a"]
    expected = pipeline.sentences.encode(["ramen, carved", "a red boat"])
    assert np.array_equal(found.vectors, expected)
    assert read_truth(save(tmp_path / "t.csv", ["a"], unit(1)), pipeline.sentences).ids == ["a"]


@pytest.mark.parametrize("text", ["imgId,prompt\n", "imgId,prompt\na,x\na,y\n", "id,text\na,x\n", ""])
def test_truth_that_is_none(pipeline, tmp_path, text):
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"truth\.csv"):
        read_truth(path, pipeline.sentences)


def test_the_sample_scores_one_against_its_own_prompts(pipeline, shared_data):
    folder = shared_data / "kaggle_sample"
    truth = read_truth(folder / "prompts.csv", pipeline.sentences)
    assert score(read_submission(folder / "sample_submission.csv"), truth).mean == pytest.approx(
        1.0, abs=1e-5
    )
