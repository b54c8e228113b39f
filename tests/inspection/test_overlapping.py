"""Cracks that several photos show become one, by registrations that are drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.arrays import Float64Array
from crackscope.data.registration import Registration
from crackscope.errors import DataError
from crackscope.geometry.cracks import Crack
from crackscope.inspection.decisions import Decision
from crackscope.inspection.findings import Findings
from crackscope.inspection.numbering import findings_of
from crackscope.inspection.overlapping import CrackPlace, join_cracks, links_between, register_pairs
from crackscope.inspection.review import apply_decisions
from shared.drawn_cracks import crack_along, level_crack, network, photo_of, width_of

HW = (1000, 1400)


def laid(homography: Float64Array, points_xy: Float64Array) -> Float64Array:
    found = cv2.perspectiveTransform(np.asarray(points_xy, np.float64)[:, None], homography)
    return np.asarray(found[:, 0], np.float64)


def registration(homography: Any, hw_a: tuple[int, int] = HW, hw_b: tuple[int, int] = HW) -> Registration:
    """A registration without a refined field."""
    to_b = np.asarray(homography, np.float64)
    (height, width), inverse = hw_b, np.asarray(np.linalg.inv(to_b), np.float64)
    seen = laid(inverse, np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]))
    own = np.array([[0, 0], [hw_a[1] - 1, 0], [hw_a[1] - 1, hw_a[0] - 1], [0, hw_a[0] - 1]])
    _, overlap = cv2.intersectConvexConvex(seen.astype(np.float32), own.astype(np.float32))
    corners = np.zeros((0, 2)) if overlap is None else overlap.reshape(-1, 2).astype(np.float64)
    return Registration(True, None, hw_a, hw_b, homography=to_b, residual_px=1.0, overlap_xy=corners)


def shift(x: float, y: float = 0.0, scale: float = 1.0) -> Float64Array:
    return np.array([[scale, 0, x], [0, scale, y], [0, 0, 1.0]])


def groups_of(cracks: Sequence[Sequence[Crack]], **pairs: Float64Array) -> list[list[tuple[int, int]]]:
    """Groups of several cracks; pairs of photos are given as ``ab=``, ``bc=``."""
    numbers = {("abcd".index(key[0]), "abcd".index(key[1])): registration(way) for key, way in pairs.items()}
    return [
        [(place.photo, place.crack) for place in group.places]
        for group in join_cracks(cracks, numbers).groups
        if len(group.places) > 1
    ]


def test_a_crack_seen_in_two_photos_is_one() -> None:
    first, second = [level_crack(300, 500, 900), level_crack(500, 100, 300)], [level_crack(302, 101, 500)]
    assert groups_of([first, second], ab=shift(-400)) == [[(0, 0), (1, 0)]]


def test_only_the_shared_area_counts() -> None:
    """The lines run on beyond it, each in its own photo."""
    first, second = [level_crack(300, 50, 1390)], [level_crack(300, 5, 1300)]
    assert groups_of([first, second], ab=shift(-1100)) == [[(0, 0), (1, 0)]]
    bent = [crack_along([[5, 300], [150, 300], [150, 900], [900, 900]])]
    assert groups_of([first, bent], ab=shift(-1100)) == [[(1, 0), (0, 0)]]


def test_a_line_at_the_edge_of_the_shared_area_proves_nothing() -> None:
    assert groups_of([[level_crack(300, 900, 1115)], [level_crack(300, 2, 700)]], ab=shift(-1100)) == []


def test_photos_that_do_not_overlap_share_nothing() -> None:
    assert links_between([level_crack(300)], [level_crack(300)], registration(shift(-5000))) == []


def test_an_enlarged_photo_has_a_wider_reach() -> None:
    first, second = [level_crack(200, 100, 400)], [level_crack(612, 300, 1200)]
    assert groups_of([first, second], ab=shift(0, 0, scale=3.0)) == [[(1, 0), (0, 0)]]
    assert groups_of([[level_crack(200)], [level_crack(212)]], ab=shift(0)) == []


def test_two_pieces_of_a_crack_that_is_whole_in_another_photo_are_one() -> None:
    pieces, whole = [level_crack(300, 100, 400), level_crack(300, 430, 600)], [level_crack(301, 100, 600)]
    assert groups_of([pieces, whole], ab=shift(0)) == [[(1, 0), (0, 0), (0, 1)]]


def test_two_cracks_side_by_side_are_never_joined_through_another_photo() -> None:
    twins, single = [level_crack(300, 100, 600), level_crack(307, 100, 600)], [level_crack(303, 100, 600)]
    found = join_cracks([twins, single], {(0, 1): registration(shift(0))})
    assert [len(group.places) for group in found.groups] == [2, 1]
    (refused,) = found.refused
    assert refused.apart == (CrackPlace(0, 0), CrackPlace(0, 1))
    assert (refused.a, refused.b) == (CrackPlace(0, 1), CrackPlace(1, 0))  # 4 px away; the other one 3 px


def test_nor_through_two_other_photos() -> None:
    """Photos b and c err by 5 px in opposite ways, so that two cracks of photo a seem one."""
    cracks = [
        [level_crack(300, 100, 600), level_crack(312, 100, 600)],
        [level_crack(304, 100, 600)],
        [level_crack(309, 100, 500)],
    ]
    pairs = {(0, 1): registration(shift(0)), (1, 2): registration(shift(0)), (0, 2): registration(shift(0))}
    found = join_cracks(cracks, pairs)
    for group in found.groups:
        assert len({place.photo for place in group.places}) == len(group.places)
    assert len(found.refused) >= 1


def test_a_chain_of_photos_shows_one_crack() -> None:
    cracks = [[level_crack(300, 500, 1390)], [level_crack(301, 5, 1390)], [level_crack(302, 5, 500)]]
    assert groups_of(cracks, ab=shift(-700), bc=shift(-700)) == [[(1, 0), (0, 0), (2, 0)]]


# The photo in which it is measured


@pytest.mark.parametrize(
    ("first", "second", "scale", "best"),
    [
        ({"right": 500}, {"right": 300}, 1.0, 0),  # the longer one
        ({"right": 490, "width": width_of(2, 1.5, 2.5)}, {"right": 500}, 1.0, 0),  # the resolved one
        ({"width": width_of(1, 0, 2, resolved=False)}, {"width": width_of(2, 1, 3)}, 1.0, 1),
        ({"width": width_of(2, 1.5, 2.5)}, {"width": width_of(2, 1.7, 2.3)}, 1.0, 1),  # the narrower interval
        ({"width": width_of(2, 1.5, 2.5)}, {"width": width_of(4, 3, 5), "right": 1000}, 2.0, 1),  # more pixels
        ({"right": 500}, {"right": 600}, 2.0, 0),  # twice the pixels and yet the shorter one
    ],
)
def test_the_best_photo_measures(first: dict[str, Any], second: dict[str, Any], scale: float, best: int) -> None:
    cracks = [
        [level_crack(300, 100, **{"right": 500, **first})],
        [level_crack(300 * scale, 100 * scale, **{"right": 500, **second})],
    ]
    found = join_cracks(cracks, {(0, 1): registration(shift(0, 0, scale))})
    assert found.groups[0].places[0].photo == best


# Findings


def found_in(photos: dict[str, list[Crack]], previous: Findings | None = None, **pairs: Float64Array) -> Findings:
    results = [photo_of(name, cracks) for name, cracks in photos.items()]
    ways = {(key[0], key[1]): registration(way) for key, way in pairs.items()}
    return findings_of(results, previous, sha256s=list(photos), registrations=ways)


def test_joined_cracks_are_one_finding_seen_in_the_others() -> None:
    photos = {"a": [level_crack(300, 600, 900)], "b": [level_crack(301, 100, 502)]}
    found = found_in(photos, ab=shift(-400))
    assert [(one.number, one.photo, [other.photo for other in one.seen_in], one.n_photos) for one in found] == [
        (1, "b", ["a"], 2)
    ]
    assert found_in(photos, found, ab=shift(-400)) == found


def test_the_number_stays_when_the_best_photo_is_gone() -> None:
    photos = {"a": [level_crack(300, 500, 900)], "b": [level_crack(301, 100, 502)]}
    found = found_in({"a": photos["a"]}, found_in(photos, ab=shift(-400)))
    assert [(one.number, one.photo, one.seen_in) for one in found] == [(1, "a", ())]


def test_a_photo_that_joins_two_findings_retires_one_of_them() -> None:
    photos = {"a": [level_crack(300, 500, 1390)], "b": [level_crack(301, 5, 600)]}
    apart = found_in(photos)
    assert len(apart) == 2
    one = found_in(photos, apart, ab=shift(-700))
    assert [(gone.finding.number, gone.reason, gone.merged_into) for gone in one.retired] == [
        (2, "became part of another", 1)
    ]
    assert [notice.text for notice in one.notices] == ["Finding 2 is one line with finding 1 now."]
    without_registration = found_in(photos, one)
    assert [(found.number, found.n_photos) for found in without_registration] == [(1, 2)]
    told_apart = found_in(photos, one, ab=shift(-700, 400))
    assert [(found.number, found.photo) for found in told_apart] == [(1, "a"), (2, "b")]


def test_refused_joins_are_told() -> None:
    photos = {"a": [level_crack(300, 100, 600), level_crack(307, 100, 590)], "b": [level_crack(303, 100, 600)]}
    found = found_in(photos, ab=shift(0))
    assert len(found) == 2
    assert [one.kind for one in found.notices] == ["join refused"]
    assert "They stay two, since a shows two cracks there." in found.notices[0].text


def test_a_decision_holds_in_any_photo_that_showed_the_finding() -> None:
    photos = {"a": [level_crack(300, 500, 900)], "b": [level_crack(301, 100, 502)]}
    found = apply_decisions(found_in(photos, ab=shift(-400)), [Decision(1, "reject")])
    left = found_in({"a": photos["a"]}, found)
    assert [(gone.finding.number, gone.reason) for gone in left.retired] == [(1, "rejected")]


def test_registrations_must_fit_the_photos() -> None:
    way = registration(shift(0))
    with pytest.raises(DataError, match="nowhere: a registration names this photo"):
        findings_of([photo_of("a", [])], registrations={("a", "nowhere"): way})
    copies = [photo_of("a", [level_crack(300)]), photo_of("b", [level_crack(300)])]
    found = findings_of(copies, sha256s=["same", "same"], registrations={("a", "b"): way})
    assert len(found) == 1


def test_pairs_that_match_are_kept() -> None:
    way = registration(shift(0))
    answers = {("a", "b"): way, ("a", "c"): replace(way, matches=False)}
    found = register_pairs(answers, registered=lambda a, b: answers[str(a), str(b)])
    assert list(found) == [("a", "b")]


# Drawn scenes


def photographed(crack: Crack, way: Float64Array, rng: np.random.Generator) -> list[Crack]:
    """A crack of a scene in a photo, traced up to 2 px aside, broken now and then, and cut at the photo's edge."""
    paths = [laid(way, path) + rng.uniform(-1.4, 1.4, 2) for path in crack.path_xy]
    inside = [np.all((path >= 0) & (path <= np.array(HW[::-1]) - 1), axis=1) for path in paths]
    parts = [path[kept] for path, kept in zip(paths, inside, strict=True)]
    parts = [part for part in parts if len(part) >= 30]
    if not parts:
        return []
    if len(parts) == 1 and len(parts[0]) > 200 and rng.random() < 0.2:
        middle = len(parts[0]) // 2
        return [crack_along(parts[0][: middle - 5]), crack_along(parts[0][middle + 5 :])]
    return [crack_along(*parts)]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_cracks_of_a_scene_are_brought_together_and_never_mixed_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = network(rng, 10, (1400, 2400), apart_px=24)
    ways = []
    for left in (0.0, 450.0, 900.0):
        turn, scale = rng.uniform(-0.1, 0.1), rng.uniform(0.9, 1.1)
        way = scale * np.array(
            [[np.cos(turn), -np.sin(turn), -left], [np.sin(turn), np.cos(turn), -150], [0, 0, 1 / scale]]
        )
        way[2, :2] = rng.uniform(-3e-5, 3e-5, 2)
        ways.append(way / way[2, 2])
    cracks: list[list[Crack]] = []
    owners: dict[CrackPlace, int] = {}
    for i, way in enumerate(ways):
        own = [(number, one) for number, crack in enumerate(scene) for one in photographed(crack, way, rng)]
        cracks.append([one for _, one in own])
        owners |= {CrackPlace(i, k): number for k, (number, _) in enumerate(own)}
    pairs = {}
    for i, j in ((0, 1), (1, 2), (0, 2)):
        noise = np.eye(3) + np.array([[0, 0, rng.normal(0, 0.7)], [0, 0, rng.normal(0, 0.7)], [0, 0, 0]])
        pairs[i, j] = registration(noise @ ways[j] @ np.linalg.inv(ways[i]))
    found = join_cracks(cracks, pairs)
    assert all(len({owners[place] for place in group.places}) == 1 for group in found.groups)
    assert sorted(place for group in found.groups for place in group.places) == sorted(owners)
    for pair, known in pairs.items():
        for link in links_between(cracks[pair[0]], cracks[pair[1]], known, pair):
            if owners[link.a] == owners[link.b] and link.primary:
                assert any({link.a, link.b} <= set(group.places) for group in found.groups)
