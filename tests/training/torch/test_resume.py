"""Killed at any moment, and once more, and said --resume: the same model, byte for byte, as if nothing had been.

What is killed is the real command in a process of its own. Stops between any two steps are tried inside this process,
with a checkpoint after each of them.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from crackscope.data.cache import cache_folder
from crackscope.files.output import new_file
from crackscope.measuring.history import read_history
from crackscope.training.run_folder import RECIPE_FILES
from crackscope.training.runs import train
from crackscope.training.torch import finetuning
from shared.stopping import Stopped, stop_training, stopping_after

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no signal 9"),
]

LIMIT_S = 600


@dataclass(frozen=True)
class Training:
    """A command and how its breaking points look."""

    recipe: str
    changes: tuple[str, ...]
    needs_backbone: bool


TRAININGS = {
    "scratch": Training("cnn-scratch", ("finetuning.epochs=6", "batch_size=8"), needs_backbone=False),
    "finetuning": Training(
        "mobilenetv2-augmented",
        (
            *("frozen.epochs=3", "frozen.learning_rate=1e-2", "finetuning.epochs=3", "finetuning.learning_rate=1e-4"),
            *("batch_size=8", "finetuning.from_block=14", "head.hidden=[8]", "head.hidden_dropout=[0.5]"),
        ),
        needs_backbone=True,
    ),
}


@pytest.fixture(params=sorted(TRAININGS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def options(drawn: Path, split_file: Path, mobilenet_folder: Path) -> Callable[[str], dict[str, Any]]:
    def of(name: str) -> dict[str, Any]:
        chosen = TRAININGS[name]
        found: dict[str, Any] = {"data": drawn, "split": split_file, "recipe": chosen.recipe, "patch_px": 64}
        if chosen.needs_backbone:
            found["backbone"] = mobilenet_folder
        return {**found, "changes": list(chosen.changes)}

    return of


@pytest.fixture(scope="module")
def unbroken(
    options: Callable[[str], dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of a run that nothing disturbed, one of each."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name) / "unbroken"
            train(**options(name), out=made[name], threads=1)
        return made[name]

    return of


def require_same(found: Path, expected: Path, *, log: bool = True) -> None:
    """The same model, figures and history, and nothing left lying about.

    Event files are named by the second: those of sessions that are faster are read in the wrong order, so `log` is for
    processes of their own.
    """
    assert (found / "model.onnx").read_bytes() == (expected / "model.onnx").read_bytes()
    for file in ("metrics.json", "layers.csv", "split.csv"):
        assert (found / file).read_bytes() == (expected / file).read_bytes(), file
    histories = [read_history(folder / "history.csv") for folder in (found, expected)]
    one, other = ([{**vars(epoch), "seconds": 0} for epoch in history] for history in histories)
    assert one == other
    assert {path.name for path in found.iterdir()} <= set(RECIPE_FILES)
    assert [path.name for path in found.rglob("*.onnx")] == ["model.onnx"]
    if log:
        events = EventAccumulator(str(found / "tensorboard"), size_guidance={"images": 0, "scalars": 0}).Reload()
        for part in ("train", "val"):
            curves = EventAccumulator(str(found / "tensorboard" / part), size_guidance={"scalars": 0}).Reload()
            assert [event.step for event in curves.Scalars("loss")] == [epoch.number for epoch in histories[0]]
        for tag in events.Tags()["images"]:
            assert len(events.Images(tag)) == 1, tag


# Killed


class Command:
    """`crackscope train --resume` in a process of its own, with a cache of its own."""

    def __init__(self, options: dict[str, Any], folder: Path) -> None:
        self.out, self.cache = folder / "run", folder / "cache"
        self.command = [sys.executable, "-m", "crackscope", "train", str(options["data"]), "--resume"]
        self.command += ["--out", str(self.out)]
        for key in ("split", "recipe", "patch_px", "backbone"):
            if key in options:
                self.command += [f"--{key.replace('_', '-')}", str(options[key])]
        for change in options["changes"]:
            self.command += ["--set", change]
        self.environment = {
            **os.environ,
            **{"CRACKSCOPE_THREADS": "1", "OMP_NUM_THREADS": "1", "CRACKSCOPE_CACHE": str(self.cache)},
        }
        self.moments: list[str] = []

    def take_exports(self) -> None:
        """Begin with backbone files that are there already: what is killed is to be a training."""
        if (cache_folder() / "backbones").is_dir():
            shutil.copytree(cache_folder() / "backbones", self.cache / "backbones")

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def killed(self, when: Callable[[], bool], *, delay_s: float) -> bool:
        """Start it, wait until something is so and a little longer, and kill it; whether it was not done before."""
        child, until = self.start(), time.monotonic() + LIMIT_S
        while child.poll() is None and not when() and time.monotonic() < until:
            time.sleep(0.002)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(delay_s)
        alive = child.poll() is None
        child.send_signal(signal.SIGKILL)
        _, err = child.communicate()
        self.moments.append(f"{'killed' if alive else child.returncode}: {sorted(p.name for p in self.files())}\n{err}")
        assert alive or child.returncode == 0, err
        return alive

    def finish(self) -> None:
        found = subprocess.run(self.command, env=self.environment, capture_output=True, text=True, check=False)
        assert found.returncode == 0, "\n".join([*self.moments, found.stderr])

    def files(self) -> list[Path]:
        return list(self.out.iterdir()) if self.out.is_dir() else []

    def n_cached(self) -> int:
        return len([path for path in self.cache.rglob("*") if path.is_file()])

    def n_epochs(self) -> int:
        try:
            return len(read_history(self.out / "history.csv"))
        except Exception:
            return 0


def test_killed_many_times_it_ends_with_the_same_model(
    name: str,
    options: Callable[[str], dict[str, Any]],
    unbroken: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    """At seeded moments: while the cache is written, within epochs, between them, while the bundle is checked."""
    expected = unbroken(name)
    command = Command(options(name), tmp_path)
    command.take_exports()
    rng = random.Random(4)
    n_epochs = len(read_history(expected / "history.csv"))

    def cache_grows() -> Callable[[], bool]:
        before = command.n_cached()
        return lambda: command.n_cached() > before

    def more_epochs() -> Callable[[], bool]:
        wanted = min(command.n_epochs() + 1, n_epochs)
        return lambda: command.n_epochs() >= wanted

    def exporting() -> bool:
        return any(path.name.startswith((".model", "model.onnx")) for path in command.files())

    command.killed(lambda: (command.out / "split.csv").exists(), delay_s=0)
    for _ in range(2 if TRAININGS[name].needs_backbone else 0):
        command.killed(cache_grows(), delay_s=rng.uniform(0, 0.1))
    for _ in range(2):
        command.killed(more_epochs(), delay_s=rng.uniform(0, 0.4))
    command.killed(exporting, delay_s=rng.uniform(0, 0.05))
    command.finish()
    require_same(command.out, expected)
    assert sum(moment.startswith("killed") for moment in command.moments) >= len(command.moments) - 1


def test_killed_at_any_time_it_ends_with_the_same_model(
    options: Callable[[str], dict[str, Any]], unbroken: Callable[[str], Path], tmp_path: Path
) -> None:
    """Whatever it is doing after so many seconds, on a machine of whatever speed."""
    expected = unbroken("scratch")
    command = Command(options("scratch"), tmp_path)
    begun = time.monotonic()
    alive = command.killed(lambda: command.n_epochs() >= 1, delay_s=0)
    assert alive, command.moments
    typical_s = time.monotonic() - begun
    rng = random.Random(8)
    for _ in range(3):
        command.killed(lambda: True, delay_s=rng.uniform(0.3, 1.5) * typical_s)
    command.finish()
    require_same(command.out, expected)


# Stopped between any two steps


@pytest.mark.parametrize("seed", range(2))
def test_stopped_between_any_two_steps_it_ends_with_the_same_model(
    name: str,
    seed: int,
    options: Callable[[str], dict[str, Any]],
    unbroken: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = unbroken(name)
    monkeypatch.setattr(finetuning, "_CHECKPOINT_S", -1.0)  # after every step
    if (cache_folder() / "backbones").is_dir():
        shutil.copytree(cache_folder() / "backbones", tmp_path / "cache" / "backbones")
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(seed)
    out, n_stops = tmp_path / "run", 0
    for _ in range(12):
        try:
            train(**options(name), out=out, threads=1, resume=True, progress=stopping_after(int(rng.integers(15, 40))))
            break
        except Stopped:
            n_stops += 1
    assert n_stops > 2
    train(**options(name), out=out, threads=1, resume=True)
    require_same(out, expected, log=False)


def test_the_cache_may_be_deleted_while_it_is_stopped(
    options: Callable[[str], dict[str, Any]],
    unbroken: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of an epoch with dropout: what is computed anew draws no number that training needs."""
    expected = unbroken("finetuning")
    monkeypatch.setattr(finetuning, "_CHECKPOINT_S", -1.0)
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "run"
    for after in (4, 14):  # in the first epoch, then in a later one
        with monkeypatch.context() as patch:
            stop_training(patch, after=after)
            with pytest.raises(Stopped):
                train(**options("finetuning"), out=out, threads=1, resume=True)
        shutil.rmtree(tmp_path / "cache")
    train(**options("finetuning"), out=out, threads=1, resume=True)
    require_same(out, expected, log=False)


def test_a_run_whose_disk_was_full_goes_on_when_there_is_room(
    options: Callable[[str], dict[str, Any]],
    unbroken: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The checkpoint cannot be written: one clear line, and the one before is still good."""
    import errno

    from crackscope.errors import OutputError

    n_saved = [0]

    @contextlib.contextmanager
    def full(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
        with new_file(path, overwrite=overwrite) as part:
            n_saved[0] += 1
            if n_saved[0] == 3:
                part.write_bytes(b"half")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part))
            yield part

    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "new_file", full)
        with pytest.raises(OutputError, match=r"checkpoint.pt: no space left on the disk"):
            train(**options("scratch"), out=tmp_path / "run", threads=1)
    train(**options("scratch"), out=tmp_path / "run", threads=1, resume=True)
    require_same(tmp_path / "run", unbroken("scratch"))
