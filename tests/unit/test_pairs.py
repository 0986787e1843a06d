import tarfile
from io import BytesIO

import pytest

from img2prompt.datasets.pairs import Pair, PairsFolder
from img2prompt.errors import DataError
from img2prompt.images import SUFFIXES


def make_folder(path, csv, images=(), tars=None, csv_name="captions.csv"):
    """A pairs folder whose pictures' bytes are their own names."""
    (path / "images").mkdir()
    (path / csv_name).write_text(csv, encoding="utf-8")
    for name in images:
        (path / "images" / name).write_bytes(name.encode())
    for tar_name, names in (tars or {}).items():
        with tarfile.open(path / tar_name, "w") as tar:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(name)
                tar.addfile(member, BytesIO(name.encode()))
    return path


def test_rows_of_one_picture_are_its_texts(tmp_path):
    csv = 'image,split,caption\na.jpg,train,one\nb.jpg,dev,"two, too"\na.jpg,train,three\n'
    folder = PairsFolder(make_folder(tmp_path, csv, ["a.jpg", "b.jpg"]))
    assert folder.pairs == [Pair("a.jpg", ("one", "three"), "train"), Pair("b.jpg", ("two, too",), "dev")]
    assert len(folder) == 2


def test_reads_pictures_from_folder_and_tars(tmp_path):
    csv = "image,caption\na.jpg,x\nb.avif,x\nc.avif,x\n"
    tars = {"images-0.tar": ["first.avif", "b.avif"], "images-1.tar": ["c.avif"]}
    folder = PairsFolder(make_folder(tmp_path, csv, ["a.jpg"], tars))
    for pair in folder.pairs:
        assert folder.read(pair.name) == pair.name.encode()


def test_reads_pictures_of_every_suffix(tmp_path):
    names = [f"{number}{suffix.upper()}" for number, suffix in enumerate(SUFFIXES)]
    folder = PairsFolder(make_folder(tmp_path, "image,caption\n" + "".join(f"{n},x\n" for n in names), names))
    assert [folder.read(name).decode() for name in names] == names


@pytest.mark.parametrize(
    ("csv_name", "header"),
    [("prompts.csv", "imgId,prompt"), ("styles.csv", "image,style"), ("train.csv", "image_name,prompt")],
)
def test_knows_the_usual_names(tmp_path, csv_name, header):
    folder = PairsFolder(
        make_folder(tmp_path, f"{header}\n20057f34d,text\n", ["20057f34d.png"], csv_name=csv_name)
    )
    assert folder.pairs == [Pair("20057f34d", ("text",), "")]
    assert folder.read("20057f34d") == b"20057f34d.png"  # ids are stems


def test_selects_by_split_in_order(tmp_path):
    csv = "image,split,caption\n" + "".join(f"{i}.jpg,{'test' if i % 2 else 'train'},x\n" for i in range(6))
    folder = PairsFolder(make_folder(tmp_path, csv))
    assert [pair.name for pair in folder.select("test")] == ["1.jpg", "3.jpg", "5.jpg"]
    assert [pair.name for pair in folder.select("test", limit=2)] == ["1.jpg", "3.jpg"]
    assert len(folder.select()) == 6
    with pytest.raises(DataError, match="'dev'; it has: test, train"):
        folder.select("dev")


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ("picture,caption\na.jpg,x\n", "needs a picture column"),
        ("image,words\na.jpg,x\n", "text column"),
        ("", "needs a picture column"),
        ("image,caption\na.jpg,x\nb.jpg,\n", "line 3: empty"),
        ("image,caption\na.jpg\n", "line 2: empty"),
    ],
)
def test_says_what_is_wrong_with_the_csv(tmp_path, csv, message):
    with pytest.raises(DataError, match=message):
        PairsFolder(make_folder(tmp_path, csv))


