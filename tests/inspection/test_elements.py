"""Each photo gets its element by the table or by its folder, and what does not fit is told with its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from crackscope.errors import DataError
from crackscope.inspection.elements import Element, Elements, elements_by_folder, read_elements

PHOTOS = ["bridge/deck/1.jpg", "bridge/deck/2.jpg", "bridge/pier [2]/1.jpg", "bridge/extra.jpg"]


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "elements.csv").write_bytes(text.encode(encoding))
    return folder / "elements.csv"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


TEXT = (
    "element,photo,glob,side,exposure,importance,member\n"
    "Deck,,bridge/deck/*,top,de-icing,high,\n"
    "\n"
    "Pier 2,bridge/pier [2]/1.jpg,,north,XC4 ,,Prestressed\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("mark", [",", ";"])
def test_a_table_names_photos_by_path_or_pattern(site: Path, encoding: str, mark: str) -> None:
    found = read_elements(table(site, TEXT.replace(",", mark), encoding))
    assert found.of("bridge/deck/1.jpg") == Element("Deck", "top", "de-icing", "high", "reinforced")
    assert found.of("bridge/pier [2]/1.jpg") == Element("Pier 2", "north", "XC4", None, "prestressed")
    assert found.of("bridge/pier 2/1.jpg") is None
    found.require_known(PHOTOS)
    assert found.without_element(PHOTOS) == ["bridge/extra.jpg"]
    assert found.rows[1].where.endswith("elements.csv, row 4")


@pytest.mark.parametrize(
    "photo", ["bridge/deck/1.jpg", "./bridge/deck/1.jpg", "bridge/x/../deck/1.jpg", "{}/bridge/deck/1.jpg"]
)
def test_a_photo_is_found_however_its_path_is_written(site: Path, photo: str) -> None:
    text = "element,photo\nDeck,{}\n"
    for row in ("bridge/deck/1.jpg", ".\\bridge\\deck\\1.jpg"):
        assert read_elements(table(site, text.format(row))).of(photo.format(site)) == Element("Deck")
    (site / "bridge").mkdir(exist_ok=True)
    inside = read_elements(table(site / "bridge", text.format("deck/1.jpg")))
    assert inside.of(photo.format(site)) == Element("Deck")


def test_a_star_also_stands_for_folders(site: Path) -> None:
    found = read_elements(table(site, "element,glob\nAll,bridge/*.jpg\n"))
    assert found.without_element([*PHOTOS, "other/1.jpg"]) == ["other/1.jpg"]


def test_two_elements_for_one_photo_are_told_with_both_rows(site: Path) -> None:
    found = read_elements(table(site, "element,photo,glob\nDeck,,bridge/deck/*\nPier,bridge/deck/2.jpg,\n"))
    words = (
        r"row 3: 'bridge/deck/2\.jpg' belongs to 'Pier' \(reinforced\) here, and to 'Deck' \(reinforced\) by .*row 2"
    )
    for check in (found.require_known, found.without_element):
        with pytest.raises(DataError, match=words):
            check(PHOTOS)
    assert found.of("bridge/deck/1.jpg") == Element("Deck")


def test_two_sides_for_one_photo_are_told_and_two_equal_rows_are_not(site: Path) -> None:
    text = "element,glob,side\nDeck,bridge/deck/*,top\nDeck,*/1.jpg,"
    with pytest.raises(DataError, match=r"'Deck' \(soffit, reinforced\) here, and to 'Deck' \(top, reinforced\)"):
        read_elements(table(site, f"{text}soffit\n")).of("bridge/deck/1.jpg")
    assert read_elements(table(site, f"{text}top\n")).of("bridge/deck/1.jpg") == Element("Deck", "top")


def test_a_row_that_names_no_photo_is_told_with_the_nearest(site: Path) -> None:
    found = read_elements(table(site, "element,photo\nDeck,bridge/deck/11.jpg\n"))
    with pytest.raises(
        DataError, match=r"row 2: 'bridge/deck/11\.jpg' is none of the 4 photos\. Did you mean 'bridge/deck/1"
    ):
        found.require_known(PHOTOS)
    found = read_elements(table(site, "element,glob\nDeck,bridge/roof/*\n"))
    with pytest.raises(DataError, match=r"row 2: 'bridge/roof/\*' matches none of the 4 photos\."):
        found.require_known(PHOTOS)


def test_an_unknown_exposure_or_importance_is_told_with_its_row(site: Path) -> None:
    found = read_elements(table(site, "element,glob,exposure,importance\nA,a/*,,\nB,b/*,humit,hihg\n"))
    with pytest.raises(
        DataError, match=r"row 3: exposure 'humit' is not known to ACI\. Did you mean 'humid'\? Take one of dry"
    ):
        found.require_exposures(["dry", "humid"], name="ACI")
    with pytest.raises(DataError, match=r"row 3: importance 'hihg' is not known to the rules\. Did you mean 'high'\?"):
        found.require_importances(["low", "high"], name="the rules")
    found.require_exposures([], name="a table that asks for none")
    found.require_exposures(["HUMIT"], name="a table in capitals")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column 'element'"),
        ("elements,glob\nA,a/*\n", "no column 'element' among elements, glob. Did you mean 'elements'?"),
        ("element,glob\n", "the table has no row"),
        ("element,glob\n ,a/*\n", "row 2: no element"),
        ("element,glob\nA,\n", "row 2: neither a photo nor a glob"),
        ("element,side\nA,top\n", "row 2: neither a photo nor a glob"),
        ("element,glob,photo\nA,a/*,a/1.jpg\n", "row 2: both a photo and a glob"),
        (
            "element,glob,member\nA,a/*,prestresed\n",
            "member 'prestresed' is not known to elements. Did you mean 'prestressed'",
        ),
        ("element;glob\nA;a/*;b\n", "3 values, but the first line names 2 columns"),
    ],
)
def test_a_table_that_is_none_is_one_clear_line(site: Path, text: str, words: str) -> None:
    with pytest.raises(DataError) as raised:
        read_elements(table(site, text))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_sub_folders_are_elements() -> None:
    found = elements_by_folder(PHOTOS)
    names = [one and one.name for one in map(found.of, PHOTOS)]
    assert names == ["deck", "deck", "pier [2]", None]
    assert found.without_element(PHOTOS) == ["bridge/extra.jpg"]
    found.require_known(PHOTOS)
    deeper = elements_by_folder(["b/pier/north/1.jpg", "b/pier/south/1.jpg"], folder="b")
    assert [one and one.name for one in map(deeper.of, ["b/pier/north/1.jpg", "b/other/1.jpg"])] == ["pier/north", None]


def test_photos_of_one_folder_have_no_element() -> None:
    for photos in ([], ["a/1.jpg", "a/2.jpg"], ["1.jpg", "2.jpg"]):
        assert elements_by_folder(photos).without_element(photos) == photos
    assert elements_by_folder(["a/1.jpg"], folder="elsewhere").rows == ()


def test_thousands_of_photos_are_quick() -> None:
    photos = [f"site/part {at % 50}/{at}.jpg" for at in range(5000)]
    assert elements_by_folder(photos).without_element(photos) == []
    assert isinstance(elements_by_folder(photos), Elements)
