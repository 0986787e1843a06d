"""The Models page in a real browser, on a desk and on a phone."""

import pytest
from playwright.sync_api import expect

from tests.helpers import SMALL_BLIP, SMALL_CLIP
from tests.helpers.browser import SIZES, assert_accessible, choose, open_page, sidebar


@pytest.mark.parametrize("size", SIZES)
def test_engine_is_switched(home, browser, size):
    with open_page(f"{home.address}/models", browser, size, color_scheme="light", locale="en-US") as page:
        page.get_by_text("Lite reads your photos from now on.").wait_for()
        assert_accessible(page, f"{size}-models")

        page.get_by_role("radio", name="Full").click()
        page.get_by_text("Not installed: blip-large, ViT-H-14/laion2b_s32b_b79k.").wait_for()
        assert_accessible(page, f"{size}-models-missing")
        expect(page.locator(".st-key-getting-missing").get_by_role("button", name="Get it")).to_be_enabled()

        for label, name in (("Caption model", SMALL_BLIP), ("CLIP model", SMALL_CLIP)):
            choose(page, label, f"{name} ·")
        page.get_by_text("Full reads your photos from now on.").wait_for()
        expect(page.get_by_text("Not installed:")).to_have_count(0)
        with sidebar(page) as choices:
            choices.get_by_role("radio", name="한국어").click()
        page.get_by_text("이제부터 고성능 엔진이 사진을 읽어요.").wait_for()
        expect(page.get_by_role("combobox", name="회귀 모델")).to_have_value("사용 안 함")
        assert_accessible(page, f"{size}-models-korean")
