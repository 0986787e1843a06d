"""What `img2prompt doctor` finds: the truth about this machine, and about the model server that is set."""

import json
import re

import pytest

from img2prompt import __version__, doctor
from img2prompt.cli.main import main
from img2prompt.settings import ENGINES, Settings
from tests.helpers import chat_server


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run the command, with no weights but the bundled: (exit code, stdout, stderr)."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["doctor", *arguments])
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    return run


def test_it_says_which_engine_is_used_and_why(run):
    code, out, err = run()
    assert code == 0 and err == ""
    first, engine, device, *_ = out.splitlines()
    assert first.startswith(f"img2prompt {__version__}, Python 3.")
    assert engine.split(maxsplit=1)[0] == "engine"
    assert re.search(r"lite: (No caption model|The libraries) .* installed\.", engine)
    assert device.split() == ["device", "cpu"]
    record = json.loads(run("--json")[1])
    assert record["engine"] == "lite" and record["fine"] and record["free"] > 0 and record["trial"] is None
    assert set(record["engines"]) == set(ENGINES) and record["engines"]["lite"] == ""
    assert "blip-large" in record["engines"]["full"] or "needs torch" in record["engines"]["full"]


def test_libraries_are_listed_with_those_that_are_missing(monkeypatch):
    lines = [
        "numpy>=2",
        "numpy>=99; extra == 'full'",
        "nobody-made-this; extra == 'ray'",
        "pytest; extra == 'test'",
    ]
    lines += ["tomli; python_version < '3'", "img2prompt[full]; extra == 'all'"]
    monkeypatch.setattr(doctor, "requires", lambda _: lines)
    found = doctor.libraries()
    assert found["core"]["numpy"].startswith("2.")
    assert found == {"core": found["core"], "full": {"numpy": ""}, "ray": {"nobody-made-this": ""}}


def test_an_engine_that_cannot_run_is_a_failure(run):
    code, out, err = run("--engine", "full")
    assert code == 1 and "full: The engine full was asked for." in out and "full engine" in err
    assert run("--engine", "lite")[0] == 0
    code, _, err = run("--engine", "endpoint")
    assert code == 1 and err.count("needs an address") == 1


def test_a_device_that_is_not_there_is_a_failure(run):
    code, _, err = run("--engine", "lite", "--device", "cuda:7")
    assert code == 1 and "finds no such GPU" in err


def test_the_server_that_is_set_is_tried(run, monkeypatch):
    pytest.importorskip("openai")
    with chat_server.serve() as chat:
        monkeypatch.setenv("IMG2PROMPT_ENDPOINT_URL", chat.address)
        code, out, err = run()
        assert code == 0 and f"seer-7b at localhost:{chat.port} took" in out, err
        assert "says of the test picture: a red ball lies on green grass" in out
        chat.structures = False
        assert "without a JSON schema" in run()[1]
        trial = json.loads(run("--json")[1])["trial"]
        assert (
            trial["model"] == "seer-7b" and trial["said"] and not trial["structured"] and trial["seconds"] > 0
        )
    code, out, err = run("--json")  # it is gone; lite, which is used, still works
    record = json.loads(out)
    assert code == 1 and not record["fine"] and "Nothing answers at localhost" in record["problems"][0]


def test_a_server_elsewhere_is_not_called_unasked(run):
    code, _, err = run("--set", "endpoint_url=https://models.example.com/v1")
    assert code == 1 and "models.example.com is not this machine" in err


def test_nothing_is_asked_where_nothing_is_set():
    assert doctor.examine(Settings(engine="lite")).trial is None
