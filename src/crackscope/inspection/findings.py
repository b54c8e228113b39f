"""Findings: the numbered cracks of an inspection, and the file that keeps them.

How cracks get their numbers, and keep them, is told in `crackscope.inspection.numbering`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from crackscope.errors import DataError
from crackscope.files.output import write_text
from crackscope.geometry.cracks import Crack
from crackscope.inspection.decisions import Decision, SetAside

__all__ = [
    "FILE",
    "SCHEMA_VERSION",
    "Finding",
    "Findings",
    "Notice",
    "NoticeKind",
    "RetiredFinding",
    "RetiredReason",
    "Sighting",
]

FILE = "findings.json"
"""Name of the file of findings in a folder."""

SCHEMA_VERSION = 1
"""Version of the format of `Findings.to_dict`."""

RetiredReason: TypeAlias = Literal[
    "photo gone",
    "photo refused",
    "photo not cracked",
    "looks like a joint",
    "not found again",
    "became part of another",
    "merged by hand",
    "rejected",
]
"""Why a finding does not count any more."""

NoticeKind: TypeAlias = Literal["same file", "split", "came back", "joined", "join refused", "decision waits"]
"""What a notice is about."""

_PLACE = ("photo", "photo_sha256", "photo_hw", "taken_at", "latitude_deg", "longitude_deg")


@dataclass(frozen=True)
class Sighting:
    """A crack in one of the photos that show a finding.

    Attributes:
        photo: Path of the photo.
        photo_sha256: SHA-256 of the photo's file; None if it is not known.
        photo_hw: Height and width of the photo, in pixels.
        crack: The crack as it was traced in this photo.
        taken_at: Time on the camera's clock; None if it is not known.
        latitude_deg: Degrees north, -90 to 90; None if they are not known.
        longitude_deg: Degrees east, -180 to 180; None if they are not known.
        merged_from: Number of the finding that it belonged to before a reviewer merged it; None for any other.
    """

    photo: str
    photo_sha256: str | None
    photo_hw: tuple[int, int]
    crack: Crack
    taken_at: datetime | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    merged_from: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, ready for JSON."""
        return _place_dict(self) | {"crack": self.crack.to_dict(), "merged_from": self.merged_from}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Sighting:
        """Make a sighting from a dictionary of `to_dict`; unknown keys are ignored.

        Args:
            found: The dictionary.
        """
        crack = Crack.from_dict(found["crack"])
        return cls(**_place_from(found), crack=crack, merged_from=found["merged_from"])


@dataclass(frozen=True)
class Finding:
    """A numbered crack of an inspection.

    Attributes:
        number: Number, from 1; no other crack of the inspection ever has it.
        photo: Path of the photo in which it is measured.
        photo_sha256: SHA-256 of that photo's file; None if it is not known.
        crack: The crack as it was traced in that photo.
        element: Element of the structure; None if it was not assigned.
        photo_hw: Height and width of that photo, in pixels.
        taken_at: Time on the camera's clock; None if it is not known.
        latitude_deg: Degrees north, -90 to 90; None if they are not known.
        longitude_deg: Degrees east, -180 to 180; None if they are not known.
        notes: Notes of the inspector.
        seen_in: Other photos of the same place and its crack in each; also further pieces of it in the same photo, and
            copies of the photo's file.
        decision: Decision of a reviewer that is in force; None if there is none.
        came_from: Number of the finding whose line it was a part of before; None for any other.
    """

    number: int
    photo: str
    photo_sha256: str | None
    crack: Crack
    element: str | None
    photo_hw: tuple[int, int]
    taken_at: datetime | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    notes: str = ""
    seen_in: tuple[Sighting, ...] = ()
    decision: Decision | None = None
    came_from: int | None = None

    @property
    def sightings(self) -> tuple[Sighting, ...]:
        """All photos that show it, the one in which it is measured first."""
        return (Sighting(**{name: getattr(self, name) for name in _PLACE}, crack=self.crack), *self.seen_in)

    @property
    def n_photos(self) -> int:
        """Number of different photos that show it; copies of a file count once."""
        return len({one.photo_sha256 or one.photo for one in self.sightings})

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, ready for JSON."""
        return (
            {"number": self.number, "element": self.element, "notes": self.notes}
            | _place_dict(self)
            | {
                "came_from": self.came_from,
                "decision": self.decision.to_dict() if self.decision else None,
                "crack": self.crack.to_dict(),
                "seen_in": [one.to_dict() for one in self.seen_in],
            }
        )

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Finding:
        """Make a finding from a dictionary of `to_dict`; unknown keys are ignored.

        Args:
            found: The dictionary.
        """
        return cls(
            **{name: found[name] for name in ("number", "element", "notes", "came_from")},
            **_place_from(found),
            crack=Crack.from_dict(found["crack"]),
            seen_in=tuple(Sighting.from_dict(one) for one in found["seen_in"]),
            decision=Decision.from_dict(found["decision"]) if found["decision"] else None,
        )


@dataclass(frozen=True)
class RetiredFinding:
    """A finding that does not count any more, with its data as they were last known.

    Attributes:
        finding: The finding.
        reason: Reason why it does not count.
        merged_into: Number of the finding that it is a part of now; None for any other reason.
    """

    finding: Finding
    reason: RetiredReason
    merged_into: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, ready for JSON."""
        return {"reason": self.reason, "merged_into": self.merged_into, "finding": self.finding.to_dict()}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> RetiredFinding:
        """Make a value from a dictionary of `to_dict`.

        Args:
            found: The dictionary.
        """
        return cls(Finding.from_dict(found["finding"]), found["reason"], found["merged_into"])


