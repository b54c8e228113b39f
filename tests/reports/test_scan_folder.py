"""A folder of photos becomes a folder of findings: whole, ranked, the same bytes however often it was stopped."""

from __future__ import annotations

import csv
import errno
import io
import itertools
import json
import os
import random
import re
import struct
import subprocess
import sys
import threading
import time
import unicodedata
import weakref
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags
from PIL import Image as pillow

from crackscope.arrays import Float32Array, UInt8Array
from crackscope.drawing.walls import draw_photo
from crackscope.errors import BundleError, DataError, OutputError
from crackscope.files import images as images_module
from crackscope.files import journal as journal_module
from crackscope.files.archives import open_files
from crackscope.files.headers import OpenedFile
from crackscope.files.images import MAX_MEGAPIXELS, Image, decode_image
from crackscope.files.inputs import ImageFile, list_images
from crackscope.files.output import new_file
from crackscope.files.pixels import decode_opened
from crackscope.files.sources import Source
from crackscope.geometry.scale import Scale
from crackscope.model.bundle import Head, compose, read_backbone, read_bundle, write_model
from crackscope.model.card import Calibration, Card, Verdict
from crackscope.model.sessions import Network
from crackscope.reports import scan_folder
from crackscope.reports.scan_folder import FILES, MAP_KINDS, picture_names, write_scan
from crackscope.reports.scan_report import write_scan_report
from crackscope.reports.scanned_rows import PHOTO_COLUMNS, ScannedRow, rank
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.loaded_model import AnyModel, Model, scan
from crackscope.scanning.photo_scan import ScanSettings, prepare
from crackscope.scanning.regions import Region
from crackscope.scanning.results import SCHEMA_VERSION, PhotoResult, verdict_of
from shared.cracks import made_crack
from shared.models import tiny_card

pillow_heif.register_heif_opener()

PHOTO_HW = (150, 200)
WRITTEN = sorted(FILES[:-1])  # the journal goes when all is done


def png(seed: int, photo_hw: tuple[int, int] = PHOTO_HW) -> bytes:
    content: bytes = cv2.imencode(".png", draw_photo(seed, photo_hw=photo_hw).pixels[..., ::-1])[1].tobytes()
    return content


DRAWN = [png(seed) for seed in range(8)]


def encode(kind: str, image: pillow.Image | None = None, **choices: Any) -> bytes:
    stream = io.BytesIO()
    (image or pillow.open(io.BytesIO(DRAWN[0]))).save(stream, kind, **choices)
    return stream.getvalue()


def bundle_of(backbone_file: Path, place: Path, *, seed: int = 1, **changes: object) -> Path:
    """A bundle whose random answers differ enough from photo to photo that every verdict is given."""
    rng = np.random.default_rng(seed)
    head = Head(rng.normal(0, 1, (1, 16)).astype(np.float32), np.array([-0.2], np.float32), temperature=2.0)
    card = tiny_card(
        source_px=64,  # so that small pictures are photos
        photo=Calibration(temperature=0.2, threshold=0.5, unsure_low=0.4, unsure_high=0.6),
        verdict=Verdict(
            threshold=0.8,
            unsure_low=0.55,
            stretch_px=1000,
            n_clean=100,
            false_alarm_rate=0.03,
            n_cracked=50,
            missed_rate=0.1,
        ),
    ).model_copy(update=changes)
    write_model(compose(read_backbone(backbone_file), head, card), place)
    return place


