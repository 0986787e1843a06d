"""The Models page in a real browser, on a desk and on a phone."""

from collections.abc import Iterator

import pytest
from fresh_models import save_blip, save_clip
from hub import BLIP_TEXT, BLIP_VISION, CLIP
from playwright.sync_api import expect
from test_browser import (  # noqa: F401 (fixtures)
    SIZES,
    assert_accessible,
    browser,
    clipboard,
    open_page,
    pytestmark,
    server,
    sidebar,
)

from img2prompt import weights

BLIP, SMALL_CLIP = "blip-base", "ViT-B-32/laion2b_s34b_b79k"


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory) -> Iterator[None]:
    """The server has the parts of the preset `small`, and no others."""
    root = tmp_path_factory.mktemp("models")
    save_blip(weights.folder_in(root, "caption", BLIP), BLIP_VISION, BLIP_TEXT)
    save_clip(weights.folder_in(root, "clip", SMALL_CLIP), CLIP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2PROMPT_MODELS", str(root))
        patch.setenv("HF_HUB_CACHE", str(root / "cache"))
        patch.setenv("XDG_DATA_HOME", str(root / "user"))
        yield


@pytest.mark.parametrize("size", SIZES)
def test_engine_is_switched(server, browser, size):  # noqa: F811
    with open_page(f"{server}/models", browser, size, color_scheme="light", locale="en-US") as page:
        page.get_by_text("Lite reads your photos from now on.").wait_for()
        assert_accessible(page, f"{size}-models")

        page.get_by_role("radio", name="Full").click()
        page.get_by_text("Not installed: blip-large, ViT-H-14/laion2b_s32b_b79k.").wait_for()
        assert_accessible(page, f"{size}-models-missing")
        command = page.locator("[data-testid=stCode]").first
        command.hover()
        command.get_by_role("button").click()
        assert clipboard(page).strip() == "img2prompt models pull blip-large ViT-H-14/laion2b_s32b_b79k"

        for label, name in (("Caption model", BLIP), ("CLIP model", SMALL_CLIP)):
            page.get_by_role("combobox", name=label).click()
            page.get_by_role("option", name=f"{name} ·").click()
        page.get_by_text("Full reads your photos from now on.").wait_for()
        expect(page.get_by_text("Not installed:")).to_have_count(0)
        with sidebar(page) as choices:
            choices.get_by_role("radio", name="한국어").click()
        page.get_by_text("이제부터 풀 엔진이 사진을 읽습니다.").wait_for()
        expect(page.get_by_role("combobox", name="회귀 모델")).to_have_value("사용 안 함")
        assert_accessible(page, f"{size}-models-korean")
