"""Printed markers are true to scale, and a photo of the sheet gives the scale back."""

from __future__ import annotations

import io
import re
import zlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from crackscope.arrays import UInt8Array
from crackscope.drawing.drawn_camera import flat_picture, photograph, plane_in_view
from crackscope.errors import DataError, OutputError
from crackscope.geometry.markers import DICTIONARIES, MarkerKind, find_markers, marker_bits, marker_scale
from crackscope.geometry.scale import NoScale, Scale
from crackscope.reports.marker_sheets import PAPERS_MM, marker_sheet, numbers_on_sheets, write_markers
from shared.marked import off_by

DPI = 300
KIND = MarkerKind("APRILTAG_36h11", 50)


@cache
def sheet(paper: str = "a4", kind: MarkerKind = KIND) -> UInt8Array:
    """A sheet in grey levels at 300 dpi."""
    content = io.BytesIO()
    (numbers,) = numbers_on_sheets(kind, paper)
    marker_sheet(kind, paper, numbers).savefig(content, format="png", dpi=DPI)
    return np.asarray(cv2.imdecode(np.frombuffer(content.getvalue(), np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


@pytest.mark.parametrize("paper", PAPERS_MM)
def test_the_sheet_has_the_size_of_the_paper_and_markers_of_their_side(paper: str) -> None:
    levels = sheet(paper)
    width_mm, height_mm = PAPERS_MM[paper]
    assert levels.shape == pytest.approx((height_mm / 25.4 * DPI, width_mm / 25.4 * DPI), abs=1)
    found = find_markers(levels, KIND.dictionary)
    assert sorted(one.id for one in found) == [*range(9)]
    for one in found:
        assert one.side_px == pytest.approx(50 / 25.4 * DPI, rel=0.0007)


@pytest.mark.parametrize(("tilt_deg", "turn_deg"), [(0, 3), (25, -8), (40, 15)])
def test_a_photo_of_the_sheet_gives_its_scale_back(tilt_deg: float, turn_deg: float) -> None:
    hw = (560, 520)
    view = plane_in_view(
        mm_per_px=0.55, at_px=(260, 300), tilt_deg=tilt_deg, towards_deg=70, turn_deg=turn_deg, focal_px=1500
    )
    scene = flat_picture(sheet(), mm_per_px=25.4 / DPI)
    photo = photograph(scene, view, photo_hw=hw, blur_px=0.9, noise_levels=3, jpeg_quality=85)
    scale = marker_scale(photo, KIND)
    assert isinstance(scale, Scale), scale
    for place in ((0.0, 0.0), (-60.0, -70.0), (60.0, 40.0), (0.0, 90.0)):
        for along in (0.0, 90.0):
            assert abs(off_by(scale, view, place, along_deg=along)) <= 0.003


def test_the_sheet_seen_in_a_mirror_gives_none() -> None:
    scene = flat_picture(np.ascontiguousarray(sheet()[:, ::-1]), mm_per_px=25.4 / DPI)
    photo = photograph(scene, plane_in_view(mm_per_px=0.55, at_px=(260, 300)), photo_hw=(560, 520))
    found = marker_scale(photo, KIND)
    assert isinstance(found, NoScale)
    assert "mirrored" in found.reason


def test_no_seam_shows_between_white_squares() -> None:
    levels = sheet()
    for one in find_markers(levels, KIND.dictionary):
        bits = marker_bits(KIND.dictionary, one.id)
        (left, top), (right, bottom) = one.fitted.corners_xy[0], one.fitted.corners_xy[2]
        rows, columns = (
            np.linspace(low, high, 8 * 50 + 1)[1:-1].round().astype(int) for low, high in ((top, bottom), (left, right))
        )
        white = np.kron(bits > 0, np.ones((50, 50), bool))[1:, 1:]
        inner = cv2.erode(white.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert levels[np.ix_(rows, columns)][inner].min() >= 240


def test_the_pdf_is_true_to_scale_and_the_same_each_time(tmp_path: Path) -> None:
    assert write_markers(tmp_path / "a.pdf", first=3) == [*range(3, 12)]
    write_markers(tmp_path / "b.pdf", first=3)
    content = (tmp_path / "a.pdf").read_bytes()
    assert content == (tmp_path / "b.pdf").read_bytes()
    assert b"CreationDate" not in content
    boxes = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", content)
    assert len(boxes) == 1
    assert [float(side) for side in boxes[0]] == pytest.approx([210 / 25.4 * 72, 297 / 25.4 * 72], abs=0.01)
    streams = [_unpacked(one) for one in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)]
    page = next(one for one in streams if one.count(b" re") > 9 or one.count(b" l\n") > 99).decode("latin-1")
    corners = re.findall(r"([\d.]+) ([\d.]+) m\n([\d.]+) ([\d.]+) l\n([\d.]+) ([\d.]+) l", page)
    widths = {round(abs(float(x1) - float(x0)), 2) for x0, _, x1, _, _, _ in corners}
    assert round(50 / 25.4 * 72, 2) in widths  # the side of a marker, in points


def _unpacked(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def test_every_family_fits_on_every_paper() -> None:
    for family in DICTIONARIES:
        for paper in PAPERS_MM:
            (numbers,) = numbers_on_sheets(MarkerKind(family, 50), paper)
            assert len(numbers) >= 9


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"paper": "a5"}, "paper is 'a5'; it must be a4 or letter"),
        ({"marker": MarkerKind("4X4_50", 500)}, "a side of 500 mm does not fit on a4: at most 180 mm do"),
        ({"sheets": 0}, "there must be at least 1 sheet"),
        ({"first": -1}, "from marker 0 on"),
        ({"marker": MarkerKind("APRILTAG_16h5", 50), "sheets": 4}, "need 36 markers, and APRILTAG_16h5 has 30"),
    ],
)
def test_what_cannot_be_printed_is_told(tmp_path: Path, choices: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        write_markers(tmp_path / "a.pdf", **choices)  # type: ignore[arg-type]
    assert not (tmp_path / "a.pdf").exists()


def test_a_taken_place_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="exists"):
        write_markers(tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_text(encoding="utf-8") == "mine"
    write_markers(tmp_path / "a.pdf", overwrite=True)
    with pytest.raises(OutputError, match=r"must end in \.pdf; found '\.png'"):
        write_markers(tmp_path / "a.png")
