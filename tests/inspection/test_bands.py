"""Each limit of each table holds just below, on it and just above; a width counts by its interval."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.errors import DataError
from crackscope.geometry.widths import WidthMm
from crackscope.inspection.bands import BandTable, band_table_names, read_bands
from crackscope.inspection.texts import Texts

# Each limit of the sources: table, exposure, member, limit in mm, number of the band of the limit itself and of the
# width just below and just above it.
LIMITS: list[tuple[str, str | None, str, float, int, int, int]] = [
    *[("aci-224r-01", name, "reinforced", limit, 1, 1, 2) for name, limit in (("dry", 0.41), ("humid", 0.30))],
    *[("aci-224r-01", name, "reinforced", limit, 1, 1, 2) for name, limit in (("de-icing", 0.18), ("sea water", 0.15))],
    ("aci-224r-01", "water-retaining", "reinforced", 0.10, 1, 1, 2),
    *[("en-1992-1-1", name, "reinforced", 0.4, 1, 1, 2) for name in ("X0", "XC1")],
    *[("en-1992-1-1", name, "reinforced", 0.3, 1, 1, 2) for name in ("XC2", "XC3", "XC4", "XD1", "XD2")],
    *[("en-1992-1-1", name, "reinforced", 0.3, 1, 1, 2) for name in ("XS1", "XS2", "XS3")],
    *[("en-1992-1-1", name, "prestressed", 0.2, 1, 1, 2) for name in ("X0", "XC1", "XC2", "XC3", "XC4")],
    ("aashto-mbei", None, "reinforced", 0.30, 2, 1, 2),  # insignificant < 0.012 in
    ("aashto-mbei", None, "reinforced", 1.27, 2, 2, 3),  # wide > 0.05 in
    ("aashto-mbei", None, "prestressed", 0.10, 2, 1, 2),  # insignificant < 0.004 in
    ("aashto-mbei", None, "prestressed", 0.23, 2, 2, 3),  # wide > 0.009 in
    ("bre-digest-251", None, "reinforced", 0.1, 1, 0, 1),  # category 0 < 0.1 mm
    *[
        ("bre-digest-251", None, "reinforced", limit, at, at, at + 1)
        for at, limit in ((1, 1), (2, 5), (3, 15), (4, 25))
    ],
]
TINY = 1e-9


def width(low: float, high: float, *, best: float | None = None, resolved: bool = True) -> WidthMm:
    return WidthMm((low + high) / 2 if best is None else best, low, high, resolved)


@pytest.mark.parametrize(("name", "exposure", "member", "limit", "on", "below", "above"), LIMITS)
def test_a_limit_belongs_where_its_source_puts_it(
    name: str, exposure: str | None, member: Any, limit: float, on: int, below: int, above: int
) -> None:
    case = read_bands(name).case_of(exposure, member=member)
    assert case is not None
    assert [case.band_at(limit + by).number for by in (-TINY, 0, TINY)] == [below, on, above]


def test_no_limit_is_left_out() -> None:
    tested = {(name, exposure, member, limit) for name, exposure, member, limit, *_ in LIMITS}
    shipped = {
        (name, exposure, case.member or "reinforced", limit)
        for name in band_table_names()
        for case in read_bands(name).cases
        for exposure in case.exposures or (None,)
        for limit in case.limits_mm
    }
    assert tested == shipped


def test_exactly_these_tables_come_with_the_package_and_each_says_where_it_is_from() -> None:
    assert band_table_names() == ("aashto-mbei", "aci-224r-01", "bre-digest-251", "en-1992-1-1")
    for name in band_table_names():
        table = read_bands(name)
        assert all((table.title, table.short, table.source, table.edition, table.meant_for, table.caveat)), name
        texts = [table.title, table.meant_for, *(band.name for case in table.cases for band in case.bands)]
        assert not [text for text in texts if "safe" in text.lower()]


@pytest.mark.parametrize(
    ("name", "exposure", "low", "high", "numbers", "said"),
    [
        ("aashto-mbei", None, 0.2, 0.29, (1, 1), "0.20–0.29 mm: band 1 of AASHTO MBEI"),
        ("aashto-mbei", None, 0.2, 0.4, (1, 2), "0.20–0.40 mm: band 1 or 2 of AASHTO MBEI"),
        ("aashto-mbei", None, 0.2, 0.3, (1, 2), "0.20–0.30 mm: band 1 or 2"),
        ("aashto-mbei", None, 0.2, 0.2996, (1, 1), "0.20–0.2996 mm: band 1 of"),  # rounded it would be in band 2
        ("aashto-mbei", None, 0.2, 2.0, (1, 3), "band 1 to 3 of AASHTO MBEI"),
        (
            "bre-digest-251",
            None,
            2.0,
            7.5,
            (2, 3),
            "2.00–7.50 mm: band 2 or 3 of BRE Digest 251 (category 2 or category 3)",
        ),
        ("aci-224r-01", "Humid ", 0.31, 0.31, (2, 2), "0.31 mm: band 2 of ACI 224R-01 for humidity, moist air or soil"),
        ("en-1992-1-1", "xc2", 0.0, 0.5, (1, 2), "0.00–0.50 mm: band 1 or 2 of EN 1992-1-1 for xc2 (within w_max or"),
    ],
)
def test_a_width_counts_by_its_interval(
    name: str, exposure: str | None, low: float, high: float, numbers: tuple[int, int], said: str
) -> None:
    answer = read_bands(name).band_of(width(low, high), exposure)
    assert answer.lowest is not None
    assert answer.highest is not None
    assert (answer.lowest.number, answer.highest.number) == numbers
    assert said in answer.sentence()
    assert "Stufe" in answer.sentence(Texts.read("de"))


@pytest.mark.parametrize(
    ("name", "exposure", "member", "measured", "why", "said"),
    [
        ("aashto-mbei", None, "reinforced", None, "no scale", "No band: the photo has no scale here."),
        (
            "aashto-mbei",
            None,
            "reinforced",
            width(0, 0.2, resolved=False),
            "not resolved",
            "at most about 0.20 mm, is too small",
        ),
        ("aci-224r-01", None, "reinforced", width(0.2, 0.3), "no exposure", "ACI 224R-01 needs an exposure"),
        ("aci-224r-01", "humid", "prestressed", width(0.2, 0.3), "no case", "gives no width for this member"),
        ("aci-224r-01", None, "prestressed", width(0.2, 0.3), "no case", "gives no width for this member"),
        ("en-1992-1-1", "XD3", "reinforced", width(0.2, 0.3), "no case", "gives no width"),
        ("en-1992-1-1", "XD1", "prestressed", width(0.2, 0.3), "no case", "gives no width"),
    ],
)
def test_without_a_band_the_reason_is_told(
    name: str, exposure: str | None, member: Any, measured: WidthMm | None, why: str, said: str
) -> None:
    answer = read_bands(name).band_of(measured, exposure, member=member)
    assert (answer.lowest, answer.likeliest, answer.highest, answer.no_band) == (None, None, None, why)
    assert said in answer.sentence()
    assert answer.sentence(Texts.read("de")).startswith("Keine Stufe: ")


def test_a_width_that_was_not_measured_has_no_band() -> None:
    assert read_bands("aashto-mbei").without_band("not measured").sentence() == "No band: the width was not measured."


def test_an_exposure_that_a_table_does_not_know_is_told() -> None:
    with pytest.raises(
        DataError, match=r"'humit' is no exposure of ACI 224R-01\. Did you mean 'humid'\? Take one of dry,"
    ):
        read_bands("aci-224r-01").band_of(width(0.1, 0.2), "humit")
    assert read_bands("bre-digest-251").band_of(width(0.2, 0.3), "humid").no_band is None  # it asks for none


def test_an_interval_that_is_none_is_refused() -> None:
    for low, high in ((0.3, 0.2), (-0.1, 0.2), (float("nan"), 0.2), (0.1, float("inf"))):
        with pytest.raises(DataError, match="no interval"):
            read_bands("aashto-mbei").band_of(WidthMm(0.2, low, high, True))


# Properties

CASES = [(table, case) for name in band_table_names() for table in [read_bands(name)] for case in table.cases]
WIDTHS = st.floats(0, 60, allow_nan=False) | st.sampled_from(
    sorted({one for _, case in CASES for one in case.limits_mm})
)


@given(st.sampled_from(CASES), st.lists(WIDTHS, min_size=2, max_size=2))
def test_bands_rise_with_the_width(chosen: tuple[BandTable, Any], ends: list[float]) -> None:
    table, case = chosen
    low, high = sorted(ends)
    assert case.band_at(low).number <= case.band_at(high).number
    assert sum(band.holds(low) for band in case.bands) == 1
    exposure = case.exposures[0] if case.exposures else None
    answer = table.band_of(width(low, high), exposure, member=case.member or "reinforced")
    assert answer.lowest is not None
    assert answer.likeliest is not None
    assert answer.highest is not None
    assert answer.lowest.number <= answer.likeliest.number <= answer.highest.number
    assert answer.sentence().count(table.short) == 1


# The user's own files

HEAD = 'title = "Owner"\nsource = "Owner\'s manual, 2024"\nunit = "mm"\n'
OWN = HEAD + (
    "bands = [\n"
    '    { name = "fine", up_to = 0.2 },\n'
    '    { name = "medium", above = 0.2, below = 0.5 },\n'
    '    { name = "open", from = 0.5 },\n'
    "]\n"
)


def written(folder: Path, text: str) -> Path:
    (folder / "my.toml").write_text(text, encoding="utf-8")
    return folder / "my.toml"


def test_an_own_table_is_read(tmp_path: Path) -> None:
    table = read_bands(written(tmp_path, "\ufeff" + OWN))
    assert (table.short, table.exposures, table.cases[0].limits_mm) == ("Owner", (), (0.2, 0.5))
    assert [table.cases[0].band_at(one).name for one in (0, 0.2, 0.21, 0.5)] == ["fine", "fine", "medium", "open"]
    assert table.band_of(width(0.1, 0.6)).sentence() == "0.10–0.60 mm: band 1 to 3 of Owner (fine to open)."
    assert "(fine bis open)" in table.band_of(width(0.1, 0.6)).sentence(Texts.read("de"))


CASE = 'bands = [{ name = "a", up_to = 1 }, { name = "b", above = 1 }]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            OWN.replace("above = 0.2", "above = 0.3"),
            "'fine' and 'medium': a hole; no band holds widths from 0.2 to 0.3",
        ),
        (OWN.replace("above = 0.2", "above = 0.1"), "'fine' and 'medium': an overlap; both hold widths up to 0.2 mm"),
        (OWN.replace("above = 0.2", "from = 0.2"), "an overlap; both hold 0.2 mm. Write up_to and above"),
        (OWN.replace("from = 0.5", "above = 0.5"), "'medium' and 'open': a hole; neither holds 0.5 mm"),
        (
            OWN.replace("up_to = 0.2", "from = 0.1, up_to = 0.2"),
            "band 'fine': a hole; no band holds widths from 0 to 0.1",
        ),
        (OWN.replace("up_to = 0.2", "above = 0, up_to = 0.2"), "band 'fine': a hole"),
        (OWN.replace("from = 0.5", "from = 0.5, up_to = 9"), "band 'open': a hole; no band holds widths above 9 mm"),
        (OWN.replace(", below = 0.5", ""), "'medium' and 'open': an overlap; both hold all widths above 0.5 mm"),
        (OWN.replace("below = 0.5", "below = 0.1"), "band 'medium': its end, 0.1 mm, must lie above its beginning"),
        (OWN.replace("below = 0.5", "below = 0.5, up_to = 0.5"), "bands 2: a band ends either 'below' a width or"),
        (OWN.replace("above = 0.2", "above = 0.2, from = 0.2"), "bands 2: a band begins either 'above' a width or"),
        (OWN.replace("medium", "Fine"), "two bands have the same name"),
        (OWN.replace("medium", " "), "bands 2: a band needs a name"),
        (
            OWN.replace('"mm"', '"in"'),
            "unit is 'in'; it must be 'mm'. Give all limits in millimetres; 1 in is 25.4 mm.",
        ),
        (OWN.replace('unit = "mm"\n', ""), "'unit' is missing"),
        (OWN.replace("0.5", "500"), "bands 2.below: must be at most 100, not 500"),  # micrometres
        (OWN.replace("up_to = 0.2", "up_to = -0.2"), "bands 1.up_to: must be at least 0, not -0.2"),
        (OWN.replace("up_to = 0.2", "up_to = nan"), "bands 1.up_to: must be a finite number"),
        (OWN.replace("up_to = 0.2", 'up_to = "0,2"'), "bands 1.up_to: must be a number, not '0,2'"),
        (OWN.replace("up_to", "upto"), "there is no key 'bands 1.upto'. Did you mean 'up_to'?"),
        (OWN.replace("title", "tittle"), "'title' is missing"),
        (OWN + 'cavaet = "x"\n', "there is no key 'cavaet'. Did you mean 'caveat'?"),
        (OWN.replace("source", "# source"), "'source' is missing"),
        (OWN.replace("Owner's manual, 2024", " "), "source is empty; say which document"),
        (HEAD, "either 'bands', or 'cases'"),
        (HEAD + 'bands = [{ name = "all" }]', "a table needs two bands at least, and there are 1"),
        (HEAD + "bands = 3", "bands: must be a list, not 3"),
        (HEAD + f"[[cases]]\n{CASE}[[cases]]\n{CASE}", "cases 2: a second case for 'any exposure'; take one out"),
        (HEAD + f'[[cases]]\nmember = "reinforced"\n{CASE}[[cases]]\n{CASE}', "cases 2: a second case"),
        (HEAD + f'[[cases]]\nexposures = ["a", "A "]\n{CASE}', "cases 1: a second case for 'a'"),
        (
            HEAD + f'[[cases]]\nexposures = ["a"]\n{CASE}[[cases]]\nmember = "reinforced"\n{CASE}',
            "have exposures, or none",
        ),
        (HEAD + f"[[cases]]\n{CASE.replace('above = 1', 'above = 2')}", "cases 1, bands 'a' and 'b': a hole"),
        (HEAD + f'[[cases]]\nmember = "steel"\n{CASE}', "cases 1.member: must be 'reinforced' or 'prestressed'"),
        ("title = ", "not a TOML file"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    place = written(tmp_path, text)
    with pytest.raises(DataError) as raised:
        read_bands(place)
    message = str(raised.value)
    assert words in message
    assert message.startswith(str(place))
    assert "\n" not in message


def test_cases_have_the_same_bands(tmp_path: Path) -> None:
    other = CASE.replace('"b"', '"c"')
    text = HEAD + f'[[cases]]\nexposures = ["x"]\n{CASE}[[cases]]\nexposures = ["y"]\n{other}'
    with pytest.raises(DataError, match="cases 2: its bands must have the names of those in case 1"):
        read_bands(written(tmp_path, text))


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no table of bands 'aci-224r'\. Did you mean 'aci-224r-01'\? Take one of aashto"
    ):
        read_bands("aci-224r")
    with pytest.raises(DataError, match=r"none\.toml: cannot be read \(No such file or directory\)\. Check the path\."):
        read_bands(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes("title = 'Brücke'".encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 text \(byte 11\)"):
        read_bands(tmp_path / "latin.toml")


def test_the_files_that_the_page_shows_can_be_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "inspection.md").read_text(encoding="utf-8")
    whole, cases = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert read_bands(written(tmp_path, whole)).short == "Owner 2024"
    assert read_bands(written(tmp_path, HEAD + cases)).exposures == ("humid", "soil")


def test_the_page_shows_what_its_code_prints() -> None:
    page = (Path(__file__).parents[2] / "docs" / "inspection.md").read_text(encoding="utf-8")
    answer = read_bands("aci-224r-01").band_of(WidthMm(0.35, 0.28, 0.44, True), "humid")
    assert f"    {answer.sentence()}\n" in page
