"""Tables of cracks tell each crack once, in the order of its number, and never a width below what can be measured."""

from __future__ import annotations

import csv
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crackscope
from crackscope.geometry.cracks import Crack
from crackscope.geometry.scale import Scale
from crackscope.geometry.widths import WidthEstimate, WidthMm, width_text
from crackscope.reports.crack_tables import (
    CRACK_COLUMNS,
    CRACKS_VERSION,
    crack_cells,
    crack_table,
    cracks_document,
)
from crackscope.reports.scan_folder import write_scan
from crackscope.scanning.results import PhotoResult
from shared.cracks import made_crack

TRAINED = Path(__file__).parents[1] / "trained" / "lines.onnx"
SCHEMA = json.loads((resources.files("crackscope") / "assets" / "cracks.schema.json").read_text(encoding="utf-8"))


def photo_of(*cracks: Crack, verdict: str = "crack", scale: Scale | None = None, **changes: Any) -> PhotoResult:
    told: dict[str, Any] = {"traced_by": "fine map", "blur_px": 0.8, "width_px": 1000, "height_px": 500, **changes}
    return PhotoResult("a, b.png", "m@1", verdict=verdict, cracks=cracks, scale=scale, **told)


def rows_of(*photos: PhotoResult) -> list[dict[str, str]]:
    return list(csv.DictReader(crack_table(photos)))


