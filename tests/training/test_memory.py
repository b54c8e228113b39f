"""Only the commands that train tell the system to keep freed memory; no function of the package does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from crackscope.cli import main
from crackscope.drawing.walls import draw_dataset
from crackscope.training import memory


def test_memory_is_kept_where_glibc_is_and_nothing_happens_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    class Library:
        def mallopt(self, option: int, value: int) -> int:
            asked.append((option, value))
            return 1

    monkeypatch.setattr("ctypes.CDLL", lambda name: Library())
    monkeypatch.setattr("sys.platform", "darwin")
    memory.keep_memory()
    assert asked == []
    monkeypatch.setattr("sys.platform", "linux")
    memory.keep_memory()
    assert asked == [(-1, 2**31 - 1), (-4, 0), (-2, 2**28)]
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # another C library, such as musl
    memory.keep_memory()


@pytest.mark.parametrize(
    ("command", "place"), [("train", "training.runs.train"), ("transfer", "training.transfer_run.measure_transfer")]
)
@pytest.mark.parametrize(("recipe", "kept"), [("head", False), ("cnn-scratch", True)])
def test_the_commands_ask_for_it_before_they_train_by_epochs(
    command: str, place: str, recipe: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    def stand_in(*_: object, **__: object) -> None:
        happened.append("trained")
        raise KeyboardInterrupt

    monkeypatch.setattr(memory, "keep_memory", lambda: happened.append("kept"))
    monkeypatch.setattr(f"crackscope.{place}", stand_in)
    draw_dataset(tmp_path / "set", n_photos=1, patches_per_photo=4, side_px=32)
    monkeypatch.setattr(sys, "argv", ["crackscope", command, str(tmp_path / "set"), "--recipe", recipe])
    with pytest.raises(SystemExit):
        main()
    assert happened == (["kept", "trained"] if kept else ["trained"])
