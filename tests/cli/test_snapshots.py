"""What `--help` says, and the shape of every document of `--json`, as they were looked at and agreed to.

After a change that is meant: `pytest tests/cli/test_snapshots.py --snapshot-update`, and read the difference.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from typer.testing import CliRunner

from crackscope.cli import app
from crackscope.drawing.walls import draw_dataset, draw_patch, draw_photo
from shared.command import Result, Run, shape_of
from shared.pictures import jpeg, save

COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]
TERMINAL = {"COLUMNS": "100", "NO_COLOR": "1"}


@pytest.fixture(autouse=True)
def _same_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines as long as here, and no colours, on whatever terminal and in whatever CI the tests run."""
    import typer.rich_utils

    monkeypatch.setattr(typer.rich_utils, "MAX_WIDTH", None)
    monkeypatch.setattr(typer.rich_utils, "FORCE_TERMINAL", None)
    for name in ("FORCE_COLOR", "TERMINAL_WIDTH", "LINES"):
        monkeypatch.delenv(name, raising=False)


def help_of(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="crackscope", env=TERMINAL)
    assert result.exit_code == 0
    return "\n".join(line.rstrip() for line in result.stdout.splitlines())


def test_help_of_all(snapshot: SnapshotAssertion) -> None:
    assert help_of() == snapshot


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, snapshot: SnapshotAssertion) -> None:
    assert help_of(command) == snapshot


# Documents


def call(*words: object) -> Result:
    """Call a command; as `run`, but for fixtures of a module too."""
    done = CliRunner().invoke(app, [*map(str, words)])
    return Result(done.exit_code, done.stdout, done.stderr)


@dataclass(frozen=True)
class World:
    """What commands work on, each as small as it may be."""

    folder: Path
    drawn: Path
    split_file: Path
    backbone: Path
    model: Path

    def run_of(self, seed: int) -> Path:
        """The folder of a training that is finished and judged; made when it is first asked for."""
        out = self.folder / f"run {seed}"
        if not out.exists():
            data = [self.drawn, "--split", self.split_file, "--threads", 1]
            training = ["--backbone", self.backbone, "--patch-px", 64, "--seed", seed, "--out", out]
            assert call("train", *data, *training).code == 0
        return out

    def photos(self) -> Path:
        for seed in range(2):
            save(self.folder / "photos" / f"wall {seed}.png", draw_photo(seed, photo_hw=(150, 300)).pixels)
        return self.folder / "photos"

    def sets(self) -> list[Path]:
        folders = [self.folder / name for name in ("north", "south")]
        for seed, folder in enumerate(folders):
            if folder.exists():
                continue
            draw_dataset(folder, n_photos=8, patches_per_photo=6, side_px=48, seed=seed)
        return folders

    def archive(self) -> Path:
        """METU's archive as it is published, with one image of each label."""
        path = self.folder / "metu.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for seed, label in enumerate(("Positive", "Negative")):
                archive.writestr(f"{label}/00001.jpg", jpeg(draw_patch(seed, side_px=64).pixels))
        return path


@pytest.fixture(scope="module")
def world(
    drawn: Path, split_file: Path, backbone_file: Path, bundle_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> World:
    return World(tmp_path_factory.mktemp("world"), drawn, split_file, backbone_file, bundle_file)


WORDS: dict[str, Callable[[World], list[object]]] = {
    "audit": lambda world: [world.drawn, "--split", world.split_file],
    "split": lambda world: [world.drawn],
    "train": lambda world: [
        *(world.drawn, "--split", world.split_file),
        *("--backbone", world.backbone, "--patch-px", 64),
    ],
    "recipes": lambda world: [],
    "evaluate": lambda world: [world.drawn, "--split", world.split_file, "--model", world.model],
    "robustness": lambda world: [world.drawn, "--model", world.model, "--max-patches", 8],
    "transfer": lambda world: [*world.sets(), "--backbone", world.backbone, "--seeds", "0", "--per-label", 12],
    "accept": lambda world: [world.sets()[0], "--model", world.model],
    "compare": lambda world: [world.run_of(0), world.run_of(1)],
    "export": lambda world: [
        *(world.drawn, "--split", world.split_file, "--model", world.model),
        *("--calibration-patches", 8, "--allow-loss"),
    ],
    "predict": lambda world: [world.drawn.parent / "crack", "--model", world.model],
    "scan": lambda world: [world.photos(), "--model", world.model],
    "bundle": lambda world: [world.run_of(0) / "model.onnx"],
    "download": lambda world: ["metu", "--archive", world.archive()],
}
ENDINGS = {"split": ".csv", "predict": ".csv", "export": ".onnx"}
NO_OUT = {"recipes", "bundle"}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "demo"])  # its document: tests/test_demo.py
def test_document(command: str, world: World, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    out = [] if command in NO_OUT else ["--out", tmp_path / f"out{ENDINGS.get(command, '')}"]
    result = call(command, *WORDS[command](world), *out, "--json")
    assert shape_of(result) == snapshot


@pytest.mark.parametrize(
    "words", [["bundle", "nowhere.onnx"], ["predict", "--threads", "none"]], ids=["error", "usage"]
)
def test_document_of_what_went_wrong(words: list[str], run: Run, snapshot: SnapshotAssertion) -> None:
    result = run(*words, "--json")
    assert (result.code, result.json) == snapshot
