"""Join the cracks of two overlapping photos of SDNET2018, for pairing by eye, and judge the joins by such a table.

    python benchmarks/joined_findings.py SDNET2018 --grid GRID.csv --pairs OVERLAPS.csv --reserved RESERVED.csv \
        --work WORK --out FOLDER [--model BUNDLE] [--most N] [--eye PAIRS_BY_EYE.csv]

OVERLAPS.csv lists pairs of photos that overlap (surface, photo_a, photo_b, overlap_share_of_a). Taken are pairs without
a photo of RESERVED.csv that share at least 40 % of the first photo. Both photos are traced, registered by
`crackscope.register`, and their cracks are joined. FOLDER then holds:

- ``PAIR.png``: both photos in the frame of the first one, side by side, and a name at each traced crack: ``a3`` is
  crack 3 of the first photo. Neither names nor colours tell which cracks were joined;
- ``PAIR-joined.png``: the same, joined cracks in one colour, all others in white;
- ``pairs.csv``: a row for each crack of the first photo in the shared area, with a place on it. The column ``crack_b``
  is for the number that the same crack has in the second photo, found by eye: nothing if it is not traced there,
  several numbers with a space between for pieces. ``x_b`` and ``y_b`` are where the registration expects it.
  ``places_b`` lists the cracks of the second photo, each as number:x:y.

With --eye, such a filled table is read. Its places on the cracks find the cracks again, also if another model traced
them. Printed are the share of the pairs made by eye that are joined, and the share of joined pairs that the eye did not
make. Traces are kept in WORK, so the same command goes on after a break.
"""

from __future__ import annotations

import argparse
import colorsys
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import crackscope
from crackscope.data.labelled_photos import LabelledPhoto
from crackscope.data.refinement import mapped
from crackscope.files.output import write_text
from crackscope.files.pictures import picture_bytes
from crackscope.files.tables import table_text
from crackscope.inspection.matching import Line
from crackscope.inspection.overlapping import CrackPlace, Joined, join_cracks
from overlapping_pairs import add_arguments, pairs_of, traced

COLUMNS = ("photo_a", "crack_a", "x_a", "y_a", "photo_b", "crack_b", "x_b", "y_b", "places_b")
PANEL_PX = 1500
LABEL_EVERY_PX = 900.0
NEAR_PX = 15.0  # of a place in the table, within which its crack is looked for
BORDER_PX = 24.0
ROOM_PX = 40.0


@dataclass(frozen=True, eq=False)
class Pair:
    """Two photos, their cracks that are no joints, and how they were joined."""

    photos: tuple[LabelledPhoto, LabelledPhoto]
    registration: crackscope.Registration
    cracks: tuple[list[crackscope.Crack], list[crackscope.Crack]]
    joined: Joined

    @property
    def name(self) -> str:
        return "_".join(photo.name for photo in self.photos)

    @property
    def links(self) -> set[tuple[int, int]]:
        """Numbers of a crack of the first photo and one of the second one that are joined."""
        groups = [group.places for group in self.joined.groups]
        return {(a.crack, b.crack) for own in groups for a in own for b in own if (a.photo, b.photo) == (0, 1)}

    def shared(self, path_xy: np.ndarray) -> np.ndarray:
        """Whether points of the first photo lie in the shared area, away from its edge."""
        area = self.registration.overlap_xy.astype(np.float32)[:, None]
        return np.array([cv2.pointPolygonTest(area, (float(x), float(y)), True) >= BORDER_PX for x, y in path_xy], bool)

    def in_first(self, path_xy: np.ndarray) -> np.ndarray:
        """Points of the second photo where they lie in the first one, by the homography alone; for pictures."""
        assert self.registration.homography is not None
        return mapped(np.asarray(np.linalg.inv(self.registration.homography), np.float64), path_xy)


def joined_pair(pair: tuple[LabelledPhoto, LabelledPhoto], model: crackscope.Model, work: Path) -> Pair | None:
    """Trace, register and join two photos; None if they cannot be registered."""
    pixels = [photo.load()[0] for photo in pair]
    registration = crackscope.register(*pixels)
    if not registration.matches:
        return None
    first, second = (
        [crack for crack in traced(photo, own, model, work).cracks if not crack.joint_like]
        for photo, own in zip(pair, pixels, strict=True)
    )
    return Pair(pair, registration, (first, second), join_cracks((first, second), {(0, 1): registration}))


# Sheets


