"""What `--help` says, and the shape of every document of `--json`, as they were looked at and agreed to.

After a change that is meant: `pytest tests/cli/test_snapshots.py --snapshot-update`, and read the difference.
"""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion
from typer.testing import CliRunner

from crackscope.cli import app
from shared.command import Run, shape_of
from shared.world import World

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


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "demo"])  # its document: tests/test_demo.py
def test_document(command: str, world: World, snapshot: SnapshotAssertion) -> None:
    assert shape_of(world.ran(command).result) == snapshot


@pytest.mark.parametrize(
    "words", [["bundle", "nowhere.onnx"], ["predict", "--threads", "none"]], ids=["error", "usage"]
)
def test_document_of_what_went_wrong(words: list[str], run: Run, snapshot: SnapshotAssertion) -> None:
    result = run(*words, "--json")
    assert (result.code, result.json) == snapshot
