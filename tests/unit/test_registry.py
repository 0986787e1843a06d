"""What visitors share: made once, kept out of Streamlit's caches, forgotten in order."""

import threading

import pytest
import streamlit as st

from img2prompt.settings import Settings
from img2prompt.web.batch import sources
from img2prompt.web.shared import keeping, pipelines
from img2prompt.web.shared.registry import Registry


def test_visitors_who_ask_at_the_same_time_get_the_same():
    barrier, made, got = threading.Barrier(8), [], []

    def make(key):
        made.append(key)
        return object()

    registry = Registry(make)

    def ask():
        barrier.wait()
        got.append(registry("a"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["a"] and len(got) == 8 and len(set(got)) == 1


def test_nobody_waits_for_the_value_of_another_key():
    ready = threading.Event()
    registry = Registry(lambda key: ready.wait(60) if key == "slow" else key)
    slow = threading.Thread(target=registry, args=["slow"])
    slow.start()
    assert registry("quick") == "quick" and slow.is_alive()
    ready.set()
    slow.join()


def test_a_failure_is_not_kept():
    answers = iter([OSError("no"), "yes"])

    def make(_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    registry = Registry(make)
    with pytest.raises(OSError):
        registry(0)
    assert registry(0) == "yes" == registry(0)


def test_the_one_used_longest_ago_goes():
    made = []
    registry = Registry(lambda key: made.append(key) or key, most=2)
    for key in (1, 2, 1, 3, 1, 2):
        registry(key)
    assert made == [1, 2, 3, 2]


def test_only_the_value_that_is_meant_is_dropped():
    registry = Registry(lambda key: object())
    old = registry("a")
    registry.drop("a", old)
    new = registry("a")
    registry.drop("a", old)  # by a second visitor who saw the same failure
    assert new is not old and registry("a") is new
    registry.drop("b", None)


def test_nothing_of_it_is_in_the_caches_that_any_visitor_can_clear(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_RUNS", str(tmp_path))
    monkeypatch.setattr(pipelines, "_load", lambda chosen: object())
    key = (f"sqlite:///{tmp_path / 'history.db'}", "local")

    def shared():
        return sources.runs(), pipelines.pipelines(Settings()).result(), keeping._HISTORIES(key)

    pipelines.pipelines.clear()
    before = shared()
    st.cache_resource.clear()
    st.cache_data.clear()
    assert all(one is other for one, other in zip(before, shared(), strict=True))
    pipelines.pipelines.clear()
