"""Instructions: placeholders and what is put in their place, presets, and what comes of them downstream."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from img2prompt.batch import fingerprint, on_disk
from img2prompt.batch.sources import Item
from img2prompt.engines.base import Request
from img2prompt.errors import ConfigError, DataError
from img2prompt.instructions import (
    begin_with,
    bind,
    check,
    fill,
    labels_in_words,
    load_preset,
    names,
    place_of,
    presets,
    settings_for,
    words_of,
)
from img2prompt.instructions.preset import BUILT_IN, FOLDER, LANGUAGES
from img2prompt.instructions.template import MOST, PLACEHOLDERS, TOLD
from img2prompt.posts import Choices, Seen, alt_text, compose
from img2prompt.posts.prose import first_sentence, is_tags
from img2prompt.posts.themes import themes_of
from img2prompt.posts.topic import topic
from img2prompt.results import Match
from img2prompt.settings import Settings
from tests.helpers import ROOT, records
from tests.helpers.following import following
from tests.helpers.pictures import CHINA, FLOWER

ALL = {name: f"the{name}" for name in PLACEHOLDERS}


@pytest.fixture
def own_folder(own_data) -> Path:
    """An empty folder for own presets, where the program looks for them."""
    folder = own_data / "instructions"
    folder.mkdir(parents=True)
    load_preset.cache_clear()
    yield folder
    load_preset.cache_clear()


@pytest.fixture
def follow(pipeline, run, monkeypatch):
    """Commands run on an engine that follows, which says this text instead of the instruction: `run` again."""

    def follow(says: str = ""):
        def load_pipeline(settings):
            told = following(pipeline, says)
            told.settings = settings
            return told

        monkeypatch.setattr("img2prompt.pipeline.load_pipeline", load_pipeline)
        return run

    return follow


# Placeholders


def test_each_placeholder_is_filled():
    text = "\n".join(f"{name}: {{{name}}}" for name in PLACEHOLDERS)
    assert fill(text, ALL) == "\n".join(f"{name}: the{name}" for name in PLACEHOLDERS)
    assert names(text) == set(PLACEHOLDERS)


@pytest.mark.parametrize(
    "hostile",
    [
        *("{name.__class__}", "{name[0]}", "{name!r}", "{name:>9999999}", "{0}", "{}", "{Name}", "{ name }"),
        *(
            "{",
            "}",
            "{name",
            "name}",
            "{{name}",
            "{name}}",
            "{{{{{",
            '{"caption": "…"}',
            "{no\nte}",
        ),
    ],
)
def test_what_is_no_placeholder_is_refused_with_those_that_are(hostile):
    for act in (check, bind, lambda text: fill(text, ALL)):
        with pytest.raises(
            ConfigError, match=re.escape("{note} {name} {folder} {labels} {language} {trigger}")
        ):
            act(f"Describe {hostile} this.")


def test_a_doubled_brace_is_a_brace():
    text = 'Answer as {{"caption": "{name}"}}.'
    assert fill(text, ALL) == 'Answer as {"caption": "thename"}.'
    assert fill("{{name}} {{{name}}}", ALL) == "{name} {thename}"
    assert names("{{name}}") == set()


@pytest.mark.parametrize("value", ["{labels}", "{{", "}", "{0}", "{name.__class__}", "%s $name \\1 \\g<0>"])
def test_values_are_data(value):
    """Also when they are put in before others, as a file's name is."""
    assert fill("A: {name}", {"name": value, "labels": "secret"}) == f"A: {value}"
    first = bind("A: {name}, {labels}", name=value)
    assert fill(first, {"labels": "secret"}) == f"A: {value}, secret"


def test_values_are_one_line_and_not_long():
    long = "word " * 1000
    for name, most in PLACEHOLDERS.items():
        told = fill(f"{{{name}}}", {name: f"a\nb\x1b[2Jc\u202e {long}"})
        assert "\n" not in told and told.isprintable() and len(told) <= most
    with pytest.raises(ConfigError, match=f"{MOST + 1} characters; at most {MOST}"):
        check("x" * (MOST + 1))
    check("x" * MOST)


