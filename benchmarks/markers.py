"""Measure the scale that markers give, on drawn photographs of markers of known size.

    python benchmarks/markers.py [--scenes 600] [--pairs 60] [--aligned 60] [--compare]

Each scene shows a marker of 50 mm on concrete: a side of 60 to 240 px, a tilt of 0 to 50°, five families, a blur of
0.5 to 1.8 px, noise of 1 to 8 grey levels, JPEG of quality 60 to 95, uneven light. Beside it lies a segment of 3 mm in
any direction, 0.6 to 1 side from the marker's middle, and another one 3 sides away. The program prints how far the
length of each is off by the scale that the marker gives, and how often the 95 % interval holds the true length.
A pair shows two markers, 4 to 8 sides apart, with the segment half-way between them. In an aligned scene the edges of
the marker run along rows and columns of pixels, which is the worst case for any sub-pixel method.

With `--compare`, the corners that OpenCV finds are compared by the same scenes: its default, its refinement to
sub-pixels, and that of AprilTag with its half pixel taken off. The seed is fixed, so the same figures come again.
With `--picture FILE`, three photographs that give no scale are drawn instead, each with the reason below it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from crackscope.arrays import Float64Array, UInt8Array
from crackscope.drawing.drawn_camera import CONCRETE, Scene, marker_on, photograph, plane_in_view, seen_at
from crackscope.files.pictures import picture_bytes
from crackscope.geometry.markers import MarkerKind, marker_bits, marker_scale
from crackscope.geometry.planes import homography_of, mapped
from crackscope.geometry.scale import COVERAGE, NoScale, Scale
from crackscope.reports.contact_sheet import contact_sheet

SIDE_MM, SEGMENT_MM = 50.0, 3.0
FAMILIES = ("4X4_50", "5X5_100", "6X6_250", "APRILTAG_36h11", "ARUCO_MIP_36h12")


@dataclass(frozen=True, eq=False)
class DrawnScene:
    """A photograph of markers.

    Attributes:
        photo: The photo, shape (H, W, 3), uint8, RGB.
        family: Family of the markers.
        side_px: Side of the first marker in pixels, if it were not tilted.
        tilt_deg: Tilt in degrees.
        segments_xy: Ends of segments of 3 mm in pixels, shape (n, 2, 2).
    """

    photo: UInt8Array
    family: str
    side_px: float
    tilt_deg: float
    segments_xy: Float64Array


def draw_scene(seed: int) -> DrawnScene:
    """Draw one marker, with a segment beside it and one 3 sides away."""
    rng = np.random.default_rng([seed, 2025])
    side_px, tilt_deg = float(np.exp(rng.uniform(np.log(60), np.log(240)))), float(rng.uniform(0, 50))
    family = FAMILIES[seed % len(FAMILIES)]
    size = int(1.7 * side_px) + 40
    scene = marker_on(concrete(rng), marker_bits(family, int(rng.integers(0, 50))), side_mm=SIDE_MM)
    places = [_around(rng, rng.uniform(0.6, 1.0) * SIDE_MM), _around(rng, 3 * SIDE_MM)]
    return _photographed(scene, rng, family, side_px, tilt_deg, (size, size), places)


def draw_aligned(seed: int) -> DrawnScene:
    """Draw one marker whose edges run along rows and columns of pixels, with a segment beside it."""
    rng = np.random.default_rng([seed, 2027])
    side_px, family = float(rng.uniform(60, 240)), FAMILIES[seed % len(FAMILIES)]
    size = int(1.7 * side_px) + 40
    scene = marker_on(concrete(rng), marker_bits(family, int(rng.integers(0, 50))), side_mm=SIDE_MM)
    places = [_around(rng, rng.uniform(0.6, 1.0) * SIDE_MM)]
    return _photographed(scene, rng, family, side_px, 0.0, (size, size), places, most_turn_deg=0.0)


def draw_pair(seed: int) -> DrawnScene:
    """Draw two markers, with a segment half-way between them."""
    rng = np.random.default_rng([seed, 2026])
    side_px, tilt_deg = float(rng.uniform(60, 110)), float(rng.uniform(0, 35))
    family, apart_mm = FAMILIES[seed % len(FAMILIES)], float(rng.uniform(4, 8)) * SIDE_MM
    first, second = (int(number) for number in rng.choice(50, 2, replace=False))
    away = np.array([np.cos(a := rng.uniform(0, np.pi)), np.sin(a)]) * apart_mm / 2
    ground = concrete(rng)
    for number, centre in ((first, away), (second, -away)):
        turn = float(rng.uniform(0, 360))
        centre_mm = float(centre[0]), float(centre[1])
        ground = marker_on(ground, marker_bits(family, number), side_mm=SIDE_MM, centre_mm=centre_mm, turn_deg=turn)
    reach = 1.25 * (np.abs(away) + 1.2 * SIDE_MM) * side_px / SIDE_MM
    photo_hw = (int(2 * reach[1]), int(2 * reach[0]))
    return _photographed(ground, rng, family, side_px, tilt_deg, photo_hw, [np.zeros(2)], most_turn_deg=4)


def concrete(rng: np.random.Generator) -> Scene:
    """Draw the reflectance of rough concrete."""
    grain = np.asarray(cv2.GaussianBlur(rng.normal(0, 1, (256, 256)).astype(np.float32), (0, 0), 1.5), np.float32)

    def shown(x: Any, y: Any) -> Any:
        rows, columns = (np.floor(w / 0.7).astype(np.int64) % 256 for w in (y, x))
        return CONCRETE * (1 + grain[rows, columns])

    return shown


def _around(rng: np.random.Generator, distance_mm: float) -> Float64Array:
    angle = rng.uniform(0, 2 * np.pi)
    return distance_mm * np.array([np.cos(angle), np.sin(angle)])


def _photographed(
    scene: Scene,
    rng: np.random.Generator,
    family: str,
    side_px: float,
    tilt_deg: float,
    photo_hw: tuple[int, int],
    places_mm: list[Float64Array],
    *,
    most_turn_deg: float = 180.0,
) -> DrawnScene:
    focal_px = float(rng.uniform(1500, 4000))
    at = (photo_hw[1] / 2 + float(rng.uniform(-0.5, 0.5)), photo_hw[0] / 2 + float(rng.uniform(-0.5, 0.5)))
    aside = rng.uniform(-0.3, 0.3, 2) * focal_px  # the photo is a part of a larger one
    view = plane_in_view(
        mm_per_px=SIDE_MM / side_px,
        at_px=at,
        tilt_deg=tilt_deg,
        towards_deg=float(rng.uniform(0, 360)),
        turn_deg=float(rng.uniform(-most_turn_deg, most_turn_deg)),
        focal_px=focal_px,
        axis_px=(at[0] + float(aside[0]), at[1] + float(aside[1])),
    )
    photo = photograph(
        scene,
        view,
        photo_hw=photo_hw,
        blur_px=float(rng.uniform(0.5, 1.8)),
        noise_levels=float(rng.uniform(1, 8)),
        jpeg_quality=int(rng.integers(60, 96)),
        shade=(float(rng.uniform(-0.25, 0.25)), float(rng.uniform(-0.25, 0.25))),
        seed=int(rng.integers(2**31)),
    )
    segments = []
    for place in places_mm:
        half = _around(rng, SEGMENT_MM / 2)
        segments.append(seen_at(view, [place - half, place + half]))
    return DrawnScene(photo, family, side_px, tilt_deg, np.array(segments))


def errors_of(scene: DrawnScene) -> list[tuple[float, bool]] | None:
    """Error of each segment as a share of its length, and whether the 95 % interval holds it; None without a scale."""
    found = marker_scale(scene.photo, MarkerKind(scene.family, SIDE_MM))
    if isinstance(found, NoScale):
        return None
    return [error_of(found, segment) for segment in scene.segments_xy]


def error_of(scale: Scale, segment_xy: Float64Array) -> tuple[float, bool]:
    """Error of a segment as a share of its length, and whether the 95 % interval holds the true length."""
    length, uncertainty = scale.length_mm(segment_xy)
    assert uncertainty is not None
    return abs(length / SEGMENT_MM - 1), abs(length - SEGMENT_MM) <= COVERAGE * uncertainty


def row(name: str, errors: list[tuple[float, bool]]) -> str:
    """Line of a table: median, 95th percentile and greatest error in percent, and share of intervals that hold."""
    percent = 100 * np.array([error for error, _ in errors])
    holds = 100 * float(np.mean([held for _, held in errors]))
    low, high = np.median(percent), np.percentile(percent, 95)
    return f"| {name} | {len(errors)} | {low:.3f} | {high:.2f} | {percent.max():.2f} | {holds:.1f} |"


def print_found(scenes: Iterator[DrawnScene], names: tuple[str, ...]) -> list[DrawnScene]:
    """Print the errors of scenes, and give the scenes back."""
    drawn, found, missed = [], [], 0
    for scene in scenes:
        drawn.append(scene)
        errors = errors_of(scene)
        missed += errors is None
        found += [] if errors is None else [errors]
    for number, name in enumerate(names):
        print(row(name, [errors[number] for errors in found]), flush=True)
    print(f"| no scale | {missed} | | | | |", flush=True)
    return drawn


def print_small_and_tilted(scenes: list[DrawnScene]) -> None:
    """Print the errors beside the marker for parts of the scenes."""
    parts: dict[str, Callable[[DrawnScene], bool]] = {
        "side 60 to 90 px": lambda one: one.side_px < 90,
        "side 90 to 150 px": lambda one: 90 <= one.side_px < 150,
        "side 150 to 240 px": lambda one: one.side_px >= 150,
        "tilt 0 to 20°": lambda one: one.tilt_deg < 20,
        "tilt 20 to 40°": lambda one: 20 <= one.tilt_deg < 40,
        "tilt 40 to 50°": lambda one: one.tilt_deg >= 40,
    }
    errors = [errors_of(scene) for scene in scenes]
    for name, belongs in parts.items():
        own = [error[0] for scene, error in zip(scenes, errors, strict=True) if error is not None and belongs(scene)]
        print(row(name, own), flush=True)


def print_compared(scenes: list[DrawnScene]) -> None:
    """Print the errors beside the marker by the corners that OpenCV finds."""
    ways = {
        "OpenCV, default": (cv2.aruco.CORNER_REFINE_NONE, 0.0),
        "OpenCV, sub-pixels": (cv2.aruco.CORNER_REFINE_SUBPIX, 0.0),
        "OpenCV, AprilTag": (cv2.aruco.CORNER_REFINE_APRILTAG, 0.5),
    }
    for name, (way, offset_px) in ways.items():
        parameters = cv2.aruco.DetectorParameters()
        parameters.cornerRefinementMethod = way
        errors = []
        for scene in scenes:
            family = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{scene.family}"))
            corners, numbers, _ = cv2.aruco.ArucoDetector(family, parameters).detectMarkers(scene.photo[:, :, 0])
            if numbers is not None:
                to_mm = homography_of(np.asarray(corners[0], np.float64).reshape(4, 2) - offset_px, SIDE_MM)
                ends = mapped(to_mm, scene.segments_xy[0])
                errors.append((abs(float(np.hypot(*(ends[1] - ends[0]))) / SEGMENT_MM - 1), False))
        print(row(name, errors).rsplit("|", 2)[0] + "| |", flush=True)


def draw_hopeless(file: Path) -> None:
    """Draw three photographs that give no scale: a marker half outside, a mirrored one, and two on different planes."""
    hw, family = (300, 300), "APRILTAG_36h11"
    view = plane_in_view(mm_per_px=0.45, at_px=(150, 150), tilt_deg=20, towards_deg=60, turn_deg=8)
    aside = plane_in_view(mm_per_px=0.45, at_px=(25, 150), tilt_deg=20, towards_deg=60, turn_deg=8)

    def photo_of(seen: Float64Array, number: int, side_mm: float = SIDE_MM) -> UInt8Array:
        ground = concrete(np.random.default_rng(number))
        return photograph(marker_on(ground, marker_bits(family, number), side_mm=side_mm), seen, photo_hw=hw)

    left = plane_in_view(mm_per_px=0.62, at_px=(75, 150))
    right = plane_in_view(mm_per_px=0.45, at_px=(220, 150), tilt_deg=45, towards_deg=90)
    corner = np.hstack([photo_of(left, 3)[:, :150], photo_of(right, 5)[:, 150:]])
    photos = [photo_of(aside, 7), np.ascontiguousarray(photo_of(view, 7)[:, ::-1]), corner]
    captions = ["The marker is not whole.", "The photo was flipped.", "Two planes, two markers."]
    for photo, caption in zip(photos, captions, strict=True):
        print(caption, marker_scale(photo, MarkerKind(family, SIDE_MM)))
    sheet = contact_sheet([*zip(photos, captions, strict=True)], columns=3, side_px=hw[0])
    file.write_bytes(picture_bytes(sheet, ".jpg", quality=85))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=600)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--aligned", type=int, default=60)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    if given.picture:
        draw_hopeless(given.picture)
        return
    print("| segment of 3 mm | n | median error, % | 95th percentile, % | greatest, % | intervals that hold, % |")
    print("| --- | --- | --- | --- | --- | --- |")
    scenes = print_found((draw_scene(seed) for seed in range(given.scenes)), ("beside", "3 sides away"))
    print_small_and_tilted(scenes)
    if given.compare:
        print_compared(scenes)
    if given.pairs:
        print_found((draw_pair(seed) for seed in range(given.pairs)), ("half-way between two",))
    if given.aligned:
        print_found((draw_aligned(seed) for seed in range(given.aligned)), ("beside, aligned with the pixels",))


if __name__ == "__main__":
    main()
