"""The report of `dataset explore` in a real browser."""

import re

from img2prompt.datasets.report import report
from img2prompt.datasets.survey import PromptSet, survey
from img2prompt.minilm import SentenceEncoder
from tests.helpers.browser import PATIENCE

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> <b>bold</b>"
TEXTS = [
    f"a {colour} {thing} in the snow" for colour in ("red", "blue") for thing in ("fox", "boat", "castle")
]


def test_draws_everything_and_runs_nothing_of_a_prompt(browser, tmp_path):
    texts = [*TEXTS, EVIL]
    group = PromptSet("set", [f"p{number}" for number in range(len(texts))], texts)
    html = report(survey([group, PromptSet("other", ["a"], [TEXTS[0]])], SentenceEncoder()), "set")
    file = tmp_path / "report.html"
    file.write_text(html, "utf-8")
    page = browser.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri(), timeout=PATIENCE)
    page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=PATIENCE)
    assert page.title() == "set" and wrong == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    plots = re.findall("plotly-graph-div", html[html.rindex("</script></head>") :])
    assert page.locator(".js-plotly-plot").count() == len(plots) > 3
    page.close()
