"""Joint figures: how much of the joints in photos is traced, and how much of what is traced as cracks lies at joints.

A joint is a thin dark line, as a crack is, so a model may take it for one. Three shares of length tell how often:

- of the joints, what lies near a traced line that counts as a crack;
- of the joints, what lies near a traced line that is marked as joint-like;
- of all traced lines that count as cracks, what lies near a joint.

*Near* means within `JOINT_TOLERANCE_PX`, widened for photos whose longer side exceeds
`crackscope.measuring.lines.LONGER_SIDE_PX`. Lengths are measured along the lines, in pieces of at most half a pixel.
Only photos with labelled joints count. Intervals are those of shares over photos, or over the scenes that they show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from crackscope.arrays import BoolArray, Float64Array
from crackscope.errors import DataError
from crackscope.geometry.cracks import Crack
from crackscope.geometry.paths import length_of, places_along
from crackscope.measuring.clusters import Clusters
from crackscope.measuring.estimates import Estimate, few_text
from crackscope.measuring.lines import tolerance_factor
from crackscope.measuring.wording import JOINT_FIGURES

__all__ = ["JOINT_TOLERANCE_PX", "JointFigures", "PhotoJoints", "compare_joints", "joint_rows", "measure_joints"]

JOINT_TOLERANCE_PX = 4.0
"""Greatest distance of a joint from a line along it, in photo pixels, before it is widened for a large photo."""

_STEP_PX = 0.5


@dataclass(frozen=True)
class PhotoJoints:
    """Lengths of joints and of traced lines in a photo.

    Attributes:
        photo: Name of the photo.
        joint_px: Length of its joints, in pixels.
        joint_in_cracks_px: Length of these near a traced line that counts as a crack, in pixels.
        joint_in_joint_like_px: Length of these near a joint-like traced line, in pixels.
        crack_px: Length of the traced lines that count as cracks, in pixels.
        crack_at_joints_px: Length of these near a joint, in pixels.
    """

    photo: str
    joint_px: float
    joint_in_cracks_px: float
    joint_in_joint_like_px: float
    crack_px: float
    crack_at_joints_px: float

    @property
    def in_cracks(self) -> float:
        """Share of the joints near a traced line that counts as a crack."""
        return self.joint_in_cracks_px / self.joint_px

    @property
    def in_joint_like(self) -> float:
        """Share of the joints near a joint-like traced line."""
        return self.joint_in_joint_like_px / self.joint_px

    @property
    def cracks_at_joints(self) -> float:
        """Share of the traced lines that count as cracks near a joint; NaN without such lines."""
        return self.crack_at_joints_px / self.crack_px if self.crack_px else float("nan")

    def document(self) -> dict[str, object]:
        """Name, lengths and shares, ready for JSON."""
        shares = {name: float(getattr(self, name)) for name in JOINT_FIGURES}
        return {
            "photo": self.photo,
            "joint_px": round(self.joint_px, 1),
            "crack_px": round(self.crack_px, 1),
            **{name: None if np.isnan(share) else share for name, share in shares.items()},
        }


@dataclass(frozen=True)
class JointFigures:
    """Joint figures of many photos.

    Attributes:
        in_cracks: Share of the joints' length near a traced line that counts as a crack.
        in_joint_like: Share of the joints' length near a joint-like traced line.
        cracks_at_joints: Share near a joint of the length of all traced lines that count as cracks; NaN without one.
        tolerance_px: Greatest distance that is near, in photo pixels, before it is widened for a large photo.
        photos: Lengths in each photo, in the order in which photos were judged.
        not_judged: Photos whose joints are known, and that were not judged.
        n_clusters: Number of photos, or other clusters, with joints.
        cluster_kind: What the intervals are over: ``scenes`` or ``photos``.
    """

    in_cracks: Estimate
    in_joint_like: Estimate
    cracks_at_joints: Estimate
    tolerance_px: float
    photos: tuple[PhotoJoints, ...]
    not_judged: tuple[str, ...]
    n_clusters: int
    cluster_kind: str

    @property
    def few(self) -> str:
        """What is said if too few photos have joints for the figures to mean much; empty if there are enough."""
        return few_text(self.n_clusters, None, self.cluster_kind).replace("crack in", "joints in", 1)

    @property
    def joint_px(self) -> float:
        """Length of all joints, in pixels."""
        return sum(one.joint_px for one in self.photos)

    @property
    def crack_px(self) -> float:
        """Length of all traced lines that count as cracks, in pixels."""
        return sum(one.crack_px for one in self.photos)

    def document(self) -> dict[str, object]:
        """Figures, lengths and photos as ``metrics.json`` holds them, ready for JSON."""
        return {
            **{name: getattr(self, name).document() for name in JOINT_FIGURES},
            "tolerance_px": self.tolerance_px,
            "joint_px": round(self.joint_px, 1),
            "crack_px": round(self.crack_px, 1),
            "n_clusters": self.n_clusters,
            "resampled": self.cluster_kind,
            "photos": [one.document() for one in self.photos],
            "not_judged": list(self.not_judged),
        }


def compare_joints(
    photo: str, joints_xy: Sequence[Float64Array], cracks: Sequence[Crack], photo_hw: tuple[int, int]
) -> PhotoJoints:
    """Measure how much of a photo's joints is traced.

    Args:
        photo: Name of the photo.
        joints_xy: Points of each joint, shape (n, 2), in pixels of the photo.
        cracks: All traced lines of the photo.
        photo_hw: Height and width of the photo, in pixels.

    Raises:
        DataError: If the joints have no length.
    """
    joints, joint_px = _pieces(joints_xy)
    if not joint_px.any():
        raise DataError(f"{photo}: {len(joints_xy)} joints without a length cannot be compared. Give joints.")
    reach_px = JOINT_TOLERANCE_PX * tolerance_factor(photo_hw, photo_hw)
    crack, crack_px = _pieces(path for one in cracks if not one.joint_like for path in one.path_xy)
    joint_like, _ = _pieces(path for one in cracks if one.joint_like for path in one.path_xy)
    return PhotoJoints(
        photo=photo,
        joint_px=float(joint_px.sum()),
        joint_in_cracks_px=float(joint_px[_near(joints, crack, reach_px)].sum()),
        joint_in_joint_like_px=float(joint_px[_near(joints, joint_like, reach_px)].sum()),
        crack_px=float(crack_px.sum()),
        crack_at_joints_px=float(crack_px[_near(crack, joints, reach_px)].sum()),
    )


def measure_joints(
    photos: Sequence[PhotoJoints],
    *,
    not_judged: Sequence[str] = (),
    clusters: Sequence[str] | None = None,
    cluster_kind: str = "photos",
) -> JointFigures:
    """Measure how much of joints is traced, with intervals over photos.

    Args:
        photos: Lengths in each photo, from `compare_joints`.
        not_judged: Photos whose joints are known, and that were not judged.
        clusters: Name of the scene, or other cluster, of each photo. Without it, each photo stands alone.
        cluster_kind: What these are, in the plural.

    Better: lower for `in_cracks` and `cracks_at_joints`.

    Empty: NaN without photos; `cracks_at_joints` is NaN where nothing is traced as a crack.
    """
    own = Clusters.of(len(photos), clusters, cluster_kind)

    def share(part: str, whole: str) -> Estimate:
        parts, wholes = (np.array([getattr(one, name) for one in photos], np.float64) for name in (part, whole))
        return own.share((parts, wholes))

    return JointFigures(
        in_cracks=share("joint_in_cracks_px", "joint_px"),
        in_joint_like=share("joint_in_joint_like_px", "joint_px"),
        cracks_at_joints=share("crack_at_joints_px", "crack_px"),
        tolerance_px=JOINT_TOLERANCE_PX,
        photos=tuple(photos),
        not_judged=tuple(not_judged),
        n_clusters=own.n,
        cluster_kind=cluster_kind,
    )


def joint_rows(figures: JointFigures) -> list[tuple[str, Estimate]]:
    """Titles and figures, in the order in which tables list them.

    Args:
        figures: Joint figures.
    """
    return [(one.title, getattr(figures, name)) for name, one in JOINT_FIGURES.items()]


def _pieces(paths_xy: Iterable[Float64Array]) -> tuple[Float64Array, Float64Array]:
    """Middles of short pieces of paths, shape (n, 2), and the length of each, shape (n,), in pixels."""
    middles, lengths = [np.empty((0, 2))], [np.empty(0)]
    for path in paths_xy:
        length = length_of(path)
        n = max(1, int(np.ceil(length / _STEP_PX)))
        at = (np.arange(n) + 0.5) * length / n
        middles.append(np.column_stack([np.interp(at, places_along(path), path[:, axis]) for axis in (0, 1)]))
        lengths.append(np.full(n, length / n))
    return np.concatenate(middles), np.concatenate(lengths)


def _near(points_xy: Float64Array, others_xy: Float64Array, reach_px: float) -> BoolArray:
    """(n,) whether each point lies within reach of another."""
    if not len(points_xy) or not len(others_xy):
        return np.zeros(len(points_xy), np.bool_)
    distances, _ = KDTree(others_xy).query(points_xy)
    return np.asarray(distances <= reach_px, np.bool_)
