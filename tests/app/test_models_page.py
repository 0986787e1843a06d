"""The Models page, with and without parts of the full engine, and what it changes on the first page."""

import os
import re
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
from streamlit.testing.v1 import AppTest

from img2prompt import weights
from img2prompt.engines import registry
from img2prompt.settings import Settings
from img2prompt.web.shared import pipelines
from img2prompt.web.shared.i18n import catalogue
from tests.helpers import ROOT, SMALL_BLIP, SMALL_CLIP
from tests.helpers.pictures import CHINA


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path) -> Path:
    """No models besides those in this folder."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("IMG2PROMPT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def open_page(page: str = "pages/models.py", locale: str = "en-US", state: dict | None = None) -> AppTest:
    opened = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    opened.context["locale"] = locale
    for name, value in (state or {}).items():
        opened.session_state[name] = value
    opened.run().switch_page(page).run()
    assert not opened.exception
    return opened


def choose(page: AppTest, key: str, value: str) -> AppTest:
    widgets = [*page.get("button_group"), *page.selectbox]
    next(widget for widget in widgets if widget.key.startswith(key)).set_value(value)
    page.run()
    assert not page.exception
    return page


@pytest.fixture
def elsewhere(request_headers) -> None:
    """The visitor does not sit at the machine that the app runs on."""
    request_headers({"Host": "captions.example.org"})


def test_nothing_is_installed_and_lite_reads(elsewhere):
    page = open_page()
    assert not page.button
    text = " ".join(element.value for element in [*page.markdown, *page.caption])
    for part in weights.parts().values():
        assert part.name in text and part.repository in text and part.license in text
    assert [code.value for code in page.code] == [
        f"img2prompt models pull {name}" for name in weights.presets()
    ]
    metrics = {metric.label: metric.value for metric in page.metric}
    assert metrics["Used by models"] == "0 MB" and metrics["Free on disk"].endswith("GB")
    assert metrics["Memory"] == weights.readable(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    assert page.success[0].value.startswith("Lite")
    assert page.session_state["model_choice"] == {}  # what the server does anyway: one pipeline for all


def test_full_without_its_parts_is_told_once_with_a_button():
    page = choose(open_page(), "models-engine", "full")
    [warning] = page.warning
    assert warning.value.startswith("Not installed: blip-large, ViT-H-14/laion2b_s32b_b79k. Until they are")
    assert "5.8 GB · BSD-3-Clause, MIT" in [caption.value for caption in page.caption]
    assert [button.label for button in page.button if button.key == "get-missing"] == ["Get it"]
    assert not page.code and not page.success and not page.error


def test_full_without_its_parts_is_told_once_with_the_command(elsewhere):
    page = choose(open_page(), "models-engine", "full")
    assert [warning.value for warning in page.warning] == [
        catalogue("en")["models.missing"].format(parts="blip-large, ViT-H-14/laion2b_s32b_b79k")
    ]
    assert page.code[0].value == "img2prompt models pull blip-large ViT-H-14/laion2b_s32b_b79k"
    assert not page.success and not page.error
    assert page.session_state["model_choice"] == {}  # lite goes on
    choose(page, "models-clip-", "none")
    assert page.code[0].value == "img2prompt models pull blip-large"
    choose(page, "models-caption-", "none")
    assert "nothing could be said" in page.error[0].value


@pytest.mark.slow
def test_installed_parts_are_chosen_for_this_visit_only(monkeypatch, small_models, elsewhere):
    monkeypatch.setenv("IMG2PROMPT_MODELS", str(small_models))
    page = choose(choose(open_page(), "models-engine", "full"), "models-caption-", SMALL_BLIP)
    assert page.code[0].value == "img2prompt models pull ViT-H-14/laion2b_s32b_b79k"
    choose(page, "models-clip-", SMALL_CLIP)
    assert page.success[0].value.startswith("Full") and not page.warning
    assert [code.value for code in page.code] == [
        f"img2prompt models pull {preset}" for preset in ("small", "full", "sd1", "best")
    ]
    chosen = page.session_state["model_choice"]
    assert chosen == {
        "engine": "full",
        "caption_model": SMALL_BLIP,
        "clip_model": SMALL_CLIP,
        "regressor": "none",
    }
    loaded = pipelines.pipelines(Settings.load(**chosen)).result()
    assert loaded.engine.name == "full"
    metrics = {metric.label: metric.value for metric in page.metric}
    assert metrics["Used by models"] != "0 MB"

    other = open_page()
    assert other.session_state["model_choice"] == {} and other.success[0].value.startswith("Lite")
    again = open_page(state={"model_choice": chosen})
    assert again.success[0].value.startswith("Full")
    assert choose(again, "models-engine", "lite").session_state["model_choice"] == {}


@pytest.mark.slow
def test_what_is_installed_and_runs_well_is_taken_at_once(places):
    from tests.unit.test_families import FRESH

    pytest.importorskip("torch")
    from tests.helpers.fresh_models import save_chat

    save_chat(places / "caption" / "florence-2-base", *FRESH["florence2"]())
    page = open_page()
    assert page.success[0].value.startswith("Full")
    assert page.session_state["model_choice"] == {}  # it is what the server does anyway
    said = " ".join(caption.value for caption in page.caption)
    assert "florence-2-base is the best caption model that is installed and runs well on cpu." in said
    parts = {box.label: box.value for box in page.selectbox}
    assert parts == {"Caption model": "florence-2-base", "CLIP model": "lite", "Regressor": "lite"}
    [result] = pipelines.pipelines(registry.choose(Settings.load()).settings).result()(CHINA)
    assert result.model == "florence-2-base" and result.labels["mediums"]
    korean = open_page(locale="ko-KR")
    assert any("florence-2-base이에요" in caption.value for caption in korean.caption)
    pipelines.pipelines.clear()


@pytest.mark.slow
def test_who_never_chose_moves_to_what_is_installed_meanwhile(places, small_models):
    from tests.unit.test_families import FRESH

    pytest.importorskip("torch")
    from tests.helpers.fresh_models import save_chat

    page, by_choice = open_page(), open_page()
    assert page.success[0].value.startswith("Lite")
    save_chat(places / "caption" / "florence-2-base", *FRESH["florence2"]())
    assert page.run().success[0].value.startswith("Full") and page.session_state["model_choice"] == {}
    choose(choose(by_choice.run(), "models-engine", "full"), "models-regressor-", "none")
    chosen = by_choice.session_state["model_choice"]
    assert chosen["clip_model"] == "lite" and chosen["regressor"] == "none"

    clip = weights.folder_in(places, "clip", SMALL_CLIP)
    shutil.copytree(weights.folder_in(small_models, "clip", SMALL_CLIP), clip)
    assert page.run().session_state["model_choice"] == {}
    assert {box.label: box.value for box in page.selectbox}["CLIP model"] == SMALL_CLIP
    assert by_choice.run().session_state["model_choice"] == chosen
    pipelines.pipelines.clear()


@pytest.mark.slow
def test_page_of_photos_goes_on_with_lite_and_says_why(monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_ENGINE", "full")
    page = open_page("pages/caption.py")
    for label in ("Flower", "Start Captioning"):
        next(button for button in page.button if button.label == label).click()
        page.run()
    [error] = page.error
    assert "img2prompt models pull blip-large" in error.value
    assert error.value.endswith(catalogue("en")["models.instead"])
    assert any("Read by the Lite engine" in caption.value for caption in page.caption)


@pytest.mark.slow
def test_photos_are_looked_at_again_by_another_model(monkeypatch):
    page = open_page("pages/caption.py")
    for label in ("Flower", "Start Captioning"):
        next(button for button in page.button if button.label == label).click()
        page.run()
    [photo] = page.session_state["opened"].values()
    first = photo.result
    assert not any(button.label == "Start Captioning" for button in page.run().button)
    page.session_state["model_choice"] = {"engine": "lite", "regressor": "vit"}
    press_start(page.run())
    assert photo.result is not first and photo.result.caption == first.caption


def test_captions_of_people_as_seen_share_the_pipeline():
    page = choose(open_page(), "models-people", "as-seen")
    assert page.session_state["people_choice"] == "as-seen"
    photos = open_page("pages/caption.py", state={"people_choice": "as-seen"})
    for label in ("Flower", "Start Captioning"):
        next(button for button in photos.button if button.label == label).click()
        photos.run()
    assert photos.session_state["looked_with"].people == "as-seen"
    loaded = pipelines.pipelines(Settings.load()).result()  # the one of everybody else
    assert loaded.settings.people == "neutral"


def press_start(page: AppTest) -> None:
    next(button for button in page.button if button.label == "Start Captioning").click()
    page.run()
    assert not page.exception


def test_page_speaks_korean():
    page = choose(open_page(locale="ko-KR"), "models-engine", "full")
    said = [*page.header, *page.subheader, *page.warning, *page.markdown[:1], *page.caption]
    labels = [*page.metric, *page.selectbox, *page.get("button_group")]
    for text in [element.value for element in said] + [element.label for element in labels]:
        assert re.search("[가-힣]", text), text


def test_only_so_many_pipelines_are_kept(monkeypatch):
    """The one used longest ago goes."""
    loads = []
    monkeypatch.setattr(pipelines, "_load", lambda wanted: loads.append(wanted.beams))
    pipelines.pipelines.clear()
    for beams in (1, 2, 1, 3, 1, 2):
        pipelines.pipelines(Settings(engine="lite", beams=beams)).result()
    assert loads == [1, 2, 3, 2]
    pipelines.pipelines.clear()