@pytest.fixture(scope="module")
def bundle(backbone_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(backbone_file, tmp_path_factory.mktemp("bundle") / "sharp.onnx")


@pytest.fixture(scope="module")
def model(bundle: Path) -> Model:
    return opened(bundle)


def opened(bundle: Path) -> Model:
    return Model(read_bundle(bundle), threads=1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight photos on a disk, older than any run."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, content in enumerate(DRAWN):
        (folder / f"wall {i}.png").write_bytes(content)
    return folder


@pytest.fixture
def images(photos: Path) -> list[ImageFile]:
    return list_images([photos])


@dataclass(frozen=True)
class DrawnFile(ImageFile):
    """A file of any name, which lies on no disk."""

    content: bytes = field(kw_only=True, repr=False)

    def why_absent(self) -> None:
        return None

    def read(self) -> bytes:
        return self.content


@dataclass(frozen=True)
class WatchedFile(ImageFile):
    """A file that says so before it is read."""

    before_read: Callable[[], None] = field(kw_only=True)

    def read(self) -> bytes:
        self.before_read()
        return super().read()


def of_any_name(contents: dict[str, bytes]) -> list[ImageFile]:
    return [DrawnFile(path, path, content=content) for path, content in contents.items()]


def watched(images: Sequence[ImageFile], before_read: Callable[[], None]) -> list[ImageFile]:
    return [WatchedFile(image.path, image.place, image.member, before_read=before_read) for image in images]


def mapped(model: Model, photo: Any, **scales: Any) -> CrackMap:
    """The map of a photo alone."""
    found = model.scan(photo, **scales).map
    assert found is not None
    return found


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and what it holds; folders too, so that an empty one is seen."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b"(a folder)"
        for path in sorted(folder.rglob("*"))
    }


def table(out: Path) -> list[dict[str, str]]:
    with (out / "photos.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def by_path(out: Path) -> dict[str, dict[str, str]]:
    return {row["path"]: row for row in table(out)}


def regions(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "regions.json").read_text(encoding="utf-8"))
    return document


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def part_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.part")


def stopping_after(
    images: Sequence[ImageFile], n_read: int, error: type[BaseException] = KeyboardInterrupt
) -> list[ImageFile]:
    """The images, of which the one after so many raises what a Ctrl-C would."""
    count = itertools.count()

    def guard() -> None:
        if next(count) >= n_read:
            raise error

    return watched(images, guard)


def untouched(images: Sequence[ImageFile]) -> list[ImageFile]:
    """The images, none of which may be read."""
    return watched(images, lambda: pytest.fail("a photo was read"))


def stop(images: Sequence[ImageFile], model: Model, out: Path, *, after: int, **settings: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_scan(stopping_after(images, after), model, out=out, threads=1, **settings)
    assert not out.exists()


def unbroken(images: Source, model: AnyModel, place: Path, **settings: Any) -> dict[str, bytes]:
    write_scan(images, model, out=place, **settings)
    return tree(place)


# What is written


def test_the_folder_holds_every_file_and_nothing_is_left_beside_it(
    images: list[ImageFile], model: Model, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "scan"
    summary = write_scan(images, model, out=out)
    assert names(out.parent) == ["scan"]
    assert names(out) == WRITTEN
    assert names(out / "maps") == names(out / "cells") == [f"wall {i}.png" for i in range(8)]
    assert names(out / "overlays") == [f"wall {i}.jpg" for i in range(8)]
    assert (summary.n_images, summary.n_refused, summary.n_resumed, summary.first_error) == (8, 0, 0, None)
    assert set(summary.answers) == {"crack", "unsure", "uncracked"}
    assert list(summary.answers) == sorted(summary.answers)
    assert sum(summary.answers.values()) == 8


def test_the_table_says_what_the_model_says_the_greatest_cracks_first(
    images: list[ImageFile], model: Model, tmp_path: Path
) -> None:
    assert (
        *("rank", "path", "verdict", "reason", "crack_probability", "n_regions"),
        *("n_cracks", "crack_length_px", "crack_length_mm", "crack_area_px2", "crack_area_mm2"),
        *("greatest_median_width_px", "greatest_median_width_mm", "smallest_width_mm", "blur_px", "traced_by"),
        *("width_px", "height_px", "network_scale", "mm_per_px", "uncertainty_mm_per_px", "scale_source"),
        *("scale_notes", "map", "overlay", "taken_at", "latitude_deg", "longitude_deg", "page", "error"),
    ) == PHOTO_COLUMNS
    write_scan(images, model, out=tmp_path / "scan")
    rows = table(tmp_path / "scan")
    assert {tuple(row) for row in rows} == {PHOTO_COLUMNS}
    assert [row["rank"] for row in rows] == [str(i) for i in range(1, 9)]
    assert {row["path"] for row in rows} == {image.path for image in images}
    alarming = [row["verdict"] in ("crack", "unsure") for row in rows]
    assert alarming == sorted(alarming, reverse=True)
    for column, wanted in (("crack_area_px2", True), ("crack_probability", False)):
        values = [float(row[column]) for row, is_alarming in zip(rows, alarming, strict=True) if is_alarming is wanted]
        assert values == sorted(values, reverse=True)
    files = {image.path: image for image in images}
    for row in rows:
        found = mapped(model, files[row["path"]])
        assert row["verdict"] == verdict_of(found, model.card)
        assert float(row["crack_probability"]) == pytest.approx(found.peak_probability, rel=1e-5)
        assert int(row["n_regions"]) == len(found.regions())
        assert (row["width_px"], row["height_px"]) == ("200", "150")
        assert float(row["network_scale"]) == found.network_scale
        assert row["traced_by"] == ("ridges" if row["verdict"] != "uncracked" else "")
        assert bool(row["n_cracks"]) == bool(row["blur_px"]) == bool(row["traced_by"])
        stem = Path(row["path"]).stem
        assert (row["map"], row["overlay"]) == (f"maps/{stem}.png", f"overlays/{stem}.jpg")
        assert {
            row[name]
            for name in (
                *("reason", "mm_per_px", "uncertainty_mm_per_px", "scale_source", "scale_notes"),
                *("taken_at", "latitude_deg", "longitude_deg", "page", "error"),
            )
        } == {""}
    content = (tmp_path / "scan" / "photos.csv").read_bytes()
    assert (content.count(b"\n"), content.count(b"\r")) == (9, 0)


def photo_row(
    verdict: str | None,
    probability: float | None = None,
    *,
    widths_px: Sequence[float] = (),
    regions_px: Sequence[int] = (),
    why: str | None = None,
    hw: tuple[int, int] = (100, 100),
    scale: Scale | None = None,
) -> ScannedRow:
    """A photo with cracks of 50 px, given by their widths, and with regions, given by their areas."""
    found = PhotoResult(
        *("x", "m", verdict, why if verdict else None, probability, 0.8),
        regions=tuple(Region(1, (0, 0, 32, 32), area, 0.9, 0.8, (16, 16)) for area in regions_px),
        cracks=tuple(made_crack([(0, 0), (50, 0)], width, scale=scale) for width in widths_px),
        height_px=hw[0],
        width_px=hw[1],
        scale=scale,
        error=None if verdict else why,
    )
    return ScannedRow(found)


def ranked(rows: dict[str, ScannedRow], *, by_regions: bool = False) -> list[str]:
    names_of = {id(row): name for name, row in rows.items()}
    return [names_of[id(row)] for row in rank([*rows.values()], by_regions=by_regions)]


def test_ranks_go_by_group_then_by_what_was_found_then_by_probability_then_by_order() -> None:
    photos = {
        "refused": photo_row(None, why="the file is empty"),
        "take_again": photo_row("rejected", 0.95, why="blurred"),
        "likeliest": photo_row("crack", 0.99, widths_px=[2]),
        "plain": photo_row("uncracked", 0.1),
        "most": photo_row("crack", 0.9, widths_px=[4, 3]),
        "no_wall": photo_row("rejected", 0.99, why="not concrete"),
        "unsure": photo_row("unsure", 0.7, widths_px=[6]),
        "as_little": photo_row("crack", 0.98, widths_px=[2]),
        "large": photo_row("crack", 0.97, widths_px=[9, 9], hw=(1000, 1000)),  # the share of its area is small
        "same": photo_row("crack", 0.98, widths_px=[2]),
        "nothing": photo_row("crack", 0.999),
        "blurred_and_empty": photo_row("rejected", 0.79, why="blurred"),
        "likelier": photo_row("uncracked", 0.2),
    }
    assert ranked(photos) == [
        *("most", "unsure", "likeliest", "as_little", "same", "large", "nothing"),
        *("take_again", "likelier", "plain", "no_wall", "blurred_and_empty", "refused"),
    ]
    assert ranked({}) == []


def test_ranks_are_compared_in_millimetres_only_if_all_photos_with_cracks_have_them() -> None:
    near, far = Scale(0.1), Scale(1.0)
    photos = {
        "wide_in_px": photo_row("crack", 0.9, widths_px=[5], scale=near),
        "wide_in_mm": photo_row("unsure", 0.7, widths_px=[2], scale=far),
        "plain": photo_row("uncracked", 0.1),  # its scale does not matter
    }
    assert ranked(photos) == ["wide_in_mm", "wide_in_px", "plain"]
    assert ranked(photos | {"other": photo_row("crack", 0.9, widths_px=[1])}) == [
        *("wide_in_px", "wide_in_mm", "other", "plain"),
    ]


def test_ranks_without_lines_go_by_the_share_of_regions_that_decide() -> None:
    sky = Region(1, (0, 0, 99, 99), 9000, 0.9, 0.8, (16, 16), reason="not concrete")
    mostly_sky = photo_row("crack", 0.99, regions_px=[100])
    photos = {
        "mostly_sky": replace(mostly_sky, result=replace(mostly_sky.result, regions=(sky, *mostly_sky.result.regions))),
        "small": photo_row("crack", 0.9, regions_px=[200]),
        "two": photo_row("unsure", 0.7, regions_px=[200, 200]),
        "large": photo_row("crack", 0.99, regions_px=[2000], hw=(1000, 1000)),
        "plain": photo_row("uncracked", 0.3),
    }
    assert ranked(photos, by_regions=True) == ["two", "small", "mostly_sky", "large", "plain"]


def test_a_map_is_a_grey_picture_of_eight_bits_with_a_pixel_a_cell(
    images: list[ImageFile], model: Model, tmp_path: Path
) -> None:
    write_scan(images, model, out=tmp_path / "scan")
    levels_seen = set()
    for image in images:
        found = mapped(model, image)
        with pillow.open(tmp_path / "scan" / "maps" / f"{Path(image.path).stem}.png") as picture:
            assert (picture.format, picture.mode) == ("PNG", "L")
            levels = np.asarray(picture)
        assert levels.shape == found.probabilities.shape == (5, 7)
        np.testing.assert_array_equal(levels, np.round(255 * found.probabilities))
        with pillow.open(tmp_path / "scan" / "cells" / f"{Path(image.path).stem}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), np.round(255 * found.strengths))
        levels_seen |= set(levels.ravel().tolist())
    assert len(levels_seen) > 50


def test_an_overlay_is_the_photo_with_its_regions_at_most_1600_px_long(model: Model, tmp_path: Path) -> None:
    large = np.kron(draw_photo(0, photo_hw=(300, 450)).pixels, np.ones((4, 4, 1), np.uint8))  # 1200 by 1800
    contents = {"small.png": DRAWN[2], "large.png": encode("PNG", pillow.fromarray(large))}
    write_scan(of_any_name(contents), model, out=tmp_path / "scan", network_scale=0.5)
    for path, content in contents.items():
        photo = decode_image(content)
        result = model.scan(photo, network_scale=0.5)
        assert result.map is not None
        wanted = result.map.overlay(photo.pixels, longest_px=1600, cracks=result.drawn_cracks)
        with pillow.open(tmp_path / "scan" / "overlays" / f"{Path(path).stem}.jpg") as picture:
            assert picture.format == "JPEG"
            shown = np.asarray(picture).astype(float)
        assert shown.shape == wanted.shape
        assert max(shown.shape) == (200 if path == "small.png" else 1600)
        with pillow.open(tmp_path / "scan" / "thumbs" / f"{Path(path).stem}.jpg") as picture:
            assert max(picture.size) == 160
        assert np.abs(shown - wanted).mean() < 4  # what JPEG takes away; the wrong photo or colour order is off by 20


def test_regions_are_those_of_the_model_ranked_alike(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    write_scan(images, model, out=tmp_path / "scan")
    document = regions(tmp_path / "scan")
    assert list(document) == ["schema_version", "model", "threshold", "photos"]
    assert document["schema_version"] == SCHEMA_VERSION
    assert (document["model"], document["threshold"]) == (model.name, model.card.map_calibration.threshold)
    assert [photo["path"] for photo in document["photos"]] == [row["path"] for row in table(tmp_path / "scan")]
    files = {image.path: image for image in images}
    assert any(len(photo["regions"]) > 1 for photo in document["photos"])
    for photo in document["photos"]:
        assert (photo["width_px"], photo["height_px"], photo["network_scale"]) == (200, 150, 1.0)
        expected = mapped(model, files[photo["path"]]).regions()
        assert [tuple(region["box_xyxy"]) for region in photo["regions"]] == [region.box_xyxy for region in expected]
        for told, region in zip(photo["regions"], expected, strict=True):
            assert (told["area_px"], told["peak_probability"], told["mean_probability"]) == (
                *(region.area_px, region.peak_probability, region.mean_probability),
            )
            assert (told["id"], tuple(told["peak_xy"])) == (region.id, region.peak_xy)


def told_of(result: PhotoResult) -> dict[str, Any]:
    """What `regions.json` holds of a photo: all but its cracks."""
    found: dict[str, Any] = json.loads(json.dumps(result.to_dict()))
    del found["cracks"]
    return found


@pytest.mark.parametrize("settings", [{}, {"network_scale": 0.5}, {"network_scale": 1.5, "scale": Scale(0.2, 0.01)}])
def test_the_document_holds_of_each_photo_what_python_says_of_it(
    images: list[ImageFile], model: Model, tmp_path: Path, settings: dict[str, Any]
) -> None:
    (tmp_path / "photos" / "paper.png").write_bytes(b"%PDF-1.7")
    (tmp_path / "photos" / "turned.jpg").write_bytes(NOTED)
    write_scan(tmp_path / "photos", model, out=tmp_path / "scan", **settings)
    found = {result.path: result for result in scan(tmp_path / "photos", model, **settings)}
    photos = regions(tmp_path / "scan")["photos"]
    assert len(photos) == len(found) == 10
    for photo in photos:
        expected = found[photo["path"]]
        assert photo == told_of(expected)
        assert PhotoResult.from_dict(photo) == replace(expected, cracks=())  # the map is not compared
        if not photo["error"]:
            assert photo == told_of(model.scan(photo["path"], **settings))
    assert [photo["error"] is not None for photo in photos] == [False] * 9 + [True]


def test_the_same_photos_give_the_same_bytes_on_any_number_of_threads(
    images: list[ImageFile], model: Model, tmp_path: Path
) -> None:
    expected = unbroken(images, model, tmp_path / "one", threads=1)
    assert unbroken(images, model, tmp_path / "again", threads=1) == expected
    assert unbroken(images, model, tmp_path / "many", threads=4) == expected


def test_maps_alone_come_without_cracks_and_leave_none_of_an_older_scan(
    images: list[ImageFile], model: Model, tmp_path: Path
) -> None:
    expected = unbroken(images, model, tmp_path / "whole", trace=None)
    assert [name for name in WRITTEN if not name.startswith("cracks.")] == names(tmp_path / "whole")
    assert {row["n_cracks"] + row["traced_by"] for row in table(tmp_path / "whole")} == {""}
    write_scan(images, model, out=tmp_path / "scan")
    write_scan(images, model, out=tmp_path / "scan", trace=None, overwrite=True)
    assert tree(tmp_path / "scan") == expected
    stop(images, model, tmp_path / "other", after=5)  # a half that traced
    (part_of(tmp_path / "other") / "cracks.csv").write_text("old")
    assert write_scan(images, model, out=tmp_path / "other", trace=None).n_resumed == 0
    assert tree(tmp_path / "other") == expected


def test_progress_counts_up_to_all(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_scan(images, model, out=tmp_path / "scan", progress=lambda *done: told.append(done))
    assert told == [(done, 8) for done in range(1, 9)]


def test_no_scan_is_written_of_nothing(model: Model, tmp_path: Path) -> None:
    nothings: list[Source] = [[], iter([]), tmp_path, tmp_path / "gone", [tmp_path / "gone.jpg", f"{tmp_path}/*.jpg"]]
    for nothing in nothings:
        with pytest.raises(DataError, match=r"no image|no such file"):
            write_scan(nothing, model, out=tmp_path / "scan")
    assert names(tmp_path) == []


def test_a_scan_without_findings_is_one(model: Model, tmp_path: Path) -> None:
    contents = {"gone.png": b"", "text.jpg": b"hello"}
    summary = write_scan(of_any_name(contents), model, out=tmp_path / "scan")
    assert (summary.n_images, summary.n_refused, summary.answers) == (len(contents), len(contents), {})
    assert names(tmp_path / "scan") == ["cracks.csv", "cracks.json", "photos.csv", "regions.json", "report.html"]
    assert len(table(tmp_path / "scan")) == len(contents)
    photos = regions(tmp_path / "scan")["photos"]
    assert [photo["path"] for photo in photos] == list(contents)
    assert all(photo["error"] and photo["regions"] == [] for photo in photos)


def noted_jpeg() -> bytes:
    """A photo that was held upright, with time and place."""
    exif = pillow.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:06 07:08:09"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (47.0, 30.0, 36.0), 3: "W", 4: (8.0, 15.0, 0.0)})
    return encode("JPEG", quality=95, exif=exif)


NOTED = noted_jpeg()


def test_the_table_says_which_page_was_judged(model: Model, tmp_path: Path) -> None:
    content = encode("TIFF", save_all=True, append_images=[pillow.new("RGB", (60, 40))])
    write_scan(of_any_name({"pages.tif": content, "one.jpg": NOTED}), model, out=tmp_path / "scan")
    assert {row["path"]: row["page"] for row in table(tmp_path / "scan")} == {"pages.tif": "1 of 2", "one.jpg": ""}


def test_time_and_place_are_those_of_the_camera(model: Model, tmp_path: Path) -> None:
    write_scan(of_any_name({"turned.jpg": NOTED}), model, out=tmp_path / "scan")
    (row,) = table(tmp_path / "scan")
    assert (row["width_px"], row["height_px"]) == ("150", "200")  # upright
    assert row["taken_at"] == "2024-05-06T07:08:09"
    assert (row["latitude_deg"], row["longitude_deg"]) == ("47.5100000", "-8.2500000")
    upright = np.rot90(decode_image(encode("JPEG", quality=95)).pixels, -1)
    levels = np.asarray(pillow.open(tmp_path / "scan" / "maps" / "turned.png"))
    expected = mapped(model, np.ascontiguousarray(upright)).probabilities
    np.testing.assert_array_equal(levels, np.round(255 * expected))


# Scale


def test_a_scale_holds_for_every_photo(
    images: list[ImageFile], backbone_file: Path, model: Model, tmp_path: Path
) -> None:
    measured = opened(bundle_of(backbone_file, tmp_path / "mm.onnx", mm_per_px=0.5))
    asked: list[tuple[Model, dict[str, Any], float, str]] = [
        (model, {"network_scale": 1.5}, 1.5, ""),
        (measured, {"scale": Scale(0.25)}, 1.0, "0.25"),  # what the network sees stays the same
        (model, {}, 1.0, ""),
        (model, {"network_scale": 0.75, "scale": Scale(0.3)}, 0.75, "0.3"),  # a number decides, whatever is known
    ]
    for one, settings, network_scale, mm_per_px in asked:
        out = tmp_path / f"{one.name} at {network_scale}"
        write_scan(images[:3], one, out=out, **settings)
        told = {(float(row["network_scale"]), row["mm_per_px"]) for row in table(out)}
        assert told == {(network_scale, mm_per_px)}
        for image in images[:3]:
            found = mapped(one, image, network_scale=network_scale)
            assert float(by_path(out)[image.path]["crack_probability"]) == pytest.approx(
                found.peak_probability, rel=1e-5
            )


@pytest.mark.parametrize(
    ("network_scale", "mm_per_px", "error"),
    [
        *((value, None, DataError) for value in (0, -1, float("nan"), float("inf"), "large")),
        *(("auto", value, DataError) for value in (0, -1, float("nan"), float("inf"))),
        (0, 1.0, DataError),
        *(("auto", value, DataError) for value in (1e-9, 1e9)),
    ],
)
def test_a_wrong_scale_is_refused_before_any_work(
    images: list[ImageFile],
    model: Model,
    tmp_path: Path,
    network_scale: Any,
    mm_per_px: float | None,
    error: type[Exception],
) -> None:
    before = names(tmp_path)
    with pytest.raises(error, match=r"mm per pixel|above 0"):
        write_scan(
            untouched(images),
            model,
            out=tmp_path / "scan",
            network_scale=network_scale,
            scale=None if mm_per_px is None else Scale(mm_per_px),
        )
    assert names(tmp_path) == before


def test_a_photo_that_does_not_fit_the_scale_is_a_row(model: Model, tmp_path: Path) -> None:
    write_scan(of_any_name({"wall.png": DRAWN[0]}), model, out=tmp_path / "scan", network_scale=1e6)
    (row,) = table(tmp_path / "scan")
    assert "too large; scan it at a smaller scale" in row["error"]


# Names


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/wall.jpg", "b/Wall.JPG", "c/WALL.png"], ["wall", "Wall-2", "WALL-3"]),
        (["wall.jpg", "wall.png", "wall.tar.jpg"], ["wall", "wall-2", "wall.tar"]),
        (["wall-2.png", "a/wall.png", "b/wall.png", "c/wall-2.png"], ["wall-2", "wall", "wall-3", "wall-2-2"]),
        (["Straße.jpg", "STRASSE.jpg"], ["Straße", "STRASSE-2"]),
        (["é.jpg", "e\u0301.jpg"], ["é", "e\u0301-2"]),
        ([r"C:\photos\north face.jpg"], ["north face"]),
        (["..hidden.png", ".png", "...", "", "a/", " x .jpg"], ["hidden", "png", "photo", "photo-2", "photo-3", "x"]),
        (["a\nb.png", 'a"b.png', "a\x00b.png", "w\udcff.png"], ["a_b", "a_b-2", "a_b-3", "w_"]),
        (["CON<>|?*:.jpg", "no ending"], ["CON______", "no ending"]),
        (["n" * 200 + ".jpg", "n" * 201 + ".jpg"], ["n" * 80, "n" * 80 + "-2"]),
        (["🧱" * 60 + ".png", "🧱" * 61 + ".png"], ["🧱" * 50, "🧱" * 50 + "-2"]),
    ],
)
def test_every_picture_has_a_name_of_its_own(paths: list[str], expected: list[str]) -> None:
    assert picture_names(paths) == expected


@given(st.lists(st.text(max_size=300) | st.text("aA.-2 éß/", max_size=6), max_size=12))
def test_names_of_pictures_suit_every_file_system(paths: list[str]) -> None:
    found = picture_names(paths)
    assert len(found) == len(paths)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in found}) == len(found)
    assert found == picture_names(paths)
    for name in found:
        assert name
        assert not name.startswith(".")
        assert not set(name) & set('<>:"/\\|?*\n\r\t\x00')
        assert len(f"{name}.png".encode()) <= 255


def test_names_of_earlier_photos_do_not_depend_on_later_ones() -> None:
    paths = ["a/x.png", "b/X.png", "c/x-2.png", "d/x.png"]
    whole = picture_names(paths)
    assert [picture_names(paths[:n]) for n in range(5)] == [whole[:n] for n in range(5)]


ODD = ["a,b.png", "a\nb.png", "a\rb.png", "w\udcff.png", "=1+1.png", "🧱 <b>.png", "n" * 200 + ".png"]
ODD += ["..png", r"C:\walls\x.png", "🧱" * 300 + ".png", " ", "sub/A,B.png", "</script><script>alert(1)</script>.png"]


def test_odd_names_are_told_as_they_are(model: Model, tmp_path: Path) -> None:
    contents = {path: DRAWN[i % len(DRAWN)] for i, path in enumerate(ODD)}
    out = tmp_path / "scan"
    summary = write_scan(of_any_name(contents), model, out=out)
    assert (summary.n_images, summary.n_refused) == (len(ODD), 0)
    escaped = [path.replace("\udcff", "\\udcff") for path in ODD]
    rows = by_path(out)
    assert sorted(rows) == sorted(escaped)
    assert sorted(photo["path"] for photo in regions(out)["photos"]) == sorted(ODD)
    assert len(names(out / "maps")) == len(names(out / "overlays")) == len(names(out / "thumbs")) == len(ODD)
    for path, row in zip(ODD, map(rows.__getitem__, escaped), strict=True):
        expected = mapped(model, decode_image(contents[path])).probabilities
        levels = cv2.imdecode(np.frombuffer((out / row["map"]).read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(levels, np.round(255 * expected))
        assert (out / row["overlay"]).is_file()
    assert "alert(1)</script>" not in (out / "report.html").read_text(encoding="utf-8")


def test_a_photo_that_is_named_twice_is_listed_twice(photos: Path, model: Model, tmp_path: Path) -> None:
    photo = str(photos / "wall 0.png")
    write_scan(list_images([photo, photo]), model, out=tmp_path / "scan")
    assert [row["path"] for row in table(tmp_path / "scan")] == [photo, photo]
    assert names(tmp_path / "scan" / "maps") == ["wall 0-2.png", "wall 0.png"]


# What cannot be scanned

GREY16 = pillow.fromarray(np.arange(150 * 200, dtype=np.uint16).reshape(150, 200))
READ = {
    "cmyk.jpg": encode("JPEG", pillow.open(io.BytesIO(DRAWN[0])).convert("CMYK")),
    "sixteen bits.tif": encode("TIFF", GREY16),
    "phone.heic": encode("HEIF"),
    "turned.jpg": encode("JPEG", exif=struct.pack(">6s2sHIHHHIHHI", b"Exif\0\0", b"MM", 42, 8, 1, 274, 3, 1, 8, 0, 0)),
    "grey.png": encode("PNG", pillow.open(io.BytesIO(DRAWN[0])).convert("L")),
    "clear.png": encode("PNG", pillow.open(io.BytesIO(DRAWN[0])).convert("RGBA")),
    "web.webp": encode("WEBP"),
    "strip.png": encode("PNG", pillow.new("RGB", (16, 700), "grey")),
}


@pytest.mark.parametrize("path", READ)
def test_whatever_can_be_read_is_scanned(model: Model, tmp_path: Path, path: str) -> None:
    summary = write_scan(of_any_name({path: READ[path]}), model, out=tmp_path / "scan")
    (row,) = table(tmp_path / "scan")
    assert (summary.n_refused, row["error"]) == (0, "")
    found = mapped(model, decode_image(READ[path]))
    assert (int(row["height_px"]), int(row["width_px"])) == found.photo_hw
    assert float(row["crack_probability"]) == pytest.approx(found.peak_probability, rel=1e-5)


def huge_png() -> bytes:
    """The header of a picture of ten gigapixels, and a few bytes of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))


REFUSED = {
    "truncated.jpg": (encode("JPEG")[:4000], "truncated"),
    "truncated.png": (DRAWN[0][:4000], "truncated"),
    "empty.jpg": (b"", "the file is empty"),
    "text.jpg": (b"hello", "not an image"),
    "paper.png": (b"%PDF-1.7", "a PDF"),
    "tiny.png": (encode("PNG", pillow.new("RGB", (8, 8))), "8×8 px is too small"),
    "thin.png": (encode("PNG", pillow.new("RGB", (4000, 3))), "too small"),
    "bomb.png": (huge_png(), "100000×100000 px is 10000 megapixels, above the limit of 300"),
}


def test_what_cannot_be_scanned_is_a_row_with_its_reason_and_the_others_are_done(
    photos: Path, model: Model, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    write_scan(list_images([photos]), model, out=alone)
    for name, (content, _) in REFUSED.items():
        (photos / name).write_bytes(content)
    wanted = {name: reason for name, (_, reason) in REFUSED.items()} | {"missing.jpg": "cannot be read: No such file"}
    images = list_images([photos, photos / "missing.jpg"])
    summary = write_scan(images, model, out=tmp_path / "scan")
    rows = table(tmp_path / "scan")
    refused = {Path(row["path"]).name: row for row in rows if row["error"]}
    assert sorted(refused) == sorted(wanted)
    for name, row in refused.items():
        assert wanted[name] in row["error"]
        assert "\n" not in row["error"]
        assert all(not row[column] for column in PHOTO_COLUMNS if column not in ("rank", "path", "error"))
    assert (summary.n_images, summary.n_refused) == (len(rows), len(wanted))
    assert summary.first_error is not None
    assert Path(summary.first_error[0]).name == min(refused)
    assert [row for row in rows if not row["error"]] == table(alone)  # ranks too: the refused come last
    assert [bool(row["error"]) for row in rows] == sorted(bool(row["error"]) for row in rows)
    document = regions(tmp_path / "scan")
    unread = [photo for photo in document["photos"] if photo["error"]]
    assert {Path(photo["path"]).name: photo["error"] for photo in unread} == {
        name: row["error"] for name, row in refused.items()
    }
    assert document["photos"][-len(unread) :] == unread
    assert document | {"photos": document["photos"][: -len(unread)]} == regions(alone)
    for folder in ("maps", "overlays"):
        assert tree(tmp_path / "scan" / folder) == tree(alone / folder)


def test_a_photo_above_the_limit_is_refused(model: Model, tmp_path: Path) -> None:
    write_scan(of_any_name({"wall.png": DRAWN[0]}), model, out=tmp_path / "scan", max_megapixels=0.02)
    (row,) = table(tmp_path / "scan")
    assert "200×150 px is 0 megapixels, above the limit of 0.02" in row["error"]


@pytest.mark.parametrize("error", [KeyError("member"), zlib.error("invalid block"), RuntimeError("encrypted\nmember")])
def test_whatever_a_reader_raises_is_a_reason(
    photos: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in names(photos)[:2]:
            file.write(photos / name, name)
    kind: Any = type(open_files(archive))
    read = kind.read

    def failing(self: Any, name: str) -> bytes:
        if name == "wall 0.png":
            raise error
        content: bytes = read(self, name)
        return content

    monkeypatch.setattr(kind, "read", failing)
    summary = write_scan(archive, model, out=tmp_path / "scan")
    assert (summary.n_images, summary.n_refused) == (2, 1)
    why = by_path(tmp_path / "scan")[f"{archive}/wall 0.png"]["error"]
    assert why.startswith("cannot be read: ")
    assert "\n" not in why


def test_a_network_that_gives_no_number_stops_the_run(
    images: list[ImageFile], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BundleError("the network gave something that is not a number")

    monkeypatch.setattr(scan_folder, "prepare", fail)
    with pytest.raises(BundleError, match="not a number"):
        write_scan(images, model, out=tmp_path / "scan")
    assert not (tmp_path / "scan").exists()


# A place that is taken


def test_a_taken_place_is_refused_before_any_work(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    write_scan(images[:1], model, out=tmp_path / "scan")
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    for out, overwrite, reason in (("scan", False, "exists"), ("file", True, "not a folder"), ("photos", True, "wall")):
        with pytest.raises(OutputError, match=reason):
            write_scan(untouched(images), model, out=tmp_path / out, overwrite=overwrite)
    assert tree(tmp_path) == before


def test_overwriting_leaves_nothing_of_the_older_scan(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    expected = unbroken(images[:2], model, tmp_path / "fresh")
    write_scan(images, model, out=tmp_path / "scan")
    write_scan(images[:2], model, out=tmp_path / "scan", overwrite=True)
    assert tree(tmp_path / "scan") == expected
    assert names(tmp_path) == ["fresh", "photos", "scan"]


@pytest.mark.parametrize("mine", ["notes.txt", "maps/mine.png", "overlays/marked by hand/wall 0.jpg", "maps/a.tif"])
def test_overwriting_never_costs_anybody_a_file(
    images: list[ImageFile], model: Model, tmp_path: Path, mine: str
) -> None:
    out = tmp_path / "scan"
    write_scan(images, model, out=out)
    (out / mine).parent.mkdir(exist_ok=True)
    (out / mine).write_text("precious")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"holds '.*', which was not written by this command"):
        write_scan(untouched(images), model, out=out, overwrite=True)
    assert tree(tmp_path) == before


def test_a_folder_of_maps_that_no_scan_wrote_is_not_replaced(
    images: list[ImageFile], model: Model, tmp_path: Path
) -> None:
    (tmp_path / "atlas" / "maps").mkdir(parents=True)
    (tmp_path / "atlas" / "maps" / "europe.png").write_bytes(DRAWN[0])
    with pytest.raises(OutputError, match=r"holds 'maps/europe\.png'"):
        write_scan(images, model, out=tmp_path / "atlas", overwrite=True)
    assert names(tmp_path / "atlas" / "maps") == ["europe.png"]


def test_what_a_desktop_hides_among_the_maps_is_in_nobodys_way(
    images: list[ImageFile], model: Model, tmp_path: Path
) -> None:
    write_scan(images, model, out=tmp_path / "scan")
    (tmp_path / "scan" / "maps" / ".DS_Store").write_bytes(b"")
    write_scan(images[:2], model, out=tmp_path / "scan", overwrite=True)
    assert len(table(tmp_path / "scan")) == 2


def test_the_old_scan_stands_until_the_new_one_is_whole(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    before = unbroken(images[:2], model, tmp_path / "scan")
    with pytest.raises(KeyboardInterrupt):
        write_scan(stopping_after(images, 5), model, out=tmp_path / "scan", threads=1, overwrite=True)
    assert tree(tmp_path / "scan") == before
    assert write_scan(images, model, out=tmp_path / "scan", overwrite=True).n_resumed == 5
    assert len(table(tmp_path / "scan")) == 8


# Stopped, and run again


@pytest.mark.parametrize("after", [0, 1, 5, 7])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_run_goes_on_and_gives_the_same_bytes(
    images: list[ImageFile], model: Model, tmp_path: Path, after: int, threads: int
) -> None:
    expected, out = unbroken(images, model, tmp_path / "whole"), tmp_path / "scan"
    with pytest.raises(KeyboardInterrupt):
        write_scan(stopping_after(images, after), model, out=out, threads=threads)
    assert not out.exists()
    told: list[tuple[int, int]] = []
    summary = write_scan(images, model, out=out, threads=threads, progress=lambda *done: told.append(done))
    assert summary.n_resumed <= after
    if threads == 1:
        assert summary.n_resumed == after
    assert told == [(done, 8) for done in range(summary.n_resumed + 1, 9)]
    assert (summary.n_images, sum(summary.answers.values())) == (8, 8)
    assert tree(out) == expected
    assert names(tmp_path) == ["photos", "scan", "whole"]


def test_photos_done_before_are_not_read_again_but_for_the_report(
    images: list[ImageFile], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(images, model, tmp_path / "scan", after=5)
    scanned: list[str] = []

    def noted(photo: Image, card: Card, settings: ScanSettings) -> Any:
        scanned.append(photo.path)
        return prepare(photo, card, settings)

    monkeypatch.setattr(scan_folder, "prepare", noted)
    write_scan(images, model, out=tmp_path / "scan", threads=1)
    assert scanned == [image.path for image in images[5:]]


@pytest.mark.parametrize("step", ["photo_table", "_regions_document", "cracks_document", "write_scan_report", "_tidy"])
def test_a_run_that_is_stopped_while_it_ends_has_only_that_to_do_again(
    images: list[ImageFile], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    expected = unbroken(images, model, tmp_path / "whole")

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(scan_folder, step, fail)
        with pytest.raises(KeyboardInterrupt):
            write_scan(images, model, out=tmp_path / "scan")
    assert not (tmp_path / "scan").exists()
    assert write_scan(images, model, out=tmp_path / "scan").n_resumed == 8
    assert tree(tmp_path / "scan") == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"network_scale": 0.5},
        {"network_scale": "auto", "max_megapixels": 0.001},
        {"maps": "npz"},
        {"network_scale": 2.0, "scale": Scale(0.5)},
        {},
    ],
)
def test_another_model_or_setting_begins_anew_and_no_stale_file_stays(
    images: list[ImageFile], model: Model, backbone_file: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    other = model if settings else opened(bundle_of(backbone_file, tmp_path / "other.onnx", seed=7))
    expected = unbroken(images[3:], other, tmp_path / "whole", **settings)
    stop(images, model, tmp_path / "scan", after=6)
    assert len(names(part_of(tmp_path / "scan") / "maps")) == 6
    assert write_scan(images[3:], other, out=tmp_path / "scan", **settings).n_resumed == 0
    assert tree(tmp_path / "scan") == expected


def test_photos_that_are_no_longer_asked_for_leave_no_picture(
    images: list[ImageFile], model: Model, tmp_path: Path
) -> None:
    expected = unbroken(images[:3], model, tmp_path / "whole")
    stop(images, model, tmp_path / "scan", after=7)
    assert write_scan(images[:3], model, out=tmp_path / "scan").n_resumed == 3
    assert tree(tmp_path / "scan") == expected


def later(path: Path, content: bytes) -> None:
    """Write a file, for certain after what was noted before."""
    now = time.time() + 5
    path.write_bytes(content)
    os.utime(path, (now, now))


@pytest.mark.parametrize("content", [png(99), b"%PDF-1.7"])
def test_a_photo_that_changed_since_is_scanned_again(
    images: list[ImageFile], photos: Path, model: Model, tmp_path: Path, content: bytes
) -> None:
    stop(images, model, tmp_path / "scan", after=7)
    later(photos / "wall 2.png", content)
    assert write_scan(images, model, out=tmp_path / "scan").n_resumed == 2
    assert tree(tmp_path / "scan") == unbroken(images, model, tmp_path / "whole")


def test_a_photo_that_changed_under_a_clock_set_back_is_scanned_again(
    images: list[ImageFile], photos: Path, model: Model, tmp_path: Path
) -> None:
    stop(images, model, tmp_path / "scan", after=7)
    (photos / "wall 2.png").write_bytes(png(99))
    os.utime(photos / "wall 2.png", (1, 1))
    for journal in part_of(tmp_path / "scan").glob(".*.journal"):  # as if the run had begun tomorrow
        head, rest = journal.read_bytes().split(b"\n", 1)
        begun = {**json.loads(head), "begun": time.time() + 86_400}
        journal.write_bytes(json.dumps(begun).encode() + b"\n" + rest)
    assert write_scan(images, model, out=tmp_path / "scan").n_resumed == 2
    assert tree(tmp_path / "scan") == unbroken(images, model, tmp_path / "whole")


def test_a_photo_that_is_replaced_while_the_scan_runs_is_not_shown_under_the_old_map(
    images: list[ImageFile], photos: Path, model: Model, tmp_path: Path
) -> None:
    """The last photo is read when the first was scanned: the first is then replaced, with its times kept."""
    place = Path(images[0].place)
    before, n_read = place.stat(), itertools.count(1)
    expected = unbroken(images, model, tmp_path / "whole")

    def replace_first() -> None:
        if next(n_read) == len(images):
            place.write_bytes(png(99))
            os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))

    write_scan(watched(images, replace_first), model, out=tmp_path / "scan", threads=1)
    page = (tmp_path / "scan" / "report.html").read_text(encoding="utf-8")
    assert f"was changed or removed after it was scanned: {images[0].path}." in page
    assert page.count("<img ") == expected["report.html"].count(b"<img ") - 1
    found = tree(tmp_path / "scan")
    assert {name: found[name] for name in found if name != "report.html"} == {
        name: expected[name] for name in expected if name != "report.html"
    }


def test_a_photo_that_went_since_keeps_its_row_and_its_pictures(
    images: list[ImageFile], photos: Path, model: Model, tmp_path: Path
) -> None:
    stop(images, model, tmp_path / "scan", after=7)
    (photos / "wall 2.png").unlink()
    summary = write_scan(images, model, out=tmp_path / "scan")
    assert (summary.n_resumed, summary.n_refused) == (7, 0)
    assert by_path(tmp_path / "scan")[images[2].path]["crack_probability"]
    page = (tmp_path / "scan" / "report.html").read_text(encoding="utf-8")
    assert page.count('alt="Photo ') == 7
    assert page.count("wall 2.png") == 2  # in the list, and in the note on what is not shown
    assert "was changed or removed after it was scanned: " in page


def test_halves_that_a_kill_left_do_not_stay(
    images: list[ImageFile], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = unbroken(images, model, tmp_path / "whole")
    stop(images, model, tmp_path / "scan", after=5)
    folder = part_of(tmp_path / "scan")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda *_, **__: None)  # a kill comes before it
        for half in ("photos.csv", "report.html", "maps/wall 6.png", "overlays/wall 6.jpg"):
            with pytest.raises(OutputError), new_file(folder / half) as part:
                part.write_bytes(b"half") and full()
    (folder / "maps" / "wall 7.png").write_bytes(b"of a photo that was under way")
    assert sum(".part." in path.name for path in folder.rglob("*")) == 4
    assert write_scan(images, model, out=tmp_path / "scan").n_resumed == 5
    assert tree(tmp_path / "scan") == expected


# Disks and other runs


def full(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing_at(n: int, function: Callable[..., Any]) -> Callable[..., Any]:
    count = itertools.count()
    return lambda *arguments, **choices: (full if next(count) >= n else function)(*arguments, **choices)


@pytest.mark.parametrize(
    ("place", "name", "n", "n_done"),
    [
        (scan_folder, "_write_picture", 17, 4),  # four pictures a photo
        (scan_folder, "_write_cracks", 0, 8),
        (journal_module, "_line", 5, 4),  # the first line is the head
        (scan_folder, "write_text", 0, 8),
        (scan_folder, "write_text", 1, 8),
        (scan_folder, "write_scan_report", 0, 8),
    ],
)
def test_a_disk_that_fills_loses_nothing_and_the_same_command_goes_on(
    images: list[ImageFile],
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    n: int,
    n_done: int,
) -> None:
    expected, out = unbroken(images, model, tmp_path / "whole"), tmp_path / "scan"
    with monkeypatch.context() as patched:
        patched.setattr(place, name, failing_at(n, getattr(place, name)))
        with pytest.raises(OutputError, match="no space left on the disk") as caught:
            write_scan(images, model, out=out, threads=1)
    assert "\n" not in str(caught.value)
    assert not out.exists()
    assert write_scan(images, model, out=out, threads=1).n_resumed == n_done
    assert tree(out) == expected


def test_a_disk_that_fills_under_a_picture_leaves_no_half_of_it(
    images: list[ImageFile], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def half(path: Path, content: bytes) -> int:
        write(path, content[: len(content) // 2])
        return int(full())

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", half)
        with pytest.raises(OutputError, match="no space left on the disk"):
            write_scan(images, model, out=tmp_path / "scan")
    assert [path.name for path in part_of(tmp_path / "scan").rglob("*") if path.is_file()] == [".photos.journal"]
    write_scan(images, model, out=tmp_path / "scan")
    assert tree(tmp_path / "scan") == unbroken(images, model, tmp_path / "whole")


def test_a_place_that_cannot_be_written_is_told(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file lies where a folder is needed"):
        write_scan(untouched(images), model, out=tmp_path / "file" / "scan")
    with pytest.raises(OutputError, match="too long"):
        write_scan(untouched(images), model, out=tmp_path / ("x" * 300))


def refused_meanwhile(images: list[ImageFile], model: Model, out: Path, **settings: Any) -> None:
    with pytest.raises(OutputError, match="another run is writing it") as caught:
        write_scan(untouched(images), model, out=out, **settings)
    assert "\n" not in str(caught.value)


def test_a_second_run_is_refused_while_the_first_scans(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    expected = unbroken(images, model, tmp_path / "whole")
    out = tmp_path / "scan"
    write_scan(images, model, out=out, progress=lambda *_: refused_meanwhile(images, model, out))
    assert tree(out) == expected


def test_a_second_run_is_refused_while_the_first_writes_its_report(
    images: list[ImageFile], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, out = unbroken(images, model, tmp_path / "whole"), tmp_path / "scan"
    write = write_scan_report

    def written(*arguments: Any, **choices: Any) -> None:
        refused_meanwhile(images, model, out)
        write(*arguments, **choices)
        refused_meanwhile(images, model, out, overwrite=True)

    monkeypatch.setattr(scan_folder, "write_scan_report", written)
    write_scan(images, model, out=out)
    assert tree(out) == expected


def test_a_scan_that_another_run_has_finished_meanwhile_is_not_replaced(
    images: list[ImageFile], model: Model, tmp_path: Path
) -> None:
    out = tmp_path / "scan"
    other = unbroken(images[:2], model, tmp_path / "other")

    def finish(done: int, total: int) -> None:
        if done == total:
            (tmp_path / "other").rename(out)

    with pytest.raises(OutputError, match="exists"):
        write_scan(images, model, out=out, progress=finish)
    assert tree(out) == other
    assert write_scan(images, model, out=out, overwrite=True).n_resumed == 8


# Maps that can be read again


def test_maps_are_kept_beside_their_pictures_and_read_as_python_makes_them(
    images: list[ImageFile], model: Model, tmp_path: Path
) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "scan"
    write_scan(images, model, out=pictures, network_scale=0.75)
    write_scan(images, model, out=out, network_scale=0.75, maps="npz")
    assert names(out / "maps") == sorted(f"wall {i}.{kind}" for i in range(8) for kind in MAP_KINDS)
    kept = {name: content for name, content in tree(out).items() if not name.endswith(".npz")}
    assert kept == tree(pictures)  # nothing else differs
    for image in images:
        place = out / by_path(out)[image.path]["map"]
        assert_same_map(CrackMap.load(place.with_suffix(".npz")), mapped(model, image, network_scale=0.75))


def assert_same_map(found: CrackMap, expected: CrackMap) -> None:
    assert found.logits.dtype == expected.logits.dtype == np.float32
    np.testing.assert_array_equal(found.logits, expected.logits)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    for one in fields(CrackMap):
        if one.name != "logits":
            assert getattr(found, one.name) == getattr(expected, one.name), one.name
    assert found.regions() == expected.regions()


def test_a_map_of_any_name_is_read_again(model: Model, tmp_path: Path) -> None:
    contents = {path: DRAWN[i % len(DRAWN)] for i, path in enumerate(ODD)} | READ
    contents |= {path: content for path, (content, _) in REFUSED.items()}
    write_scan(of_any_name(contents), model, out=tmp_path / "scan", maps="npz")
    rows = by_path(tmp_path / "scan")
    for image in of_any_name(contents):
        row = rows[image.path.replace("\udcff", "\\udcff")]
        if image.path in REFUSED:
            assert (bool(row["error"]), row["map"]) == (True, "")
        else:
            kept = (tmp_path / "scan" / row["map"]).with_suffix(".npz")
            assert_same_map(CrackMap.load(kept), mapped(model, image))
    assert len(names(tmp_path / "scan" / "maps")) == 2 * len([*ODD, *READ])


@pytest.mark.parametrize("maps", ["jpg", "", "PNG", "npz,png"])
def test_maps_in_another_form_are_refused_before_any_work(
    images: list[ImageFile], model: Model, tmp_path: Path, maps: str
) -> None:
    with pytest.raises(DataError, match=rf"^maps is '{maps}'; it must be png or npz\.$"):
        write_scan(untouched(images), model, out=tmp_path / "scan", maps=maps)
    assert names(tmp_path) == ["photos"]


@pytest.mark.parametrize("after", [0, 5, 7])
def test_a_run_with_maps_goes_on_and_gives_the_same_bytes(
    images: list[ImageFile], model: Model, tmp_path: Path, after: int
) -> None:
    expected, out = unbroken(images, model, tmp_path / "whole", maps="npz"), tmp_path / "scan"
    stop(images, model, out, after=after, maps="npz")
    assert write_scan(images, model, out=out, maps="npz").n_resumed == after
    assert tree(out) == expected


@pytest.mark.parametrize(("first", "second"), [("png", "npz"), ("npz", "png")])
def test_a_run_with_maps_in_one_form_does_not_take_up_one_with_another(
    images: list[ImageFile], model: Model, tmp_path: Path, first: str, second: str
) -> None:
    expected, out = unbroken(images, model, tmp_path / "whole", maps=second), tmp_path / "scan"
    stop(images, model, out, after=5, maps=first)
    assert write_scan(images, model, out=out, maps=second).n_resumed == 0
    assert tree(out) == expected


def test_maps_of_photos_that_are_no_longer_asked_for_go_and_halves_too(
    images: list[ImageFile], model: Model, tmp_path: Path
) -> None:
    expected = unbroken(images[:3], model, tmp_path / "whole", maps="npz")
    stop(images, model, tmp_path / "scan", after=7, maps="npz")
    (part_of(tmp_path / "scan") / "maps" / ".wall 7-0123456789ab.part.npz").write_bytes(b"half")
    assert write_scan(images[:3], model, out=tmp_path / "scan", maps="npz").n_resumed == 3
    assert tree(tmp_path / "scan") == expected


@pytest.mark.parametrize(("first", "second"), [("png", "npz"), ("npz", "png"), ("npz", "npz")])
def test_overwriting_leaves_no_map_of_the_older_scan(
    images: list[ImageFile], model: Model, tmp_path: Path, first: str, second: str
) -> None:
    expected = unbroken(images[:2], model, tmp_path / "fresh", maps=second)
    write_scan(images, model, out=tmp_path / "scan", maps=first)
    write_scan(images[:2], model, out=tmp_path / "scan", maps=second, overwrite=True)
    assert tree(tmp_path / "scan") == expected
    assert names(tmp_path) == ["fresh", "photos", "scan"]


@pytest.mark.parametrize("maps", MAP_KINDS)
def test_overwriting_never_costs_anybody_a_map_of_another_photo(
    images: list[ImageFile], model: Model, tmp_path: Path, maps: str
) -> None:
    write_scan(images, model, out=tmp_path / "scan", maps=maps)
    mapped(model, images[0]).save(tmp_path / "scan" / "maps" / "mine.npz")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"holds 'maps/mine\.npz', which was not written by this command"):
        write_scan(untouched(images), model, out=tmp_path / "scan", maps=maps, overwrite=True)
    assert tree(tmp_path) == before


def test_a_disk_that_fills_under_a_map_leaves_no_half_of_it(
    images: list[ImageFile], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, out = unbroken(images, model, tmp_path / "whole", maps="npz"), tmp_path / "scan"

    def half(file: IO[bytes], **_: object) -> None:
        file.write(b"half")
        full()

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez_compressed", half)
        with pytest.raises(OutputError, match="no space left on the disk"):
            write_scan(images, model, out=out, maps="npz", threads=1)
    assert not [path for path in part_of(out).rglob("*") if path.suffix == ".npz"]
    assert write_scan(images, model, out=out, maps="npz").n_resumed == 0
    assert tree(out) == expected


# Images in memory


def in_every_form() -> list[Any]:
    """The drawn photos as bytes, arrays, PIL images and images that crackscope has read, which know their path."""
    forms: list[Callable[[bytes], Any]] = [
        bytes,
        bytearray,
        lambda content: decode_image(content).pixels,
        lambda content: pillow.open(io.BytesIO(content)),
        lambda content: decode_image(content, path="read before.png"),
    ]
    return [form(content) for form, content in zip(forms, DRAWN, strict=False)]


def test_images_in_memory_are_scanned_as_their_files(photos: Path, model: Model, tmp_path: Path) -> None:
    paths = ["#0", "#1", "#2", "#3", "read before.png", str(photos / "wall 5.png")]
    write_scan([*in_every_form(), photos / "wall 5.png"], model, out=tmp_path / "held", maps="npz")
    write_scan(
        of_any_name(dict(zip(paths, DRAWN, strict=False))), model, out=tmp_path / "as files", maps="npz", threads=1
    )
    assert tree(tmp_path / "held") == tree(tmp_path / "as files")
    assert sorted(by_path(tmp_path / "held")) == sorted(paths)
    write_scan((one for one in [*in_every_form(), photos / "wall 5.png"]), model, out=tmp_path / "one by one")
    assert by_path(tmp_path / "one by one") == by_path(tmp_path / "held")


def test_frames_of_one_name_are_each_shown_with_their_own_map(model: Model, tmp_path: Path) -> None:
    frames = [decode_image(content, path="film.mp4") for content in DRAWN[:3]]
    write_scan(frames, model, out=tmp_path / "film")
    others = {f"{i}.png": content for i, content in enumerate(DRAWN[:3])}
    write_scan(of_any_name(others), model, out=tmp_path / "scan")

    def shown(out: Path) -> list[tuple[str, str]]:
        page = (out / "report.html").read_text(encoding="utf-8")
        return re.findall(r'<img src="([^"]*)".*?data-levels="([^"]*)"', page, re.DOTALL)

    assert [row["path"] for row in table(tmp_path / "film")] == ["film.mp4"] * 3
    assert len(set(shown(tmp_path / "scan"))) == 3
    assert shown(tmp_path / "film") == shown(tmp_path / "scan")


def test_a_source_and_a_model_may_be_given_in_any_form(
    images: list[ImageFile], photos: Path, bundle: Path, model: Model, tmp_path: Path
) -> None:
    expected = unbroken(images, model, tmp_path / "whole")
    sources: list[Any] = [photos, str(photos), [photos], f"{photos}/*.png", iter(images), tuple(images)]
    models: list[AnyModel] = [model, bundle, str(bundle), read_bundle(bundle)]
    for i, (source, one) in enumerate(zip(sources, itertools.cycle(models), strict=False)):
        assert unbroken(source, one, tmp_path / str(i), threads=2) == expected
    write_scan(images[0], model, out=tmp_path / "alone")
    assert [row["path"] for row in table(tmp_path / "alone")] == [images[0].path]


@pytest.mark.parametrize("wrong", [3, None, {"a.png": b""}, [3], np.zeros((4, 4)), [DRAWN[0], [DRAWN[1]]]])
def test_what_is_no_image_is_refused_before_any_work(model: Model, tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(DataError, match=r"an image (cannot be taken from|must be an array)"):
        write_scan(wrong, model, out=tmp_path / "scan")
    assert names(tmp_path) == []


@pytest.mark.parametrize("mixed", [False, True])
def test_a_run_over_images_in_memory_never_takes_up_another(
    images: list[ImageFile], model: Model, tmp_path: Path, mixed: bool
) -> None:
    others = [decode_image(content).pixels for content in DRAWN]
    first: list[Any] = [images[0], *others[1:]] if mixed else others
    second: list[Any] = [first[0], *others[:0:-1]] if mixed else others[::-1]  # under the same numbers
    expected = unbroken(second, model, tmp_path / "whole")

    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    for source in (first, second):
        with pytest.raises(KeyboardInterrupt):
            write_scan(source, model, out=tmp_path / "scan", threads=1, progress=interrupt)
        assert rows_kept(tmp_path / "scan") == 5
    assert write_scan(second, model, out=tmp_path / "scan").n_resumed == 0
    assert tree(tmp_path / "scan") == expected


# Memory


@pytest.mark.parametrize(("n_megapixels", "side_by_side"), [(0.01, False), (1, True)])
def test_only_one_large_photo_is_decoded_at_a_time(
    images: list[ImageFile],
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_megapixels: float,
    side_by_side: bool,
) -> None:
    counting, met = threading.Lock(), threading.Event()
    n_now, n_most = 0, 0

    def counted(opened: OpenedFile) -> UInt8Array:
        nonlocal n_now, n_most
        with counting:
            n_now += 1
            n_most = max(n_most, n_now)
            if n_now > 1:
                met.set()
        met.wait(10 if side_by_side else 0.02)  # for another one, which must not come where both are large
        with counting:
            n_now -= 1
        return decode_opened(opened)

    expected = unbroken(images, model, tmp_path / "whole")
    monkeypatch.setattr(images_module, "decode_opened", counted)
    monkeypatch.setattr(images_module, "_LARGE_MEGAPIXELS", n_megapixels)
    assert unbroken(images, model, tmp_path / "scan", threads=4) == expected
    assert (n_most > 1) == side_by_side


def test_a_photo_is_not_held_while_the_network_runs(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = np.kron(draw_photo(0, photo_hw=(300, 450)).pixels, np.ones((4, 4, 1), np.uint8))  # 1200 by 1800
    files = of_any_name({f"{i}.png": encode("PNG", pillow.fromarray(large)) for i in range(2)})
    read: list[weakref.ref[UInt8Array]] = []
    held: list[int] = []
    load, run = ImageFile.load, Network.logit_map

    def noted(self: ImageFile, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
        found = load(self, max_megapixels=max_megapixels)
        read.append(weakref.ref(found.pixels))
        return found

    def watching(self: Network, pixels: UInt8Array, **choices: Any) -> Float32Array:
        held.append(sum(one() is not None for one in read))
        return run(self, pixels, **choices)

    monkeypatch.setattr(ImageFile, "load", noted)
    monkeypatch.setattr(Network, "logit_map", watching)
    write_scan(files, model, out=tmp_path / "scan", network_scale=0.5, threads=1)
    assert held == [0, 0]


# Killed

SCRIPT = """
import sys
from crackscope.files.inputs import ImageFile, list_images
from crackscope.reports.scan_folder import write_scan
from crackscope.scanning.loaded_model import load

class Paced(ImageFile):
    def read(self):
        sys.stdin.readline()  # a line a photo, until there are no more
        return super().read()

images = [Paced(image.path, image.place, image.member) for image in list_images([sys.argv[1]])]
model = load(sys.argv[2], threads=1)
print("begun", flush=True)
told = lambda done, total: print(done, flush=True)
summary = write_scan(images, model, out=sys.argv[3], maps=sys.argv[4], threads=1, progress=told)
print("resumed", summary.n_resumed)
"""


@pytest.fixture
def twenty(tmp_path: Path) -> Path:
    folder = tmp_path / "twenty"
    folder.mkdir()
    for i in range(20):
        (folder / f"{i:02}.png").write_bytes(png(i, (120 + 8 * i, 200)))
    (folder / "13.png").write_bytes(b"%PDF-1.7")
    return folder


def begin(photos: Path, bundle: Path, out: Path, *, maps: str = "png") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(photos), str(bundle), str(out), maps]
    process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def kill(process: subprocess.Popen[str], *, photos: int | None, delay_s: float) -> list[int]:
    """Wait for so many photos, and a little more, and kill it while the next are under way; of None, while it ends.

    Returns:
        How far it said it was, each time.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    if photos is None:
        process.stdin.close()
        process.stdin = None
    else:
        process.stdin.write("\n" * (photos + 2))
        process.stdin.flush()
    told = ""
    while not told.endswith("20\n") if photos is None else told.count("\n") < photos:
        told += process.stdout.readline() or pytest.fail("it ended early")
    time.sleep(delay_s)
    process.kill()
    rest, errors = process.communicate()
    assert "Traceback" not in errors
    return [int(line) for line in (told + rest).splitlines() if line.isdecimal()]


def rows_kept(out: Path) -> int:
    journal = part_of(out) / ".photos.journal"
    return max(0, journal.read_bytes().count(b"\n") - 1) if journal.exists() else 0  # the first line is the head


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no signal 9")
def test_a_run_that_was_killed_ten_times_gives_the_same_bytes(twenty: Path, bundle: Path, tmp_path: Path) -> None:
    expected = unbroken(list_images([twenty]), opened(bundle), tmp_path / "whole", maps="npz")
    out, moments = tmp_path / "scan", random.Random(0)
    n_kept, n_killed = 0, 0
    for number in range(10):
        n_more = moments.randrange(3) if number < 6 else None
        told = kill(begin(twenty, bundle, out, maps="npz"), photos=n_more, delay_s=moments.uniform(0, 0.08))
        n_killed += 1
        if out.exists():
            break
        assert told == list(range(n_kept + 1, n_kept + 1 + len(told)))  # what is kept is not scanned again
        n_kept = rows_kept(out)
        assert n_kept >= max(told, default=0)
    assert n_killed > 7
    if not out.exists():
        process = begin(twenty, bundle, out, maps="npz")
        said, errors = process.communicate()
        assert process.returncode == 0, errors
        assert said.split()[-2:] == ["resumed", str(n_kept)]
    assert tree(out) == expected
    assert names(tmp_path) == ["scan", "twenty", "whole"]


@pytest.mark.slow
def test_two_processes_do_not_spoil_each_other(twenty: Path, bundle: Path, tmp_path: Path) -> None:
    expected = unbroken(list_images([twenty]), opened(bundle), tmp_path / "whole")
    processes = [begin(twenty, bundle, tmp_path / "scan") for _ in range(2)]
    errors = [process.communicate()[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert 0 in codes
    refused = [text.strip().splitlines()[-1] for text, code in zip(errors, codes, strict=True) if code]
    assert all("another run is writing it" in line or "exists" in line for line in refused)
    assert tree(tmp_path / "scan") == expected


def test_a_scan_inside_the_folder_of_photos_does_not_scan_itself(tmp_path: Path, model: Model) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    for overwrite in (False, True):
        images = list_images([tmp_path])
        assert write_scan(images, model, out=tmp_path / "scan", overwrite=overwrite).n_images == 1


def test_a_scan_whose_photos_all_lie_in_its_own_folder_is_refused_and_the_folder_stays(
    tmp_path: Path, model: Model
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    write_scan(list_images([tmp_path / "a.png"]), model, out=tmp_path / "scan")
    before = sorted(path.name for path in (tmp_path / "scan").rglob("*"))
    with pytest.raises(DataError, match="all photos lie in this folder"):
        write_scan(list_images([tmp_path / "scan" / "overlays"]), model, out=tmp_path / "scan", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "scan").rglob("*")) == before
