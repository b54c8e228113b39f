"""Overlapping photos: cracks that several photos show are brought together.

The cracks of one photo are laid over those of another by a `Registration`. Compared is what lies in the area that both
photos show. Two cracks are *linked* where they match there (`crackscope.inspection.matching`); the reach is widened by
the residual of the registration, and by the enlargement of the second photo.

Links join cracks into groups, the best partner of each crack first, and among these the longest shared line first. A
link is refused if it would bring two cracks of one photo together, with one exception. If one crack of another photo
runs along both, at different stretches, that photo shows that they hang together: they are pieces of one crack.

A group is measured in one photo. Chosen is, in this order:

1. a photo that shows at least 90 % of the longest line among them;
2. one in which the width is resolved;
3. the one with the narrowest interval of the width, as a share of the width;
4. the one with the most pixels along the same stretch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float64Array
from crackscope.data.registration import Registration, register
from crackscope.files.sources import AnyImage
from crackscope.geometry.cracks import Crack
from crackscope.inspection.matching import REACH_PX, Line, agreements_between, assigned

__all__ = ["CrackPlace", "Group", "Joined", "Link", "RefusedLink", "join_cracks", "links_between", "register_pairs"]

MOST_OF_LONGEST = 0.9
"""Share of the longest line of a group that the photo in which it is measured must show."""

SAME_STRETCH = 0.25
"""Share of the shorter of two stretches that lies in both, from which they are no two pieces of one crack."""

LEAST_PX = 24.0
"""Least length of the shared line of two cracks that are linked, in pixels."""

_BORDER_PX = 8.0  # lines nearer to the edge of the shared area are not compared
_RESIDUALS = 2.0  # by which the reach is widened: about nine in ten places of a registration lie that near


class CrackPlace(NamedTuple):
    """A crack of a photo, by the number of the photo and the number of the crack in it."""

    photo: int
    crack: int


@dataclass(frozen=True, eq=False)
class Link:
    """Two cracks of different photos that match where both photos show the place.

    Attributes:
        a: Crack of the first photo.
        b: Crack of the second photo.
        strength: Length of the line that both show, in pixels of the second photo, less where it lies apart.
        primary: Whether each is the other's best partner; such links are taken first.
        px_per_px: Pixels of the second photo per pixel of the first one along the line; None if it is not known.
        stretch_a: Whether each point of the first crack is near the second one, shape (n,).
        stretch_b: Whether each point of the second crack is near the first one, shape (m,).
    """

    a: CrackPlace
    b: CrackPlace
    strength: float
    primary: bool = True
    px_per_px: float | None = None
    stretch_a: BoolArray | None = None
    stretch_b: BoolArray | None = None


@dataclass(frozen=True)
class RefusedLink:
    """A link that would have brought two cracks of one photo together.

    Attributes:
        a: Crack of the first photo.
        b: Crack of the second photo.
        apart: The two cracks of one photo that stay apart.
    """

    a: CrackPlace
    b: CrackPlace
    apart: tuple[CrackPlace, CrackPlace]


@dataclass(frozen=True)
class Group:
    """Cracks that are one.

    Attributes:
        places: The cracks; the first is the one that is measured.
    """

    places: tuple[CrackPlace, ...]


@dataclass(frozen=True)
class Joined:
    """Cracks of all photos, brought together.

    Attributes:
        groups: Groups, each crack in one of them, ordered by their first crack.
        refused: Links that were refused.
    """

    groups: tuple[Group, ...]
    refused: tuple[RefusedLink, ...] = ()


def register_pairs(
    pairs: Iterable[tuple[str, str]],
    *,
    read: Callable[[str], AnyImage] = lambda path: path,
    registered: Callable[[AnyImage, AnyImage], Registration] = register,
) -> dict[tuple[str, str], Registration]:
    """Register pairs of photos, and keep those that match.

    Args:
        pairs: Paths of two photos that may overlap, such as those of `crackscope.data.scene_search.find_scenes`.
        read: Function that gives the photo of a path, in any form that `crackscope.register` takes.
        registered: Function that registers two photos.

    Raises:
        ImageError: If a photo cannot be read.
    """
    found = {(a, b): registered(read(a), read(b)) for a, b in pairs}
    return {pair: one for pair, one in found.items() if one.matches}


def links_between(
    cracks_a: Sequence[Crack], cracks_b: Sequence[Crack], registration: Registration, photos: tuple[int, int] = (0, 1)
) -> list[Link]:
    """Link the cracks of two overlapping photos.

    Args:
        cracks_a: Cracks of the first photo of the registration.
        cracks_b: Cracks of the second photo.
        registration: Registration of the two photos that matches.
        photos: Numbers of both photos.
    """
    corners = registration.map_points(registration.overlap_xy)
    mapped = [Line.of(registration.map_points(path) for path in crack.path_xy) for crack in cracks_a]
    own = [Line.of(crack.path_xy) for crack in cracks_b]
    lines_a, lines_b = ([line.part(_inside(line.points_xy, corners)) for line in lines] for lines in (mapped, own))
    zooms = [line.length_px / max(1.0, crack.length_px) for line, crack in zip(mapped, cracks_a, strict=True)]
    reach = REACH_PX * max([1.0, *np.atleast_1d(np.median(zooms))]) if zooms else REACH_PX
    reach += _RESIDUALS * (registration.residual_px or 0.0)
    shared = agreements_between(lines_a, lines_b, reach)
    shared = {key: one for key, one in shared.items() if min(one.near_a_px, one.near_b_px) >= LEAST_PX}
    best = assigned({key: one.score for key, one in shared.items()})
    return [
        Link(
            CrackPlace(photos[0], i),
            CrackPlace(photos[1], j),
            one.score,
            best.get(i) == j,
            zooms[i] if zooms[i] > 0 else None,
            one.near_a,
            one.near_b,
        )
        for (i, j), one in shared.items()
    ]


def join_cracks(
    cracks: Sequence[Sequence[Crack]],
    registrations: Mapping[tuple[int, int], Registration],
    known: Iterable[tuple[CrackPlace, CrackPlace]] = (),
) -> Joined:
    """Bring the cracks of overlapping photos together.

    Args:
        cracks: Cracks of each photo.
        registrations: Registrations that match, by the numbers of their photos.
        known: Cracks that are known to be one, such as those of an earlier inspection; they may lie in one photo.

    Example:
        >>> join_cracks([(), ()], {}).groups
        ()
    """
    links = [
        link
        for (a, b), registration in sorted(registrations.items(), key=lambda item: item[0])
        for link in links_between(cracks[a], cracks[b], registration, (a, b))
    ]
    joining = _Joining([CrackPlace(i, k) for i, own in enumerate(cracks) for k in range(len(own))], links)
    for a, b in known:
        joining.join(Link(a, b, np.inf))
    for link in sorted(links, key=lambda one: (not one.primary, -one.strength, one.a, one.b)):
        joining.take(link)
    groups = [_best_first(group, cracks, joining) for group in joining.groups()]
    return Joined(tuple(sorted(groups, key=lambda group: min(group.places))), tuple(joining.refused))


class _Joining:
    """Groups that grow link by link."""

    def __init__(self, places: Iterable[CrackPlace], links: Iterable[Link]) -> None:
        self.group_of = {place: [place] for place in places}
        self.scale_of = dict.fromkeys(self.group_of, 1.0)  # pixels along a stretch, against the others of the group
        self.refused: list[RefusedLink] = []
        self._links: dict[CrackPlace, dict[CrackPlace, Link]] = defaultdict(dict)
        for link in links:
            self._links[link.a][link.b] = self._links[link.b][link.a] = link

    def groups(self) -> list[list[CrackPlace]]:
        return list({id(group): group for group in self.group_of.values()}.values())

    def take(self, link: Link) -> None:
        """Join by a link, or refuse it."""
        if self.group_of[link.a] is self.group_of[link.b]:
            return
        for one in self.group_of[link.a]:
            for other in self.group_of[link.b]:
                if one.photo == other.photo and not self._are_pieces(one, other):
                    self.refused.append(RefusedLink(link.a, link.b, (min(one, other), max(one, other))))
                    return
        self.join(link)

    def join(self, link: Link) -> None:
        """Join whatever the groups hold."""
        first, second = self.group_of[link.a], self.group_of[link.b]
        if first is second:
            return
        factor = (link.px_per_px or 1.0) * self.scale_of[link.a] / self.scale_of[link.b]
        for place in second:
            self.scale_of[place] *= factor
            self.group_of[place] = first
        first += second

    def _are_pieces(self, one: CrackPlace, other: CrackPlace) -> bool:
        """Whether a crack of another photo runs along both, at different stretches."""
        for middle in self._links[one].keys() & self._links[other].keys():
            stretches = [_stretch_on(middle, self._links[middle][end]) for end in (one, other)]
            if any(stretch is None for stretch in stretches):
                continue
            first, second = (np.asarray(stretch) for stretch in stretches)
            if (first & second).sum() < SAME_STRETCH * min(first.sum(), second.sum()):
                return True
        return False


def _stretch_on(place: CrackPlace, link: Link) -> BoolArray | None:
    return link.stretch_a if link.a == place else link.stretch_b


def _best_first(group: Sequence[CrackPlace], cracks: Sequence[Sequence[Crack]], joining: _Joining) -> Group:
    """A group with the crack that is measured at its head."""
    crack_of = {place: cracks[place.photo][place.crack] for place in group}
    lengths = {place: crack_of[place].length_px / joining.scale_of[place] for place in group}
    least = MOST_OF_LONGEST * max(lengths.values())

    def rule(place: CrackPlace) -> tuple[bool, bool, float, float, CrackPlace]:
        width = crack_of[place].width
        median = width.median if width else None
        spread = (median.high_px - median.low_px) / median.width_px if median else np.inf
        resolved = median is not None and median.resolved
        return lengths[place] < least, not resolved, round(float(spread), 6), -joining.scale_of[place], place

    return Group(tuple(sorted(group, key=rule)))


def _inside(points_xy: Float64Array, corners_xy: Float64Array) -> BoolArray:
    """Whether points lie inside a convex area, and not at its edge."""
    if len(corners_xy) < 3 or not len(points_xy):
        return np.zeros(len(points_xy), np.bool_)
    hull = cv2.convexHull(corners_xy.astype(np.float32)).reshape(-1, 2).astype(np.float64)
    inside = np.ones(len(points_xy), np.bool_)
    area = float(np.sum(hull[:, 0] * np.roll(hull[:, 1], -1) - hull[:, 1] * np.roll(hull[:, 0], -1)))
    for start, end in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        edge = end - start
        across = edge[0] * (points_xy[:, 1] - start[1]) - edge[1] * (points_xy[:, 0] - start[0])
        inside &= np.sign(area) * across >= _BORDER_PX * np.hypot(*edge)
    return inside
