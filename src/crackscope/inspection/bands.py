"""Bands: a width counts in a table of a code of practice by its whole interval.

A table comes with the package (`band_table_names`) or from the user, and says where it is from and what it is for. Its
bands are ordered by width. A width of 0.28 to 0.44 mm may lie in two of them, and then the answer names both. A band
tells where a width lies in a table. It says nothing about whether a structure is safe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from crackscope.errors import DataError, did_you_mean
from crackscope.geometry.widths import WidthMm
from crackscope.inspection.band_files import Band, BandCase, Member, TableDocument, document_of, plain
from crackscope.inspection.texts import Texts
from crackscope.inspection.toml_files import names_in, read_toml

__all__ = ["Band", "BandAnswer", "BandCase", "BandTable", "Member", "NoBand", "band_table_names", "read_bands"]

NoBand: TypeAlias = Literal["no scale", "not measured", "not resolved", "no exposure", "no case"]
"""Why a width has no band. The photo has no scale there; the width was not measured; the width is too small for the
photo; the table needs an exposure and none is given; or the table gives no width for the member in this exposure."""

_FOLDER = "band_tables"


@dataclass(frozen=True)
class BandAnswer:
    """Bands that a width may lie in, or the reason why it has none.

    Attributes:
        table: Table that was asked.
        width: The width; None if there is none in millimetres.
        exposure: Exposure that was asked for; None if none was given.
        case: Case of the table that counts; None if none does.
        lowest: Band of the lower end of the interval; None if the width has no band.
        likeliest: Band of the best estimate; None if the width has no band.
        highest: Band of the upper end of the interval; None if the width has no band.
        no_band: Why the width has no band; None if it has one.
    """

    table: BandTable
    width: WidthMm | None
    exposure: str | None
    case: BandCase | None
    lowest: Band | None
    likeliest: Band | None
    highest: Band | None
    no_band: NoBand | None

    def sentence(self, texts: Texts | None = None) -> str:
        """Say in one sentence which band it is, or why there is none.

        Args:
            texts: Texts of the language; English where left out.
        """
        texts = texts or Texts.read()
        if self.lowest is None or self.highest is None or self.width is None or self.case is None:
            return self._no_band_sentence(texts)
        limits = self.case.limits_mm
        values = {
            "interval": interval_text(self.width.low_mm, self.width.high_mm, limits, texts),
            "table": self.table.short,
            "case": self.case.text(self.exposure, texts),
            "first": str(self.lowest.number),
            "first_name": texts.word(self.lowest.name),
        }
        if self.lowest == self.highest:
            return texts.say("band_one", **values)
        key = "band_two" if self.highest.number == self.lowest.number + 1 else "band_several"
        return texts.say(key, **values, last=str(self.highest.number), last_name=texts.word(self.highest.name))

    def _no_band_sentence(self, texts: Texts) -> str:
        if self.no_band == "no scale":
            return texts.say("no_band_no_scale")
        if self.no_band == "not resolved" and self.width is not None:
            return texts.say("no_band_not_resolved", high=texts.width(self.width.high_mm))
        if self.no_band == "no exposure":
            return texts.say("no_band_no_exposure", table=self.table.short)
        if self.no_band == "no case":
            return texts.say("no_band_no_case", table=self.table.short)
        return texts.say("no_band_not_measured")


@dataclass(frozen=True)
class BandTable:
    """A table of a code of practice that sorts widths into bands.

    Attributes:
        name: Name of the table in the package, or path of the user's file.
        title: Full title.
        short: Short name, for sentences.
        source: Document that the figures are from.
        edition: Edition of that document; empty if it is not stated.
        page: Page, or number of the table; empty if it is not known.
        meant_for: What the table was made for.
        caveat: What a reader must bear in mind.
        cases: Bands for each kind of member and exposure.
        no_width_for: Exposures that the source names without a width.
    """

    name: str
    title: str
    short: str
    source: str
    edition: str
    page: str
    meant_for: str
    caveat: str
    cases: tuple[BandCase, ...]
    no_width_for: tuple[str, ...] = ()

    @property
    def exposures(self) -> tuple[str, ...]:
        """Names of the exposures that the table knows, in its order; nothing if it does not ask for an exposure."""
        found = [name for case in self.cases for name in case.exposures]
        return tuple(dict.fromkeys([*found, *self.no_width_for]))

    def require_exposure(self, exposure: str) -> None:
        """Refuse an exposure that the table does not know; a table without exposures takes any.

        Args:
            exposure: Name of the exposure; capitals and spaces around it do not matter.

        Raises:
            DataError: If the table does not know the exposure; the message offers the nearest one.
        """
        if self.exposures and plain(exposure) not in map(plain, self.exposures):
            raise DataError(
                f"'{exposure}' is no exposure of {self.short}.{did_you_mean(exposure, self.exposures)} "
                f"Take one of {', '.join(self.exposures)}."
            )

    def case_of(self, exposure: str | None = None, *, member: Member = "reinforced") -> BandCase | None:
        """Find the bands for a member in an exposure.

        Args:
            exposure: Name of the exposure; None if it is not known.
            member: Kind of member.

        Returns:
            The case; None if the table needs an exposure and none is given, or gives no width for this case.

        Raises:
            DataError: If the table does not know the exposure.
        """
        if exposure is not None:
            self.require_exposure(exposure)
        for case in self.cases:
            fits = not case.exposures or (exposure is not None and plain(exposure) in map(plain, case.exposures))
            if case.member in (None, member) and fits:
                return case
        return None

    def band_of(
        self, width: WidthMm | None, exposure: str | None = None, *, member: Member = "reinforced"
    ) -> BandAnswer:
        """Say which bands a width may lie in, by its 95 % interval.

        Args:
            width: Width in millimetres; None if the photo has no scale there.
            exposure: Name of the exposure; None if it is not known.
            member: Kind of member.

        Raises:
            DataError: If the table does not know the exposure, or the interval is no interval.

        Example:
            >>> table = read_bands("aashto-mbei")
            >>> table.band_of(WidthMm(0.35, 0.28, 0.44, True)).sentence()
            '0.28–0.44 mm: band 1 or 2 of AASHTO MBEI for reinforced concrete, 1130 (insignificant or moderate).'
            >>> table.band_of(None).sentence()
            'No band: the photo has no scale here.'
        """
        case = self.case_of(exposure, member=member)
        if width is None:
            return self.without_band("no scale", exposure=exposure)
        if not (0 <= width.low_mm <= width.high_mm < math.inf):
            raise DataError(
                f"A width from {width.low_mm} to {width.high_mm} mm is no interval. Give its two ends in mm."
            )
        if not width.resolved:
            return self.without_band("not resolved", width, exposure)
        if case is None:
            return self.without_band(self._why_no_case(exposure, member), width, exposure)
        # The best estimate may lie outside of its interval by a rounding error.
        best = min(max(width.width_mm, width.low_mm), width.high_mm)
        lowest, likeliest, highest = (case.band_at(value) for value in (width.low_mm, best, width.high_mm))
        return BandAnswer(self, width, exposure, case, lowest, likeliest, highest, None)

    def without_band(self, why: NoBand, width: WidthMm | None = None, exposure: str | None = None) -> BandAnswer:
        """Answer that a width has no band.

        Args:
            why: The reason.
            width: The width; None if there is none in millimetres.
            exposure: Name of the exposure; None if it is not known.
        """
        return BandAnswer(self, width, exposure, None, None, None, None, why)

    def _why_no_case(self, exposure: str | None, member: Member) -> NoBand:
        covered = any(case.member in (None, member) for case in self.cases)
        return "no exposure" if covered and exposure is None else "no case"


def interval_text(low: float, high: float, limits: tuple[float, ...], texts: Texts, *, decimals: int = 2) -> str:
    """The two ends of an interval with a dash between, or one number where both are written alike."""
    first, last = (texts.width(value, limits, decimals=decimals) for value in (low, high))
    return first if first == last else f"{first}–{last}"


def band_table_names() -> tuple[str, ...]:
    """List the names of the tables of bands in the package, sorted.

    Example:
        >>> band_table_names()
        ('aashto-mbei', 'aci-224r-01', 'bre-digest-251', 'en-1992-1-1')
    """
    return names_in(_FOLDER)


def read_bands(name_or_path: str | Path) -> BandTable:
    """Read a table of bands: one of the package, or a TOML file of the user's own.

    Args:
        name_or_path: One of `band_table_names`, or the path of a file that ends in ``.toml``.

    Raises:
        DataError: If there is no such table, or the file has holes or overlaps between its bands, another unit than mm,
            a key that is not known, or no source.

    Example:
        >>> table = read_bands("aci-224r-01")
        >>> table.short, table.exposures
        ('ACI 224R-01', ('dry', 'humid', 'de-icing', 'sea water', 'water-retaining'))
    """
    name, document = read_toml(name_or_path, _FOLDER, kind="table of bands")
    return _table_of(name, document_of(document, name))


def _table_of(name: str, found: TableDocument) -> BandTable:
    return BandTable(
        name,
        found.title,
        " ".join((found.short or found.title).split()),
        found.source,
        found.edition,
        found.page,
        found.meant_for,
        found.caveat,
        found.band_cases,
        found.no_width_for,
    )
