"""The Batch page in a real browser, on a desk and on a phone."""

import csv
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from img2prompt.batch.runs import Runs
from img2prompt.history import History, open_database
from img2prompt.xmp import texts_of
from tests.helpers.batches import uploads
from tests.helpers.browser import RED, SIZES, assert_accessible, clipboard, open_page
from tests.helpers.pictures import small_photos


@pytest.fixture
def holiday(shared_data, tmp_path) -> Path:
    """A folder of 30 photos, two of them broken and one in a sub-folder."""
    photos = sorted((shared_data / "coco_val" / "images").iterdir())[:28]
    (tmp_path / "holiday" / "0-beach").mkdir(parents=True)
    for number, photo in enumerate(photos):
        shutil.copy(photo, tmp_path / "holiday" / ("0-beach" if number == 0 else "") / photo.name)
    (tmp_path / "holiday" / "broken.jpg").write_bytes(b"Milk, eggs, flour")
    (tmp_path / "holiday" / "empty.png").touch()
    return tmp_path / "holiday"


def downloaded(page, name: str) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name, exact=True).click()
    return waiting.value.path()


def download(page, name: str) -> list[dict[str, str]]:
    with open(downloaded(page, name), encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_csv(home, browser, holiday):
    with open_page(f"{home.address}/batch", browser, color_scheme="light", locale="en-US") as page:
        page.get_by_role("radio", name="A folder").wait_for()
        assert_accessible(page, "desktop-batch-start")
        page.get_by_role("radio", name="A folder").click()
        page.locator("input[type=file][webkitdirectory]").set_input_files(holiday)
        page.get_by_role("button", name="Start Captioning · 30 files").click()

        page.get_by_role("heading", name="Captions").wait_for()  # the first are there
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("button", name="Go on").wait_for()
        stopped = int(re.search(r"(\d+) of 30", page.locator(".st-key-batch-work").inner_text())[1])
        assert 0 < stopped < 30
        page.reload()
        page.get_by_text(f"{stopped} of 30").wait_for()
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name="Stop", exact=True).wait_for()
        page.reload()  # in the midst of it
        page.get_by_text("30 of 30").wait_for()
        page.get_by_text("2 failed").wait_for()
        page.get_by_role("button", name="New batch").wait_for()

        # What is typed is kept, even by who leaves at once (at the speed of a hand), and shows in the file.
        caption = page.get_by_label("Caption of holiday/0-beach/")
        before = caption.input_value()
        caption.fill("Typed by hand, with a comma")
        page.get_by_test_id("stTopNavLink").filter(has_text="Caption").click(delay=80)
        page.get_by_role("button", name="Flower").wait_for()
        page.get_by_test_id("stTopNavLink").filter(has_text="Batch").click()
        expect(caption).to_have_value("Typed by hand, with a comma")
        assert_accessible(page, "desktop-batch-done")
        rows = download(page, "CSV")
        names = {f"holiday/{file.relative_to(holiday)}" for file in holiday.rglob("*.*")}
        assert {row["path"] for row in rows} == names and len(rows) == 30
        assert rows[0]["caption"] == "Typed by hand, with a comma"
        assert [row["path"] for row in rows if row["error"]] == ["holiday/broken.jpg", "holiday/empty.png"]
        assert all(row["caption"] and row["prompt"] for row in rows if not row["error"])
        assert [row["path"] for row in download(page, "Failed")] == [
            "holiday/broken.jpg",
            "holiday/empty.png",
        ]
        with zipfile.ZipFile(downloaded(page, "XMP sidecars")) as archive:
            assert len(archive.namelist()) == 28
            first = texts_of(archive.read(archive.namelist()[0]))
            assert first["description"] == ("Typed by hand, with a comma",)
        caption.fill("")
        caption.press("Control+Enter")
        expect(caption).to_have_value(before)

        # Whoever knows the address sees the batch; who does not, does not.
        with open_page(f"{home.address}/batch", browser, locale="en-US") as other:
            other.get_by_role("radio", name="A folder").wait_for()
            assert other.get_by_label("Caption of holiday").count() == 0
            other.goto(page.url)
            other.get_by_text("30 of 30").wait_for()


