"""Tables in docs/development of what was found by looking: they are well formed, and the page quotes them rightly."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from crackscope.files.tables import TableForm, TableRow, read_table

FOLDER = Path(__file__).parents[1] / "docs" / "development"
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
