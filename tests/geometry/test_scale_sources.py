"""The most trusted source gives the scale of a photo, and the others are compared with it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crackscope.arrays import UInt8Array
from crackscope.drawing.drawn_camera import seen_at
from crackscope.errors import DataError
from crackscope.files.images import Image
from crackscope.files.lens_facts import LensFacts
from crackscope.geometry.markers import MarkerKind
from crackscope.geometry.references import Reference
from crackscope.geometry.scale import Scale
from crackscope.geometry.scale_sources import PhotoScale, ScaleNote, ScaleSources, photo_scale_of, sources_of
from crackscope.geometry.scale_table import ScaleTable, read_scales
from shared.marked import FAMILY, SIDE_MM, Laid, marked_photo, view_of

HW = (260, 340)
VIEW = view_of(HW, tilt_deg=30, towards_deg=90)
KIND = MarkerKind(FAMILY, SIDE_MM)
FACING = LensFacts(subject_distance_m=1.25, focal_px=2500, digital_zoom=1, recorded_wh_px=(340, 260))  # 0.5 mm per px
FAR = LensFacts(subject_distance_m=2.5, focal_px=2500, digital_zoom=1, recorded_wh_px=(340, 260))


@cache
def pixels(*, mirrored: bool = False) -> UInt8Array:
    photo = marked_photo(VIEW, HW, [Laid()])
    return np.ascontiguousarray(photo[:, ::-1]) if mirrored else photo


def reference_of(length_mm: float = 40.0, *, error: float = 1.0) -> Reference:
    """A reference across the tilt, beside the marker, that a person read with an error."""
    (x0, y0), (x1, y1) = seen_at(VIEW, [(40, -length_mm / 2), (40, length_mm / 2)])
    return Reference(x0, y0, x1, y1, error * length_mm)


def table_of(row: Scale | Reference) -> ScaleTable:
    return ScaleTable("scales.csv", {"a.jpg": row}, {"a.jpg": "scales.csv, row 2"})


def found(lens: LensFacts | None = None, *, mirrored: bool = False, **sources: Any) -> PhotoScale:
    return photo_scale_of(Image(pixels(mirrored=mirrored), "a.jpg", lens=lens), ScaleSources(**sources))


def test_sources_are_taken_in_the_order_of_trust() -> None:
    every: dict[str, Any] = {
        "reference": reference_of(),
        "marker": KIND,
        "table": table_of(Scale(0.51, 0.01, "table")),
        "given": Scale(0.5),
    }
    for source in (*every, "camera"):
        result = found(FACING, **every)
        assert result.scale is not None
        assert result.scale.source == source
        order = [*every, "camera"]
        assert [note.source for note in result.notes] == order[order.index(source) + 1 :]
        every.pop(source, None)
    assert found() == PhotoScale()


def test_two_points_of_a_table_are_a_reference() -> None:
    result = found(marker=KIND, table=table_of(reference_of()))
    assert result.scale is not None
    assert (result.scale.source, [note.source for note in result.notes]) == ("reference", ["marker"])


def test_sources_that_agree_are_told_so() -> None:
    result = found(FACING, marker=KIND, reference=reference_of(), given=Scale(0.5, 0.02))
    assert [note.agrees for note in result.notes] == [True] * 3
    assert not any(note.is_warning for note in result.notes)
    assert result.notes[0].text.startswith("marker: 0.5")
    assert result.notes[0].text.endswith("than the scale used; the two agree")


@pytest.mark.parametrize(
    "sources",
    [
        {"reference": reference_of(error=1.1), "marker": KIND},
        {"marker": KIND, "given": Scale(0.7)},
        {"given": Scale(0.7, 0.01), "lens": FACING},
        {"marker": KIND, "lens": FAR},
        {"given": Scale(0.5, 0.001), "table": table_of(Scale(0.55, 0.001, "table"))},
    ],
)
def test_sources_that_disagree_are_a_warning(sources: dict[str, Any]) -> None:
    result = found(sources.pop("lens", None), **sources)
    assert result.scale is not None
    (note,) = result.notes
    assert note.agrees is False
    assert note.is_warning
    assert note.text.endswith("the two disagree")
    assert note.difference is not None
    assert abs(note.difference) > 0.05


def test_a_marker_is_compared_along_the_reference() -> None:
    """Across the tilt, where the reference lies, a marker that is tilted by 30° says 7 % less than on the whole."""
    result = found(reference=reference_of(), marker=KIND)
    (note,) = result.notes
    assert note.difference is not None
    assert note.mm_per_px is not None
    assert result.scale is not None
    assert abs(note.difference) < 0.02
    assert abs(note.mm_per_px / result.scale.mm_per_px - 1) > 0.03  # the mean of all directions


def test_a_marker_that_is_not_there_leaves_its_place_to_the_next_source() -> None:
    result = found(FACING, marker=MarkerKind("4X4_50", SIDE_MM))
    assert result.scale is not None
    assert result.scale.source == "camera"
    (note,) = result.notes
    assert note.text == "marker: no marker of 4X4_50 is seen whole"
    assert note.is_warning


def test_a_mirrored_marker_is_no_scale_whatever_else_is_known() -> None:
    result = found(FACING, mirrored=True, marker=KIND, given=Scale(0.5))
    assert result.scale is None
    assert [note.source for note in result.notes] == ["marker", "given", "camera"]
    assert "mirrored" in str(result.notes[0].reason)
    assert [note.mm_per_px for note in result.notes] == [None, 0.5, pytest.approx(0.5)]
    assert [note.agrees for note in result.notes] == [None] * 3
    assert result.notes[1].text == "given: 0.5 mm per px"


def test_a_reference_outside_of_the_photo_is_no_scale() -> None:
    result = found(given=Scale(0.5), reference=Reference(0, 0, 900, 0, 50))
    assert result.scale is None
    assert "lies outside" in result.notes[0].text


def test_camera_data_that_are_refused_are_no_warning() -> None:
    result = found(LensFacts(relative_altitude_m=8.0), given=Scale(0.5))
    (note,) = result.notes
    assert "only the height above take-off" in note.text
    assert not note.is_warning


def test_a_row_belongs_to_its_photo_alone() -> None:
    other = Image(pixels(), "b.jpg")
    assert photo_scale_of(other, ScaleSources(table=table_of(Scale(0.5)))) == PhotoScale()


def test_a_scale_from_elsewhere_keeps_its_source_and_plane() -> None:
    by_marker = found(marker=KIND).scale
    assert by_marker is not None
    assert found(given=by_marker).scale == by_marker


def test_a_place_beyond_the_horizon_is_not_compared() -> None:
    steep = view_of((400, 300), tilt_deg=60, towards_deg=0, focal_px=120.0, mm_per_px=0.6)
    plane_scale = photo_scale_of(Image(marked_photo(steep, (400, 300))), ScaleSources(marker=KIND)).scale
    if plane_scale is None:
        pytest.skip("so steep a marker is not found")
    reference = Reference(10, 2, 200, 2, 50)
    result = photo_scale_of(
        Image(np.zeros((400, 300, 3), np.uint8)), ScaleSources(reference=reference, given=plane_scale)
    )
    (note,) = result.notes
    assert note.difference is None or math.isfinite(note.difference)


# What a user gives


def test_a_reference_is_for_one_photo() -> None:
    sources = ScaleSources(reference=reference_of())
    sources.require_fit(["a.jpg"])
    with pytest.raises(DataError, match=r"names two points of one photo, and 2 are to be scanned\. Give a table"):
        sources.require_fit(["a.jpg", "b.jpg"])


def test_a_table_names_photos_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "scales.csv").write_text("path,mm_per_px\nc.jpg,0.3\n", encoding="utf-8")
    sources = ScaleSources(table=read_scales(tmp_path / "scales.csv"))
    with pytest.raises(DataError, match=r"'c\.jpg' is none of the 1 photos"):
        sources.require_fit(["a.jpg"])


def test_a_scale_or_sources_may_be_given() -> None:
    assert sources_of(None) == ScaleSources()
    assert sources_of(Scale(0.3)) == ScaleSources(given=Scale(0.3))
    sources = ScaleSources(marker=KIND)
    assert sources_of(sources) is sources
    number: Any = 0.3
    with pytest.raises(DataError, match=r"scale is 0\.3; it must be a scale such as crackscope\.Scale\(0\.3\)"):
        sources_of(number)


def test_settings_differ_where_sources_do() -> None:
    every = [
        ScaleSources(),
        ScaleSources(given=Scale(0.3)),
        ScaleSources(given=Scale(0.3, 0.1)),
        ScaleSources(marker=KIND),
        ScaleSources(marker=MarkerKind(FAMILY, 60)),
        ScaleSources(reference=reference_of()),
        ScaleSources(table=table_of(Scale(0.3))),
        ScaleSources(table=table_of(reference_of())),
    ]
    assert len({json.dumps(one.to_dict()) for one in every}) == len(every)


def test_a_note_survives_json() -> None:
    for note in (ScaleNote("marker", reason="none"), ScaleNote("camera", 0.3, 0.01, -0.2, agrees=False)):
        assert ScaleNote.from_dict(json.loads(json.dumps(asdict(note)))) == note
