import errno
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from img2prompt.__main__ import main as start
from img2prompt.cli import pictures
from img2prompt.cli.main import main
from img2prompt.errors import ConfigError, ImageError
from tests.helpers import records
from tests.helpers.pictures import CHINA, FLOWER


def test_help_and_version_do_not_import_torch():
    for option in ("--help", "--version"):
        code = (
            "import sys\nfrom img2prompt.cli.main import main\n"
            f"try:\n    main([{option!r}])\nexcept SystemExit as left:\n    assert left.code == 0\n"
            "print({'torch', 'timm', 'transformers', 'streamlit'} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.slow
def test_a_fresh_process_captions_a_photo():
    command = [
        sys.executable,
        "-m",
        "img2prompt",
        "caption",
        str(CHINA),
        "--json",
        "--engine",
        "lite",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (record,) = records(done.stdout)
    assert record["caption"]


def test_json_lines_in_order_around_a_bad_file(run, broken):
    code, out, err = run("caption", FLOWER, broken, CHINA, "--json")
    assert code == 3
    flower, bad, china = records(out)
    assert [record["path"] for record in (flower, bad, china)] == [str(FLOWER), str(broken), str(CHINA)]
    assert set(bad) == {"path", "error"}
    assert err.count("broken.jpg") == 1
    for record in (flower, china):
        assert {"path", "caption", "prompt", "labels", "seconds"} <= set(record)
        assert record["caption"] in record["prompt"]
        assert {"mediums", "movements", "flavors"} <= set(record["labels"])
        for matches in record["labels"].values():
            scores = [match["score"] for match in matches]
            assert scores == sorted(scores, reverse=True)
            assert all(set(match) == {"label", "score"} for match in matches)
        assert record["engine"] == "lite"
        assert record["seconds"] > 0
    assert flower["caption"] != china["caption"]


def test_batches_do_not_change_the_order(run, broken, monkeypatch):
    monkeypatch.setattr(pictures, "BATCH", 2)
    paths = [broken, broken, CHINA, broken, FLOWER, CHINA, FLOWER]  # the first batch is all bad
    code, out, _ = run("caption", *paths, "--json")
    assert code == 3
    found = records(out)
    assert [record["path"] for record in found] == [str(path) for path in paths]
    assert ["error" in record for record in found] == [path == broken for path in paths]
    assert found[2]["caption"] == found[5]["caption"] != found[4]["caption"] == found[6]["caption"]


def test_answers_come_as_each_batch_finishes(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "BATCH", 1)
    later = tmp_path / "later.jpg"
    answers = pictures.answers(pipeline, [str(CHINA), str(later)])
    first = next(answers)
    shutil.copy(FLOWER, later)
    assert not isinstance(first[1], ImageError)
    assert not isinstance(next(answers)[1], ImageError)


def test_a_single_bad_picture_is_bad_input(run, broken):
    code, out, err = run("caption", broken)
    assert (code, out) == (2, "")
    assert "broken.jpg" in err


def test_a_missing_file_and_a_folder_say_so(run, tmp_path):
    code, _, err = run("caption", tmp_path / "nowhere.jpg")
    assert code == 2 and "nowhere.jpg" in err
    code, _, err = run("caption", tmp_path)
    assert code == 2 and "is a folder" in err and "*.jpg" in err


@pytest.mark.parametrize("command", ["caption", "post", "embed"])
def test_several_pictures_none_of_which_can_be_read_are_bad_input(run, broken, tmp_path, command):
    more = ["-o", tmp_path / "out.npz"] if command == "embed" else []
    code, out, _ = run(command, broken, tmp_path / "nowhere.jpg", *more)
    assert (code, out) == (2, "")


def test_limits_of_the_settings_apply(run, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_MAX_MEGAPIXELS", "0.1")
    code, out, _ = run("caption", CHINA, "--json")
    assert code == 2
    assert "megapixel" in records(out)[0]["error"]


def test_dash_reads_one_picture_from_stdin(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CHINA.read_bytes())))
    code, out, _ = run("caption", "-", CHINA, "--json")
    assert code == 0
    piped, named = records(out)
    assert piped["path"] == "-"
    assert piped["caption"] == named["caption"]


def test_dash_twice_is_refused(run):
    code, _, err = run("caption", "-", "-")
    assert code == 2 and "twice" in err


def test_text_for_people(run):
    code, out, _ = run("caption", CHINA)
    caption, prompt, *labels, seconds = out.splitlines()
    assert code == 0
    assert caption[0].isupper() and caption.endswith(".")
    assert prompt.startswith("prompt ")
    assert {line.split()[0] for line in labels} >= {"mediums", "movements", "flavors"}
    assert seconds.endswith("s, lite engine")
    assert "\x1b" not in out  # plain when piped

    code, out, _ = run("caption", CHINA, FLOWER)
    assert [line for line in out.splitlines() if line.endswith(".jpg")] == [str(CHINA), str(FLOWER)]


def test_style_changes_the_prompt(run):
    _, classic, _ = run("caption", CHINA, "--style", "classic", "--json")
    _, fast, _ = run("caption", CHINA, "--style", "fast", "--json")
    assert records(classic)[0]["caption"] == records(fast)[0]["caption"]
    assert records(classic)[0]["prompt"] != records(fast)[0]["prompt"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["caption"],
        ["caption", "a.jpg", "--colour"],
        ["caption", "a.jpg", "--engine", "best"],
        ["caption", "a.jpg", "--style", "baroque"],
        ["embed", "a.jpg"],
        ["evaluate", "captions", "folder", "--limit", "0"],
        ["paint"],
    ],
)
def test_bad_usage(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2


def test_an_engine_without_weights_is_never_replaced(capsys):
    with pytest.raises(SystemExit) as left:
        main(["caption", str(CHINA), "--engine", "full"])
    assert left.value.code == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("img2prompt: The full engine")


def test_debug_shows_where():
    with pytest.raises(ConfigError, match="engine is 'best'"):
        main(["--debug", "caption", "a.jpg", "--engine", "best"])


def test_an_unexpected_error_is_one_line(run, monkeypatch):
    monkeypatch.setattr(pictures, "answers", lambda *_: 1 / 0)
    code, _, err = run("caption", CHINA)
    assert code == 1
    assert err.startswith("img2prompt: ZeroDivisionError") and err.count("\n") == 1


def test_embed_writes_ids_and_unit_vectors(run, pipeline, tmp_path):
    output = tmp_path / "out.npz"
    code, out, _ = run("embed", FLOWER, CHINA, "-o", output)
    assert (code, out) == (0, "")
    with np.load(output, allow_pickle=False) as arrays:
        assert set(arrays) == {"ids", "embeddings"}
        ids, embeddings = arrays["ids"], arrays["embeddings"]
    assert ids.tolist() == ["flower", "china"]
    assert embeddings.shape == (2, 384) and embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    expected = [result.embedding for result in pipeline([FLOWER, CHINA])]
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)
    assert list(tmp_path.iterdir()) == [output]


