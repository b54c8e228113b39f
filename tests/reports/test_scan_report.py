"""The page of a scan says what was found, can be sent to anybody, and works in a browser for everybody."""

from __future__ import annotations

import base64
import dataclasses
import html.parser
import json
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from crackscope.arrays import Int64Array, UInt8Array
from crackscope.drawing.walls import draw_photo
from crackscope.errors import ImageError
from crackscope.files.pictures import picture_bytes
from crackscope.geometry.planes import Plane
from crackscope.geometry.references import Reference
from crackscope.geometry.scale import Scale
from crackscope.geometry.scale_sources import ScaleNote
from crackscope.model.bundle import Head, compose, read_backbone, read_bundle, write_model
from crackscope.model.card import Calibration, TrainingData, Verdict
from crackscope.reports.page import data_uri, environment
from crackscope.reports.scan_report import write_scan_report
from crackscope.reports.scanned_rows import PHOTO_COLUMNS, ScannedRow, cells_name, rank, thumb_name
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.photo_scan import Trace
from crackscope.scanning.regions import Region
from crackscope.scanning.results import PhotoResult
from shared.cracks import made_crack
from shared.models import tiny_card

VERDICT = Verdict(
    threshold=0.8, unsure_low=0.6, stretch_px=1024, n_clean=120, false_alarm_rate=0.05, n_cracked=30, missed_rate=0.1
)
PHOTO = Calibration(temperature=1.0, threshold=0.5, unsure_low=0.5, unsure_high=0.5)
REGION = Region(1, (0, 0, 32, 32), 1024, peak_probability=0.9, mean_probability=0.8, peak_xy=(16, 16))


@pytest.fixture(scope="module")
def make_model(backbone_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Model]:
    def make(**changes: object) -> Model:
        place = tmp_path_factory.mktemp("bundle") / "tiny.onnx"
        head = Head(np.ones((1, 16), np.float32), np.zeros(1, np.float32), temperature=2.0)
        write_model(compose(read_backbone(backbone_file), head, tiny_card(**changes)), place)
        return Model(read_bundle(place), threads=1)

    return make


@pytest.fixture(scope="module")
def model(make_model: Callable[..., Model]) -> Model:
    data = TrainingData(name="walls & <bridges>", n_crack=1, n_uncracked=1)
    return make_model(photo=PHOTO, verdict=VERDICT, training_data=(data,))


def row_of(
    path: str,
    probability: float | None = 0.9,
    *,
    hw: tuple[int, int] = (96, 128),
    n_regions: int = 2,
    map_name: str | None = None,
    **changes: Any,
) -> ScannedRow:
    if probability is None:
        return ScannedRow(PhotoResult(path, "m", **{"error": "the file is empty", **changes}))
    name = zlib.crc32(path.encode(errors="surrogatepass"))
    found: dict[str, Any] = {
        **{"verdict": VERDICT.label(probability), "crack_probability": probability},
        **{"threshold": VERDICT.threshold, "regions": (REGION,) * n_regions, "unit": "photo"},
        **{"height_px": hw[0], "width_px": hw[1], "network_scale": 1.0},
        **changes,
    }
    return ScannedRow(PhotoResult(path, "m", **found), map_name or f"maps/{name}.png", f"overlays/{name}.jpg")


