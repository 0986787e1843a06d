"""The pages of a server that nobody has visited yet."""

import pytest
from playwright.sync_api import expect

from img2prompt.web.shared.i18n import catalogue
from img2prompt.web.shared.navigation import PAGES
from tests.helpers.browser import SIZES, open_page, sidebar
from tests.helpers.server import serve


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_first_request_is_for_batch(browser, tmp_path, language):
    """Streamlit knows a folder named pages, and runs a page of it before app.py has ever run."""
    words = catalogue(language)
    with (
        serve(tmp_path) as server,
        open_page(
            f"{server.address}/batch", browser, locale={"en": "en-US", "ko": "ko-KR"}[language]
        ) as page,
    ):
        expect(page).to_have_title(words["batch"])
        expect(page.get_by_role("heading", level=1)).to_have_text(words["batch"])
        links = page.get_by_test_id("stTopNavLink")
        expect(links).to_have_text([words[f"nav.{name}"] for name in PAGES])
        page.get_by_role("radio", name=words["batch.from.files"]).wait_for()
        links.filter(has_text=words["nav.models"]).click()
        expect(page).to_have_title(words["models.title"])
        expect(page.get_by_role("heading", level=1)).to_have_text(words["models.title"])


@pytest.mark.parametrize("size", SIZES)
def test_the_language_outlives_a_reload(server, browser, size):
    with open_page(server, browser, size, locale="en-US") as page:
        for language, name in (("ko", "한국어"), ("en", "English")):
            with sidebar(page) as choices:
                choices.get_by_role("radio", name=name).click()
                expect(page).to_have_title(catalogue(language)["title"])
                page.wait_for_function(
                    "value => document.cookie.includes(`img2prompt-language=${value}`)", arg=language
                )
            page.reload()
            expect(page.get_by_role("heading", level=1)).to_have_text(catalogue(language)["title"])
            expect(page.locator(f"html[lang={language}]")).to_have_count(1)


@pytest.mark.parametrize("cookie", ["xx", "", "../ko", "<b>ko", "%00", "ko%3B"])
def test_a_cookie_that_names_no_language_is_passed_over(server, browser, cookie):
    with open_page(server, browser, locale="ko-KR") as page:
        page.context.add_cookies([{"name": "img2prompt-language", "value": cookie, "url": server}])
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text(catalogue("ko")["title"])