def document_of(*photos: PhotoResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads("".join(cracks_document(photos, "m@1")))
    return found


SHORT_WIDE = made_crack([(10, 10), (60, 10)], 8.0, name="short and wide")
LONG_THIN = made_crack([(10, 50), (310, 50)], 1.0, name="long and thin")
HIDDEN = made_crack([(10, 90), (110, 90)], 0.4, name="hidden", resolved=False)
JOINT = made_crack([(0, 200), (900, 200)], name="joint", joint_like=True)


def test_cracks_are_numbered_by_length_times_width_and_joints_come_last() -> None:
    found = photo_of(JOINT, HIDDEN, LONG_THIN, SHORT_WIDE)
    names = ["short and wide", "long and thin", "hidden", "joint"]
    assert [crack.id for crack in found.numbered_cracks] == names
    rows = rows_of(found)
    assert [(row["number"], row["id"]) for row in rows] == [(str(i), name) for i, name in enumerate(names, 1)]
    assert [row["counted"] for row in rows] == ["yes", "yes", "yes", "no"]
    assert [row["joint_like"] for row in rows] == ["no", "no", "no", "yes"]
    assert [one["id"] for one in document_of(found)["photos"][0]["cracks"]] == names


def test_cracks_of_photos_that_do_not_count_are_listed_but_do_not_count() -> None:
    found = photo_of(SHORT_WIDE, JOINT, verdict="uncracked")
    assert [row["counted"] for row in rows_of(found)] == ["no", "no"]
    assert [one["counted"] for one in document_of(found)["photos"][0]["cracks"]] == [False, False]
    cells = crack_cells(found)
    assert (cells["n_cracks"], cells["crack_length_px"], cells["crack_area_px2"]) == (0, 0.0, 0.0)


def test_a_row_tells_a_crack_in_pixels_and_in_millimetres() -> None:
    scale = Scale(0.5, 0.01)
    crack = made_crack([(10, 10), (110, 10)], 4.0, scale=scale)
    (row,) = rows_of(photo_of(crack, scale=scale))
    assert tuple(row) == CRACK_COLUMNS
    assert (row["photo_rank"], row["path"], row["traced_by"], row["pattern"]) == ("1", "a, b.png", "fine map", "single")
    assert float(row["length_px"]) == pytest.approx(100)
    assert float(row["length_mm"]) == pytest.approx(50)
    assert float(row["length_uncertainty_mm"]) == pytest.approx(1)
    for name in ("median", "p90", "maximum"):
        ends = [row[f"{name}_width_{part}px"] for part in ("", "low_", "high_")]
        assert ends == ["4.0", "3.2", "5"]
        assert row[f"{name}_width_mm"] == "2.00"
        assert 1 < float(row[f"{name}_width_low_mm"]) < 2 < float(row[f"{name}_width_high_mm"]) < 3
    assert (row["smallest_width_px"], row["smallest_width_mm"]) == ("0.94", "0.47")
    assert [float(row[f"{side}_px"]) for side in ("left", "top", "right", "bottom")] == [10, 10, 110, 10]
    (without,) = rows_of(photo_of(made_crack([(10, 10), (110, 10)], 4.0)))
    assert {name for name in CRACK_COLUMNS if not without[name]} == {name for name in CRACK_COLUMNS if "mm" in name}


def test_a_width_that_is_hidden_is_told_as_below_what_can_be_measured() -> None:
    scale = Scale(0.1)
    (row,) = rows_of(photo_of(made_crack([(0, 0), (50, 0)], 0.3, resolved=False, scale=scale), scale=scale))
    assert (row["median_width_px"], row["median_width_mm"]) == ("< 1.0", "< 0.10")
    assert (row["median_width_low_px"], row["median_width_high_px"]) == ("0", "0.375")


@given(st.floats(0.01, 9), st.floats(0.1, 3), st.booleans())
def test_no_width_is_printed_below_the_smallest_that_can_be_measured(best: float, least: float, said: bool) -> None:
    resolved = said and best >= least  # as the measurement decides
    for width in (WidthEstimate(best, 0.0, 1.1 * best, resolved), WidthMm(best, 0.0, 1.1 * best, resolved)):
        text = width_text(width, least)
        assert text.startswith("< ") != resolved
        assert float(text.removeprefix("< ")) >= least - 1e-6
        assert float(text.removeprefix("< ")) == pytest.approx(best if resolved else max(1.1 * best, least), abs=0.1)


def test_the_cells_of_a_photo_sum_up_its_cracks() -> None:
    cells = crack_cells(photo_of(SHORT_WIDE, LONG_THIN, HIDDEN, JOINT))
    assert cells["n_cracks"] == 3
    assert cells["crack_length_px"] == pytest.approx(450)
    assert cells["crack_area_px2"] == pytest.approx(400 + 300 + 40)
    assert cells["greatest_median_width_px"] == "8.0"
    assert [name for name, value in cells.items() if value is None] == [name for name in cells if "mm" in name]
    assert crack_cells(photo_of(HIDDEN))["greatest_median_width_px"] == "< 1.0"
    wide_but_hidden = made_crack([(0, 0), (50, 0)], 9.0, resolved=False)
    assert crack_cells(photo_of(SHORT_WIDE, wide_but_hidden))["greatest_median_width_px"] == "8.0"
    assert set(crack_cells(photo_of(traced_by=None)).values()) == {None}


def test_the_cells_of_a_photo_with_a_scale_are_in_millimetres_too() -> None:
    scale = Scale(0.5)
    photo = photo_of(made_crack([(0, 0), (100, 0)], 4.0, scale=scale), scale=scale)
    assert photo.blur_px is not None
    smallest_mm = 0.5 * (photo.blur_px**2 + 1 / 12) ** 0.5
    cells = crack_cells(photo)
    assert (cells["crack_length_mm"], cells["crack_area_mm2"]) == pytest.approx((50, 100))
    assert (cells["greatest_median_width_mm"], cells["smallest_width_mm"]) == ("2.00", pytest.approx(smallest_mm))
    nothing = crack_cells(photo_of(scale=scale))
    assert (nothing["n_cracks"], nothing["crack_length_mm"], nothing["crack_area_mm2"]) == (0, 0.0, 0.0)


# The document


def validate(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


def test_the_schema_is_a_schema_and_describes_each_field() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for name, part in [("root", SCHEMA), *SCHEMA["$defs"].items()]:
        assert part["required"] == list(part["properties"]), name
        for key, value in part["properties"].items():
            assert re.search(r"[.]$", value["description"]), (name, key)


def names_in(value: Any) -> set[str]:
    """Names of all fields in a document."""
    if isinstance(value, dict):
        return {*value, *(name for inner in value.values() for name in names_in(inner))}
    return {name for inner in value for name in names_in(inner)} if isinstance(value, list) else set()


def test_a_document_of_made_cracks_fits_the_schema_and_gives_the_cracks_back() -> None:
    scale = Scale(0.5)
    measured = made_crack([(0, 0), (100, 30)], scale=scale)
    photos = [photo_of(measured, JOINT, scale=scale), photo_of(traced_by=None), photo_of(), photo_of(HIDDEN)]
    document = document_of(*photos)
    validate(document)
    assert (document["schema_version"], document["model"]) == (CRACKS_VERSION, "m@1")
    assert [photo["rank"] for photo in document["photos"]] == [1, 3, 4]  # the second was not traced
    assert [Crack.from_dict(one) for one in document["photos"][0]["cracks"]] == [measured, JOINT]
    validate(document_of())
    with pytest.raises(jsonschema.ValidationError):
        validate({**document, "schema_version": 2})


def test_what_a_scan_writes_fits_the_schema(tmp_path: Path) -> None:
    photos = [crackscope.draw_photo(seed, photo_hw=(300, 500)).pixels for seed in range(2)]
    write_scan(photos, TRAINED, out=tmp_path / "scan", scale=Scale(0.3, 0.01), trace="all", threads=1)
    text = (tmp_path / "scan" / "cracks.json").read_text(encoding="utf-8")
    document = json.loads(text)
    validate(document)
    parts = [SCHEMA, SCHEMA["properties"]["units"], *SCHEMA["$defs"].values()]
    told = {name for part in parts for name in part["properties"]}
    assert names_in(document) <= told
    cracks = [crack for photo in document["photos"] for crack in photo["cracks"]]
    assert len(cracks) > 1
    lines = text.splitlines()
    assert sum(line.lstrip().startswith('{"number": ') for line in lines) == len(cracks)  # a line a crack
    with (tmp_path / "scan" / "cracks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [crack["id"] for crack in cracks]
    lengths = [float(row["length_px"]) for row in rows]
    assert lengths == pytest.approx([crack["length_px"] for crack in cracks], rel=1e-5)
