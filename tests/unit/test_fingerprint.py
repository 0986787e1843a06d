"""The fingerprint by which an interrupted batch knows its pipeline again, also one of an older version."""

from types import SimpleNamespace

import pytest

from img2prompt.batch import fingerprint
from img2prompt.settings import Settings


def stand_in(settings: Settings, members: str = "", labels: tuple[str, ...] = ()) -> SimpleNamespace:
    """What the fingerprint reads of a pipeline, with weights that never change."""
    return SimpleNamespace(
        engine=SimpleNamespace(name="lite", weights_id="0123456789abcdef"),
        settings=settings,
        members=SimpleNamespace(digest=members) if members else None,
        tables=[SimpleNamespace(name="own", labels=labels)] if labels else [],
    )


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        (stand_in(Settings(engine="lite", style="seed", people="as-seen")), "d4345b8fd4efc8c3"),
        (
            stand_in(
                Settings(style="best", beams=2, people="as-seen"),
                members="fedcba9876543210",
                labels=("cat", "dog"),
            ),
            "edafb95e88632c6a",
        ),
    ],
)
def test_stays_as_it_was(pipeline, expected):
    """Another value here means that no batch which was interrupted before the update can be resumed."""
    assert fingerprint(pipeline) == expected


def test_neutral_captions_do_not_continue_others():
    seen, neutral = (stand_in(Settings(people=people)) for people in ("as-seen", "neutral"))
    assert fingerprint(seen) != fingerprint(neutral) == fingerprint(stand_in(Settings()))


@pytest.mark.parametrize("change", [{"instruction": "As a list."}, {"details": True}, {"quantize": "4bit"}])
def test_what_changes_captions_begins_anew(change):
    assert fingerprint(stand_in(Settings(**change))) != fingerprint(stand_in(Settings()))
