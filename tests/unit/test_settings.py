import os
from dataclasses import FrozenInstanceError

import pytest

from img2prompt.errors import ConfigError
from img2prompt.settings import HISTORY, SWITCHES, Settings, switch


def test_environment_is_above_defaults():
    settings = Settings.load(
        {"IMG2PROMPT_ENGINE": "lite", "IMG2PROMPT_BEAMS": "5", "IMG2PROMPT_RATIO": "0.3"}
    )
    assert (settings.engine, settings.beams, settings.ratio) == ("lite", 5, 0.3)
    assert settings.style == Settings().style


def test_overrides_are_above_environment():
    environment = {"IMG2PROMPT_STYLE": "fast", "IMG2PROMPT_ENGINE": "full"}
    settings = Settings.load(environment, style="classic", engine=None)
    assert settings.style == "classic"
    assert settings.engine == "full"  # None means not given


def test_reads_the_process_environment(monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_MAX_MEGAPIXELS", "12.5")
    assert Settings.load().max_megapixels == 12.5


def test_empty_variable_counts_as_unset():
    assert Settings.load({"IMG2PROMPT_ENGINE": ""}) == Settings()


@pytest.mark.parametrize(
    "values",
    [
        {"engine": "fast"},
        {"style": "worst"},
        {"ratio": 1.01},
        {"ratio": -0.01},
        {"beams": -1},
        {"beams": 11},
        {"max_megabytes": 0},
        {"max_megapixels": -1},
        {"caption_model": ""},
        {"caption_model": "none", "clip_model": "none"},
        {"precision": "fp8"},
        {"clip_statistics": "imagenet"},
        {"batch_size": 0},
    ],
)
def test_refuses_values_that_cannot_be_used(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        Settings.load({}, **values)


@pytest.mark.parametrize("values", [{"ratio": 0.0}, {"ratio": 1.0}, {"beams": 1}, {"beams": 10}])
def test_accepts_the_ends_of_a_range(values):
    (name,) = values
    assert getattr(Settings.load({}, **values), name) == values[name]


def test_names_the_variable_that_is_no_number():
    with pytest.raises(ConfigError, match=r"IMG2PROMPT_BEAMS\) is 'many'"):
        Settings.load({"IMG2PROMPT_BEAMS": "many"})


def test_refuses_an_unknown_setting():
    with pytest.raises(ConfigError, match="colour"):
        Settings.load({}, colour="red")


def test_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Settings().engine = "full"


@pytest.mark.parametrize(
    "text, value", [("1", True), ("true", True), ("ON", True), ("0", False), ("no", False)]
)
def test_reads_switches(text, value):
    assert Settings.load({"IMG2PROMPT_LOW_VRAM": text}).low_vram is value


def test_names_the_variable_that_is_no_switch():
    with pytest.raises(ConfigError, match="IMG2PROMPT_LOW_VRAM is 'maybe'; expected one of 1, true"):
        Settings.load({"IMG2PROMPT_LOW_VRAM": "maybe"})


def test_own_label_files(tmp_path):
    together = os.pathsep.join(["a.txt", "b.txt"])
    assert Settings.load({"IMG2PROMPT_LABELS": together}).labels == ("a.txt", "b.txt")
    assert Settings.load({}, labels=[tmp_path]).labels == (str(tmp_path),)
    assert Settings(labels="a.txt").labels == ("a.txt",)
    assert Settings.load({}).labels == ()


@pytest.mark.parametrize(("text", "value"), [*SWITCHES.items(), (" On\n", True), ("", None), (" ", None)])
def test_a_switch_is_yes_no_or_unset(text, value):
    assert switch(HISTORY, {HISTORY: text}) is value


def test_a_switch_reads_the_process_environment(monkeypatch):
    monkeypatch.delenv(HISTORY, raising=False)
    assert switch(HISTORY) is None
    monkeypatch.setenv(HISTORY, "off")
    assert switch(HISTORY) is False
    monkeypatch.setenv(HISTORY, "disabled")
    with pytest.raises(ConfigError, match="IMG2PROMPT_HISTORY is 'disabled'; expected one of 1, true"):
        switch(HISTORY)
