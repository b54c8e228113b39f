"""What is known of a photo is one value, the same in Python and in JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crackscope
from crackscope.drawing.walls import draw_photo
from crackscope.errors import DataError
from crackscope.geometry.scale import Scale
from crackscope.scanning.loaded_model import Model, load
from crackscope.scanning.regions import Region
from crackscope.scanning.results import SCHEMA_VERSION, PhotoResult, refused
from shared.cracks import made_crack

SHARES, SIDES = st.floats(0, 1), st.integers(0, 10**5)
PAIRS = st.tuples(SIDES, SIDES)
REGIONS = st.builds(
    Region,
    id=st.integers(1, 10**6),
    box_xyxy=st.tuples(SIDES, SIDES, SIDES, SIDES),
    area_px=SIDES,
    peak_probability=SHARES,
    mean_probability=SHARES,
    peak_xy=PAIRS,
)
RESULTS = st.builds(
    PhotoResult,
    path=st.text(),
    model=st.text(),
    verdict=st.sampled_from([None, "crack", "unsure", "uncracked", "rejected"]),
    reason=st.none() | st.text(),
    crack_probability=st.none() | SHARES,
    threshold=st.none() | SHARES,
    peak_xy=st.none() | PAIRS,
    regions=st.lists(REGIONS, max_size=3).map(tuple),
    width_px=st.none() | SIDES,
    network_scale=st.none() | st.floats(0.01, 8),
    scale=st.none() | st.builds(Scale, st.floats(0.01, 9), st.none() | SHARES, st.text()),
    taken_at=st.none() | st.datetimes(timezones=st.none() | st.just(timezone(timedelta(hours=-3, minutes=-30)))),
    latitude_deg=st.none() | st.floats(-90, 90),
    page=st.none() | st.just("1 of 3"),
    error=st.none() | st.text(),
    map=st.none(),
)


@pytest.fixture(scope="module")
def model() -> Model:
    return load()


@given(RESULTS)
def test_a_result_survives_json(result: PhotoResult) -> None:
    document = json.loads(json.dumps(result.to_dict()))
    assert document["schema_version"] == SCHEMA_VERSION
    assert PhotoResult.from_dict(document) == result
    for region in document["regions"]:
        region["added later"] = 1
    assert PhotoResult.from_dict(document | {"added later": 1}) == result
    with pytest.raises(DataError, match=r"has version 2, not 1\. Upgrade crackscope"):
        PhotoResult.from_dict(document | {"schema_version": 2})


def test_a_result_says_all_that_is_known_of_a_photo(model: Model) -> None:
    photo = draw_photo(1, photo_hw=(1200, 1600)).pixels
    taken_at = datetime(2024, 5, 6, 7, 8, 9)
    image = crackscope.Image(photo, "wall.jpg", taken_at, 47.5, 8.25, "1 of 3")
    found = model.scan(image, network_scale=0.625, scale=Scale(0.5))
    assert found.map is not None
    assert (found.path, found.model, found.verdict, found.reason) == ("wall.jpg", model.name, "crack", None)
    assert (found.width_px, found.height_px, found.unit) == (1600, 1200, "photo")
    assert (found.network_scale, found.scale) == (0.625, Scale(0.5))
    assert (found.taken_at, found.latitude_deg, found.longitude_deg) == (taken_at, 47.5, 8.25)
    assert found.page == "1 of 3"
    assert found.threshold is not None
    assert found.crack_probability == found.map.peak_probability >= found.threshold
    assert model.card.verdict is not None
    assert found.threshold == model.card.verdict.threshold
    assert found.peak_xy == found.map.peak_xy
    assert list(found.regions) == found.map.regions()
    assert [region.id for region in found.regions] == list(range(1, len(found.regions) + 1))
    assert found.error is None
    assert "map" not in found.to_dict()
    assert "CrackMap" not in repr(found)


def test_a_photo_that_could_not_be_read_has_nothing_but_its_error() -> None:
    result = refused("a.png", "m@1", "the file is empty")
    told = {name: value for name, value in result.to_dict().items() if value not in (None, [])}
    assert told == {"schema_version": SCHEMA_VERSION, "path": "a.png", "model": "m@1", "error": "the file is empty"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": "crack", "crack_probability": 0.91}, ["a&lt;b&gt;.png", "crack", "0.910"]),
        ({"verdict": "rejected", "reason": "blurred"}, ["rejected blurred"]),
        ({"error": "truncated <JPEG>"}, ["truncated &lt;JPEG&gt;"]),
    ],
)
def test_a_result_shows_itself_in_a_notebook(changes: dict[str, Any], words: list[str]) -> None:
    shown = PhotoResult("a<b>.png", "m@1", **changes)._repr_html_()
    assert all(word in shown for word in words)
    assert "<img" not in shown


def test_cracks_are_numbered_and_drawn_only_where_they_count() -> None:
    small, large = made_crack([(0, 0), (50, 0)], name="small"), made_crack([(0, 9), (90, 9)], name="large")
    joint = made_crack([(0, 20), (500, 20)], name="joint", joint_like=True)
    told: dict[str, Any] = {"cracks": (joint, small, large), "width_px": 600, "height_px": 100, "traced_by": "fine map"}
    found = PhotoResult("a.png", "m@1", "crack", **told)
    assert [crack.id for crack in found.numbered_cracks] == ["large", "small", "joint"]
    assert found.drawn_cracks == found.numbered_cracks
    assert "<td>2, 140 px long in all</td>" in found._repr_html_()
    other = PhotoResult("a.png", "m@1", "uncracked", **told)
    assert (other.drawn_cracks, other.numbered_cracks) == ((), found.numbered_cracks)


def test_the_map_in_a_notebook_shows_the_cracks(model: Model) -> None:
    found = model.scan(np.asarray(draw_photo(1, photo_hw=(800, 1000)).pixels))
    assert found.drawn_cracks
    shown = [re.findall(r"base64,([^\"]+)", one._repr_html_())[0] for one in (found, replace(found, cracks=()))]
    assert shown[0] != shown[1]


def test_a_result_with_its_map_shows_the_map(model: Model) -> None:
    shown = model.scan(np.asarray(draw_photo(1, photo_hw=(800, 1000)).pixels))._repr_html_()
    assert 'src="data:image/png;base64,' in shown
