"""Files of bands: what a table of bands must state, checked for holes, overlaps, units and sources."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from crackscope.errors import DataError
from crackscope.inspection.texts import Texts
from crackscope.inspection.toml_files import FileForm, checked

__all__ = ["Band", "BandCase", "Member", "TableDocument", "document_of", "plain"]

Member: TypeAlias = Literal["reinforced", "prestressed"]
"""Kind of member: reinforced concrete, which includes unbonded tendons, or concrete with bonded prestressing steel."""

_REMEDY = "docs/inspection.md shows how such a file is written."
_WIDEST_MM = 100
"""Limits above are no widths of cracks in millimetres; they are likely to be given in micrometres."""


# What a table consists of


@dataclass(frozen=True)
class Band:
    """One band of a table: a range of widths and its name.

    Attributes:
        number: Number of the band, rising with the width.
        name: Name of the band, as the source has it.
        low_mm: Lower limit in mm; 0 for the first band.
        low_included: Whether the lower limit belongs to the band.
        high_mm: Upper limit in mm; None for the last band, which has no end.
        high_included: Whether the upper limit belongs to the band.
    """

    number: int
    name: str
    low_mm: float
    low_included: bool
    high_mm: float | None
    high_included: bool

    def holds(self, width_mm: float) -> bool:
        """Say whether a width lies in the band.

        Args:
            width_mm: The width in mm, 0 or more.
        """
        above = width_mm > self.low_mm or (self.low_included and width_mm == self.low_mm)
        high = math.inf if self.high_mm is None else self.high_mm
        return above and (width_mm < high or (self.high_included and width_mm == high))


@dataclass(frozen=True)
class BandCase:
    """Bands of a table for one kind of member and some exposures.

    Attributes:
        member: Kind of member; None if the bands hold for any.
        exposures: Names of the exposures that the bands are for; nothing if the table does not ask for one.
        title: What sentences call the case; empty if the name of the exposure says it.
        bands: The bands in order of width. Each width from 0 on lies in exactly one.
    """

    member: Member | None
    exposures: tuple[str, ...]
    title: str
    bands: tuple[Band, ...]

    @property
    def limits_mm(self) -> tuple[float, ...]:
        """Limits between the bands in mm, rising."""
        return tuple(band.high_mm for band in self.bands if band.high_mm is not None)

    def band_at(self, width_mm: float) -> Band:
        """Find the band of a single width.

        Args:
            width_mm: The width in mm, 0 or more.
        """
        return next(band for band in self.bands if band.holds(width_mm))

    def text(self, exposure: str | None, texts: Texts) -> str:
        """Name the case within a sentence; empty if there is nothing to tell.

        Args:
            exposure: Name of the exposure; None if it is not known.
            texts: Texts of the language.
        """
        title = self.title or (exposure if exposure and self.exposures else "")
        return texts.say("for_case", case=texts.word(title)) if title else ""


def plain(text: str) -> str:
    """A name without capitals and spaces that do not matter.

    Example:
        >>> plain("  Sea   Water")
        'sea water'
    """
    return " ".join(text.split()).casefold()


# What a file must state

Limit: TypeAlias = Annotated[float, Field(ge=0, le=_WIDEST_MM)]


class _BandForm(FileForm):
    name: str
    above: Limit | None = None
    from_: Limit | None = Field(default=None, alias="from")
    below: Limit | None = None
    up_to: Limit | None = None

    def require_fitting(self) -> None:
        if not self.name.strip():
            raise ValueError("a band needs a name")
        if self.above is not None and self.from_ is not None:
            raise ValueError("a band begins either 'above' a width or 'from' it; take one of the two out")
        if self.below is not None and self.up_to is not None:
            raise ValueError("a band ends either 'below' a width or goes 'up_to' it; take one of the two out")

    def band(self, number: int) -> Band:
        low = self.above if self.above is not None else self.from_ or 0.0
        high = self.below if self.below is not None else self.up_to
        return Band(number, " ".join(self.name.split()), low, self.above is None, high, self.up_to is not None)


class _CaseForm(FileForm):
    member: Member | None = None
    exposures: tuple[str, ...] = ()
    title: str = ""
    bands: tuple[_BandForm, ...]


class TableDocument(FileForm):
    """What a file with a table of bands states; see ``docs/inspection.md``."""

    title: str
    short: str = ""
    source: str
    edition: str = ""
    page: str = ""
    meant_for: str = ""
    caveat: str = ""
    unit: Literal["mm"]
    first_number: int = Field(default=1, ge=0, le=1)
    bands: tuple[_BandForm, ...] = ()
    cases: tuple[_CaseForm, ...] = ()
    no_width_for: tuple[str, ...] = ()

    def require_fitting(self) -> None:
        """Refuse a table without title or source, without bands, or with two cases for one thing."""
        for key in ("title", "source"):
            if not getattr(self, key).strip():
                raise ValueError(f"{key} is empty; say which document the figures are from")
        if bool(self.bands) == bool(self.cases):
            raise ValueError("a table has either 'bands', or 'cases' that have bands each")
        _require_single_cases(self.band_cases)

    @cached_property
    def band_cases(self) -> tuple[BandCase, ...]:
        """The cases with their bands, checked for holes and overlaps."""
        forms = self.cases or (_CaseForm(bands=self.bands),)
        return tuple(
            BandCase(
                form.member,
                tuple(name.strip() for name in form.exposures),
                form.title.strip(),
                self._bands_of(form, at),
            )
            for at, form in enumerate(forms, 1)
        )

    def _bands_of(self, form: _CaseForm, at: int) -> tuple[Band, ...]:
        bands = tuple(one.band(number) for number, one in enumerate(form.bands, self.first_number))
        _require_whole(bands, f"cases {at}, " if self.cases else "")
        return bands


def document_of(document: Mapping[str, Any], place: str) -> TableDocument:
    """Check what a file of bands holds.

    Args:
        document: What the file holds.
        place: Name or path of the file, to begin a message with.

    Raises:
        DataError: If it is no table of bands without holes and overlaps, in mm and with its source.
    """
    unit = document.get("unit")
    if isinstance(unit, str) and unit != "mm":
        raise DataError(f"{place}: unit is '{unit}'; it must be 'mm'. Give all limits in millimetres; 1 in is 25.4 mm.")
    return checked(TableDocument, document, place=place, remedy=_REMEDY)


def _require_whole(bands: Sequence[Band], where: str) -> None:
    """Refuse bands that leave a width without a band, or give it two."""
    if len(bands) < 2:
        raise ValueError(f"{where}bands: a table needs two bands at least, and there are {len(bands)}")
    if len({plain(band.name) for band in bands}) < len(bands):
        raise ValueError(f"{where}bands: two bands have the same name")
    first, last = bands[0], bands[-1]
    if first.low_mm > 0 or not first.low_included:
        raise ValueError(f"{where}band '{first.name}': a hole; no band holds widths from 0 to {first.low_mm:g} mm")
    if last.high_mm is not None:
        raise ValueError(f"{where}band '{last.name}': a hole; no band holds widths above {last.high_mm:g} mm")
    for band in bands:
        if band.high_mm is not None and band.high_mm <= band.low_mm:
            raise ValueError(f"{where}band '{band.name}': its end, {band.high_mm:g} mm, must lie above its beginning")
    for lower, upper in pairwise(bands):
        _require_joined(lower, upper, where)


def _require_joined(lower: Band, upper: Band, where: str) -> None:
    pair = f"{where}bands '{lower.name}' and '{upper.name}'"
    if lower.high_mm is None or lower.high_mm > upper.low_mm:
        end = "all widths above" if lower.high_mm is None else f"widths up to {lower.high_mm:g} mm as well as from"
        raise ValueError(f"{pair}: an overlap; both hold {end} {upper.low_mm:g} mm")
    if lower.high_mm < upper.low_mm:
        raise ValueError(f"{pair}: a hole; no band holds widths from {lower.high_mm:g} to {upper.low_mm:g} mm")
    if lower.high_included and upper.low_included:
        raise ValueError(f"{pair}: an overlap; both hold {upper.low_mm:g} mm. Write up_to and above, or below and from")
    if not lower.high_included and not upper.low_included:
        raise ValueError(f"{pair}: a hole; neither holds {upper.low_mm:g} mm. Write up_to and above, or below and from")


def _require_single_cases(cases: Sequence[BandCase]) -> None:
    """Refuse cases with other names of bands, and two cases for the same member and exposure."""
    names = [[plain(band.name) for band in case.bands] for case in cases]
    met: set[tuple[Member | None, str]] = set()
    for at, case in enumerate(cases):
        if names[at] != names[0]:
            raise ValueError(f"cases {at + 1}: its bands must have the names of those in case 1, in the same order")
        for exposure in map(plain, case.exposures or ("",)):
            members: tuple[Member | None, ...] = (case.member,) if case.member else (None, "reinforced", "prestressed")
            clashes = [(one, exposure) for one in (*members, None) if (one, exposure) in met]
            if clashes:
                raise ValueError(f"cases {at + 1}: a second case for '{exposure or 'any exposure'}'; take one out")
            met |= {(one, exposure) for one in members}
    for member in ("reinforced", "prestressed"):
        asks = {bool(case.exposures) for case in cases if case.member in (None, member)}
        if len(asks) > 1:
            raise ValueError(f"cases for {member} members: either all of them have exposures, or none")