def test_the_limit_is_for_what_is_written():
    """What is put in may make it twice as long; then it is cut, as no picture with a long name ends a batch."""
    long = {name: "word " * 100 for name in PLACEHOLDERS}
    words = "x" * (MOST - 8) + " {name}."
    check(words)
    assert fill(bind(words, name=long["name"]), {}).endswith(f"x {long['name'][:99]}.")
    everything = "{name} {folder} {labels}\n" * (MOST // 25)
    told = fill(bind(everything, name="a b{" * 99, folder="c d}" * 99), {"labels": "e f{" * 99})
    assert TOLD - 100 < len(told) <= TOLD and told.startswith("a b{a b{") and "\n" in told
    assert len(settings_for("x" * (MOST - 6) + "{note}", note="y" * 300)["instruction"]) == MOST + 294
    for wishes, most in (
        ({"instruction": "x" * (MOST + 1)}, MOST),
        ({"instruction": "x" * MOST, "preset": "short"}, MOST),
        ({"instruction": "{note}" * 40, "note": "y" * 300}, TOLD),
    ):
        with pytest.raises(ConfigError, match=f"characters; at most {most} are taken"):
            settings_for(**wishes)


def test_a_line_without_its_value_is_left_out():
    text = "Describe this.\nIt is {name}, in {folder}.\nNote: {note}."
    assert fill(text, {"name": "a", "folder": "b"}) == "Describe this.\nIt is a, in b."
    assert fill(text, {"name": "a", "note": "ours"}) == "Describe this.\nNote: ours."
    assert fill("Describe {note} well.", {}) == "Describe  well."  # unless nothing would be left
    assert fill(bind(text, note="", name="a"), {"folder": "b", "note": "late"}).endswith("Note: late.")


def test_the_place_of_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place_of("holiday/beach.2.jpg") == {"name": "beach.2", "folder": "holiday"}
    assert place_of("beach.jpg") == {"name": "beach", "folder": tmp_path.name}


def test_the_folder_of_a_picture_of_a_batch(tmp_path):
    assert on_disk("beach.jpg", tmp_path / "beach.jpg").folder == tmp_path.name
    assert on_disk("trip/beach.jpg", tmp_path / "7").folder == "trip"  # an upload
    assert on_disk("beach.jpg", tmp_path / "7").folder == ""
    assert Item("a/b/c.jpg", "", lambda most: b"").folder == "b"


def test_labels_in_words_name_what_is_there_first():
    labels = {
        "mediums": [Match("a photo", 0.3), Match("a painting", 0.2)],
        "flavors": [Match("sunset", 0.3), Match("dog", 0.2)],
        "things": [Match("dog", 0.9), Match("beach", 0.8)],
    }
    assert labels_in_words(labels) == "dog, beach, a photo, sunset"
    assert labels_in_words({}) == ""


# The trigger word


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a dog on a beach", "ohwx, a dog on a beach"),
        ("ohwx on a beach", "ohwx on a beach"),
        ("OHWX, on a beach", "ohwx, on a beach"),
        ("ohwxer on a beach", "ohwx, ohwxer on a beach"),
        ("a photo of ohwx", "ohwx, a photo of ohwx"),
        ("", "ohwx"),
    ],
)
def test_a_caption_begins_with_the_trigger_word(caption, expected):
    assert begin_with("ohwx", caption) == expected
    assert begin_with("", caption) == caption


def test_a_trigger_word_may_hold_anything_that_fits_a_line():
    assert begin_with("a.b+c (x)", "A.B+C (X), by the sea") == "a.b+c (x), by the sea"
    for trigger in ("x" * 61, "two\nlines", "\x1b[2J"):
        with pytest.raises(ConfigError, match="trigger is"):
            Settings(trigger=trigger)
    assert settings_for(trigger=" ohwx  man, ") == {"trigger": "ohwx man"}


# Presets


@pytest.mark.parametrize("key", BUILT_IN)
def test_a_built_in_preset_is_complete(key):
    preset = load_preset(key)
    assert preset.text == preset.text.strip() and not re.search(r"[가-힣]", preset.text)
    assert set(preset.names) == set(preset.uses) == set(LANGUAGES)
    for words in (preset.names, preset.uses):
        assert words["en"].isascii() and re.search("[가-힣]", words["ko"])
    assert all(use.endswith(".") for use in preset.uses.values())
    for values in ({}, ALL):
        told = fill(preset.text, values)
        assert told and "{" not in told and told.count("\n") <= preset.text.count("\n")
        assert all((value in told) == (name in names(preset.text)) for name, value in values.items())


def test_the_built_in_presets_are_the_files():
    assert {f"{key}.toml" for key in BUILT_IN} == {file.name for file in FOLDER.iterdir()}
    assert "{trigger}" in load_preset("training").text
    assert load_preset("sdxl-tags").style == load_preset("flux").style == "caption"
    assert len({load_preset(key).names["ko"] for key in BUILT_IN}) == len(BUILT_IN)


