"""The documentation keeps its word: commands run, options and settings exist, links lead somewhere.

A fenced block's info string says what happens to it. ``sh`` and ``python`` blocks of a page run
from top to bottom in one temporary folder; ``sh no-run`` is for what cannot run in a test (a server,
published weights, a cluster, hours). The commands of both kinds must be ones that there are.
"""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from glob import glob
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

import img2prompt
from img2prompt.cli.main import app, main
from img2prompt.history import History, open_database, prepare, sql
from img2prompt.settings import PREFIX, Settings
from tests.helpers import ROOT
from tests.helpers.pictures import CHINA, FLOWER

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKING = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "deploy" / "README.md", ROOT / "models/lite/MODEL_CARD.md"]
RUN, SHOWN = ("sh", "python"), ("sh no-run", "sql", "toml", "text")
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
VARIABLE = re.compile(rf"\b{PREFIX}[A-Z]+(?:_[A-Z]+)*\b")
OTHER_PROGRAMS = "cat curl docker exiftool export find jq pip printf python3 streamlit".split()
OTHER_OPTIONS = {"--no-deps"}  # pip's


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int  # of its fence
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}, line {self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(page, text.count("\n", 0, m.start()) + 1, m[1], m[2]) for m in FENCE.finditer(text)]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the pictures and tables that the pages speak of, and nobody's settings."""
    for variable in list(os.environ):
        if variable.startswith((PREFIX, "XDG_")) and variable != "XDG_CACHE_HOME":
            monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    folder = tmp_path / "work"
    for each in ("photos", "pairs/images"):
        (folder / each).mkdir(parents=True)
    monkeypatch.chdir(folder)

    china, flower = Image.open(CHINA), Image.open(FLOWER)
    china.resize((320, 213)).save("photo.jpg")
    texts = {"temple": "a temple by a lake", "roof": "a roof with towers", "dahlia": "a large red flower"}
    pictures = {"temple": china, "roof": china.crop((100, 50, 420, 260)), "dahlia": flower}
    for stem, picture in pictures.items():
        picture.resize((320, 213)).save(f"photos/{stem}.jpg")
    prompts = "".join(f"{stem},{text}\n" for stem, text in texts.items())
    Path("truth.csv").write_text("imgId,prompt\n" + prompts)
    Path("valid.csv").write_text("imgId,prompt\nv1,a dog that runs along the beach\n")

    # Four pictures in each split, with a text each.
    rows = ""
    for number in range(12):
        picture = (china, flower)[number % 2].crop((number * 20, 0, number * 20 + 300, 300))
        picture.resize((96, 96)).save(f"pairs/images/p{number}.png")
        split = ("train", "dev", "test")[number // 4]
        rows += f"p{number},{('a temple', 'a flower')[number % 2]} in picture {number},{split}\n"
    Path("pairs/prompts.csv").write_text("imgId,prompt,split\n" + rows)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.info in RUN for block in blocks(page))], ids=name
)
def test_blocks_run(page: Path, workshop: Path) -> None:
    variables: dict[str, Any] = {}
    for block in blocks(page):
        if block.info == "python":
            Path("block.py").write_text(block.text, encoding="utf-8")
            variables = runpy.run_path("block.py", variables)
        elif block.info == "sh":
            run(block)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page)), "a fence is not closed"
    for block in blocks(page):
        assert block.info in (*RUN, *SHOWN), f"{block}: {block.info!r}; use one of {RUN + SHOWN}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist(page: Path) -> None:
    for block in blocks(page):
        if block.info.startswith("sh"):
            for words in commands(block.text):
                check(words, str(block))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_in_the_text_exist(page: Path) -> None:
    """What stands in `…` between the blocks: options, sub-commands, make's targets."""
    command = typer.main.get_command(app)
    options = set(OTHER_OPTIONS).union(*(option_names(each) for each in walk(command)))
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        words = shlex.split(code) if code.startswith(("img2prompt ", "make ", "--", "-m", "-o")) else [""]
        if words[0] == "make":
            check(words, name(page))
        elif words[0] == "img2prompt":
            leaf, rest = find_command(words[1:], code)
            assert {word for word in rest if word.startswith("-")} <= option_names(leaf), code
        elif words[0].startswith("-"):
            assert words[0] in options, f"{code}: no command has it"
            check_settings(words, name(page))


