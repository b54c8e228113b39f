"""Tables of joints, and the photos that they belong to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crackscope.data.labelled_joints import LabelledJoint, joints_by_photo, read_joints, require_joints_inside
from crackscope.data.labelled_photos import LabelledPhoto
from crackscope.data.patches import Patch
from crackscope.errors import DataError

HEAD = "photo,joint,point,x,y"


def read(tmp_path: Path, *rows: str, head: str = HEAD) -> list[LabelledJoint]:
    (tmp_path / "joints.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    return read_joints(tmp_path / "joints.csv")


def photos(*names: str) -> list[LabelledPhoto]:
    return [
        LabelledPhoto(name, np.empty((0, 4)), np.empty(0, np.int64), (), (Patch(name, "crack"),), lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        for name in names
    ]


def test_points_are_joined_in_their_order_whatever_the_order_of_rows(tmp_path: Path) -> None:
    rows = ("a.png,left,2,10,20", "b.png,left,1,0,0", "a.png,left,1,10.5,0", "b.png,left,5,3,4", "a.png,left,10,9,30")
    first, second = read(tmp_path, *rows)
    assert (first.photo, first.name, second.photo) == ("a.png", "left", "b.png")
    assert first.path_xy.tolist() == [[10.5, 0], [10, 20], [9, 30]]
    assert second.path_xy.tolist() == [[0, 0], [3, 4]]
    assert first.where[0].endswith("joints.csv, row 4")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (",left,2,1,1", "row 3: the photo is empty. Name it"),
        ("a.png,,2,1,1", "row 3: the joint is empty"),
        ("a.png,left,two,1,1", "row 3: point 'two' is no whole number. Number the points"),
        ("a.png,left,1,1,1", "row 3: point 1 of joint 'left' of a.png stands in row 2, too"),
        ("a.png,left,2,wide,1", "row 3: x 'wide' is no number. Give pixels"),
        ("a.png,left,2,1,nan", "row 3: y 'nan' is no number"),
        ("a.png,left,2,1,", "row 3: y '' is no number"),
        ("a.png,left,2,1", "row 3: 4 values for 5 columns. Give a CSV with photo,joint,point,x,y"),
        ("b.png,left,1,1,1", "row 2: joint 'left' of a.png has one point. Give it two points or more"),
        ("a.png,left,2,5,0", "row 2: joint 'left' of a.png has 2 points at one place"),
    ],
)
def test_a_wrong_row_is_an_error_that_names_it(tmp_path: Path, row: str, told: str) -> None:
    with pytest.raises(DataError, match=r"joints\.csv, ") as caught:
        read(tmp_path, "a.png,left,1,5,0", row)
    assert told in str(caught.value)


def test_a_table_without_a_column_or_a_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'point'"):
        read(tmp_path, "a.png,left,1,1", head="photo,joint,x,y")
    with pytest.raises(DataError, match=r"no joint is listed\. Give a CSV"):
        read(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_joints(tmp_path / "none.csv")


def joint(photo: str, *points: tuple[float, float]) -> LabelledJoint:
    where = tuple(f"joints.csv, row {i + 2}" for i in range(len(points) or 2))
    return LabelledJoint(photo, "left", np.array(points or [(0, 0), (9, 9)], float), where)


def test_photos_are_found_by_path_below_the_folder_or_file_name() -> None:
    judged = photos("walls/a.png", "walls/north/b.png")
    joints = [joint("a.png"), joint("b.png"), joint("north/b.png"), joint("walls/a.png"), joint("gone.png")]
    found, others = joints_by_photo(joints, judged, "walls")
    assert {name: len(own) for name, own in found.items()} == {"walls/a.png": 2, "walls/north/b.png": 2}
    assert others == ("gone.png",)


def test_a_file_name_that_two_photos_have_is_an_error_unless_one_lies_at_the_top() -> None:
    judged = photos("walls/north/a.png", "walls/south/a.png")
    with pytest.raises(DataError, match=r"row 2: photo 'a.png' may be walls/north/a.png or walls/south/a.png. Name it"):
        joints_by_photo([joint("a.png")], judged, "walls")
    found, _ = joints_by_photo([joint("a.png")], [*judged, *photos("walls/a.png")], "walls")
    assert list(found) == ["walls/a.png"]


def test_a_table_of_other_photos_is_an_error_that_offers_the_nearest_name() -> None:
    with pytest.raises(DataError, match=r"photo 'wal1.png' is not judged, .* Did you mean 'wall.png'\? Name photos by"):
        joints_by_photo([joint("wal1.png")], photos("p/wall.png"), "p")


def test_points_outside_their_photo_are_refused() -> None:
    inside, outside = joint("a.png", (-0.5, 0), (99.5, 59.5)), joint("a.png", (50, 0), (100, 30))
    require_joints_inside({"a.png": [inside]}, {"a.png": (60, 100)})
    require_joints_inside({"a.png": [outside]}, {})
    with pytest.raises(
        DataError, match=r"row 3: point \(100, 30\) of joint 'left' lies outside a.png, which has 100×60"
    ):
        require_joints_inside({"a.png": [inside, outside]}, {"a.png": (60, 100)})
