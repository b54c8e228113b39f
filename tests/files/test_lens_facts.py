"""What a camera noted of lens and distance is read as it stands, wherever it stands."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image as pillow

from crackscope.files.images import decode_image
from crackscope.files.lens_facts import LensFacts, lens_facts
from shared.headers import header_of, rational, with_facts

EXIF = {
    "FocalLength": rational(1229, 100),
    "FocalLengthIn35mmFilm": 24,
    "DigitalZoomRatio": rational(1, 1),
    "ExifImageWidth": 5280,
    "ExifImageHeight": 3956,
    "SubjectDistance": rational(32, 10),
}
DJI = {
    "drone-dji:RelativeAltitude": "+12.50",
    "drone-dji:CalibratedFocalLength": "3725.151611",
    "drone-dji:CalibratedOpticalCenterX": "2640.000000",
    "drone-dji:CalibratedOpticalCenterY": "1978.000000",
    "drone-dji:DewarpData": "2022-06-08;3713.29,3714.31,7.02,-8.72,-0.112575,0.014874,-0.000085,0.000000,-0.027064",
    "drone-dji:LRFStatus": "Normal",
    "drone-dji:LRFTargetDistance": "7.213",
}


def test_exif_and_xmp_are_read() -> None:
    assert lens_facts(header_of((5280, 3956), EXIF, DJI)) == LensFacts(
        focal_mm=12.29,
        focal_35mm=24,
        focal_px=3725.151611,
        centre_xy_px=(2640, 1978),
        dewarp_focal_px=3713.8,
        recorded_wh_px=(5280, 3956),
        digital_zoom=1,
        laser_distance_m=7.213,
        laser_status="Normal",
        subject_distance_m=3.2,
        relative_altitude_m=12.5,
    )


def test_a_file_without_facts_has_none() -> None:
    assert lens_facts(header_of((400, 300))) is None
    assert lens_facts(header_of((400, 300), {"ISOSpeedRatings": 100}, {"tiff:Orientation": "1"})) is None
    assert lens_facts(pillow.new("RGB", (4, 4))) is None


def test_an_image_carries_its_facts() -> None:
    buffer = io.BytesIO()
    pillow.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(buffer, "JPEG")
    found = decode_image(with_facts(buffer.getvalue(), EXIF, DJI))
    assert found.lens is not None
    assert (found.lens.laser_distance_m, found.lens.focal_mm) == (7.213, 12.29)
    assert decode_image(buffer.getvalue()).lens is None


@pytest.mark.parametrize(
    ("exif", "name", "value"),
    [
        ({"FocalLength": rational(0, 1)}, "focal_mm", 0.0),
        ({"FocalLength": rational(5, 0)}, "focal_mm", math.nan),
        ({"FocalLengthIn35mmFilm": 0}, "focal_35mm", None),  # Exif: not known
        ({"SubjectDistance": rational(0xFFFFFFFF, 1)}, "subject_distance_m", math.inf),
        ({"SubjectDistance": rational(0, 1)}, "subject_distance_m", 0.0),
        ({"DigitalZoomRatio": rational(0, 1)}, "digital_zoom", 0.0),
        ({"FocalPlaneXResolution": rational(2540, 1)}, "pixels_per_mm", 100.0),  # inches where no unit is noted
        (
            {"FocalPlaneXResolution": rational(1000, 1), "FocalPlaneResolutionUnit": 3},
            "pixels_per_mm",
            100.0,
        ),
        ({"FocalPlaneXResolution": rational(1000, 1), "FocalPlaneResolutionUnit": 1}, "pixels_per_mm", math.nan),
        ({"ExifImageWidth": 400, "DigitalZoomRatio": rational(1, 1)}, "recorded_wh_px", None),
    ],
)
def test_values_of_exif(exif: dict[str, object], name: str, value: float | None) -> None:
    found = lens_facts(header_of((400, 300), {"FNumber": rational(28, 10), **exif}))
    told = None if found is None else getattr(found, name)
    assert told == value or (value is not None and math.isnan(value) and math.isnan(told or 0))


@pytest.mark.parametrize(
    ("xmp", "name", "value"),
    [
        ({"drone-dji:LRFTargetDistance": "nan"}, "laser_distance_m", math.nan),
        ({"drone-dji:LRFTargetDistance": "near"}, "laser_distance_m", math.nan),
        ({"drone-dji:LRFTargetDistance": ""}, "laser_distance_m", math.nan),
        ({"drone-dji:LRFStatus": "TooFar"}, "laser_status", "TooFar"),
        ({"drone-dji:DewarpData": "3000,3010,0,0"}, "dewarp_focal_px", 3005.0),
        ({"drone-dji:DewarpData": "2022-06-08;"}, "dewarp_focal_px", math.nan),
        ({"drone-dji:CalibratedOpticalCenterX": "20", "aux:Lens": "x"}, "centre_xy_px", None),
        ({"aux:ApproximateFocusDistance": "27/10"}, "subject_distance_m", 2.7),
        ({"aux:ApproximateFocusDistance": "4294967295/1"}, "subject_distance_m", math.inf),
        ({"crs:HasCrop": "True"}, "is_cropped", True),
        ({"crs:HasCrop": "False", "drone-dji:RelativeAltitude": "-3"}, "is_cropped", False),
    ],
)
def test_values_of_xmp(xmp: dict[str, str], name: str, value: object) -> None:
    found = lens_facts(header_of((400, 300), xmp=xmp))
    told = None if found is None else getattr(found, name)
    if isinstance(value, float) and math.isnan(value):
        assert isinstance(told, float)
        assert math.isnan(told)
    else:
        assert told == value


def test_elements_of_xmp_are_read_as_attributes_are() -> None:
    image = pillow.new("RGB", (4, 4))
    image.info["xmp"] = b"<rdf:Description><drone-dji:LRFTargetDistance>\n 4.5 \n</drone-dji:LRFTargetDistance>"
    found = lens_facts(image)
    assert found is not None
    assert found.laser_distance_m == 4.5


def test_a_damaged_block_costs_only_its_facts() -> None:
    buffer = io.BytesIO()
    pillow.new("RGB", (40, 30), "grey").save(buffer, "JPEG")
    content = with_facts(buffer.getvalue(), EXIF)
    torn = content.replace(b"II*\x00", b"II*\x01").replace(b"MM\x00*", b"MM\x01*")
    assert decode_image(torn).pixels.shape == (30, 40, 3)
