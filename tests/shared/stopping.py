"""Work that is stopped in the middle."""

from __future__ import annotations

from typing import Any

import pytest

from crackscope.files.streaming import Progress


class Stopped(Exception):
    """Error that stands for anything that ends a command: a signal, a full disk, a lost machine."""


def stopping_after(n: int) -> Progress:
    """Make a `progress` that lets `n` calls pass and raises `Stopped` at the next one."""
    n_left = n

    def progress(done: int, total: int) -> None:
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise Stopped

    return progress


def stop_training(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Raise `Stopped` after `after` steps of a training by epochs, as if it were killed."""
    from crackscope.training.torch.finetuning import Trainer

    real, left = Trainer._step, [after]

    def step(self: Any, *args: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Stopped
        real(self, *args)

    monkeypatch.setattr(Trainer, "_step", step)
