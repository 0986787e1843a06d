"""Weights fetched from the Models page: who may, and what the others see. The hub is on this machine."""

import time
from collections.abc import Iterator

import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from img2prompt import weights
from img2prompt.settings import ADMINISTRATORS, Settings
from img2prompt.web import getting
from img2prompt.web.shared import pipelines
from tests.helpers import ROOT
from tests.helpers.hub import COMMIT, Hub, save_captioner, serve, use

PART, OTHER = weights.part("blip-base"), weights.part("git-large-coco")  # neither has a hash in the table
MEGABYTE = 1_000_000
PATIENCE = 300  # seconds
ISSUER = "https://login.example.org"
SIGN_IN = {"auth": {"cookie_secret": "8OTtNLV5Vr0mmOFVOkwxJlLaUZL1P1sJ"}}
ADA = {"is_logged_in": True, "iss": ISSUER, "sub": "ada", "email": "Ada@example.org"}


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    with serve() as hub:
        use(hub, tmp_path, monkeypatch)
        folder = save_captioner(tmp_path / "published")
        for part in (PART, OTHER):
            hub.add(part.repository, COMMIT, folder)
        yield hub
        hub.let_go()
        getting.downloads.pause()
        getting.downloads.wait(PATIENCE)


@pytest.fixture
def server() -> Iterator[None]:
    """A server that listens beyond this machine."""
    before = config.get_option("server.address")
    config.set_option("server.address", "0.0.0.0")
    yield
    config.set_option("server.address", before)


def open_page(user: dict | None = None) -> AppTest:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    page.context["locale"] = "en-US"
    if user is not None:
        page.secrets, page.user = SIGN_IN, user
    return run(page.run().switch_page("pages/models.py"))


