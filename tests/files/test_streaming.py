"""Work in order, within a budget, and never more of it than somebody asked for."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Generator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.errors import CrackscopeError
from crackscope.files import streaming
from crackscope.files.streaming import chunked, default_threads, ordered_map


@given(st.lists(st.integers()), st.integers(1, 9))
def test_chunks_hold_everything_once_and_in_order(items: list[int], size: int) -> None:
    chunks = list(chunked(items, size))
    assert list(itertools.chain(*chunks)) == items
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert all(chunks)


@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_results_come_in_the_order_of_the_items(threads: int | None) -> None:
    def work(i: int) -> int:
        time.sleep(0.002 * (i % 3))
        return i * i

    assert list(ordered_map(work, range(20), threads=threads)) == [i * i for i in range(20)]
    assert list(ordered_map(work, [], threads=threads)) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_an_endless_stream_is_taken_at_most_two_items_a_thread_ahead(threads: int) -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for i in itertools.count():
            taken.append(i)
            yield i

    results = ordered_map(str, source(), threads=threads)
    assert taken == []
    for n in range(1, 6):
        assert next(results) == str(n - 1)
        assert n <= len(taken) < n + 2 * threads
    assert isinstance(results, Generator)
    results.close()
    assert len(taken) < 5 + 2 * threads


def test_what_is_ready_is_given_before_another_item_is_waited_for() -> None:
    given: list[int] = []

    def source() -> Iterator[int]:
        for i in range(5):
            yield i
            for _ in range(200):  # the next one is long in coming
                if len(given) == i:
                    break
                time.sleep(0.01)
            given.append(i)

    for n, result in enumerate(ordered_map(str, source(), threads=2)):
        assert result == str(n)


def test_no_more_threads_work_than_allowed() -> None:
    lock, working, most = threading.Lock(), 0, 0

    def work(_: int) -> None:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        time.sleep(0.002)
        with lock:
            working -= 1

    list(ordered_map(work, range(12), threads=3))
    assert 1 < most <= 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_an_item_raises_is_raised_in_its_place_and_the_rest_is_dropped(
    error: type[BaseException],
) -> None:
    begun: list[int] = []

    def work(i: int) -> int:
        begun.append(i)
        if i == 3:
            raise error("item 3")
        return i

    results = ordered_map(work, range(1000), threads=2)
    assert list(itertools.islice(results, 3)) == [0, 1, 2]
    with pytest.raises(error, match="item 3"):
        next(results)
    assert len(begun) <= 3 + 4


def test_what_the_source_raises_is_raised_and_no_thread_stays() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    before = threading.active_count()
    with pytest.raises(OSError, match="gone"):
        list(ordered_map(str, source(), threads=2))
    assert threading.active_count() == before


def test_a_consumer_that_stops_early_cancels_what_has_not_begun() -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def work(i: int) -> int:
        begun.append(i)
        if i:
            go_on.wait(5)
        return i

    results = ordered_map(work, range(100), threads=1)
    assert next(results) == 0
    threading.Timer(0.02, go_on.set).start()
    assert isinstance(results, Generator)
    results.close()
    assert begun in ([0], [0, 1])


def test_an_interrupted_consumer_leaves_no_thread_behind() -> None:
    before = threading.active_count()

    def consume() -> None:
        for i in ordered_map(lambda i: i, range(100), threads=2):
            if i == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert threading.active_count() == before


def test_the_thread_budget_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRACKSCOPE_THREADS", "3")
    assert default_threads() == 3
    monkeypatch.setenv("CRACKSCOPE_THREADS", "")
    assert default_threads() >= 1
    monkeypatch.delenv("CRACKSCOPE_THREADS")
    for n_cores, expected in ((1, 1), (8, 8), (64, 8)):
        monkeypatch.setattr(streaming, "available_cores", lambda n=n_cores: n)
        assert default_threads() == expected


@pytest.mark.parametrize("setting", ["0", "-2", "two", "1.5", "²"])
def test_a_wrong_thread_budget_is_an_error_not_a_guess(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("CRACKSCOPE_THREADS", setting)
    with pytest.raises(CrackscopeError, match=r"CRACKSCOPE_THREADS.*whole number from 1"):
        default_threads()
