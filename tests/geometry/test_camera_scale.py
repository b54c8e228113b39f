"""Camera data give a scale where everything that it needs was noted and fits, and else a reason."""

from __future__ import annotations

from typing import Any

import pytest

from crackscope.files.lens_facts import LensFacts, lens_facts
from crackscope.geometry.camera_scale import camera_scale
from crackscope.geometry.scale import NoScale, Scale
from shared.headers import header_of, rational

Case = tuple[tuple[int, int], dict[str, Any], dict[str, str]]


def dji(wh: tuple[int, int], distance_m: float, focal_px: float, **changes: Any) -> Case:
    """Headers of a drone with a laser: Exif and XMP."""
    exif = {
        "FocalLength": rational(1229, 100),
        "DigitalZoomRatio": rational(100, 100),
        "ExifImageWidth": wh[0],
        "ExifImageHeight": wh[1],
    }
    xmp = {
        "drone-dji:RelativeAltitude": "+8.10",
        "drone-dji:CalibratedFocalLength": f"{focal_px:.6f}",
        "drone-dji:CalibratedOpticalCenterX": f"{wh[0] / 2:.6f}",
        "drone-dji:CalibratedOpticalCenterY": f"{wh[1] / 2:.6f}",
        "drone-dji:LRFStatus": "Normal",
        "drone-dji:LRFTargetDistance": f"{distance_m:.3f}",
    }
    return changed((wh, exif, xmp), **changes)


def camera(wh: tuple[int, int], distance: Any, **changes: Any) -> Case:
    """Headers of a camera that notes its distance and the focal length for film."""
    exif = {
        "FocalLength": rational(50, 10),
        "FocalLengthIn35mmFilm": 28,
        "DigitalZoomRatio": rational(1, 1),
        "ExifImageWidth": wh[0],
        "ExifImageHeight": wh[1],
        "SubjectDistance": distance,
    }
    return changed((wh, exif, {}), **changes)


def single_lens(wh: tuple[int, int], focal_mm: int, px_per_inch: Any, distance: Any, **changes: Any) -> Case:
    """Headers of a camera that notes the resolution of its sensor."""
    exif = {
        "FocalLength": rational(focal_mm, 1),
        "FocalPlaneXResolution": px_per_inch,
        "FocalPlaneResolutionUnit": 2,
        "DigitalZoomRatio": rational(1, 1),
        "ExifImageWidth": wh[0],
        "ExifImageHeight": wh[1],
        "SubjectDistance": distance,
    }
    return changed((wh, exif, {}), **changes)


def changed(
    case: Case, *, now_wh: Any = None, exif: Any = None, xmp: Any = None, without: tuple[str, ...] = ()
) -> Case:
    """A case with other values; `without` names the tags that are left out."""
    size, noted, more = case
    noted, more = noted | (exif or {}), more | (xmp or {})
    return (
        now_wh or size,
        {name: value for name, value in noted.items() if name not in without},
        {name: value for name, value in more.items() if name.rpartition(":")[2] not in without},
    )


M3E, PHONE, FULL = (5280, 3956), (4032, 3024), (6000, 4000)
DEWARP = "drone-dji:DewarpData"