@pytest.mark.parametrize("page", LINKING, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", prose(page)):
        target, _, anchor = "".join(link).partition("#")
        if "://" in target:
            continue
        file = page.parent / target if target else page
        assert file.is_file(), f"{target}: there is no such file"
        if anchor:
            assert anchor in anchors(file), f"{target}#{anchor}: there is no such heading"


def test_every_page_is_reached_from_the_readme() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for page in PAGES[1:]:
        assert re.search(rf"\]\((?:docs/|\.\./)?{re.escape(page.name)}[)#]", text), (
            f"nothing links to {page.name}"
        )


def test_every_setting_is_explained() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for field in fields(Settings):
        default = field.default
        if isinstance(default, bool):
            default = "yes" if default else "no"
        shown = "–" if default in ("", ()) else f"`{default}`"
        row = f"| `{field.name}` | `{PREFIX}{field.name.upper()}` | {shown} |"
        assert row in text, f"docs/settings.md lacks the row {row}"


def test_variables_are_those_of_the_code() -> None:
    of_settings = {PREFIX + field.name.upper() for field in fields(Settings)}
    program = of_settings | variables_in((ROOT / "img2prompt").rglob("*.py"))
    tests = variables_in([*(ROOT / "tests").rglob("*.py"), *(ROOT / "deploy").glob("*")])
    assert program <= variables_in([ROOT / "docs" / "settings.md"]), "docs/settings.md lacks a variable"
    assert variables_in(PAGES) <= program | tests, "the documentation names a variable that is not there"


def test_wheels_are_of_this_version() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"img2prompt-([^-\s]+)-py3", text)) <= {img2prompt.__version__}, page
        assert not re.search(r"pip install ['\"]?img2prompt\b(?!-)", text), f"{page}: that name is not ours"


def test_questions_in_sql_are_answered(tmp_path: Path) -> None:
    history = History(prepare(open_database(f"sqlite:///{tmp_path / 'history.db'}")), "local")
    questions = [block.text for page in PAGES for block in blocks(page) if block.info == "sql"]
    assert questions
    for question in questions:
        sql.ask(history.engine, history.owner, question)


def run(block: Block) -> None:
    """Run a block of commands: with a shell, or in this process, which is loaded, where it needs none."""
    if re.search(r"[|<>;&$]|^(?!img2prompt )", block.text.rstrip("\n"), re.MULTILINE):
        shell = ["bash", "-euo", "pipefail", "-c", block.text]
        done = subprocess.run(shell, check=False, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{block}:\n{block.text}\n{done.stdout}{done.stderr}"
        return
    for words in commands(block.text):
        arguments = [part for word in words[1:] for part in sorted(glob(word)) or [word]]
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0, f"{block}: {shlex.join(words)}"


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command, without variables before it and files that it reads or writes."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        skip = False  # the word after > or <
        for word in [*lexer, ";"]:
            if word in (";", "|", "&&", "||"):
                if words:
                    yield words
                words = []
            elif skip or word in (">", ">>", "<"):
                skip = not skip
            elif words or not re.fullmatch(r"\w+=.*", word):
                words.append(word)


def check(words: list[str], where: str) -> None:
    """Fail for a command that is not there."""
    program = words[0].removeprefix(".venv/bin/")
    if program == "img2prompt":
        command, rest = find_command(words[1:], where)
        command.make_context(program, list(rest))  # raises for options and values that it does not take
        check_settings(rest, where)
    elif program == "make":
        done = subprocess.run(
            ["make", "-n", *words[1:]], check=False, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{where}: {done.stderr}"
    elif program == "python":
        assert words[1] == "-m" and importlib.util.find_spec(words[2]), f"{where}: there is no {words[2]}"
    else:
        assert program in OTHER_PROGRAMS, f"{where}: {program} is no program that the pages use"


def check_settings(words: list[str], where: str) -> None:
    names = {field.name for field in fields(Settings)}
    for option, value in pairwise(words):
        if option == "--set":
            assert value.partition("=")[0] in {*names, "NAME"}, f"{where}: {value}: there is no such setting"


def find_command(words: list[str], where: str) -> tuple[Any, list[str]]:
    """The command that the words name, and the words after its name."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        if not words[0].startswith("-"):
            assert words[0] in command.commands, f"{where}: there is no img2prompt {words[0]}"
            command = command.commands[words[0]]
        words = words[1:]
    return command, words


def walk(command: Any) -> Iterator[Any]:
    """A command and all below it."""
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from walk(each)


def option_names(command: Any) -> set[str]:
    return {text for option in command.params for text in (*option.opts, *option.secondary_opts)}


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def variables_in(files: Any) -> set[str]:
    return {found for file in files if file.is_file() for found in VARIABLE.findall(file.read_text("utf-8"))}