def test_own_words_come_after_the_preset():
    words = words_of("In Korean.", "short")
    assert words == f"{load_preset('short').text}\nIn Korean."
    assert words_of() == "" and settings_for() == {}
    assert settings_for("in {language}, {note}, {name}", note="{labels}", language="ko") == {
        "instruction": "in Korean, {{labels}}, {name}"
    }
    assert settings_for(preset="flux")["style"] == "caption" and "style" not in settings_for(preset="short")


@pytest.mark.parametrize("wishes", [{"preset": "long"}, {"language": "fr"}, {"instruction": "{x}"}])
def test_what_cannot_be_wished_is_refused(own_folder, wishes):
    with pytest.raises(ConfigError):
        settings_for(**wishes)


def test_a_file_of_ones_own_is_a_preset(own_folder):
    (own_folder / "recipe.toml").write_text('text = "Name the dish. {note}"\nname_ko = "요리"', "utf-8")
    (own_folder / "short.toml").write_text('text = "mine"', "utf-8")  # takes no built-in one's place
    for other in ("notes.txt", "._recipe.toml"):
        (own_folder / other).write_text("no preset")
    assert presets() == [*BUILT_IN, "recipe"]
    assert load_preset("recipe").names == {"en": "recipe", "ko": "요리"}
    assert load_preset("short").text != "mine"
    with pytest.raises(ConfigError, match="preset is 'long'; choose one of describe, .*post, recipe"):
        load_preset("long")
    own_folder.joinpath("recipe.toml").unlink()
    own_folder.joinpath("short.toml").unlink()
    shutil.copy(ROOT / "docs" / "own-preset.toml", own_folder / "mine.toml")
    assert load_preset("mine").uses["ko"] and names(load_preset("mine").text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "Expected '='"),
        (b"\xff", "utf-8"),
        (b"", "it has no 'text'"),
        (b"text = ' '", "it has no 'text'"),
        (b"text = 1", "'text' must be a text in quotes"),
        (b"text = 'a'\nstyel = 'caption'", "unknown key 'styel'; there are text, style"),
        (b"text = 'a'\nstyle = 'tags'", "style is 'tags'; choose one of auto"),
        (b"text = 'a {nmae} b'", "The instruction has {nmae} in it. What is in braces is one of {note}"),
        (b"text = '" + b"x" * (MOST + 1) + b"'", f"at most {MOST} are taken"),
    ],
)
def test_a_wrong_file_is_named(own_folder, content, message):
    file = own_folder / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_preset("mine")
    assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)
    assert not str(caught.value).endswith("..")


# Through the pipeline


def test_the_engine_is_told_everything(pipeline, sample_photos):
    told = following(pipeline, instruction="{name} in {folder}: {labels}", trigger="ohwx", people="as-seen")
    china, flower = told(sample_photos)
    things = [match.label for match in china.labels["things"][:6]]
    assert things and told.engine.heard[0].startswith(f"china in images: {', '.join(things)}, ")
    assert "photo" in told.engine.heard[0] and told.engine.heard[1].startswith("flower in images: ")
    assert china.instruction == told.engine.heard[0] and china.caption == f"ohwx, {china.instruction}"
    assert china.record()["instruction"] == china.instruction and china.record()["trigger"] == "ohwx"
    assert flower.trigger == "ohwx"


def test_each_picture_may_have_a_request_of_its_own(pipeline, sample_photos):
    told = following(pipeline)
    pictures = [told.open(photo) for photo in sample_photos]
    plain, asked = told.describe(pictures, requests=[Request(), Request("say {labels}", trigger="ohwx")])
    assert plain.caption == pipeline(sample_photos[0])[0].caption and plain.instruction == ""
    assert asked.caption.startswith("ohwx, say ") and "instruction" not in plain.record()
    with pytest.raises(ConfigError, match="What is in braces"):
        told.describe(pictures, requests=[Request(), Request("{label}")])


def test_a_trigger_word_needs_no_engine_that_follows(pipeline, sample_photos):
    (plain,), (told,) = pipeline(sample_photos[0]), pipeline.with_words(trigger="ohwx")(sample_photos[0])
    assert told.caption == f"ohwx, {plain.caption}" and told.instruction == ""


@pytest.mark.parametrize(
    ("says", "caption"),
    [
        ("a man rides his bike", "a person rides their bike"),
        ("1girl, solo, long hair, man in background, beach", None),
        ("ohwx man rides a bike beside a man", "ohwx man, ohwx man rides a bike beside a person"),
        ("한 남자가 자전거를 타요", None),
        (
            "A woman holds a cup. Behind her, two men talk.",
            "A person holds a cup. Behind them, two people talk.",
        ),
    ],
)
def test_people_stay_neutral_and_tags_and_triggers_whole(pipeline, sample_photos, says, caption):
    trigger = "ohwx man" if "ohwx" in says else ""
    told = following(pipeline, says, instruction="describe", trigger=trigger)
    expected = caption or says
    if trigger:
        expected = expected.removeprefix("ohwx man, ")
    assert told(sample_photos[0])[0].caption == expected


