"""Decisions: what a reviewer says of a finding, and whether it still speaks of the same crack.

A decision belongs to a finding by its number, and also keeps the line that it was made on. A later scan may trace the
crack otherwise. The decision *holds* as long as at least 60 % of the finding's present line run near the line that it
was made on. This is stricter than what keeps a number. A line that is shorter now, or lies some pixels aside, keeps its
decision. A line that has grown far beyond the reviewed one loses it, and is looked at again. It has not grown beyond
it where it took in lines that were reviewed with the same verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from crackscope.arrays import Float64Array
from crackscope.errors import DataError, did_you_mean
from crackscope.geometry.cracks import Crack
from crackscope.geometry.paths import resampled
from crackscope.inspection.matching import Line, agreement

__all__ = [
    "OF_PRESENT_LINE",
    "VERDICTS",
    "DecidedLine",
    "Decision",
    "ReviewVerdict",
    "SetAside",
    "SetAsideReason",
    "Shown",
    "decided_line",
    "same_photo",
    "share_decided",
]

OF_PRESENT_LINE = 0.6
"""Least share of a finding's present line that runs near the line a decision was made on, for the decision to hold."""

ReviewVerdict: TypeAlias = Literal["accept", "reject", "merge"]
"""What a reviewer decides: it is a crack, it is none, or it belongs to another finding."""

VERDICTS: tuple[ReviewVerdict, ...] = ("accept", "reject", "merge")

SetAsideReason: TypeAlias = Literal["other line", "photo gone", "no such finding", "merge impossible"]
"""Why a decision is set aside."""

_STEP_PX = 4.0  # between the points of a line that is kept


class Shown(Protocol):
    """Anything that lies in a photo, which is known by its digest, or else by its path."""

    @property
    def photo(self) -> str:
        """Path of the photo."""

    @property
    def photo_sha256(self) -> str | None:
        """SHA-256 of the photo's file; None if it is not known."""


def same_photo(a: Shown, b: Shown) -> bool:
    """Whether two things lie in one photo: by the digest where both have one, else by the path."""
    if a.photo_sha256 is not None and b.photo_sha256 is not None:
        return a.photo_sha256 == b.photo_sha256
    return a.photo == b.photo


@dataclass(frozen=True, eq=False)
class DecidedLine:
    """Line that a decision was made on.

    Attributes:
        photo: Path of the photo when the decision was made.
        photo_sha256: SHA-256 of the photo's file; None if it was not known.
        path_xy: Points x and y of each branch, shape (n, 2), in pixels of the photo.
    """

    photo: str
    photo_sha256: str | None
    path_xy: tuple[Float64Array, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, ready for JSON."""
        paths = [path.tolist() for path in self.path_xy]
        return {"photo": self.photo, "photo_sha256": self.photo_sha256, "path_xy": paths}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> DecidedLine:
        """Make a line from a dictionary of `to_dict`.

        Args:
            found: The dictionary.
        """
        paths = tuple(np.array(path, np.float64).reshape(-1, 2) for path in found["path_xy"])
        return cls(found["photo"], found["photo_sha256"], paths)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DecidedLine) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.photo, self.photo_sha256, len(self.path_xy)))


@dataclass(frozen=True)
class Decision:
    """What a reviewer says of a finding.

    Attributes:
        number: Number of the finding.
        verdict: ``accept``, ``reject`` or ``merge``; None for a note or a width alone.
        merge_with: Number of the finding that it belongs to, with ``merge`` alone.
        note: Note of the reviewer.
        width_mm: Width measured by hand in mm, above 0; None if it was not.
        made_on: Lines of the finding when the decision was made, one for each photo that showed it. Left out, they are
            taken from the finding when the decision is applied.

    Raises:
        DataError: If a value is not as above.
    """

    number: int
    verdict: ReviewVerdict | None = None
    merge_with: int | None = None
    note: str = ""
    width_mm: float | None = None
    made_on: tuple[DecidedLine, ...] = ()

    def __post_init__(self) -> None:
        told = f"decision on finding {self.number}"
        if not _is_number(self.number):
            raise DataError(f"a decision has the number {self.number!r}; it must be that of a finding, from 1.")
        if self.verdict is not None and self.verdict not in VERDICTS:
            near = did_you_mean(str(self.verdict), VERDICTS)
            raise DataError(f"{told}: '{self.verdict}' is not accept, reject or merge.{near}")
        if (self.verdict == "merge") != (self.merge_with is not None):
            raise DataError(f"{told}: 'merge' and the number of the other finding go together. Give both, or neither.")
        if self.merge_with is not None and (not _is_number(self.merge_with) or self.merge_with == self.number):
            raise DataError(
                f"{told}: it cannot be merged with {self.merge_with!r}. Give the number of another finding."
            )
        if self.width_mm is not None and not (math.isfinite(self.width_mm) and self.width_mm > 0):
            raise DataError(f"{told}: the width {self.width_mm!r} mm must be a number above 0.")

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, ready for JSON."""
        return {
            "number": self.number,
            "verdict": self.verdict,
            "merge_with": self.merge_with,
            "note": self.note,
            "width_mm": self.width_mm,
            "made_on": [line.to_dict() for line in self.made_on],
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Decision:
        """Make a decision from a dictionary of `to_dict`; unknown keys are ignored.

        Args:
            found: The dictionary.

        Raises:
            DataError: If a value is none of a decision.
        """
        plain = {name: found[name] for name in ("number", "verdict", "merge_with", "note", "width_mm")}
        return cls(**plain, made_on=tuple(DecidedLine.from_dict(line) for line in found["made_on"]))


@dataclass(frozen=True)
class SetAside:
    """A decision that is not in force; it is kept, and comes into force again if it fits again.

    Attributes:
        decision: The decision.
        reason: ``other line``: the finding's line is no longer the one it was made on. ``photo gone``: no photo of
            that time is left to compare. ``no such finding``: no finding has the number. ``merge impossible``: the
            other finding is not there, is rejected, or is to be merged with this one.
        text: Sentence that says why.
    """

    decision: Decision
    reason: SetAsideReason
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, ready for JSON."""
        return {"decision": self.decision.to_dict(), "reason": self.reason, "text": self.text}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> SetAside:
        """Make a value from a dictionary of `to_dict`.

        Args:
            found: The dictionary.
        """
        return cls(Decision.from_dict(found["decision"]), found["reason"], found["text"])


def decided_line(place: Shown, crack: Crack) -> DecidedLine:
    """Keep the line of a crack, with a point every 4 px.

    Args:
        place: Photo in which the crack lies.
        crack: The crack.
    """
    paths = tuple(np.round(resampled(path, _STEP_PX), 1) for path in crack.path_xy)
    return DecidedLine(place.photo, place.photo_sha256, paths)


def share_decided(
    decision: Decision, places: Sequence[tuple[Shown, Crack]], parts: Sequence[Decision] = ()
) -> float | None:
    """Greatest share of a present line that runs near the lines of the same photo that a decision was made on.

    Args:
        decision: The decision.
        places: Photos that show the finding now, and its crack in each.
        parts: Decisions of the same verdict on findings that are a part of this one now; their lines count too.

    Returns:
        Share in [0, 1]; None if none of the photos was there when the decision was made.
    """
    shares = []
    for place, crack in places:
        own, others = (
            [path for one in some for line in one.made_on if same_photo(line, place) for path in line.path_xy]
            for some in ([decision], parts)
        )
        if own:
            shares.append(agreement(Line.of([*own, *others]), Line.of(crack.path_xy)).of_b)
    return max(shares, default=None)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