@dataclass(frozen=True)
class Notice:
    """Something that the reader of the findings should know.

    Attributes:
        kind: ``same file``: a file lies there twice. ``split``: a new finding was part of another one. ``came back``:
            a finding that had gone is found again. ``joined``: findings became one. ``join refused``: cracks that look
            like one in overlapping photos were kept apart. ``decision waits``: the decision's finding does not count.
        text: Sentence that says it.
        numbers: Numbers of the findings that it is about.
    """

    kind: NoticeKind
    text: str
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Findings:
    """All findings of an inspection: those that count, and those that did.

    Attributes:
        findings: Findings that count, by number.
        retired: Findings that do not count any more, by number.
        highest_number: Highest number that was ever used.
        set_aside: Decisions that are not in force.
        notices: Things to know that the latest numbering found.

    Raises:
        DataError: If a number stands twice, or above `highest_number`.
    """

    findings: tuple[Finding, ...] = ()
    retired: tuple[RetiredFinding, ...] = ()
    highest_number: int = 0
    set_aside: tuple[SetAside, ...] = ()
    notices: tuple[Notice, ...] = ()

    def __post_init__(self) -> None:
        numbers = [one.number for one in (*self.findings, *(gone.finding for gone in self.retired))]
        if len(set(numbers)) < len(numbers):
            twice = next(number for i, number in enumerate(numbers) if number in numbers[:i])
            raise DataError(f"finding {twice} stands twice among the findings; each number belongs to one crack.")
        if max(numbers, default=0) > self.highest_number or min(numbers, default=1) < 1:
            raise DataError(f"the findings' numbers must lie from 1 to the highest number, {self.highest_number}.")

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __getitem__(self, number: int) -> Finding:
        """Give the finding with a number, also one that is retired.

        Args:
            number: Its number.

        Raises:
            DataError: If no finding ever had the number.
        """
        if number not in self._by_number:
            known = f"1 to {self.highest_number}" if self.highest_number else "none yet"
            raise DataError(f"there is no finding {number!r}; numbers that were given are {known}.")
        return self._by_number[number]

    def __contains__(self, number: object) -> bool:
        """Whether a finding with this number counts."""
        return any(one.number == number for one in self.findings)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All decisions, whether they are in force or not, by number."""
        held = [one.decision for one in self.findings] + [gone.finding.decision for gone in self.retired]
        every = [one for one in held if one] + [one.decision for one in self.set_aside]
        return tuple(sorted(every, key=lambda one: one.number))

    def to_dict(self) -> dict[str, Any]:
        """Give all values, ready for JSON; ``schema_version`` is the version of this format."""
        notices = [{"kind": one.kind, "text": one.text, "numbers": list(one.numbers)} for one in self.notices]
        return {
            "schema_version": SCHEMA_VERSION,
            "highest_number": self.highest_number,
            "findings": [one.to_dict() for one in self.findings],
            "retired": [one.to_dict() for one in self.retired],
            "set_aside": [one.to_dict() for one in self.set_aside],
            "notices": notices,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Findings:
        """Make findings from a dictionary of `to_dict`; unknown keys are ignored.

        Args:
            found: The dictionary.

        Raises:
            DataError: If the dictionary is of a newer version, or holds anything else.
        """
        version = found.get("schema_version") if isinstance(found, Mapping) else None
        if not isinstance(version, int):
            raise DataError("these are no findings: schema_version is missing. Give a findings.json of crackscope.")
        if version > SCHEMA_VERSION:
            raise DataError(f"these findings have version {version}, not {SCHEMA_VERSION}. Upgrade crackscope.")
        try:
            return cls(
                tuple(Finding.from_dict(one) for one in found["findings"]),
                tuple(RetiredFinding.from_dict(one) for one in found["retired"]),
                found["highest_number"],
                tuple(SetAside.from_dict(one) for one in found["set_aside"]),
                tuple(Notice(one["kind"], one["text"], tuple(one["numbers"])) for one in found["notices"]),
            )
        except KeyError as error:
            raise DataError(f"these findings lack {error}. Give a findings.json as crackscope wrote it.") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"these findings hold a wrong value: {error}. Give a findings.json of crackscope."
            ) from error

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write all findings into a file, such as ``findings.json``.

        Args:
            path: Path of the file.
            overwrite: Whether a file that is there is replaced.

        Raises:
            OutputError: If the file is there, or cannot be written.
        """
        write_text(Path(path), json.dumps(self.to_dict(), separators=(",", ":"), allow_nan=False), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Findings:
        """Read findings from a file that `save` wrote, or from the ``findings.json`` of a folder.

        Args:
            path: Path of the file or the folder.

        Raises:
            DataError: If there is no such file, or it holds anything else.
        """
        place = Path(path) / FILE if Path(path).is_dir() else Path(path)
        try:
            return cls.from_dict(json.loads(place.read_text(encoding="utf-8")))
        except OSError as error:
            raise DataError(f"{place}: cannot be read: {error.strerror or error}. Give a findings.json.") from error
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise DataError(f"{place}: this is no JSON. Give a findings.json of crackscope.") from error
        except DataError as error:
            raise DataError(f"{place}: {error}") from error

    @cached_property
    def _by_number(self) -> dict[int, Finding]:
        return {one.number: one for one in (*self.findings, *(gone.finding for gone in self.retired))}


def _place_dict(found: Finding | Sighting) -> dict[str, Any]:
    own = {name: getattr(found, name) for name in _PLACE}
    return own | {
        "photo_hw": list(found.photo_hw),
        "taken_at": found.taken_at.isoformat() if found.taken_at else None,
    }


def _place_from(found: Mapping[str, Any]) -> dict[str, Any]:
    height, width = found["photo_hw"]
    taken = datetime.fromisoformat(found["taken_at"]) if found["taken_at"] else None
    return {name: found[name] for name in _PLACE} | {"photo_hw": (height, width), "taken_at": taken}