def test_embed_leaves_out_a_bad_picture(run, broken, tmp_path):
    output = tmp_path / "out.npz"
    code, _, err = run("embed", broken, CHINA, "-o", output)
    assert code == 3 and "broken.jpg" in err
    with np.load(output) as arrays:
        assert arrays["ids"].tolist() == ["china"]
        assert arrays["embeddings"].shape == (1, 384)


def test_embed_keeps_the_old_file_when_every_picture_fails(run, broken, tmp_path):
    output = tmp_path / "out.npz"
    output.write_bytes(b"old")
    code, _, _ = run("embed", broken, "-o", output)
    assert code == 2
    assert output.read_bytes() == b"old"


def test_embed_refuses_before_working(run, tmp_path):
    code, _, err = run("embed", CHINA, tmp_path / "china.png", "-o", tmp_path / "out.npz")
    assert code == 2 and "would both get the id 'china'" in err
    code, _, err = run("embed", CHINA, "-o", tmp_path / "nowhere" / "out.npz")
    assert code == 2 and "nowhere is not a folder" in err
    code, _, err = run("embed", CHINA, "-o", tmp_path)
    assert code == 2 and "is a folder" in err
    code, _, err = run("embed", CHINA, "-o", tmp_path / "out.csv")
    assert code == 2 and "ends in .csv, and what is written is .npz" in err
    code, _, err = run("embed", CHINA, "-o", "-")
    assert code == 2 and "Nothing is written to standard output" in err
    code, _, err = run("embed", CHINA, "-o", os.devnull)
    assert code == 2 and "is a device" in err
    code, _, err = run("embed", CHINA, "-o", tmp_path / ("x" * 300))
    assert code == 2 and "too long" in err


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    ("command", "output"),
    [
        (["embed", CHINA], "e.npz"),
        (["batch", CHINA.parent], "e.csv"),
        (["score", "table.csv", "table.csv"], "e.csv"),
        (["ensemble", "table.csv", "table.csv", "--ratio", "1", "1"], "e.csv"),
        (["dataset", "clean", "table.csv"], "e.csv"),
        (["dataset", "filter", "table.csv"], "e.csv"),
        (["dataset", "explore", "table.csv"], "e.html"),
        (["train", "ensemble", "pairs", "-m", "lite", "-m", "lite:prompt"], "e.json"),
    ],
)
def test_each_output_is_checked_before_the_work(run, monkeypatch, tmp_path, command, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text("imgId,prompt\n1,a red boat on a lake\n")
    code, _, err = run(*command, "-o", f"/proc/{output}")
    assert code == 2 and err.startswith("img2prompt: /proc cannot be written: ")
    code, _, err = run(*command, "-o", tmp_path / "nowhere" / output)
    assert code == 2 and "nowhere is not a folder" in err
    wrong = tmp_path / "e.docx"
    code, _, err = run(*command, "-o", wrong)
    assert code == 2 and f"from {wrong}" in err if command[0] == "batch" else f"{wrong} ends in .docx" in err
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("command", ["regressor", "search", "knn"])
def test_each_output_folder_is_checked_before_the_work(run, tmp_path, command):
    (tmp_path / "file").touch()
    for output, told in (("file", "is not a folder"), ("file/run", "is not a folder")):
        code, _, err = run("train", command, tmp_path / "pairs", "-o", tmp_path / output)
        assert code == 2 and f"{tmp_path / 'file'} {told}" in err
    code, _, err = run("train", command, tmp_path / "pairs", "-o", "/proc/run")
    assert code == 2 and err.startswith("img2prompt: /proc cannot be written: ")


def test_what_may_not_be_read_is_bad_input(run, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "sealed/pairs")

    monkeypatch.setattr("img2prompt.datasets.pairs.PairsFolder.__init__", refuse)  # root may read anything
    code, _, err = run("evaluate", "styles", "sealed/pairs")
    assert code == 2 and err.startswith("img2prompt: sealed/pairs cannot be read: Permission denied.")


def test_tables_show_names_whole_and_as_they_are(run, tmp_path):
    name = "[red]" + "x" * 90
    for file, values in (("a.csv", "0.5"), ("b.csv", "0.25")):
        rows = "".join(f"{name}_{i},{values}\n" for i in range(384))
        (tmp_path / file).write_text(f"imgId_eId,val\n{rows}")
    code, out, _ = run("score", tmp_path / "a.csv", tmp_path / "b.csv")
    assert code == 0 and name in "".join(re.findall(r"[^│\s]+(?= *│ )", out)).replace("1.00000", "")
    assert "mean cosine of 1 picture\n" in out


def test_own_labels_are_shown_under_the_name_of_their_file(capsys, tmp_path):
    (tmp_path / "garden_flowers.txt").write_text("a rose\na dahlia\n", encoding="utf-8")
    with pytest.raises(SystemExit) as left:
        main(["caption", str(FLOWER), "--engine", "lite", "--labels", str(tmp_path / "garden_flowers.txt")])
    assert left.value.code == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("garden_flowers "))
    assert "a rose 0." in line and "a dahlia 0." in line