def test_a_prompt_that_the_model_wrote_stays_as_it_is(pipeline, sample_photos):
    long = "A red temple stands by a lake, " * 30 + "end"
    told = following(pipeline, long, **settings_for(preset="flux"))
    (result,) = told(sample_photos[0])
    assert result.prompt == result.caption == long
    (plain,) = pipeline(sample_photos[0], style="caption")
    assert plain.prompt == plain.caption
    assert plain.embedding @ pipeline(sample_photos[0], style="seed")[0].embedding > 0.999


# Downstream: posts


TAGS = Seen(
    "1girl, brown dog, beach, long hair, smiling", {"things": [Match("dog", 0.99), Match("beach", 0.9)]}
)


def test_tags_are_no_sentence_of_a_post():
    assert topic([TAGS]).sentence == "" and "dog" in {thing.base for thing in topic([TAGS]).things}
    assert next(theme.name for theme in themes_of(TAGS)) == "dogs"
    for length in ("line", "short", "long"):
        for post in compose(TAGS, Choices(length=length, variants=20)):
            assert "1girl" not in post.text and post.hook
    assert alt_text(TAGS) == "1girl, brown dog, beach, long hair, smiling."


def test_a_paragraph_gives_its_first_sentence():
    seen = Seen("A brown dog runs on the beach. Behind it, an old man reads the paper, and waves break.")
    assert topic([seen]).sentence == topic([Seen("a brown dog runs on the beach")]).sentence
    assert alt_text(seen) == "A brown dog is running on the beach." or alt_text(seen).startswith(
        "A brown dog"
    )
    assert "man" not in alt_text(seen)


def test_a_korean_caption_is_the_alt_text():
    seen = Seen("갈색 개가 바닷가를 달려요", TAGS.labels)
    assert alt_text(seen, language="ko") == alt_text(seen) == "갈색 개가 바닷가를 달려요."
    assert topic([seen]).things == () and compose(seen, Choices(language="ko"))


def test_captions_of_people_are_sentences():
    captions = (ROOT / "tests" / "helpers" / "captions.txt").read_text("utf-8").splitlines()
    assert len(captions) > 100
    assert [
        caption for caption in captions if caption and first_sentence(caption) != " ".join(caption.split())
    ] == []
    assert not is_tags("a table with eggs, bacon, toast, coffee and juice")
    assert is_tags("masterpiece, 1girl, solo, beach")


# On the command line


def test_caption_says_which_instruction_was_used(follow):
    run = follow()
    code, out, _ = run(
        "caption", CHINA, "--instruction", "Name {name} in {language}.", "--language", "ko", "--json"
    )
    assert code == 0
    (record,) = records(out)
    assert record["instruction"] == record["caption"] == "Name china in Korean."
    code, out, _ = run(
        "caption", CHINA, "--preset", "short", "--instruction", "Note: {note}", "--note", "a {b}"
    )
    assert code == 0 and out.startswith("Say in at most eight words")
    assert "\nNote: a {b}\n" in out


def test_a_caption_for_people_is_word_for_word(follow):
    _, out, _ = follow("ohwx by a lake")("caption", CHINA, "--preset", "training", "--trigger", "ohwx")
    assert out.splitlines()[0] == "ohwx by a lake"


