"""The bar: its estimate of time left is that of the work at hand."""

from __future__ import annotations

from typing import Any

import pytest
import rich.progress

from crackscope.cli.console import progress_bar


def test_an_epoch_is_estimated_by_itself_not_by_a_slow_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    bars: list[rich.progress.Progress] = []

    class Bar(rich.progress.Progress):
        def __init__(self, *columns: Any, **options: Any) -> None:
            super().__init__(*columns, **options, get_time=lambda: now[0])
            bars.append(self)

    monkeypatch.setattr("rich.progress.Progress", Bar)
    with progress_bar("working") as update:
        for step in range(11):  # a minute a step, as when a cache is filled
            now[0] += 60
            update(step, 10)
        for step in range(1, 6):  # a second a step
            now[0] += 1
            update(step, 10)
        (task,) = bars[0].tasks
        assert (task.completed, task.total) == (5, 10)
        assert task.time_remaining == pytest.approx(5, abs=1)
        update(1, 40)  # other work
        assert (task.completed, task.total) == (1, 40)
        assert task.time_remaining is None
