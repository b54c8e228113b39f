"""Tables in docs/development of what was found by looking: they are well formed, and the page quotes them rightly."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections import Counter, defaultdict
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.data.tile_grid import read_grid
from crackscope.files.tables import TableForm, TableRow, read_table
from crackscope.measuring.transfer_sets import read_photo_list

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "development"
STRETCHES = ("surface", "photo", "row", "col", "rows", "cols", "reserved", "verdict", "seen")
VERDICTS = ("free", "doubted", "crack")
SURFACES = {"D": "decks", "P": "pavements", "W": "walls"}
GRID_ROWS = {"D": 14, "P": 13, "W": 14}  # of 18 tiles each
TUNNEL_SIDES = {"1.png": 512, "2.png": 512, "3.png": 512, "4.png": 400, "5.png": 400, "6.png": 400}


def rows_of(name: str, *columns: str) -> list[TableRow]:
    """All rows of a table that must have a value in every column."""
    return list(read_table(FOLDER / name, TableForm(required=columns, complete=True)))


def test_joints_of_the_tunnel_photos_lie_in_their_photos_and_are_as_long_as_the_page_says() -> None:
    traces: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows_of("tunnel_joints.csv", "photo", "joint", "point", "x", "y"):
        trace = traces[row["photo"], row["joint"]]
        trace.append((float(row["x"]), float(row["y"])))
        assert int(row["point"]) == len(trace), row.where
        assert all(0 <= place <= TUNNEL_SIDES[row["photo"]] - 1 for place in trace[-1]), row.where
    assert {joint.partition("-")[0] for _, joint in traces} == {"line", "edge"}
    assert all(len(trace) >= 2 for trace in traces.values())
    page = (FOLDER / "lines.md").read_text(encoding="utf-8")
    for photo in TUNNEL_SIDES:
        cells = [photo, f"{TUNNEL_SIDES[photo]}×{TUNNEL_SIDES[photo]}"]
        for kind in ("line-", "edge-"):
            found = [points for (of, joint), points in traces.items() if of == photo and joint.startswith(kind)]
            length = sum(math.dist(*piece) for points in found for piece in pairwise(points))
            cells += [str(len(found)), f"{length:,.0f}"]
        assert f"| {' | '.join(cells)} |" in page


def test_stretches_without_a_crack_label_are_well_formed_and_counted_as_the_page_says() -> None:
    rows = rows_of("sdnet2018_stretches.csv", *STRETCHES)
    names = [f"{row['surface']}-{row['photo']}" for row in rows]
    assert names == sorted(set(names))
    for row in rows:
        top, left, n_rows, n_cols = (int(row[column]) for column in STRETCHES[2:6])
        assert min(n_rows, n_cols) >= 6, row.where
        assert 0 <= top <= GRID_ROWS[row["surface"]] - n_rows, row.where
        assert 0 <= left <= 18 - n_cols, row.where
        assert row["reserved"] in ("yes", "no"), row.where
        assert row["verdict"] in VERDICTS, row.where
    found = Counter((row["surface"], row["reserved"], row["verdict"]) for row in rows)
    page = (FOLDER / "lines.md").read_text(encoding="utf-8")
    for surface, reserved in product(SURFACES, ("no", "yes")):
        counts = [found[surface, reserved, verdict] for verdict in VERDICTS]
        free = [row for row in rows if (row["surface"], row["reserved"], row["verdict"]) == (surface, reserved, "free")]
        megapixels = sum(int(row["rows"]) * int(row["cols"]) for row in free) * 256**2 / 1e6
        cells = (SURFACES[surface], reserved, sum(counts), *counts, f"{megapixels:,.0f}")
        assert f"| {' | '.join(map(str, cells))} |" in page


@pytest.fixture(scope="module")
def stretches_tool() -> Any:
    """The program that lists the stretches."""
    spec = importlib.util.spec_from_file_location("crack_free_stretches", ROOT / "tools" / "crack_free_stretches.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where `dataclass` looks for it
    spec.loader.exec_module(module)
    return module


def test_the_stretches_are_those_that_the_program_lists(stretches_tool: Any, real_data: Path) -> None:
    layouts = read_grid(real_data / "sdnet2018_grid.csv")
    reserved = read_photo_list(real_data / "sdnet2018_reserved.csv")
    listed = [tuple(map(str, row)) for row in stretches_tool.stretch_rows(layouts, reserved)]
    assert listed == [
        tuple(row[name] for name in STRETCHES[:7]) for row in rows_of("sdnet2018_stretches.csv", *STRETCHES)
    ]


@given(free=st.sets(st.tuples(st.integers(0, 4), st.integers(0, 4))), least_side=st.integers(1, 3))
def test_a_stretch_is_free_and_none_that_is_free_is_larger_or_comes_before_it(
    stretches_tool: Any, free: set[tuple[int, int]], least_side: int
) -> None:
    tiles = range(5)
    every = [
        (-rows * cols, top, left, rows)
        for top, left in product(tiles, tiles)
        for rows, cols in product(range(least_side, 6 - top), range(least_side, 6 - left))
        if free.issuperset(product(range(top, top + rows), range(left, left + cols)))
    ]
    found = stretches_tool.largest_stretch(free, least_side=least_side)
    assert (None if found is None else found.rank) == min(every, default=None)
