"""``img2prompt post`` in the manners of ``caption``."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest

from img2prompt.cli.main import main
from img2prompt.posts import tones
from img2prompt.posts.limits import weight
from tests.helpers import records
from tests.helpers.pictures import CHINA, FLOWER


def test_json_lines_in_order_around_a_bad_file(run, broken):
    code, out, err = run("post", FLOWER, broken, CHINA, "--json")
    assert code == 3
    flower, bad, china = records(out)
    assert [record["path"] for record in (flower, bad, china)] == [str(FLOWER), str(broken), str(CHINA)]
    assert set(bad) == {"path", "error"} and err.count("broken.jpg") == 1
    for record in (flower, china):
        assert set(record) == {"path", "alt_text", "variants"}
        assert 0 < len(record["alt_text"]) <= 125
        assert len(record["variants"]) == 5
        for variant in record["variants"]:
            assert set(variant) == {"text", "hook", "hashtags", "writer"}
            assert variant["writer"] == "phrasebook"
            assert variant["text"].startswith(variant["hook"])
            assert len(variant["hashtags"]) <= 5
    assert flower["alt_text"] != china["alt_text"]


def test_options_reach_the_composer(run):
    options = "--tone playful --goal question --emoji off --length line --hashtags 3 --variants 2".split()
    code, out, _ = run("post", CHINA, "--json", *options, "--note", "Busan, with Mina")
    (record,) = records(out)
    assert code == 0 and len(record["variants"]) == 2
    for variant in record["variants"]:
        assert "Busan, with Mina" in variant["text"] and variant["text"].isascii()
        assert variant["text"].count("?") >= 1 and variant["hashtags"][:2] == ["#Busan", "#Mina"]
        assert len(variant["hashtags"]) <= 3


def test_a_note_that_no_post_would_hold_is_refused(run):
    for command in (["post", CHINA], ["batch", CHINA, "--tone", "plain", "-o", "captions.csv"]):
        code, out, err = run(*command, "--note", "x" * 301)
        assert (code, out) == (2, "") and "301 characters" in err and "300" in err


def test_posts_in_korean_for_a_platform_in_a_voice(run, tmp_path):
    (voice := tmp_path / "my.txt").write_text(
        "일요일엔 역시 늦잠!\n\n드디어 다시 바다!\n\n오늘도 맛있었다!", "utf-8"
    )
    options = ["--language", "ko", "--platform", "x", "--voice", voice, "--alt-length", 20, "--emoji", "off"]
    code, out, _ = run("post", CHINA, "--json", *options)
    (record,) = records(out)
    assert code == 0 and len(record["alt_text"]) <= 20
    for variant in record["variants"]:
        assert not variant["hashtags"]  # the voice has none
        assert re.search("[가-힣]", variant["text"]) and variant["text"].endswith("!")
        assert weight(variant["text"]) <= 280


def test_a_voice_that_holds_nothing_is_refused(run, tmp_path):
    for content, message in (
        (b"\n #tag \n", "holds no captions"),
        (b"\xff", "UTF-8"),
        (b"x" * 70_000, "64 KB"),
    ):
        (voice := tmp_path / "my.txt").write_bytes(content)
        code, out, err = run("post", CHINA, "--voice", voice)
        assert (code, out) == (2, "") and message in err


@pytest.mark.slow
def test_seeds(run):
    def texts(seed):
        (record,) = records(run("post", CHINA, "--json", "--seed", seed)[1])
        return {variant["text"] for variant in record["variants"]}

    assert texts(1) == texts(1)
    assert not texts(1) & texts(2)


def test_text_for_people(run, broken):
    code, out, _ = run("post", CHINA, "--variants", 2)
    lines = out.splitlines()
    assert code == 0 and lines[0] == "[1]" and "[2]" in lines
    assert lines[-1].startswith("alt text  ") and "\x1b" not in out
    code, out, err = run("post", CHINA, broken)
    assert code == 3 and out.startswith(str(CHINA)) and "broken.jpg" in err
    assert run("post", broken)[0] == 2


def test_dash_reads_one_picture_from_stdin(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CHINA.read_bytes())))
    code, out, _ = run("post", "-", "--json")
    assert code == 0 and records(out)[0]["path"] == "-"
    assert run("post", "-", "-")[0] == 2


@pytest.mark.parametrize(
    "options, message",
    [
        (["--tone", "rude"], ", ".join(tones())),
        (["--goal", "buy"], "none, question, save, tag"),
        (["--emoji", "all"], "off, few, many"),
        (["--length", "endless"], "line, short, long"),
        (["--hashtags", "6"], "Instagram takes at most 5"),
        (["--hashtags", "-1"], "between 0 and 5"),
        (["--platform", "x", "--language", "de"], "en, ko"),
        (["--platform", "myspace"], "instagram, threads, x"),
        (["--voice", "/nowhere/my.txt"], "/nowhere/my.txt"),
        (["--variants", "0"], "between 1 and 20"),
    ],
)
def test_bad_choices_are_refused_before_the_model_is_loaded(options, message, monkeypatch, capsys):
    monkeypatch.setattr("img2prompt.pipeline.load_pipeline", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(SystemExit) as left:
        main(["post", str(CHINA), *options])
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_help_does_not_import_the_heavy_libraries():
    code = (
        "import sys\nfrom img2prompt.cli.main import main\n"
        "try:\n    main(['post', '--help'])\nexcept SystemExit as left:\n    assert left.code == 0\n"
        "print({'torch', 'timm', 'inflect', 'lemminflect', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()" and "storytelling" in done.stdout
