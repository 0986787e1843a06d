"""A short run of each kind, and that the machinery finds what there is to find. More: python -m tests.fuzz"""

from collections import Counter

import pytest

from tests.fuzz import faulty
from tests.fuzz.__main__ import TARGETS
from tests.fuzz.supervisor import fuzz
from tests.fuzz.worker import make

FILES = {"pictures": 1500, "archives": 1500, "journals": 400, "banks": 600, "metadata": 1500, "stored": 1000}
KINDS = {"wrong error": "error", "crash": "crash", "hang": "hang", "memory": "memory"}


@pytest.mark.parametrize("kind", TARGETS)
def test_damaged_files(kind):
    report = fuzz(f"tests.fuzz.targets.{kind}", range(FILES[kind]))
    assert [(finding.detail, finding.repeat) for finding in report.findings] == []
    # Neither all readable nor all broken: the damage reaches past the first check.
    assert report.files == FILES[kind]
    assert 0.02 < report.refused / report.files < 0.98


@pytest.mark.slow
def test_every_defect_is_found():
    seeds = range(9, 17)
    defects = {seed: make(faulty, faulty.__name__, seed)["defect"].decode() for seed in seeds}
    assert set(defects.values()) == set(faulty.DEFECTS)
    told = []
    report = fuzz(faulty.__name__, seeds, jobs=2, patience=10, tell=told.append)
    assert {finding.seed: finding.kind for finding in report.findings} == {
        seed: KINDS[defect] for seed, defect in defects.items() if defect in KINDS
    }
    assert told == report.findings
    assert report.files == len(seeds)
    assert report.refused == Counter(defects.values())["refusal"]
    groups = report.as_json()["findings"]
    assert len(groups) == len(KINDS)
    assert sum(group["times"] for group in groups) == len(told)


def test_a_seed_makes_the_same_file_again():
    for kind in TARGETS:
        name = f"tests.fuzz.targets.{kind}"
        target = __import__(name, fromlist=["make"])
        files = [make(target, name, seed) for seed in (0, 1, 0)]
        assert files[0] == files[2] != files[1]


def test_the_time_is_bounded():
    report = fuzz("tests.fuzz.targets.archives", range(10**9), seconds=0)
    assert report.files < 10**9
