"""Names of files, as the app's pages show them."""

import io
import json
import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from img2prompt.batch import Row
from img2prompt.batch.runs import Runs
from img2prompt.history import History, open_database
from img2prompt.web.batch.results import PAGE
from img2prompt.web.shared.i18n import catalogue
from tests.helpers.browser import SIZES, open_page, settle
from tests.helpers.history_database import make_post
from tests.helpers.server import serve

TEXT = catalogue("en")
ANIMALS = "\n".join(f"a {thing} in the snow" for thing in ("fox", "boat", "castle") * 4)
DISHES = "\n".join(f"{dish} on a wooden table" for dish in ("pizza", "soup", "salad") * 4)
EVIL = "![a](https:localhost:1) <b>b &lt; *c* _d_ __e__ f_g_h `i` $j$ ~~k~~ :red[l] :+1: \\ [m](n) www_o.txt"
MARKUP = (
    "img, a, b, em, strong, code, del, li, blockquote, h1, h2, hr, sup, table, .katex, .stMarkdownColoredText"
)
NAMES = r"""
# heading.jpg
- list.jpg
+ list.jpg
* list.jpg
1. first.jpg
12) twelfth.jpg
> quote.jpg
--- rule.jpg
[ ] task.jpg
[^1].jpg
|a|b|.jpg
`code`.jpg
*em* **strong**.jpg
~~del~~.jpg
_under_ score_.jpg
__init__.jpg
snake_case_.jpg
[m](n).jpg
![m](n).jpg
$x$ $$y$$.jpg
<b>b</b>.jpg
&lt;b&gt;.jpg
&amp;&#35;.jpg
a\_b\.jpg
한글 _이름_.jpg
2026. 11. 24..jpg
www.example.com.jpg
on (www.example.com).jpg
WWW.EXAMPLE.COM.jpg
me+you@example.com.jpg
https://example.com/a.jpg
HTTP://EXAMPLE.COM.jpg
mailto:a@b.co.jpg
xmpp:a@b.co.jpg
:+1:.jpg
:tada: :smile:
::x::.jpg
:streamlit:.jpg
:material/home:.jpg
:red[l].jpg
:small[l].jpg
:help[l].jpg
:a{b=c}.jpg
a -> b <- c.jpg
a <-> b -- c.jpg
a >= b <= c ~= d.jpg
C:\photos\new.jpg
""".strip().split("\n")
# Everything of Streamlit's that takes no text but Markdown, at the start of a line and in the midst of one.
ELEMENTS = """
import json, streamlit as st
from img2prompt.web.shared.frame import as_it_is, show_error
for number, name in enumerate(json.loads({names!r})):
    with st.container(key=f"name-{{number}}"):
        show_error(name)
        st.warning(as_it_is(name))
        st.caption(as_it_is(name))
        st.markdown(as_it_is(name))
        st.subheader(as_it_is(name), anchor=False)
        st.progress(0.5, as_it_is(name))
        st.button(as_it_is(name), key=f"button-{{number}}")
        st.text_input(as_it_is(name), key=f"input-{{number}}")
    with st.container(key=f"sentence-{{number}}"):
        st.error("Not good: " + as_it_is(name) + " (damaged).")
st.header("The end")
"""


def upload(page: Page, number: int, name: str, text: str) -> None:
    file = {"name": name, "mimeType": "text/plain", "buffer": text.encode()}
    uploader = page.locator(f".st-key-explore-{('first', 'other')[number]}")
    uploader.locator("input[type=file]").set_input_files(file)
    shown = uploader.get_by_role("button", name=f"Remove {name}", exact=True)
    expect(shown).to_have_count(1)
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


def test_what_takes_markdown_only_shows_a_name_as_it_is(browser, tmp_path):
    script = tmp_path / "names.py"
    script.write_text(ELEMENTS.format(names=json.dumps(NAMES)), "utf-8")
    with serve(tmp_path, script) as server:
        page = browser.new_page()
        page.goto(server.address)
        page.get_by_role("heading", name="The end").wait_for()
        page.locator(".stApp[data-test-script-state=notRunning]").wait_for()
        for number, name in enumerate(NAMES):
            shown = page.locator(f".st-key-name-{number} [data-testid=stElementContainer]")
            expect(shown).to_have_text([name] * 8)
            sentence = page.locator(f".st-key-sentence-{number}")
            expect(sentence).to_have_text(f"Not good: {name} (damaged).")
            expect(
                page.locator(f".st-key-name-{number}, .st-key-sentence-{number}").locator(MARKUP)
            ).to_have_count(0)
        page.close()


@pytest.mark.parametrize("size", SIZES)
def test_a_batch_shows_names_as_they_are(home, browser, size):
    runs = Runs(home.runs)
    run = runs.add([(name, io.BytesIO(b"Milk, eggs, flour")) for name in NAMES])
    names = [item.name for item in run.items]
    vector = np.full(384, 384**-0.5, np.float32)
    rows = [
        Row(name, error=f"{name}: damaged") if number % 2 else Row(name, caption=name, embedding=vector)
        for number, name in enumerate(names)
    ]
    run.journal.add(run.items, rows)
    run.close()
    with open_page(f"{home.address}/batch?run={run.id}", browser, size, locale="en-US") as page:
        expect(page.locator(".st-key-batch-work").get_by_test_id("stText")).to_have_text(
            f"{run.title} and {len(names) - 1} more"
        )
        results = page.locator(".st-key-results")
        for start in range(0, len(rows), PAGE):
            if start:
                page.get_by_role("button", name="Next page").click()
            shown = rows[start : start + PAGE]
            expect(results.get_by_test_id("stText")).to_have_text([row.name for row in shown])
            expect(results.get_by_test_id("stAlert")).to_have_text([row.error for row in shown if row.error])
            for row in shown:
                if not row.error:
                    expect(page.get_by_label(f"Caption of {row.name}", exact=True)).to_have_value(row.name)
            expect(results.locator(MARKUP.removeprefix("img, "))).to_have_count(0)
    runs.remove(run.id)


@pytest.mark.parametrize("size", SIZES)
def test_earlier_batches_are_called_by_their_names(home, browser, size):
    runs = Runs(home.runs)
    made = {}
    for name in NAMES[::2]:
        if name.endswith(".jpg"):
            run = runs.add([(name, io.BytesIO(b"Milk, eggs, flour"))])
            run.close()
            made[run.id] = run.title
    with open_page(f"{home.address}/batch", browser, size, locale="en-US") as page:
        shown = page.locator(".st-key-earlier")
        for title in made.values():
            page.get_by_label("Search name, date or state").fill(f"{title} ·")
            page.get_by_label("Search name, date or state").press("Enter")
            # Everything that follows is the app's: time, number and state.
            words = re.escape(f"{title} · ") + r"\w+ \d+, .* · 1 picture · stopped at 0 of 1$"
            expect(shown.get_by_role("button").filter(has_text=re.compile(words))).to_have_count(1)
            expect(shown.locator(MARKUP)).to_have_count(0)
    for id in made:
        runs.remove(id)


def test_a_date_is_no_list(home, browser):
    engine = open_database(home.database)
    number = History(engine, "local").save(make_post(1))
    with open_page(f"{home.address}/history?post={number}", browser, locale="ko-KR") as page:
        page.get_by_text(re.compile(r"^\d{4}\. \d{1,2}\. \d{1,2}\. · ")).first.wait_for()
        expect(page.locator(".stMain ol")).to_have_count(0)
    History(engine, "local").delete([number])
    engine.dispose()