def test_an_engine_that_follows_nothing_says_so(run):
    code, out, err = run("caption", CHINA, "--preset", "short")
    assert (code, out) == (2, "") and "lite follows no instructions" in err
    code, out, _ = run("caption", CHINA, "--trigger", "ohwx", "--json")
    assert code == 0 and records(out)[0]["caption"].startswith("ohwx, ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "long"], "preset is 'long'; choose one of describe, short"),
        (["--instruction", "{name.__class__}"], "The instruction has {name.__class__} in it"),
        (["--instruction", "x" * (MOST + 1)], "at most 4000"),
        (["--trigger", "x" * 61], "trigger is"),
        (["--note", "Busan"], "--note is for an instruction with {note} in it"),
        (["--preset", "short", "--language", "ko"], "--language is for an instruction with {language} in it"),
        (["--preset", "product", "--language", "fr"], "language is 'fr'"),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_model_is_loaded(run, monkeypatch, arguments, told):
    monkeypatch.setattr("img2prompt.pipeline.load_pipeline", lambda settings: 1 / 0)
    code, _, err = run("caption", CHINA, *arguments)
    assert code == 2 and told in err


def test_a_post_may_follow_an_instruction(follow):
    code, out, _ = follow("a red temple by a lake")(
        "post", CHINA, "--preset", "describe", "--language", "ko", "--json"
    )
    assert code == 0 and records(out)[0]["variants"]


def test_presets_are_shown(run, own_folder):
    (own_folder / "recipe.toml").write_text('text = "Name the dish, {note}."', "utf-8")
    code, out, _ = run("presets")
    assert code == 0 and all(key in out for key in (*BUILT_IN, "recipe")) and "{trigger}" in out
    _, out, _ = run("presets", "--json")
    by_key = {record["key"]: record for record in json.loads(out)}
    assert by_key["recipe"]["takes"] == ["{note}"] and by_key["flux"]["style"] == "caption"
    code, out, _ = run("presets", "recipe")
    assert (code, out) == (0, "Name the dish, {note}.\n")
    code, _, err = run("presets", "recipes")
    assert code == 2 and "choose one of describe" in err


def folder_of(tmp_path: Path) -> Path:
    folder = tmp_path / "10_ohwx"
    folder.mkdir()
    for photo in (CHINA, FLOWER):
        shutil.copy(photo, folder)
    return folder


def test_a_folder_gets_training_captions_word_for_word(follow, tmp_path):
    folder = folder_of(tmp_path)
    run = follow("Ohwx man in a red coat, Standing by HIS bike")
    code, _, err = run("batch", folder, "--format", "txt", "--preset", "training", "--trigger", "ohwx man")
    assert code == 0, err
    for name in ("china", "flower"):
        assert (folder / f"{name}.txt").read_text(
            "utf-8"
        ) == "ohwx man in a red coat, Standing by THEIR bike\n"


def test_a_batch_fills_names_and_folders_and_knows_its_instruction(follow, tmp_path):
    folder, output = folder_of(tmp_path), tmp_path / "out.jsonl"
    run = follow()
    asked = ["batch", folder, "-o", output, "--instruction"]
    code, _, err = run(*asked, "{folder}: {name}", "--trigger", "ohwx")
    assert code == 0 and "2 tried now" in err
    assert [record["caption"] for record in records(output.read_text("utf-8"))] == [
        "ohwx, 10_ohwx: china",
        "ohwx, 10_ohwx: flower",
    ]
    _, _, err = run(*asked, "{folder}: {name}", "--trigger", "ohwx")
    assert "tried now" not in err
    for other in (["{folder}, {name}", "--trigger", "ohwx"], ["{folder}, {name}", "--trigger", "sks"]):
        _, _, err = run(*asked, *other)
        assert "2 tried now" in err


def test_a_long_name_or_note_ends_no_batch(follow, tmp_path):
    name, output = "y" * 99, tmp_path / "out.jsonl"
    (tmp_path / "in").mkdir()
    shutil.copy(CHINA, tmp_path / "in" / f"{name}.jpg")
    words = "x" * (MOST - 20) + "{note} {name}"
    code, _, err = follow()(
        "batch", tmp_path / "in", "-o", output, "--instruction", words, "--note", "z" * 290
    )
    assert code == 0, err
    (record,) = records(output.read_text("utf-8"))
    assert record["caption"] == "x" * (MOST - 20) + "z" * 290 + f" {name}"


def test_a_raw_instruction_that_is_too_long_is_refused_at_once(pipeline, sample_photos):
    told = following(pipeline, instruction="x" * (TOLD + 1))
    with pytest.raises(ConfigError, match=f"at most {TOLD} are taken"):
        told(sample_photos[0])
    assert not told.engine.heard


def test_a_batch_without_posts_refuses_what_is_for_posts_only(run, tmp_path):
    asked = ["batch", folder_of(tmp_path), "-o", tmp_path / "out.csv"]
    for more, told in (
        (["--length", "long"], "--length"),
        (["--note", "x"], "--note"),
        (["--language", "ko"], "--l"),
    ):
        code, _, err = run(*asked, *more)
        assert code == 2 and told in err and "for posts" in err


def test_the_fingerprint_knows_instruction_and_trigger(pipeline):
    prints = [
        fingerprint(pipeline.with_words(**words))
        for words in ({}, {"instruction": "a"}, {"instruction": "b"}, {"trigger": "a"}, {"style": "caption"})
    ]
    assert len(set(prints)) == len(prints) and prints[0] == fingerprint(pipeline)
