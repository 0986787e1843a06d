"""Several visitors at a time, who speak the protocol of a browser's page to a real server. More: benchmarks/load.py"""

import asyncio

import psutil
import pytest

from benchmarks.load import SHUFFLES, Load, visit
from tests.helpers.server import serve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("server"), IMG2PROMPT_BEAMS="1") as server:
        yield server


def test_two_visitors_at_a_time(server):
    load = Load(server.address, psutil.Process(server.process.pid))
    asyncio.run(load.run(visitors=2, captions=3))
    report = load.report()
    assert report["errors"] == {}
    assert (len(load.words), len(load.shuffles)) == (3, 3 * SHUFFLES)
    assert 0 < report["words_s"]["p50"] <= report["words_s"]["most"]
    assert report["server"]["loaded"]["mb"] > report["server"]["start"]["mb"] > 0
    assert list(report["server"]) == ["start", "loaded", "end", "settled"]


def test_what_a_visitor_cannot_use_is_an_error(server):
    async def come() -> None:
        async with visit(server.address) as visitor:
            with pytest.raises(RuntimeError, match="no button"):
                await visitor.press("start", "-copy-caption-1")
            with pytest.raises(RuntimeError, match="the page says: .*not a readable"):
                await visitor.upload("holiday.jpg", b"Dear diary")

    asyncio.run(come())
