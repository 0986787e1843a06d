"""Names of files, as the app's pages show them."""

from playwright.sync_api import Page, expect

from img2prompt.web.shared.i18n import catalogue
from tests.helpers.browser import open_page, settle

TEXT = catalogue("en")
ANIMALS = "\n".join(f"a {thing} in the snow" for thing in ("fox", "boat", "castle") * 4)
DISHES = "\n".join(f"{dish} on a wooden table" for dish in ("pizza", "soup", "salad") * 4)
EVIL = "![a](https:localhost:1) <b>b &lt; *c* _d_ __e__ f_g_h `i` $j$ ~~k~~ :red[l] :+1: \\ [m](n) www_o.txt"
MARKUP = "img, a, b, em, strong, code, del, li, blockquote, h1, h2, .katex, .stMarkdownColoredText"


def upload(page: Page, number: int, name: str, text: str) -> None:
    file = {"name": name, "mimeType": "text/plain", "buffer": text.encode()}
    page.locator("input[type=file]").nth(number).set_input_files(file)
    settle(page)


def test_an_error_names_a_file_as_it_is(server, browser):
    with open_page(f"{server}/explore", browser, locale="en-US") as page:
        error = page.get_by_test_id("stAlert")
        for name in (EVIL, "# a.txt", "> a.txt", "12) a.txt", "- a.txt", "    a.txt", "--- a.txt"):
            upload(page, 0, name, "")
            expect(error).to_have_text(f"{' '.join(name.split())} has no rows.")
            expect(error.locator(MARKUP)).to_have_count(0)


def test_a_heading_names_a_file_as_it_is_and_loads_nothing(server, browser):
    with open_page(f"{server}/explore", browser, locale="en-US") as page:
        fetched = []
        page.on("request", lambda request: fetched.append(request.url))
        upload(page, 0, "first.txt", ANIMALS)
        upload(page, 1, EVIL, DISHES)
        page.get_by_role("button", name=TEXT["explore.start"]).click()
        heading = page.get_by_test_id("stHeading").filter(has_text="Words of")
        expect(heading).to_have_text(f"Words of {EVIL}")
        expect(heading.locator("h3")).to_have_count(1)
        expect(heading.locator(MARKUP)).to_have_count(0)
        assert not [url for url in fetched if not url.startswith((server, "blob:", "data:"))]
