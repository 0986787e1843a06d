"""The catalogues: every text the page asks for, in every language, and no other."""

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

import img2prompt.pipeline
import img2prompt.web
from img2prompt.batch.formats import FORMATS
from img2prompt.captions.table import MARKS
from img2prompt.posts import tones
from img2prompt.posts.post import EMOJI, GOALS, LENGTHS
from img2prompt.prompts import SHOWN
from img2prompt.settings import PEOPLE
from img2prompt.web.batch.editing import KEYS, KINDS, OPERATIONS
from img2prompt.web.caption.photos import SAMPLES
from img2prompt.web.history.period import PERIODS
from img2prompt.web.shared.i18n import LANGUAGES, catalogue
from img2prompt.web.shared.navigation import PAGES
from img2prompt.weights import parts, presets

WEB = Path(img2prompt.web.__file__).parent
# What a pipeline measures, and what can fail beside it.
STEPS = {"open", *re.findall(r'clock\.lap\("(\w+)"\)', Path(img2prompt.pipeline.__file__).read_text("utf-8"))}
ROOT = WEB.parents[1]
SCRIPTS = [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *WEB.rglob("*.py")]
EXPLAINED = ("posts", "prompt", "labels")
BATCH_EXPLAINED = ("work", "edit", "download")
# Keys that are put together while the page runs, with what stands at {}.
FAMILIES = {
    "tone.{}": tones(),
    "goal.{}": GOALS,
    "length.{}": LENGTHS,
    "emoji.{}": EMOJI,
    "sample.{}": SAMPLES,
    "labels.{}": SHOWN,
    "explain.{}": EXPLAINED,
    "explain.{}.meaning": EXPLAINED,
    "paste.{}": ("button", "keys", "nothing", "file"),
    "batch.from.{}": ("files", "folder", "server"),
    "batch.explain.{}": BATCH_EXPLAINED,
    "batch.explain.{}.meaning": BATCH_EXPLAINED,
    "batch.earlier.{}": ("stopped", "failed"),
    "batch.show.{}": ("all", "described", "failed", "edited", "long", "stored"),
    "captions.{}": ("undo", "redo"),
    "captions.{}.done": ("undo", "redo"),
    "captions.kind.{}": KINDS,
    "captions.put.{}": OPERATIONS,
    "captions.put.{}.help": OPERATIONS,
    "captions.count.{}": ("words", "tags"),
    "captions.key.{}": KEYS,
    "captions.looks.{}": MARKS,
    "batch.format.{}": (*FORMATS, "errors"),
    "batch.format.{}.help": (*FORMATS, "errors"),
    "explore.{}": ("first", "other"),
    "nav.{}": PAGES,
    "dashboard.{}": (
        *("posts", "copied", "starred", "failures"),
        *("tones", "goals", "objects", "styles", "hashtags"),
    ),
    "dashboard.step.{}": STEPS,
    "history.{}": ("starred", "copied", "edited"),
    "history.period.{}": PERIODS,
    "models.{}": ("lite", "full", "endpoint", "caption", "clip", "regressor"),
    "models.{}.help": ("lite", "full", "endpoint"),
    "models.people.{}": PEOPLE,
    "models.preset.{}": presets(),
    "models.part.{}": [name for name, part in parts().items() if part.kind == "caption"],
}
NEVER_ONE = (
    "photo.carousel",
    "photo.too_many",
    "history.photos",
    "time_left.",
)  # texts whose {count} is more
CHOICES = ("tone", "goal", "length", "emoji")  # `choices.py` names these controls and their options by key


def keys_asked_for() -> set[str]:
    """Every key that app.py, the pages and the web package hand to `t`."""
    keys = {*CHOICES}
    for path in SCRIPTS:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "t":
                keys |= _keys(node.args[0])
    return keys


def _keys(argument: ast.expr) -> set[str]:
    if isinstance(argument, ast.Constant):
        return {argument.value}
    if isinstance(argument, ast.JoinedStr):
        family = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in argument.values)
        if family == "{}.{}":
            return {f"{name}.{value}" for name in CHOICES for value in FAMILIES[f"{name}.{{}}"]}
        return {family.format(value) for value in FAMILIES[family]}
    assert isinstance(argument, ast.Name), ast.unparse(argument)  # a name of CHOICES
    return set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_key_is_missing_and_none_unused(language):
    asked, known = keys_asked_for(), set(catalogue(language))
    assert not asked - known, "missing"
    assert not known - asked - {f"{key}.one" for key in asked}, "unused"


def test_one_is_no_plural():
    for key, text in catalogue("en").items():
        if re.search(r"\{count\} (?!more|of|failed|a )\w+s\b", text) and not key.startswith(NEVER_ONE):
            assert f"{key}.one" in catalogue("en"), key


def test_languages_take_the_same_values():
    def values(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    for key, text in catalogue("en").items():
        for language in LANGUAGES:
            translated = catalogue(language).get(key) or catalogue(language)[key.removesuffix(".one")]
            assert translated.strip(), key
            assert values(translated) == values(text), key


def test_korean_is_korean():
    for key, text in catalogue("ko").items():
        assert re.search("[가-힣]", text) or key == "note.placeholder", key


def test_no_uploader_speaks_for_itself():
    """Streamlit's own words are in English; the one helper puts others in their place."""
    asking = {
        path.name
        for path in SCRIPTS
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "file_uploader"
    }
    assert asking == {"uploader.py"}
