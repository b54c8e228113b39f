"""The command line, called in this process."""

from __future__ import annotations

import json
import pprint
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from crackscope.cli import main


class Result(NamedTuple):
    """Outcome of a command: its exit status, and its output on stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


Run = Callable[..., Result]
"""The fixture `run`: takes the words of a command, without `crackscope`."""


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Call a command and return its exit status; `capsys` keeps its output."""
    monkeypatch.setattr(sys, "argv", ["crackscope", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def shape_of(result: Result) -> str:
    """Give exit status, `status`, and the keys and types of a document: all that is the same on every machine.

    A list is told by the shapes that its items have, each once.
    """
    document = _shape(result.json) | {"status": result.json["status"]}
    return f"exit {result.code}\n{pprint.pformat(document, width=110)}"


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        shapes = [_shape(item) for item in value]
        return [one for i, one in enumerate(shapes) if one not in shapes[:i]]
    return "null" if value is None else type(value).__name__