def test_own_labels_that_are_not_there_are_bad_input(capsys, tmp_path):
    with pytest.raises(SystemExit) as left:
        main(["caption", str(FLOWER), "--labels", str(tmp_path / "nowhere.txt")])
    assert left.value.code == 2
    assert "nowhere.txt" in capsys.readouterr().err


def test_any_setting_can_be_set(run):
    code, out, _ = run(
        "caption", CHINA, "--json", "--set", "beams=1", "--set", "style=classic", "--style", "seed"
    )
    assert code == 0
    (record,) = records(out)
    assert record["prompt"].count(",") == 5  # the option of its own goes before --set


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("color=red", "NAME one of engine, "),
        ("beams", "write NAME=VALUE"),
        ("beams=many", "beams (IMG2PROMPT_BEAMS) is 'many'; give a whole number."),
        ("ratio=half", "ratio (IMG2PROMPT_RATIO) is 'half'; give a number."),
        ("max_megabytes=nan", "max_megabytes is nan; it must be a number above 0."),
    ],
)
def test_a_setting_that_is_none_is_refused(run, text, told):
    code, _, err = run("caption", CHINA, "--set", text)
    assert code == 2 and told in err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("sign, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_says_so(tmp_path, sign, code):
    os.mkfifo(tmp_path / "list")
    program = [sys.executable, "-m", "img2prompt", "batch", tmp_path / "list", "-o", tmp_path / "out.csv"]
    with (
        subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process,
        open(tmp_path / "list", "w"),  # waits until the command reads the list
    ):
        process.send_signal(sign)
        assert process.stderr.read() == "img2prompt: stopped.\n"
    assert process.returncode == code


def test_ctrl_c_at_any_moment_has_its_word(run, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    for place in ("img2prompt.pipeline.load_pipeline", "img2prompt.cli.pictures.answers"):
        with monkeypatch.context() as patch:
            patch.setattr(place, stop)
            code, _, err = run("caption", CHINA)
            assert (code, err) == (130, "img2prompt: stopped.\n")
    monkeypatch.setattr("img2prompt.cli.main.app", stop)
    with pytest.raises(SystemExit) as left:
        start()
    assert left.value.code == 130


@pytest.mark.skipif(os.name != "posix", reason="needs pipes that break")
def test_a_reader_that_leaves_ends_the_command_without_a_word():
    program = [sys.executable, "-m", "img2prompt", "models", "list", "--json"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_printed_is_one_line():
    with open("/dev/full", "w") as full:
        program = [sys.executable, "-m", "img2prompt", "models", "list", "--json"]
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "img2prompt: No space left on device (img2prompt --debug … shows where)\n"


def test_a_terminal_that_lacks_a_character_shows_another():
    program = [sys.executable, "-c", "from img2prompt.cli import main; main.main(['models', 'path'])"]
    folder = "/none/\N{DOG FACE}"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "IMG2PROMPT_MODELS": folder}
    done = subprocess.run(program, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, "/none/?\n")


def test_app_without_streamlit_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "streamlit", None)
    code, out, err = run("app")
    assert code == 2 and not out
    assert f'Run: {sys.executable} -m pip install "streamlit<' in err


def test_app_refuses_a_port_that_is_none(run):
    code, _, err = run("app", "--port", "70000")
    assert code == 2 and "65535" in err