@pytest.mark.parametrize("size", SIZES)
def test_posts_a_place_in_the_history_and_the_way_back(home, browser, size):
    engine = open_database(home.database)
    history = History(engine, "local")
    history.delete_all()
    Runs(home.runs).add(uploads(1, None)).close()  # another one: of several, one is searched for
    with open_page(f"{home.address}/batch", browser, size, color_scheme="light", locale="en-US") as page:
        page.get_by_role("radio", name="Files or ZIP").wait_for()
        page.locator("input[type=file]").set_input_files(small_photos())
        for wish in ("Write a post for each picture", "Also keep in my history"):
            page.get_by_text(wish).click()
        page.get_by_role("radio", name="Playful").click()
        page.get_by_label("A note for all posts").fill("Jeju, with Mina")
        page.get_by_role("button", name="Start Captioning · 3 files").click()
        page.get_by_text("3 of 3").wait_for()
        page.get_by_role("button", name="New batch").wait_for()
        results = page.locator(".st-key-results")
        expect(results.get_by_text("Jeju, with Mina")).to_have_count(3)
        assert_accessible(page, f"{size}-batch-posts")
        page.get_by_role("button", name="Copy post").first.click()
        page.get_by_role("button", name="Copied post").wait_for()
        written = clipboard(page)
        assert "Jeju, with Mina" in written and "#" in written
        assert written in [row["post"] for row in download(page, "CSV")]

        # Another tone or note needs no new look at the pictures.
        page.get_by_label("A note for all posts").fill("Busan")
        page.get_by_label("A note for all posts").press("Enter")
        expect(results.get_by_text("Busan")).to_have_count(3)
        kept = history.posts()
        assert len(kept) == 3 and all("Jeju, with Mina" in post.variants[0].text for post in kept)

        address = page.url
        page.get_by_role("button", name="New batch").click()
        page.get_by_role("heading", name="Earlier batches").wait_for()
        page.get_by_label("Search name, date or state").fill("no such batch")  # read while it is typed
        page.get_by_text("No earlier batch fits.").wait_for()
        page.get_by_label("Search name, date or state").fill("0.png and 2 more")
        entry = page.locator(".st-key-earlier").get_by_role("button").first
        expect(entry).to_contain_text(
            re.compile(r"0\.png and 2 more · \w+ \d+, \d{4}, \d\d:\d\d · 3 pictures · done")
        )
        assert_accessible(page, f"{size}-batch-earlier")
        entry.click()
        expect(results.get_by_text("Busan")).to_have_count(3)
        assert page.url == address
    engine.dispose()


def test_a_batch_on_a_phone(home, browser):
    options = {"color_scheme": "dark", "locale": "ko-KR"}
    with open_page(f"{home.address}/batch", browser, "phone", **options) as page:
        page.get_by_role("button", name="파일 고르기").wait_for()
        assert_accessible(page, "phone-batch-start")
        broken = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"Milk, eggs, flour"}
        page.locator("input[type=file]").set_input_files([*small_photos(), broken])
        page.get_by_role("button", name="캡션 만들기 · 파일 4개").click()
        page.get_by_text("4장 중 4장").wait_for()
        expect(page.locator(".st-key-results textarea")).to_have_count(3)
        assert_accessible(page, "phone-batch-done")
        page.get_by_role("radio", name="실패").click()
        expect(page.locator(".st-key-results textarea")).to_have_count(0)
        page.get_by_text("PNG나 JPEG로 저장해 주세요.").wait_for()
        page.get_by_role("button", name="삭제").click()
        expect(page.get_by_role("button", name="이 작업 삭제하기")).to_have_css("background-color", RED)
        page.get_by_role("button", name="이 작업 삭제하기").click()
        page.get_by_role("button", name="파일 고르기").wait_for()
        assert "run=" not in page.url