GIVEN: dict[str, tuple[Case, float]] = {
    "laser and calibration": (dji(M3E, 7.2, 3725.15), 7200 / 3725.15),
    "laser and the calibration of this lens": (
        dji(M3E, 7.2, 3725.15, xmp={DEWARP: "2022-06-08;3713.29,3713.29,7,-8,0,0,0,0,0"}),
        7200 / 3713.29,
    ),
    "laser and the calibration of this lens alone": (
        dji(
            M3E,
            7.2,
            1.0,
            xmp={DEWARP: "2022-06-08;3700,3720,7,-8,0,0,0,0,0"},
            without=("CalibratedFocalLength", "CalibratedOpticalCenterX"),
        ),
        7200 / 3710,
    ),
    "laser without a state": (dji(M3E, 7.2, 3725.15, without=("LRFStatus",)), 7200 / 3725.15),
    "laser, size not noted but the middle fits": (
        dji(M3E, 7.2, 3725.15, without=("ExifImageWidth",)),
        7200 / 3725.15,
    ),
    "laser and focus: the laser is taken": (
        dji(M3E, 7.2, 3725.15, exif={"SubjectDistance": rational(99, 1)}),
        7200 / 3725.15,
    ),
    "laser and film focal length that fits": (
        dji(M3E, 7.2, 3725.15, exif={"FocalLengthIn35mmFilm": 24}),
        7200 / 3725.15,
    ),
    "turned upright": (dji(M3E, 7.2, 3725.15, now_wh=(3956, 5280)), 7200 / 3725.15),
    "zoom noted as none": (dji(M3E, 7.2, 3725.15, exif={"DigitalZoomRatio": rational(0, 1)}), 7200 / 3725.15),
    "wide camera": (dji((4056, 3040), 12.0, 2970.0), 12000 / 2970),
    "tele camera": (dji((4000, 3000), 20.0, 18000.0), 20000 / 18000),
    "laser with a plus sign": (
        dji(M3E, 7.2, 3725.15, xmp={"drone-dji:LRFTargetDistance": "+7.200"}),
        7200 / 3725.15,
    ),
    "phone, 4:3": (camera(PHONE, rational(15, 10)), 1500 / (28 * 5040 / 43.2666)),
    "camera, 3:2": (camera(FULL, rational(2, 1)), 2000 / (28 * 7211.1 / 43.2666)),
    "phone, upright": (camera(PHONE, rational(15, 10), now_wh=(3024, 4032)), 1500 / (28 * 5040 / 43.2666)),
    "focus distance in XMP": (
        camera(PHONE, None, without=("SubjectDistance",), xmp={"aux:ApproximateFocusDistance": "27/10"}),
        2700 / (28 * 5040 / 43.2666),
    ),
    "full frame": (single_lens(FULL, 50, rational(6000 * 254, 360), rational(2, 1)), 2000 / (50 * 6000 / 36)),
    "APS-C, by cm": (
        single_lens(
            (5184, 3456),
            35,
            rational(5184 * 10, 22),
            rational(18, 10),
            exif={"FocalPlaneResolutionUnit": 3},
        ),
        1800 / (35 * 5184 / 22.0),
    ),
    "micro four thirds": (
        single_lens((4608, 3456), 25, rational(4608 * 254, 173), rational(1, 1)),
        1000 / (25 * 4608 / 17.3),
    ),
    "resolution and film agree": (
        single_lens(FULL, 50, rational(6000 * 254, 360), rational(2, 1), exif={"FocalLengthIn35mmFilm": 50}),
        2000 / (50 * 6000 / 36),
    ),
}