def test_says_what_is_missing(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        PairsFolder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no CSV"):
        PairsFolder(tmp_path)
    folder = PairsFolder(make_folder(tmp_path, "image,caption\na.jpg,x\n"))
    with pytest.raises(DataError, match="no picture for 'a.jpg'"):
        folder.read("a.jpg")


def test_reads_the_shared_data(shared_data):
    folder = PairsFolder(shared_data / "flickr8k")
    assert {split: len(folder.select(split)) for split in ("train", "dev", "test", "extra")} == {
        "train": 6000,
        "dev": 1000,
        "test": 1000,
        "extra": 91,
    }
    first = folder.select("test", limit=1)[0]
    assert len(first.texts) == 5
    assert folder.read(first.name)[4:12] == b"ftypavif"


def test_says_which_file_is_damaged(tmp_path):
    folder = make_folder(tmp_path, "image,caption\na.jpg,x\n")
    (folder / "pictures.tar").write_bytes(b"not a tar at all" * 100)
    with pytest.raises(DataError, match="pictures.tar is not a whole, uncompressed tar"):
        PairsFolder(folder)
    (folder / "pictures.tar").unlink()
    (folder / "captions.csv").write_bytes("image,caption\na.jpg,café\n".encode("latin-1"))
    with pytest.raises(DataError, match="captions.csv is not UTF-8 text"):
        PairsFolder(folder)


def test_a_picture_belongs_to_one_split(tmp_path):
    csv = "image,split,caption\na.jpg,train,x\nb.jpg,train,x\na.jpg,test,y\n"
    with pytest.raises(DataError, match="line 4: 'a.jpg' is in split 'test', and on line 2 in 'train'"):
        PairsFolder(make_folder(tmp_path, csv))


@pytest.mark.parametrize(
    ("csv_name", "rows", "message"),
    [
        ("captions.csv", "a.jpg,one\nc.jpg,two", "captions.csv, line 3: no picture for 'c.jpg'"),
        (
            "captions.csv",
            "a.jpg,one\nb.jpg,two\na,three",
            "line 4: 'a' is the picture that line 2 calls 'a.jpg'",
        ),
        ("captions.csv", "a.jpg,one\na.jpg,\U0001f436\U0001f3d6\ufe0f!", "line 3: the text .* has no word"),
        (
            "prompts.csv",
            "a.jpg,one\nb.jpg,two\na.jpg,three",
            "prompts.csv, line 4: 'a.jpg' is listed already on line 2",
        ),
        ("train.csv", "a.jpg,one\na.jpg,one", "train.csv, line 3: 'a.jpg' is listed already on line 2"),
    ],
)
def test_says_which_row_cannot_be_learned_from(tmp_path, csv_name, rows, message):
    csv = f"image,caption\n{rows}\n"
    folder = PairsFolder(make_folder(tmp_path, csv, ["a.jpg", "b.jpg"], csv_name=csv_name))
    with pytest.raises(DataError, match=message):
        folder.check(folder.pairs)


def test_good_rows_of_any_script_pass(tmp_path):
    csv = 'image,caption\na.jpg,"two\nlines"\na.jpg,바다\na.jpg,2\nb.jpg,犬 \U0001f436\na.jpg,바다\n'
    folder = PairsFolder(make_folder(tmp_path, csv, ["a.jpg", "b.jpg"]))
    folder.check(folder.pairs)
    assert folder.row(folder.pairs[1]).endswith("captions.csv, line 6")


def test_the_fingerprint_changes_with_the_data(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = PairsFolder(make_folder(tmp_path / "one", "image,caption\na.jpg,x\nb.jpg,y\n", ["a.jpg", "b.jpg"]))
    two = PairsFolder(make_folder(tmp_path / "two", "image,caption\na.jpg,x\nb.jpg,y\n", ["a.jpg", "b.jpg"]))
    found = {one.fingerprint(one.pairs)}
    assert two.fingerprint(two.pairs) in found
    found.add(one.fingerprint(one.pairs[::-1]))
    found.add(one.fingerprint(one.pairs[:1]))
    (tmp_path / "two" / "images" / "b.jpg").write_bytes(b"another picture")
    two = PairsFolder(tmp_path / "two")
    found.add(two.fingerprint(two.pairs))
    assert len(found) == 4


def test_reads_the_gustavosta_layout(tmp_path):
    """As the 80,000 pairs come: paths of another machine, and pictures in train_images."""
    csv = 'Prompt,image_path\n"a castle, by greg",/kaggle/input/sd2/train_images/00000000.jpg\n'
    make_folder(tmp_path, csv, ["00000000.jpg"], csv_name="train.csv")
    (tmp_path / "images").rename(tmp_path / "train_images")
    folder = PairsFolder(tmp_path)
    folder.check(folder.pairs)
    assert folder.pairs == [Pair("00000000.jpg", ("a castle, by greg",), "")]
    assert folder.read("00000000.jpg") == b"00000000.jpg"


def test_further_columns_are_notes(tmp_path):
    (tmp_path / "labels.csv").write_text("image,split,label,person,source\na.jpg,dev,a bed,no,rooms\n")
    (pair,) = PairsFolder(tmp_path).pairs
    assert pair == Pair("a.jpg", ("a bed",), "dev")
    assert pair.notes == {"person": "no", "source": "rooms"}
