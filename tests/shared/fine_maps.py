"""A fine map for models that have none."""

from __future__ import annotations

import pytest

from crackscope.measuring import photo_evaluation
from crackscope.measuring.lines import LineMap
from crackscope.scanning.crack_map import CrackMap

__all__ = ["pretend_fine_maps"]


def pretend_fine_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the strengths of the crack map's own cells stand for a fine map."""

    def cells(found: CrackMap) -> LineMap:
        return LineMap(found.strengths, found.cell_px, found.photo_hw)

    monkeypatch.setattr(photo_evaluation, "line_map_of", cells)