REFUSED: dict[str, tuple[Case, str]] = {
    "only the height above take-off": (
        dji(M3E, 7.2, 3725.15, without=("LRFTargetDistance",)),
        "only the height above take-off is noted",
    ),
    "zoom on": (dji(M3E, 7.2, 3725.15, exif={"DigitalZoomRatio": rational(2, 1)}), "digital zoom is noted as 2"),
    "zoom a little on": (
        camera(PHONE, rational(15, 10), exif={"DigitalZoomRatio": rational(105, 100)}),
        "digital zoom is noted as 1.05",
    ),
    "zoom unknown": (
        dji(M3E, 7.2, 3725.15, without=("DigitalZoomRatio",)),
        "whether digital zoom was on is not noted",
    ),
    "zoom without a number": (
        camera(PHONE, rational(15, 10), exif={"DigitalZoomRatio": rational(1, 0)}),
        "digital zoom is noted as nan",
    ),
    "laser too far": (dji(M3E, 7.2, 3725.15, xmp={"drone-dji:LRFStatus": "TooFar"}), "its state as 'TooFar'"),
    "distance NaN": (dji(M3E, float("nan"), 3725.15), "the distance is noted as nan m"),
    "distance 0": (camera(PHONE, rational(0, 1)), "the distance is noted as 0 m"),
    "distance infinite": (camera(PHONE, rational(0xFFFFFFFF, 1)), "the distance is noted as inf m"),
    "distance below 0": (dji(M3E, -3.0, 3725.15), "the distance is noted as -3 m"),
    "distance of a satellite": (dji(M3E, 5e5, 3725.15), "the distance is noted as 500000 m"),
    "focal length 0": (camera(PHONE, rational(15, 10), exif={"FocalLength": rational(0, 1)}), "noted as 0 mm"),
    "focal length of a drone 0": (dji(M3E, 7.2, 0.0), "the focal length is noted as 0 px"),
    "focal length of no lens": (dji(M3E, 7.2, 37.0), "the focal length is 37 px, which fits no lens"),
    "sensor unknown": (
        camera(PHONE, rational(15, 10), without=("FocalLengthIn35mmFilm",)),
        "the sensor is not known",
    ),
    "resized": (dji(M3E, 7.2, 3725.15, now_wh=(1320, 989)), "the camera took 5280×3956 px: it was cut or resized"),
    "resized, size not noted": (
        dji(M3E, 7.2, 3725.15, now_wh=(1320, 989), without=("ExifImageWidth",)),
        "does not fit the calibration of its sensor",
    ),
    "size not noted": (
        camera(PHONE, rational(15, 10), without=("ExifImageWidth",)),
        "the size of the photo as the camera took it is not noted",
    ),
    "16:9": (camera((4032, 2268), rational(15, 10)), "the photo's proportions, 1.78:1, fit no whole sensor"),
    "sensor of no camera": (
        single_lens((3000, 2000), 50, rational(6000 * 254, 360), rational(2, 1)),
        "would fill a sensor of 18.0×12.0 mm, which no camera has",
    ),
    "cropped by a program": (camera(PHONE, rational(15, 10), xmp={"crs:HasCrop": "True"}), "cropped the photo"),
    "two focal lengths": (
        dji(M3E, 7.2, 3725.15, exif={"FocalLengthIn35mmFilm": 48}),
        "two focal lengths are noted: 3725 px by the calibration, 7319 px by the focal length for film",
    ),
    "two calibrations": (
        dji(M3E, 7.2, 3725.15, xmp={DEWARP: "2022-06-08;1856,1856,0,0,0,0,0,0,0"}),
        "two calibrations are noted",
    ),
    "resolution without a unit": (
        single_lens(FULL, 50, rational(6000, 36), rational(2, 1), exif={"FocalPlaneResolutionUnit": 1}),
        "the resolution of the sensor is noted without a number",
    ),
    "calibration without a number": (
        dji(M3E, 7.2, 3725.15, xmp={"drone-dji:CalibratedFocalLength": "none"}),
        "the focal length is noted as nan px",
    ),
}


def scale_by(case: Case) -> Scale | NoScale | None:
    image = header_of(*case)
    return camera_scale(lens_facts(image), (image.height, image.width))


@pytest.mark.parametrize("name", GIVEN)
def test_what_was_noted_gives_a_scale(name: str) -> None:
    case, expected = GIVEN[name]
    found = scale_by(case)
    assert isinstance(found, Scale), found
    assert found.mm_per_px == pytest.approx(expected, rel=1e-3)
    assert (found.source, found.is_approximate, found.plane) == ("camera", True, None)
    assert found.relative_uncertainty is not None
    assert 0.05 <= found.relative_uncertainty <= 0.15


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_believed_gives_none_and_the_reason(name: str) -> None:
    case, reason = REFUSED[name]
    found = scale_by(case)
    assert isinstance(found, NoScale), found
    assert reason in found.reason
    assert not found.is_final


def test_there_are_twenty_of_each() -> None:
    assert len(GIVEN) >= 20
    assert len(REFUSED) >= 20


def test_a_photo_that_speaks_of_no_distance_gives_nothing_to_tell() -> None:
    assert camera_scale(None, (3000, 4000)) is None
    assert camera_scale(LensFacts(focal_mm=5.0), (3000, 4000)) is None
    assert scale_by(camera(PHONE, None, without=("SubjectDistance",))) is None


def test_a_scale_that_cannot_be_believed_is_a_reason() -> None:
    facts = LensFacts(subject_distance_m=490, focal_35mm=28, digital_zoom=0, recorded_wh_px=(4, 3))
    found = camera_scale(facts, (3, 4))
    assert isinstance(found, NoScale)
    assert "mm per pixel is" in found.reason
