"""Labelled joints: a CSV that says where joints run in photos, so that lines at joints can be told from cracks.

The table has the columns ``photo,joint,point,x,y``, and a row for each point of a joint. Points are joined by straight
pieces, in the order of the column ``point``. They are in pixels of the upright photo; (0, 0) is the middle of the first
pixel. A photo is named by its path, by its path below the folder of the photos, or by its file name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path, PurePosixPath

import numpy as np

from crackscope.arrays import Float64Array
from crackscope.data.labelled_photos import LabelledPhoto, path_below
from crackscope.errors import DataError, did_you_mean
from crackscope.files.tables import TableForm, TableRow, read_table

__all__ = ["LabelledJoint", "joints_by_photo", "read_joints", "require_joints_inside"]

_FORM = TableForm(
    ("photo", "joint", "point", "x", "y"),
    complete=True,
    remedy="Give a CSV with photo,joint,point,x,y, one row for each point of a joint.",
)


@dataclass(frozen=True, eq=False)
class LabelledJoint:
    """A joint in a photo.

    Attributes:
        photo: Name of the photo, as the table has it.
        name: Name of the joint within its photo.
        path_xy: Points x and y in their order, shape (n, 2), in pixels of the photo; n is at least 2.
        where: Name of the table and number of the row of each point, to begin a message with.
    """

    photo: str
    name: str
    path_xy: Float64Array
    where: tuple[str, ...]


def read_joints(place: str | Path) -> list[LabelledJoint]:
    """Read a table of joints.

    Args:
        place: Path of the CSV.

    Raises:
        DataError: If the table cannot be read, a row is wrong, a number of a point stands twice in a joint, or a joint
            has no length; the message names the row.
    """
    points: defaultdict[tuple[str, str], dict[int, tuple[TableRow, float, float]]] = defaultdict(dict)
    for row in read_table(Path(place), _FORM):
        photo, joint = row["photo"].strip(), row["joint"].strip()
        for column, value in (("photo", photo), ("joint", joint)):
            if not value:
                raise DataError(f"{row.where}: the {column} is empty. Name it, or delete the row.")
        own, number = points[photo, joint], _number_of(row)
        if number in own:
            raise DataError(
                f"{row.where}: point {number} of joint '{joint}' of {photo} stands in row {own[number][0].number}, "
                "too. Number the points of a joint in their order."
            )
        own[number] = row, _pixels(row, "x"), _pixels(row, "y")
    if not points:
        raise DataError(f"{place}: no joint is listed. {_FORM.remedy}")
    return [_joint(photo, joint, own) for (photo, joint), own in points.items()]


def joints_by_photo(
    joints: Sequence[LabelledJoint], photos: Sequence[LabelledPhoto], data: str | Path
) -> tuple[dict[str, list[LabelledJoint]], tuple[str, ...]]:
    """Find the photos that joints belong to.

    Args:
        joints: Joints of a table, from `read_joints`.
        photos: Photos that are judged.
        data: Folder or archive of the photos.

    Returns:
        The joints of each photo by the name of the photo, and the photos of the table that are not judged.

    Raises:
        DataError: If none of the photos is judged, or a name is that of several photos.
    """
    named = _photos_by_name([photo.name for photo in photos], data)
    found: defaultdict[str, list[LabelledJoint]] = defaultdict(list)
    others: dict[str, None] = {}
    for joint in joints:
        alike = named.get(joint.photo, [])
        if len(alike) > 1:
            raise DataError(
                f"{joint.where[0]}: photo '{joint.photo}' may be {alike[0]} or {alike[1]}. "
                f"Name it by its path below {data}."
            )
        if alike:
            found[alike[0]].append(joint)
        else:
            others[joint.photo] = None
    if not found:
        first = joints[0]
        raise DataError(
            f"{first.where[0]}: photo '{first.photo}' is not judged, and neither is any other photo of the table."
            f"{did_you_mean(first.photo, named)} Name photos by their path below {data}."
        )
    return dict(found), tuple(others)


def require_joints_inside(
    joints: Mapping[str, Sequence[LabelledJoint]], sizes_hw: Mapping[str, tuple[int, int]]
) -> None:
    """Refuse points that lie outside their photo, as those of another size of the photo do.

    Args:
        joints: Joints of each photo, from `joints_by_photo`.
        sizes_hw: Height and width of photos in pixels, by name; a photo without a size is passed over.

    Raises:
        DataError: With the row, the point and the size of the photo.
    """
    for name, own in joints.items():
        if name not in sizes_hw:
            continue
        height, width = sizes_hw[name]
        for joint in own:
            inside = (joint.path_xy >= -0.5).all(1) & (joint.path_xy <= (width - 0.5, height - 0.5)).all(1)
            if not inside.all():
                at = int(np.argmin(inside))
                x, y = joint.path_xy[at].tolist()
                raise DataError(
                    f"{joint.where[at]}: point ({x:g}, {y:g}) of joint '{joint.name}' lies outside {joint.photo}, "
                    f"which has {width}×{height} px. Give pixels of the upright photo."
                )


def _number_of(row: TableRow) -> int:
    try:
        return int(row["point"])
    except ValueError:
        raise DataError(
            f"{row.where}: point '{row['point']}' is no whole number. Number the points of a joint in their order."
        ) from None


def _pixels(row: TableRow, column: str) -> float:
    try:
        number = float(row[column])
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise DataError(f"{row.where}: {column} '{row[column]}' is no number. Give pixels of the photo.")
    return number


def _joint(photo: str, name: str, points: Mapping[int, tuple[TableRow, float, float]]) -> LabelledJoint:
    ordered = [points[number] for number in sorted(points)]
    path = np.array([(x, y) for _, x, y in ordered], np.float64)
    if not np.ptp(path, axis=0).any():
        told = "one point" if len(path) == 1 else f"{len(path)} points at one place"
        raise DataError(f"{ordered[0][0].where}: joint '{name}' of {photo} has {told}. Give it two points or more.")
    return LabelledJoint(photo, name, path, tuple(row.where for row, _, _ in ordered))


def _photos_by_name(paths: Sequence[str], data: str | Path) -> dict[str, list[str]]:
    """Photos by each name that they may be called by: whole paths go before paths below the folder and file names."""
    below = [path_below(data, path).as_posix() for path in paths]
    found: dict[str, list[str]] = {}
    for names in (paths, below, [PurePosixPath(path).name for path in below]):
        own: defaultdict[str, list[str]] = defaultdict(list)
        for name, path in zip(names, paths, strict=True):
            own[name].append(path)
        found = {**own, **found}
    return found