def sheet(pair: Pair, pixels: Sequence[np.ndarray], *, by_group: bool) -> np.ndarray:
    """Draw both photos in the frame of the first one, with their cracks."""
    low, high = pair.registration.overlap_xy.min(0) - ROOM_PX, pair.registration.overlap_xy.max(0) + ROOM_PX
    height, width = pair.registration.photo_hw_a
    left, top = np.maximum(low, 0).astype(int)
    right, bottom = np.minimum(high, (width, height)).astype(int)
    scale = min(1.0, PANEL_PX / (right - left))
    panels = []
    for which, picture in enumerate((pixels[0], pair.registration.warp(pixels[1]))):
        cut = cv2.resize(picture[top:bottom, left:right], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for number, crack in enumerate(pair.cracks[which]):
            colour = colour_of(pair, CrackPlace(which, number), by_group=by_group)
            paths = [path if which == 0 else pair.in_first(path) for path in crack.path_xy]
            draw(cut, [(path - (left, top)) * scale for path in paths], f"{'ab'[which]}{number}", colour)
        panels.append(cv2.copyMakeBorder(cut, 6, 6, 6, 6, cv2.BORDER_CONSTANT, value=(255, 255, 255)))
    return np.hstack(panels)


def draw(picture: np.ndarray, paths: Sequence[np.ndarray], label: str, colour: tuple[int, int, int]) -> None:
    """Draw a crack beside its line, so that the crack is seen, and its number every now and then."""
    for path in paths:
        points = np.round(path).astype(np.int32)[:, None]
        cv2.polylines(picture, [points], False, colour, 2, cv2.LINE_AA)
    height, width = picture.shape[:2]
    seen = [path[((path >= 0) & (path < (width - 60, height))).all(axis=1)] for path in paths]
    longest = max(seen, key=len)
    if not len(longest):
        return
    for place in np.linspace(0, len(longest) - 1, 2 * max(1, round(len(longest) / LABEL_EVERY_PX)) + 1)[1::2]:
        x, y = np.round(longest[int(place)]).astype(int).tolist()
        for ink, thickness in (((0, 0, 0), 7), (colour, 2)):
            cv2.putText(picture, label, (x + 8, y - 8), cv2.FONT_HERSHEY_SIMPLEX, 1.1, ink, thickness, cv2.LINE_AA)


def colour_of(pair: Pair, place: CrackPlace, *, by_group: bool) -> tuple[int, int, int]:
    """Colour of a crack: by its number, or by the group that it was joined in."""
    number = place.crack + 5 * place.photo
    if by_group:
        groups = [group.places for group in pair.joined.groups if len(group.places) > 1]
        numbers = [i for i, own in enumerate(groups) if place in own]
        if not numbers:
            return 255, 255, 255
        number = numbers[0]
    red, green, blue = colorsys.hsv_to_rgb(number * 0.382 % 1, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


# Tables


def template(pair: Pair) -> list[tuple[object, ...]]:
    """Rows of the table to fill, and where each crack of the second photo lies."""
    rows: list[tuple[object, ...]] = []
    seconds = " ".join(
        f"{number}:{x:.0f}:{y:.0f}"
        for number, crack in enumerate(pair.cracks[1])
        for x, y in [middle_of(crack, np.ones(sum(map(len, crack.path_xy)), bool))]
    )
    for number, crack in enumerate(pair.cracks[0]):
        inside = pair.shared(np.concatenate(crack.path_xy))
        if inside.any():
            here = middle_of(crack, inside)
            there = pair.registration.map_points(here[None])[0]
            names = [photo.name for photo in pair.photos]
            rows.append((names[0], number, *here.round(), names[1], None, *there.round(), seconds))
    return rows


def middle_of(crack: crackscope.Crack, inside: np.ndarray) -> np.ndarray:
    """A point in the middle of the part of a crack that counts."""
    points = np.concatenate(crack.path_xy)[inside]
    return np.asarray(points[len(points) // 2])


def by_eye(pair: Pair, table: Path) -> set[tuple[int, int]] | None:
    """Pairs of cracks that were made by eye, as far as both are traced; None if the table has not this pair."""
    names = [photo.name for photo in pair.photos]
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    own = [row for row in rows if [row["photo_a"], row["photo_b"]] == names]
    found = set()
    for row in own:
        first = crack_at(pair.cracks[0], (float(row["x_a"]), float(row["y_a"])))
        places = {number: (float(x), float(y)) for number, x, y in (one.split(":") for one in row["places_b"].split())}
        for number in row["crack_b"].split():
            second = crack_at(pair.cracks[1], places[number.removeprefix("b")])
            if first is not None and second is not None:
                found.add((first, second))
    return found if own else None


def crack_at(cracks: Sequence[crackscope.Crack], place_xy: tuple[float, float]) -> int | None:
    """Number of the crack that runs through a place."""
    away = [float(Line.of(crack.path_xy).tree.query(place_xy)[0]) for crack in cracks]
    nearest = int(np.argmin(away)) if away else None
    return nearest if nearest is not None and away[nearest] <= NEAR_PX else None


def main() -> None:
    """Join all pairs, draw their sheets, and judge them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--eye", type=Path)
    given = parser.parse_args()
    for folder in (given.work, given.out):
        folder.mkdir(parents=True, exist_ok=True)
    model, pairs = crackscope.load(given.model), pairs_of(given)
    rows, n_eye, n_both, n_joined = [], 0, 0, 0
    for number, photos in enumerate(pairs, start=1):
        pair = joined_pair(photos, model, given.work)
        if pair is None:
            print(f"{number}/{len(pairs)} {' '.join(photo.name for photo in photos)}: not registered", flush=True)
            continue
        told = f"{len(pair.cracks[0])} and {len(pair.cracks[1])} cracks, {len(pair.links)} pairs joined, "
        print(f"{number}/{len(pairs)} {pair.name}: {told}{len(pair.joined.refused)} joins refused", flush=True)
        rows += template(pair)
        pixels = [photo.load()[0] for photo in photos]
        for ending, by_group in (("", False), ("-joined", True)):
            drawn = sheet(pair, pixels, by_group=by_group)
            (given.out / f"{pair.name}{ending}.png").write_bytes(picture_bytes(drawn, ".png"))
        eye = by_eye(pair, given.eye) if given.eye else None
        if eye is not None:
            n_eye, n_both, n_joined = n_eye + len(eye), n_both + len(eye & pair.links), n_joined + len(pair.links)
            print(f"  by eye not joined {sorted(eye - pair.links)}, joined not by eye {sorted(pair.links - eye)}")
    write_text(given.out / "pairs.csv", table_text(COLUMNS, rows), overwrite=True)
    if n_eye:
        print(f"{n_both} of {n_eye} pairs made by eye are joined ({n_both / n_eye:.1%})")
        print(
            f"{n_joined - n_both} of {n_joined} joined pairs were not made by eye ({1 - n_both / max(1, n_joined):.1%})"
        )


if __name__ == "__main__":
    main()