def levels_of(row: ScannedRow) -> UInt8Array:
    """Levels of the map: each from 0 to 255 in turn, row by row."""
    found = row.result
    assert found.height_px is not None
    assert found.width_px is not None
    assert found.network_scale is not None
    n_rows, n_columns = (-(-round(side * found.network_scale) // 32) for side in (found.height_px, found.width_px))
    return (np.arange(n_rows * n_columns) * 37 % 256).astype(np.uint8).reshape(n_rows, n_columns)


def strengths_of(row: ScannedRow) -> UInt8Array:
    """Levels of the cells: those of the map, upside down."""
    return np.ascontiguousarray(levels_of(row)[::-1])


THUMB = picture_bytes(np.full((30, 40, 3), 128, np.uint8), ".jpg")


def write(folder: Path, model: Model, rows: list[ScannedRow], *, gone: str = "nothing", trace: Trace = "found") -> str:
    """The text of the page; the photos are grey, but for those in `gone`, which cannot be read any more."""
    for name in ("maps", "cells", "thumbs"):
        (folder / name).mkdir(exist_ok=True)
    for row in rows:
        if row.map:
            (folder / row.map).write_bytes(picture_bytes(levels_of(row), ".png"))
            (folder / cells_name(row.map)).write_bytes(picture_bytes(strengths_of(row), ".png"))
            (folder / thumb_name(row.overlay or "")).write_bytes(THUMB)

    def read_photo(row: ScannedRow) -> UInt8Array:
        if row.result.path == gone:
            raise ImageError("cannot be read")
        return np.full((row.result.height_px or 0, row.result.width_px or 0, 3), 128, np.uint8)

    write_scan_report(rank(rows), folder, model, read_photo=read_photo, trace=trace)
    return (folder / "report.html").read_text(encoding="utf-8")


class Parsed(html.parser.HTMLParser):
    """Tags that are open at the end, what a browser would fetch, attributes of canvases and images, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: dict[str, list[dict[str, str | None]]] = {}
        self.words = ""
        self.feed(text)
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.setdefault(tag, []).append(given)
        names = ("src", "href", "srcset", "action", "data", "poster")
        self.fetched += [value for name in names if (value := given.get(name)) is not None]
        if tag not in ("meta", "img", "input", "link", "br"):
            self.open.append(tag)

    @property
    def photos(self) -> list[dict[str, str | None]]:
        """Pictures of whole photos, without crops and thumbnails."""
        return [image for image in self.tags["img"] if (image["alt"] or "").startswith("Photo ")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words += f" {data}"


# What the page says


def test_the_page_is_well_formed_and_holds_all_it_needs(model: Model, tmp_path: Path) -> None:
    text = write(tmp_path, model, [row_of("a.png"), row_of("b.png", 0.7), row_of("c.png", None)])
    page = Parsed(text)
    assert page.open == []
    assert len(page.fetched) == 6
    pictures = [address for address in page.fetched if not address.startswith("#photo-")]
    assert len(pictures) == 4  # photos and thumbnails
    assert all(address.startswith("data:image/jpeg;base64,") for address in pictures)
    assert not re.search(r"@import|url\(|https?:|fetch\(|XMLHttpRequest|import\(", text)
    assert "link" not in page.tags
    assert all(image["alt"] is not None for image in page.tags["img"])
    assert str(tmp_path) not in text


def test_photos_are_shown_in_their_order_with_their_maps(model: Model, tmp_path: Path) -> None:
    rows = [row_of("low.png", 0.1), row_of("high.png", 0.95, hw=(300, 410)), row_of("middle.png", 0.7)]
    page = Parsed(write(tmp_path, model, rows))
    assert [image["alt"] for image in page.photos] == ["Photo high.png", "Photo middle.png", "Photo low.png"]
    for canvas, row in zip(page.tags["canvas"], (rows[1], rows[2], rows[0]), strict=True):
        levels = levels_of(row)
        assert base64.b64decode(canvas["data-levels"] or "") == levels.tobytes()
        assert base64.b64decode(canvas["data-strengths"] or "") == strengths_of(row).tobytes()
        assert (canvas["data-rows"], canvas["data-columns"]) == tuple(map(str, levels.shape))
    assert page.tags["canvas"][0]["style"] == "width:101.4634%;height:106.6667%"  # 13 of 32 px over 410, 10 over 300
    assert "1. high.png crack" in page.words
    assert "2. middle.png unsure" in page.words
    assert "3. low.png uncracked" in page.words


def test_a_photo_is_shown_in_a_copy_of_at_most_1280_px(model: Model, tmp_path: Path) -> None:
    page = Parsed(write(tmp_path, model, [row_of("large.png", hw=(600, 2560)), row_of("small.png", 0.8)]))
    for image, hw in zip(page.photos, ((300, 1280), (96, 128)), strict=True):
        content = base64.b64decode((image["src"] or "").removeprefix("data:image/jpeg;base64,"))
        shown = np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR))
        assert shown.shape[:2] == hw
        assert (image["height"], image["width"]) == tuple(map(str, hw))


def test_24_photos_are_shown_2000_listed_and_the_rest_is_counted(model: Model, tmp_path: Path) -> None:
    rows = [row_of(f"{i}.png", 0.9 - i / 3000, map_name="maps/all.png") for i in range(2003)]
    page = Parsed(write(tmp_path, model, [*rows, *(row_of(f"broken {i}.png", None) for i in range(53))]))
    assert len(page.photos) == len(page.tags["canvas"]) == 24
    thumbs = [image["src"] or "" for image in page.tags["img"] if image["alt"] == ""]
    assert [source.startswith("data:image/jpeg;base64,") for source in thumbs] == [True] * 500 + [False] * 1500
    assert thumbs[500] == f"thumbs/{zlib.crc32(b'500.png')}.jpg"
    links = [link["href"] for link in page.tags["a"]]
    assert links[:24] == [f"#photo-{i}" for i in range(1, 25)]
    assert links[24] == f"overlays/{zlib.crc32(b'24.png')}.jpg"
    assert {f"#{figure['id']}" for figure in page.tags["figure"]} == set(links[:24])
    assert len(page.tags["tr"]) == 1 + 2000 + 1 + 50
    assert "The first 2,000; all 2,003 are in photos.csv." in page.words
    assert "The first 50 of 53; all are in photos.csv." in page.words
    assert "of 2,003 photos show a crack" in page.words
    assert "53 files could not be read" in page.words


def test_a_photo_that_went_since_is_listed_but_not_shown(model: Model, tmp_path: Path) -> None:
    page = Parsed(write(tmp_path, model, [row_of("here.png"), row_of("gone.png", 0.8)], gone="gone.png"))
    assert [image["alt"] for image in page.photos] == ["Photo here.png"]
    assert page.words.count("gone.png") == 2


def test_names_are_text_and_never_markup(model: Model, tmp_path: Path) -> None:
    names = [
        "<script>alert(1)</script>.png",
        '"><img src=x onerror=alert(1)>.png',
        "{{ 7*7 }}.png",
        "w\udcff &amp;.png",
    ]
    rows = [*map(row_of, names), row_of("<b>.png", None, error="<i>damaged</i>")]
    text = write(tmp_path, model, rows)
    page = Parsed(text)
    assert page.open == []
    assert len(page.tags["script"]) == 1
    assert len(page.photos) == 4
    assert not {"b", "i"} & set(page.tags)
    for name in (*names[:3], "w\\udcff &amp;.png", "<b>.png", "<i>damaged</i>", "walls & <bridges>"):
        assert name in page.words


@pytest.mark.parametrize(
    ("probabilities", "heading", "lead"),
    [
        ([], "0 of 0 photos show a crack", "show a crack The model looks for cracks, and"),
        ([0.9], "1 of 1 photo shows a crack", "shows a crack The model looks for cracks, and"),
        ([0.1], "0 of 1 photo shows a crack", "The model sees no crack in 1 photo. The model looks for cracks, and"),
        (
            [0.9, 0.7, 0.65, 0.1],
            "1 of 4 photos shows a crack",
            "The model is unsure about 2 photos. The model sees no crack in 1 photo. The photos with the largest",
        ),
        ([None], "0 of 0 photos show a crack", "1 file could not be read."),
        ([None, None, 0.7], "0 of 1 photo shows a crack", "unsure about 1 photo. 2 files could not be read."),
    ],
)
def test_the_counts_stand_at_the_top(
    model: Model, tmp_path: Path, probabilities: list[float | None], heading: str, lead: str
) -> None:
    rows = [row_of(f"{i}.png", probability) for i, probability in enumerate(probabilities)]
    page = Parsed(write(tmp_path, model, rows))
    assert heading in page.words
    assert lead in page.words
    assert ("Refused files" in page.words) == (None in probabilities)
    assert ("All photos" in page.words) == any(probability is not None for probability in probabilities)
    assert ("Show regions" in page.words) == any(probability is not None for probability in probabilities)


def test_the_page_says_what_counts_and_how_often_that_errs(
    model: Model, make_model: Callable[..., Model], tmp_path: Path
) -> None:
    words = Parsed(write(tmp_path, model, [row_of("a.png")])).words
    assert f"Model {model.name} trained on walls & <bridges>" in words
    assert "A region counts from 0.500" in words
    assert "A photo is crack from 0.800 greatest probability of any such square in it; unsure from 0.600" in words
    assert "5.0 % false alarms, 10.0 % missed" in words.replace("\N{NO-BREAK SPACE}", " ")
    assert "on square stretches of 1024 px: 120 without a crack, 30 with" in words
    words = Parsed(write(tmp_path, make_model(), [row_of("a.png")])).words
    assert "not measured this model was trained and calibrated on patches only" in words
    band = tiny_card().patch
    assert band.unsure_low < band.threshold < band.unsure_high
    assert f"A photo is crack from {band.unsure_high:.3f}" in words
    assert f"; unsure from {band.unsure_low:.3f}" in words
    assert "unstated data" in words
    assert "What is rejected nothing this model has no gate: blurred photos" in words


def test_a_caption_says_what_was_found_when_and_where(model: Model, tmp_path: Path) -> None:
    told = row_of(
        *("a.png", 0.912),
        n_regions=1,
        taken_at=datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone(timedelta(hours=2))),
        latitude_deg=47.51,
        longitude_deg=-8.25,
        page="2 of 3",
    )
    page = Parsed(write(tmp_path, model, [told, row_of("b.png", 0.2, n_regions=0)]))
    words = page.words.replace("\N{NO-BREAK SPACE}", " ")
    assert "Greatest probability 0.912; 1 region ; 128×96 px" in words
    assert "; taken 2024-05-06 07:08; at 47.51000, -8.25000; page 2 of 3 of the file" in words
    assert "Greatest probability 0.200; no regions ; 128×96 px" in words
    assert words.count("taken") == 1


def traced(
    scale: Scale | None = None, *, hw: tuple[int, int] = (96, 128), width_px: float = 3.0, **changes: Any
) -> dict[str, Any]:
    """What a photo with cracks is told: one wide, one that is hidden, and one that looks like a joint."""
    height, width = hw
    cracks = (
        made_crack([(0.1 * width, 0.25 * height), (0.9 * width, 0.25 * height)], width_px, name="wide", scale=scale),
        made_crack([(0.3 * width, 0.6 * height), (0.6 * width, 0.7 * height)], 0.5, resolved=False, scale=scale),
        made_crack([(0.1 * width, 0.9 * height), (0.9 * width, 0.9 * height)], joint_like=True, scale=scale),
    )
    told: dict[str, Any] = {"cracks": cracks, "traced_by": "fine map", "blur_px": 0.8, "scale": scale, "hw": hw}
    return told | changes


def test_cracks_are_lines_with_a_number_and_a_table_with_crops(model: Model, tmp_path: Path) -> None:
    page = Parsed(write(tmp_path, model, [row_of("a.png", **traced()), row_of("b.png", **traced(Scale(0.5)))]))
    assert len(page.tags["svg"]) == 2
    assert page.tags["svg"][0]["viewbox"] == "-0.5 -0.5 128 96"
    assert [path["class"] for path in page.tags["path"][:5]] == ["rim", "w2", "rim", "w0", "rim"]
    assert all(re.fullmatch(r"(M(-?[\d.]+,-?[\d.]+ ?)+)+", path["d"] or "") for path in page.tags["path"])
    assert "Crack 1: length 102 px; median width 3.0 px; maximum width 3.0 px (2.4 to 3.8)" in page.words
    assert "Line 3, which looks like a joint" in page.words
    assert "1 dashed line looks like a joint, a board or a cable, and so does not count." in page.words
    assert "2 40 px < 1.0 px < 1.0 px 45° single" in page.words
    assert "Width in px: < 1 1–2 2–4 4–8 > 8" in page.words
    assert "1 51 mm (102 px) 1.50 mm (3.0 px) 1.50 mm (" in page.words
    assert "2 20 mm (40 px) < 0.47 mm (< 1.0 px)" in page.words
    assert "Width in mm: < 0.2 0.2–0.3 0.3–0.5 0.5–1 > 1" in page.words
    crops = [image for image in page.tags["img"] if "at full resolution" in (image["alt"] or "")]
    assert [crop["alt"] for crop in crops[:2]] == [
        "Crack 1 at its widest place, at full resolution: 3.0 px (2.4 to 3.8)",
        "Crack 2 at its widest place, at full resolution: < 1.0 px",
    ]
    assert "Length, px" in page.words  # one photo has no scale


def test_only_photos_with_cracks_that_count_have_lines(model: Model, tmp_path: Path) -> None:
    rows = [
        row_of("traced.png", 0.1, **traced()),
        row_of("plain.png", 0.05),
        row_of("none.png", 0.9, traced_by="fine map", blur_px=0.8),
    ]
    page = Parsed(write(tmp_path, model, rows))
    assert not {"svg", "path"} & set(page.tags)
    assert "3 lines were traced; as the photo is uncracked, they are listed in cracks.csv only." in page.words
    assert "No lines were traced, since the photo is uncracked. --trace all traces every photo." in page.words
    assert "No line was found." in page.words


def test_the_page_warns_of_blur_and_of_lines_by_ridges(model: Model, tmp_path: Path) -> None:
    words = Parsed(write(tmp_path, model, [row_of("a.png", **traced(blur_px=2.6, traced_by="ridges"))])).words
    assert "This photo was enlarged or is out of focus; widths below about 1.0 px cannot be told." in words
    assert "The model has no fine map, so lines follow dark ridges, which may also be joints or scratches." in words
    words = Parsed(write(tmp_path, model, [row_of("a.png", **traced(blur_px=2.0))])).words
    assert "out of focus" not in words
    assert "dark ridges" not in words


def test_a_page_of_maps_alone_says_that_nothing_was_measured(model: Model, tmp_path: Path) -> None:
    words = Parsed(write(tmp_path, model, [row_of("a.png"), row_of("b.png", 0.1)], trace=None)).words
    assert "The photos with the largest regions come first" in words
    assert "in this scan, their lengths and widths were not measured." in words
    assert "Lines were not traced (--maps-only). Scan without that option to get them." in words
    assert "Show cracks" not in words
    assert "Widest median" not in words


def test_the_same_rows_give_the_same_bytes(model: Model, tmp_path: Path) -> None:
    rows = [row_of("a.png"), row_of("b.png", 0.3), row_of("c.png", None)]
    texts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        texts.append(write(tmp_path / name, model, rows))
    assert texts[0] == texts[1]


def test_a_picture_of_a_page_is_rgb_or_grey_and_the_same_each_time() -> None:
    red = np.zeros((8, 16, 3), np.uint8)
    red[..., 0] = 255
    content = picture_bytes(red, ".png")
    assert content == picture_bytes(red, ".png")
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB), red)
    grey = np.arange(128, dtype=np.uint8).reshape(8, 16)
    content = picture_bytes(grey, ".png")
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED), grey)
    photo = draw_photo(0, photo_hw=(90, 120)).pixels
    assert len(picture_bytes(photo, ".jpg", quality=50)) < len(picture_bytes(photo, ".jpg", quality=95))
    assert data_uri(b"abc", "png") == "data:image/png;base64,YWJj"


def test_templates_escape_and_tell_of_a_missing_name() -> None:
    pages = environment()
    assert pages.from_string("{{ name }} {{ half|percent }} {{ half|number }}").render(name="<b>", half=0.5) == (
        "&lt;b&gt; 50.0\N{NO-BREAK SPACE}% 0.500"
    )
    with pytest.raises(Exception, match="'name' is undefined"):
        pages.from_string("{{ name }}").render()


# A row


def test_a_row_survives_the_journal() -> None:
    told: dict[str, Any] = {"taken_at": datetime(2024, 5, 6, 7, 8, 9), "latitude_deg": -47.5, "scale": Scale(0.2)}
    told["scale_notes"] = (ScaleNote("camera", 0.3, 0.01, 0.5, False),)
    for row in (row_of("w\udcff.png"), row_of("b.png", 0.3, n_regions=0, **told), row_of("c.png", None)):
        kept = json.loads(json.dumps(row.to_dict()))
        assert ScannedRow.from_dict(kept) == row
        assert (kept["path"], kept["error"]) == (row.result.path, row.result.error)


def test_a_row_has_a_cell_a_column() -> None:
    told: dict[str, Any] = {"taken_at": datetime(2024, 5, 6, 7, 8, 9), "latitude_deg": -47.5, "scale": Scale(0.2)}
    told["scale_notes"] = (ScaleNote("marker", reason="no marker"), ScaleNote("camera", 0.3, 0.01, 0.5, False))
    row = row_of("a.png", 0.9, map_name="maps/a.png", **told)
    cells = {name: row.cell(name, 7) for name in PHOTO_COLUMNS}
    assert cells == {
        **{"rank": 7, "path": "a.png", "verdict": "crack", "reason": None, "crack_probability": 0.9},
        **dict.fromkeys(PHOTO_COLUMNS[6:16]),  # it was not traced
        **{"n_regions": 2, "width_px": 128, "height_px": 96, "network_scale": 1.0},
        **{"mm_per_px": 0.2, "uncertainty_mm_per_px": None, "scale_source": "given"},
        "scale_notes": "marker: no marker | camera: 0.3 mm per px, 50 % more than the scale used; the two disagree",
        **{"map": "maps/a.png", "overlay": row.overlay, "taken_at": "2024-05-06T07:08:09"},
        **{"latitude_deg": -47.5, "longitude_deg": None, "page": None, "error": None},
    }
    refused = row_of("a.png", None)
    cells = {name: value for name in PHOTO_COLUMNS if (value := refused.cell(name, 7)) is not None}
    assert cells == {"rank": 7, "path": "a.png", "error": "the file is empty"}


def by_marker() -> Scale:
    corners = np.array([[30, 30], [70, 30], [70, 70], [30, 70]], np.float64)
    plane = Plane.from_arrays(corners, 0.01 * np.eye(8), side_mm=16)
    return Scale(0.4, 0.001, "marker", plane.corners_xy_px, plane)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"scale": Scale(0.3)}, "0.3 mm per px as given (uncertainty not stated)."),
        ({"scale": Scale(0.25, 0.01, "table")}, "0.25 mm per px by the table of scales (± 7.8 %)."),
        ({"scale": Scale(0.3, 0.03, "camera")}, "0.3 mm per px by camera, approximate (± 20 %)."),
        (
            {"scale": by_marker(), "peak_xy": (50, 90)},
            "0.4 mm per px at the marker (± 0.49 %). At the place to look at first, 1.0 sides of the marker away from "
            "it: 0.4 mm per px (± ",
        ),
        (
            {"scale_notes": (ScaleNote("marker", reason="no marker is seen whole"),)},
            "No scale, so nothing is given in millimetres. Marker: no marker is seen whole.",
        ),
        (
            {"scale": Scale(0.3, 0.01, "marker"), "scale_notes": (ScaleNote("camera", 0.4, 0.01, 0.333, False),)},
            "Camera: 0.4 mm per px, 33 % more than the scale used; the two disagree.",
        ),
    ],
)
def test_a_caption_tells_the_scale_its_source_and_its_uncertainty(
    model: Model, tmp_path: Path, known: dict[str, Any], words: str
) -> None:
    page = Parsed(write(tmp_path, model, [row_of("a.png", **known), row_of("b.png", 0.85)]))
    assert words in page.words.replace("\N{NO-BREAK SPACE}", " ")
    assert page.words.count("mm per px") <= 2


# In a browser

SIZES = {"desktop": (1280, 900), "phone": (390, 844), "narrow": (320, 640)}


@pytest.fixture(scope="module")
def report(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything on it: each verdict, long and foreign names, wide and high photos, refused ones."""
    folder = tmp_path_factory.mktemp("report")
    names = ["n" * 200, "/".join(["a long way down"] * 12), "桥" * 60, "🧱 <b>", "w\udcff", "Brücke Süd"]
    hws = [(300, 410), (410, 300), (60, 900), (40, 40), (96, 128), (900, 60)]
    told: dict[str, Any] = {"taken_at": datetime(2024, 5, 6, 7, 8, 9), "latitude_deg": -47.5, "longitude_deg": -108.25}
    told |= {"scale": by_marker(), "peak_xy": (20, 20), "scale_notes": (ScaleNote("camera", 0.3, 0.01, -0.25, False),)}
    rows = [
        row_of(f"{names[i]}.png", 0.99 - i / 100, **traced(hw=hw, width_px=hw[0] * (0.12 - 0.015 * i), **told))
        for i, hw in enumerate(hws)  # each has less area of cracks than the one before
    ]
    rows += [row_of(f"usual {i}.png", 0.9 - i / 40) for i in range(30)]
    rows += [row_of(f"{'b' * 150} {i}.png", None, error=f"truncated JPEG: {'w' * 90}") for i in range(60)]
    write(folder, model, rows)
    return folder / "report.html"


class Seen:
    """What a page asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.addresses: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.addresses.append(request.url))


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., tuple[Page, Seen]]]:
    """Opens a page in a fresh window."""
    contexts = []

    def show(place: Path, size: str = "desktop", scheme: Any = "light", **choices: Any) -> tuple[Page, Seen]:
        width, height = SIZES[size]
        viewport: Any = {"width": width, "height": height}
        context = browser.new_context(viewport=viewport, color_scheme=scheme, **choices)
        contexts.append(context)
        page = context.new_page()
        seen = Seen(page)
        page.goto(place.as_uri())
        return page, seen

    yield show
    for context in contexts:
        context.close()


Opened = Callable[..., tuple[Page, Seen]]

both_schemes = pytest.mark.parametrize("scheme", ["light", "dark"])
every_size = pytest.mark.parametrize("size", SIZES)


def overflowing(page: Page) -> list[str]:
    """What reaches over the page to the right, or is cut off by what it lies in, but for stages, which scroll."""
    found: list[str] = page.evaluate(
        """() => {
          const wide = [...document.querySelectorAll("body *:not(.layers *)")].filter(one => {
            const box = one.getBoundingClientRect();
            return box.right > innerWidth + 0.5 || box.left < -0.5;
          });
          const boxes = ".sheet, figure, .facts, .controls, figcaption, .under, .crops";
          const cut = [...document.querySelectorAll(boxes)].filter(one => one.scrollWidth > one.clientWidth);
          return [...wide, ...cut].map(one => one.outerHTML.slice(0, 120));
        }"""
    )
    return found


@pytest.mark.slow
@every_size
@both_schemes
def test_nothing_overflows_complains_or_is_fetched(opened: Opened, report: Path, size: str, scheme: str) -> None:
    page, seen = opened(report, size, scheme)
    assert overflowing(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    page.locator("figure").last.scroll_into_view_if_needed()
    page.get_by_role("button").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert seen.complaints == []
    assert seen.addresses[0] == report.as_uri()
    assert all(address.startswith("data:") for address in seen.addresses[1:])


@pytest.mark.slow
@every_size
@both_schemes
def test_axe_finds_nothing_in_the_way_of_anybody(opened: Opened, report: Path, size: str, scheme: str) -> None:
    page, _ = opened(report, size, scheme)
    options = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    found = Axe().run(page, options=options).response
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found["violations"]] == []
    assert len(found["passes"]) > 10


@pytest.mark.slow
def test_the_dark_page_is_dark(opened: Opened, report: Path) -> None:
    def colours(page: Page) -> list[int]:
        return [
            sum(map(int, re.findall(r"\d+", page.evaluate(f"getComputedStyle(document.body).{name}"))[:3]))
            for name in ("backgroundColor", "color")
        ]

    light, dark = (colours(opened(report, scheme=scheme)[0]) for scheme in ("light", "dark"))
    assert light[0] > 600 > 200 > light[1]
    assert dark[1] > 600 > 200 > dark[0]


def alphas(page: Page, number: int = 0) -> Int64Array:
    """How much of each pixel of a map is painted, 0 to 255, shape (h, w)."""
    found = page.locator("canvas").nth(number)
    wide, values = found.evaluate(
        "one => [one.width, [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data]]"
    )
    return np.array(values[3::4]).reshape(-1, wide)


SHARP = 4
"""Pixels of the canvas along a side of a cell."""


@pytest.mark.slow
def test_the_slider_sets_the_probability_from_which_a_map_is_painted(opened: Opened, report: Path) -> None:
    page, _ = opened(report)
    slider, told = page.locator("#threshold"), page.locator("#threshold-text")

    def expect_painted(threshold: float, row: ScannedRow, number: int = 0) -> int:
        above, strong = (levels / 255 >= threshold for levels in (levels_of(row), strengths_of(row)))
        painted = alphas(page, number).reshape(above.shape[0], SHARP, above.shape[1], SHARP).swapaxes(1, 2)
        middles = painted[:, :, 1:-1, 1:-1].reshape(*above.shape, -1)
        np.testing.assert_array_equal((middles > 0).all(-1), above & strong)
        np.testing.assert_array_equal((middles > 0).any(-1), above & strong)
        left_edge = (painted[:, 1:, :, 0] == 255).all(-1)  # drawn where the cell to the left lies outside
        np.testing.assert_array_equal(left_edge, above[:, 1:] & ~above[:, :-1])
        assert (painted[~above] == 0).all()
        return int(above.sum())

    first = row_of("first", hw=(300, 410))
    expect(told).to_have_text("0.50")  # the model's own
    sizes = set()
    for key, threshold in ((None, 0.5), ("End", 0.99), ("ArrowLeft", 0.98), ("Home", 0.01)):
        if key:
            slider.press(key)
        expect(told).to_have_text(f"{threshold:.2f}")
        sizes.add(expect_painted(threshold, first))
    assert len(sizes) > 2
    slider.fill("70")
    expect_painted(0.7, first)
    expect_painted(0.7, row_of("last"), 23)


@pytest.mark.slow
def test_a_region_that_needs_a_sure_cell_is_painted_as_far_as_the_threshold(
    opened: Opened, model: Model, tmp_path: Path
) -> None:
    own = model.card.map_calibration.model_copy(update={"threshold": 0.5, "region_from": 0.8})
    strict = Model(dataclasses.replace(model.bundle, card=model.card.model_copy(update={"photo": own})))
    row = row_of("first", hw=(300, 410))
    write(tmp_path, strict, [row])
    page, _ = opened(tmp_path / "report.html")
    levels, slider = levels_of(row), page.locator("#threshold")
    expect(page.locator("#threshold-text")).to_have_text("0.80")
    for percent in (80, 99, 60, 30):
        slider.fill(str(percent))
        low = min(0.5, percent / 100)
        n, numbers = cv2.connectedComponents((levels / 255 >= low).astype(np.uint8), connectivity=8)
        kept = [i for i in range(1, n) if levels[numbers == i].max() / 255 >= percent / 100]
        painted = alphas(page).reshape(levels.shape[0], SHARP, levels.shape[1], SHARP).max((1, 3)) > 0
        assert not (painted & ~np.isin(numbers, kept)).any()
        assert painted.any() == bool(kept)
        if percent != 80:  # there, the list has the number that the scan found
            expect(page.locator(".list tbody tr").first.locator("td").last).to_have_text(str(len(kept)))


@pytest.mark.slow
def test_the_slider_updates_captions_list_and_count(opened: Opened, report: Path) -> None:
    page, _ = opened(report)
    slider, told = page.locator("#threshold"), page.locator("#n-with-regions")
    caption, cell = page.locator("[data-rank='1']"), page.locator(".list tbody tr").first.locator("td").last
    first = levels_of(row_of("first", hw=(300, 410)))
    expect(caption).to_have_text("2 regions")  # as photos.csv has it
    expect(cell).to_have_text("2")
    expect(told).to_have_text("36 of 36 photos have a region")
    for percent in (70, 1, 99):
        slider.fill(str(percent))
        n = cv2.connectedComponents((first / 255 >= percent / 100).astype(np.uint8))[0] - 1
        expect(cell).to_have_text(str(n))
        expect(caption).to_have_text(f"{n or 'no'} region{'' if n == 1 else 's'}")
    slider.fill("50")
    expect(caption).to_have_text("2 regions")


@pytest.mark.slow
def test_a_blurred_photo_that_shows_a_crack_is_shown_under_take_again(
    opened: Opened, model: Model, tmp_path: Path
) -> None:
    rejected: dict[str, Any] = {"verdict": "rejected", "reason": "blurred"}
    rows = [row_of("sharp.png", 0.3), row_of("soft.png", 0.9, **rejected), row_of("dim.png", 0.4, **rejected)]
    page = opened(tmp_path / "report.html")[0] if write(tmp_path, model, rows) else None
    assert page is not None
    section = page.locator("section", has=page.get_by_role("heading", name="Take again"))
    expect(section.locator("h3")).to_have_text(["1. soft.png"])
    expect(section.locator(".layers img")).to_be_visible()
    expect(section).to_contain_text("1 blurred photo shows what would be called a crack in a sharp photo.")
    others = page.locator("section", has=page.get_by_role("heading", name="Other photos"))
    expect(others.locator("h3")).to_have_text(["2. sharp.png", "3. dim.png"])
    expect(page.get_by_role("heading", name="Look at these first")).to_have_count(0)
    expect(page.locator(".list tbody tr")).to_have_count(3)


@pytest.mark.slow
@pytest.mark.parametrize("with_what", ["mouse", "keyboard"])
def test_the_switch_hides_the_maps_and_shows_them_again(opened: Opened, report: Path, with_what: str) -> None:
    page, _ = opened(report)
    maps = page.locator("canvas")
    expect(maps).to_have_count(24)
    for shown in (True, False, True):
        for number in (0, 23):
            expect(maps.nth(number)).to_be_visible(visible=shown)
        expect(page.locator("img").first).to_be_visible()
        if with_what == "mouse":
            page.get_by_text("Show regions").click()
        else:
            page.get_by_label("Show regions").press("Space")


@pytest.mark.slow
@every_size
def test_the_buttons_widen_and_narrow_the_layers_of_one_photo(opened: Opened, report: Path, size: str) -> None:
    page, _ = opened(report, size)
    layers, other = page.locator(".layers").nth(0), page.locator(".layers").nth(1)

    def width(of: Any) -> float:
        found: float = of.evaluate("one => one.getBoundingClientRect().width")
        return found

    whole, apart = width(layers), width(other)
    closer, away = (
        page.get_by_label("Zoom into photo 1", exact=True),
        page.get_by_label("Zoom out of photo 1", exact=True),
    )
    widths = []
    for button in (closer, closer, closer, closer, away, away, away, away):
        button.click()
        widths.append(round(width(layers) / whole, 2))
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert widths == [2, 4, 8, 8, 4, 2, 1, 1]
    assert width(other) == apart


@pytest.mark.slow
def test_zooming_keeps_the_middle_and_the_map_over_its_photo(opened: Opened, report: Path) -> None:
    page, _ = opened(report)

    def over(number: int) -> list[float]:
        found: list[float] = (
            page.locator(".layers")
            .nth(number)
            .evaluate(
                """one => {
              const [photo, map] = ["img", "canvas"].map(tag => one.querySelector(tag).getBoundingClientRect());
              return [map.left - photo.left, map.top - photo.top, map.width / photo.width, map.height / photo.height];
            }"""
            )
        )
        return found

    for number, (height, width) in enumerate([(300, 410), (410, 300), (60, 900), (40, 40)]):
        reach = (-(-width // 32) * 32 / width, -(-height // 32) * 32 / height)
        assert over(number) == pytest.approx([0, 0, *reach], abs=0.01)
    page.get_by_label("Zoom into photo 1", exact=True).click()
    assert over(0) == pytest.approx([0, 0, 416 / 410, 320 / 300], abs=0.01)
    left, shown, whole = page.locator(".stage").first.evaluate(
        "one => [one.scrollLeft, one.clientWidth, one.scrollWidth]"
    )
    assert left + shown / 2 == pytest.approx(whole / 2, abs=2)


@pytest.mark.slow
@every_size
def test_two_clicks_give_the_words_of_a_reference(opened: Opened, report: Path, size: str) -> None:
    page, seen = opened(report, size)
    figure = page.locator("figure").first  # its photo has 410×300 px
    button, panel = figure.locator("[data-points]"), figure.locator(".distance")
    expect(panel).to_be_hidden()
    picture = figure.locator(".layers img")
    button.click()
    expect(panel).to_be_visible()
    assert button.get_attribute("aria-pressed") == "true"
    width, height = picture.evaluate("one => [one.getBoundingClientRect().width, one.getBoundingClientRect().height]")

    def click(x_px: float, y_px: float) -> None:
        picture.click(position={"x": (x_px + 0.5) / 410 * width, "y": (y_px + 0.5) / 300 * height}, force=True)

    click(50, 60)
    expect(panel.locator("output")).to_be_empty()
    click(350, 200)
    words = panel.locator("output").inner_text()
    assert words.endswith("=MM")
    assert panel.locator("[data-copy]").is_disabled()
    panel.locator("input").fill("42.5")
    words = panel.locator("output").inner_text()
    option, _, reference = words.partition(" ")
    found = Reference.parse(reference)
    assert (option, found.length_mm) == ("--reference", 42.5)
    tolerance = 410 / width + 0.1  # a pixel of the screen
    assert (found.x0_px, found.y0_px, found.x1_px, found.y1_px) == pytest.approx((50, 60, 350, 200), abs=tolerance)
    assert figure.locator(".point").count() == 2
    assert panel.locator("[data-copy]").is_enabled()
    panel.locator("[data-copy]").click()
    assert page.evaluate("getSelection().toString()") == words
    assert overflowing(page) == []
    click(100, 100)  # begins anew
    assert figure.locator(".point").count() == 1
    button.click()
    expect(panel).to_be_hidden()
    assert figure.locator(".point").count() == 0
    assert seen.complaints == []


@pytest.mark.slow
@every_size
def test_the_controls_follow_the_photos_and_do_not_cover_the_tables(opened: Opened, report: Path, size: str) -> None:
    page, _ = opened(report, size)
    for place, follow in (("main figure >> nth=12", True), (".list", False), (".refused", False)):
        page.locator(place).evaluate("one => one.scrollIntoView()")
        box = page.locator(".controls").bounding_box()
        assert box is not None
        assert (box["y"] == 0) == follow
        assert (box["y"] + box["height"] <= 0) != follow


@pytest.mark.slow
def test_a_stage_scrolls_by_keyboard_when_zoomed(opened: Opened, report: Path) -> None:
    page, _ = opened(report)
    stage = page.locator(".stage").first
    page.get_by_label("Zoom into photo 1", exact=True).press("Enter")
    before = stage.evaluate("one => one.scrollLeft")
    stage.press("ArrowRight")
    page.wait_for_function("before => document.querySelector('.stage').scrollLeft > before", arg=before)


@pytest.mark.slow
def test_without_scripts_the_photos_are_there_and_the_reader_is_told(opened: Opened, report: Path) -> None:
    page, seen = opened(report, java_script_enabled=False)
    expect(page.locator("img").first).to_be_visible()
    expect(page.locator("noscript")).to_be_visible()
    assert page.locator("noscript").text_content() == "Without scripts, see the pictures in the folder overlays."
    expect(page.locator("table").first).to_be_visible()
    expect(page.locator(".lines").first).to_be_visible()
    assert seen.complaints == []


@pytest.mark.slow
def test_lines_lie_on_the_photo_and_can_be_hidden(opened: Opened, report: Path) -> None:
    page, _ = opened(report)
    figure = page.locator("figure").first
    photo, lines = (figure.locator(one).bounding_box() for one in (".layers img", ".lines"))
    assert photo is not None
    assert lines is not None
    assert [lines[side] for side in ("x", "y", "width", "height")] == pytest.approx(
        [photo[side] for side in ("x", "y", "width", "height")], abs=0.5
    )
    box = figure.locator(".lines path.rim").first.bounding_box()
    assert box is not None
    assert box["x"] - photo["x"] == pytest.approx(0.1 * photo["width"], abs=5)
    assert box["y"] - photo["y"] == pytest.approx(0.25 * photo["height"], abs=5)
    expect(figure.locator(".number")).to_have_text(["1", "2"])
    page.get_by_label("Show cracks").press("Space")
    expect(figure.locator(".lines")).to_be_hidden()
    expect(figure.locator(".number").first).to_be_hidden()
    expect(figure.locator("canvas")).to_be_visible()
    page.get_by_text("Show cracks").click()
    expect(figure.locator(".lines")).to_be_visible()


@pytest.mark.slow
@every_size
def test_clicks_along_a_crack_give_the_words_of_a_line(opened: Opened, report: Path, size: str) -> None:
    page, seen = opened(report, size)
    figure = page.locator("figure").first
    panel, picture = figure.locator(".line"), figure.locator(".layers img")
    figure.locator("[data-points]").click()
    figure.locator("[data-line]").click()  # one after the other
    expect(figure.locator(".distance")).to_be_hidden()
    expect(panel).to_be_visible()
    width, height = picture.evaluate("one => [one.getBoundingClientRect().width, one.getBoundingClientRect().height]")
    places = [(50, 60), (200, 100), (350, 200)]
    for x_px, y_px in places:
        position: Any = {"x": (x_px + 0.5) / 410 * width, "y": (y_px + 0.5) / 300 * height}
        picture.click(position=position, force=True)
        assert re.fullmatch(r"pixel \d+, \d+", figure.locator(".pixel").inner_text())
    option, _, numbers = panel.locator("output").inner_text().partition(" ")
    assert option == "--line"
    assert [float(one) for one in numbers.split(",")] == pytest.approx(
        [side for place in places for side in place], abs=410 / width + 0.1
    )
    assert page.evaluate("getSelection().toString()") == f"--line {numbers}"
    assert figure.locator(".point").count() == 3
    assert overflowing(page) == []
    panel.locator("[data-clear]").click()
    expect(panel.locator("output")).to_be_empty()
    assert figure.locator(".point").count() == 0
    assert seen.complaints == []


@pytest.mark.slow
@every_size
def test_each_column_of_the_list_sorts_by_click_and_by_keyboard(opened: Opened, report: Path, size: str) -> None:
    page, _ = opened(report, size)
    table = page.locator(".list")
    heads = table.locator("th")
    ranks = table.locator("tbody tr td:first-child").all_inner_texts()
    told = [text.strip().splitlines()[-1] for text in ranks]
    assert told == [str(i) for i in range(1, 37)]
    for i in range(heads.count()):
        button = heads.nth(i).get_by_role("button")
        before = table.locator("tbody tr").count()
        if i % 2:
            button.click()
        else:
            button.press("Enter")
        orders = [heads.nth(j).get_attribute("aria-sort") for j in range(heads.count())]
        assert orders[i] in ("ascending", "descending")
        assert {one for j, one in enumerate(orders) if j != i} == {"none"}
        assert table.locator("tbody tr").count() == before
    length = heads.filter(has_text="Length").get_by_role("button")
    lengths: list[list[float]] = []
    for _ in range(2):
        length.click()
        lengths.append(
            table.locator("tbody tr").evaluate_all(
                "rows => rows.map(row => parseFloat(row.querySelector('[data-column^=Length]').dataset.value || -1))"
            )
        )
    assert lengths[0] == sorted(lengths[0], reverse=True)
    assert lengths[1] == sorted(lengths[0])
    assert len(set(lengths[0])) > 3


@pytest.mark.slow
def test_a_photo_of_the_list_leads_to_its_figure(opened: Opened, report: Path) -> None:
    page, _ = opened(report)
    page.locator(".list tbody tr").nth(2).get_by_role("link").click()
    assert page.url.endswith("#photo-3")
    expect(page.locator("#photo-3")).to_be_in_viewport()


@pytest.mark.slow
def test_on_paper_there_are_no_buttons(opened: Opened, report: Path) -> None:
    page, _ = opened(report, scheme="dark")
    page.emulate_media(media="print")
    expect(page.locator(".controls")).to_be_hidden()
    expect(page.get_by_role("button")).to_have_count(page.locator(".list th").count())  # the heads of columns
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.slow
@pytest.mark.parametrize("rows", [[], [row_of("a.png", None)], [row_of("a.png", 0.2, n_regions=0)]])
@both_schemes
def test_a_page_with_little_on_it_works_too(
    opened: Opened, model: Model, tmp_path: Path, rows: list[ScannedRow], scheme: str
) -> None:
    write(tmp_path, model, rows)
    page, seen = opened(tmp_path / "report.html", "phone", scheme)
    assert overflowing(page) == []
    assert seen.complaints == []
    assert [rule["id"] for rule in Axe().run(page).response["violations"]] == []
