"""Files are replaced whole or not at all."""

import os
import shutil
import stat

import pytest

from img2prompt.ensemble.recipe import Recipe, load_recipe, save_recipe
from img2prompt.errors import DataError
from img2prompt.files import replacing_path


@pytest.mark.parametrize("durable", [True, False])
def test_a_library_writes_beside_the_file_and_then_in_its_place(tmp_path, durable):
    file = tmp_path / "out.bin"
    file.write_text("old")
    with replacing_path(file, durable) as part:
        assert part.parent == tmp_path and part != file
        part.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new" and list(tmp_path.iterdir()) == [file]


def test_the_unfinished_file_lies_in_the_scratch_folder_under_its_own_name(tmp_path):
    file, scratch = tmp_path / "out.bin", tmp_path / "scratch"
    scratch.mkdir()
    with replacing_path(file, scratch=scratch) as one, replacing_path(file, scratch=scratch) as other:
        assert one != other and {one.parent, other.parent} == {scratch}
        one.write_text("one")
        other.write_text("other")
    assert file.read_text() == "one", "the last that was finished"
    assert not list(scratch.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="needs the permissions of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
@pytest.mark.parametrize("scratch", [False, True])
def test_permissions_stay_whoever_may_read_new_files(tmp_path, mode, scratch):
    file = tmp_path / "out.bin"
    file.write_text("old")
    file.chmod(mode)
    with replacing_path(file, scratch=tmp_path if scratch else None) as part:
        part.write_text("new")
    assert file.read_text() == "new" and stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only the administrator may give files away")
def test_the_owner_stays_though_somebody_else_writes(tmp_path):
    file = tmp_path / "out.bin"
    file.write_text("old")
    os.chown(file, 1234, 4321)
    with replacing_path(file) as part:
        part.write_text("new")
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 4321)


def test_a_link_stays_one(tmp_path):
    file, link = tmp_path / "out.bin", tmp_path / "link"
    file.write_text("old")
    link.symlink_to(file)
    with replacing_path(link) as part:
        part.write_text("new")
    assert link.is_symlink() and file.read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="needs to open files but no links")
def test_nothing_is_written_through_a_link_in_the_unfinished_files_place(tmp_path):
    file, victim = tmp_path / "out.bin", tmp_path / "victim"
    victim.write_text("somebody's")
    with replacing_path(file) as part:
        name = part
        part.write_text("new")
    name.symlink_to(victim)
    with pytest.raises(DataError, match="out.bin cannot be written"), replacing_path(file) as part:
        part.write_text("newer")
    assert victim.read_text() == "somebody's" and file.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError("the library's own"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_alone(tmp_path, error):
    file = tmp_path / "out.bin"
    file.write_text("old")
    with pytest.raises(type(error)), replacing_path(file) as part:
        part.write_text("half")
        raise error
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_a_library_that_writes_nothing_is_an_error(tmp_path):
    file = tmp_path / "out.bin"
    with pytest.raises(DataError, match="out.bin cannot be written"), replacing_path(file) as part:
        part.unlink(missing_ok=True)
    assert not file.exists()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="Check the folder"), replacing_path(tmp_path / "no" / "out") as part:
        part.write_text("x")


def test_a_full_disk_leaves_the_old_file_alone(tmp_path, full_disk):
    file, source = tmp_path / "out.bin", tmp_path / "source"
    file.write_text("old")
    source.write_bytes(bytes(5000))
    with (
        full_disk(1000),
        pytest.raises(DataError, match="out.bin cannot be written: File too large"),
        replacing_path(file) as part,
    ):
        shutil.copyfile(source, part)
    assert file.read_text() == "old" and sorted(tmp_path.iterdir()) == [file, source]


def test_a_full_disk_leaves_the_ensemble_that_was_there(tmp_path, full_disk):
    file = tmp_path / "ensemble.json"
    save_recipe(
        file, Recipe({"lite": 0.5, "lite:prompt": 0.5}, {"lite": "lite", "lite:prompt": "lite:prompt"})
    )
    before = load_recipe(file)
    with full_disk(50), pytest.raises(DataError, match="ensemble.json cannot be written"):
        save_recipe(file, Recipe({"lite": 1.0}, {"lite": "lite"}), rows=["x" * 100])
    assert load_recipe(file) == before