def run(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception
    return page


def press(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click()
    return run(page)


def keys(page: AppTest) -> set[str]:
    """Of the buttons, without those for other places."""
    return {button.key for button in page.button if button.key and not button.key.startswith("sign-in")}


def texts(page: AppTest) -> str:
    return "\n".join(element.value for element in page.markdown)


def wait_for_bytes(hub: Hub) -> None:
    end = time.monotonic() + PATIENCE
    while not (step := getting.downloads.status().step) or not step.done:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_from_the_button_to_the_installed_part(hub):
    hub.most = MEGABYTE
    page = open_page()
    assert page.button(key=f"get-part-{PART.name}").label == "Get it"
    press(page, f"get-part-{PART.name}")
    wait_for_bytes(hub)
    run(page)
    assert f"pause-part-{PART.name}" in keys(page) and f"get-part-{PART.name}" not in keys(page)
    assert "**1 MB of 4 MB**" in texts(page) or "**0 MB of 4 MB**" in texts(page)
    other = page.button(key=f"get-part-{OTHER.name}")
    assert other.disabled and other.help == "Another download is running: blip-base. There is one at a time."
    press(page, f"pause-part-{PART.name}")
    hub.let_go()
    getting.downloads.wait(PATIENCE)
    assert "MB of 990 MB** are here already" in texts(run(page))
    assert page.button(key=f"get-part-{PART.name}").label == "Go on"
    press(page, f"get-part-{PART.name}")
    getting.downloads.wait(PATIENCE)
    run(page)
    assert f"get-part-{PART.name}" not in keys(page) and not page.error
    [row] = [text for text in texts(page).split("\n") if text.startswith(f"**{PART.name}**")]
    assert "Installed" in row and "Not installed" not in row


def test_a_part_that_is_installed_while_the_page_is_drawn_is_shown_as_installed(hub, monkeypatch):
    page = open_page()
    hub.most = MEGABYTE
    getting.downloads.start([PART])
    wait_for_bytes(hub)

    def meanwhile(places):  # after the page has looked at what is installed, before it offers the rest
        hub.let_go()
        getting.downloads.wait(PATIENCE)
        show_elsewhere(places)

    show_elsewhere = getting.show_elsewhere
    monkeypatch.setattr(getting, "show_elsewhere", meanwhile)
    run(page)
    assert f"get-part-{PART.name}" not in keys(page)
    assert "Not installed" not in next(text for text in texts(page).split("\n") if PART.name in text)


def test_who_presses_while_another_download_runs_sees_that_one(hub):
    page = open_page()
    hub.most = MEGABYTE
    getting.downloads.start([OTHER])
    press(page, f"get-part-{PART.name}")
    button = page.button(key=f"get-part-{PART.name}")
    assert button.disabled and button.help.startswith(f"Another download is running: {OTHER.name}.")
    assert f"pause-part-{OTHER.name}" in keys(page)
    assert getting.downloads.status().names == (OTHER.name,)


def test_parts_that_no_place_on_the_page_stands_for(hub):
    """Those of an engine that was chosen and, after a reload of the page, no longer is."""
    hub.most = MEGABYTE
    getting.downloads.start([PART, OTHER])
    page = open_page()
    assert "pause-elsewhere" in keys(page) and f"**{PART.name} + {OTHER.name}**" in texts(page)
    assert texts(page).count("On its way") == 2


def test_why_it_failed_is_told_at_its_place_only(hub):
    hub.spoilt = {"model.safetensors"}
    page = press(open_page(), f"get-part-{PART.name}")
    getting.downloads.wait(PATIENCE)
    errors = [error.value for error in run(page).error]
    assert len(errors) == 1 and "was damaged on its way" in errors[0]


def test_what_has_come_can_be_deleted(hub):
    folder = weights.folder_in(weights.home() / ".incomplete", PART.kind, f"{PART.name}@{COMMIT}")
    folder.mkdir(parents=True)
    (folder / "model.safetensors.part").write_bytes(bytes(MEGABYTE))
    page = open_page()
    assert "**1 MB of 990 MB** are here already" in texts(page)
    press(page, f"delete-for-good-weights-part-{PART.name}")
    assert not folder.exists() and page.button(key=f"get-part-{PART.name}").label == "Get it"


def test_an_engine_that_was_loaded_while_parts_were_missing_is_loaded_again():
    """As `auto` may be another one now."""
    before = pipelines.pipelines(Settings())
    assert pipelines.pipelines(Settings()) is before
    press(open_page(), f"get-part-{PART.name}")
    getting.downloads.wait(PATIENCE)
    assert pipelines.pipelines(Settings()) is not before


@pytest.mark.parametrize(
    ("listed", "user", "may"),
    [
        ("ada@example.org", ADA | {"email_verified": True}, True),
        (" bob@example.org, ADA@example.org ", ADA | {"email_verified": "true"}, True),
        (f"bob@example.org,{ISSUER}|ada", ADA, True),
        # An email that anybody may claim
        ("ada@example.org", ADA, False),
        ("ada@example.org", ADA | {"email_verified": False}, False),
        ("ada@example.org", ADA | {"email_verified": "false"}, False),
        # Somebody else
        ("ada@example.org", ADA | {"email": "bob@example.org", "email_verified": True}, False),
        ("ada@example.org", ADA | {"email": None, "email_verified": True}, False),
        (f"{ISSUER}|ada", ADA | {"sub": "bob"}, False),
        (f"{ISSUER}|ada", ADA | {"iss": "https://other.example.org"}, False),
        ("ada", ADA | {"email_verified": True}, False),
        # Nobody
        ("ada@example.org", ADA | {"is_logged_in": False, "email_verified": True}, False),
        ("ada@example.org", None, False),
        ("", ADA | {"email_verified": True}, False),
        (" , ", ADA | {"email": "", "email_verified": True}, False),
    ],
)
def test_who_may_on_a_server(server, monkeypatch, listed, user, may):
    monkeypatch.setenv(ADMINISTRATORS, listed)
    page = open_page(user)
    assert (f"get-part-{PART.name}" in keys(page)) == may
    assert [code.value for code in page.code] == (
        [] if may else [f"img2prompt models pull {name}" for name in weights.presets()]
    )


def test_who_may_not_sees_nothing_of_a_download(server, hub):
    hub.most = MEGABYTE
    getting.downloads.start([PART])
    page = open_page()
    assert not keys(page) and "**1 MB" not in texts(page) and "On its way" not in texts(page)
