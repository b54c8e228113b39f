"""Findings get class and rank by the rules, and each reason is true of the finding's numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.errors import DataError
from crackscope.inspection.bands import read_bands
from crackscope.inspection.elements import Element, ElementRow, Elements
from crackscope.inspection.priority import Priority, prioritise
from crackscope.inspection.rules import read_rules
from crackscope.inspection.sensitivity import sensitivity
from crackscope.inspection.texts import Texts
from shared.drawn_findings import FindingForTests, finding

RULES = read_rules()
AASHTO, ACI = read_bands("aashto-mbei"), read_bands("aci-224r-01")


def deck(exposure: str | None = "humid", importance: str | None = "high") -> Elements:
    return Elements("e.csv", (ElementRow("e.csv, row 2", "deck/*", True, Element("deck", "", exposure, importance)),))


def one(found: FindingForTests, **settings: Any) -> Priority:
    (priority,) = prioritise([found], **settings)
    return priority


# The sentence

WIDTHS = st.tuples(*[st.floats(0.01, 3)] * 3).map(lambda ends: (sorted(ends)[1], sorted(ends)[0], sorted(ends)[2]))

SCALE = "the scale is known to ±4.9 %"


@pytest.mark.parametrize(
    ("found", "settings", "said"),
    [
        (  # 200 mm of crack in 0.3 by 0.4 m: 1.67 m/m²; level .7, .67, .5, 1, .9 by 5, 2, 1.5, 1, .5
            {"width": (0.35, 0.31, 0.44)},
            {"bands": ACI, "elements": deck()},
            "Class 2 (soon): median width 0.35 mm (0.31–0.44), above ACI 224R-01's 0.30 mm for humidity, moist "
            "air or soil, "
            f"over 0.2 m (1.7 m per m² of the photo) on deck (exposure humid, importance high); {SCALE}; "
            "confidence 0.90.",
        ),
        (
            {},
            {"bands": ACI, "elements": deck()},
            "Class 2 (soon), perhaps 3: median width 0.35 mm (0.28–0.44), on both sides of ACI 224R-01's 0.30 mm for "
            "humidity, moist air or soil, over 0.2 m (1.7 m per m² of the photo) on deck (exposure humid, "
            "importance high); "
            f"{SCALE}; confidence 0.90.",
        ),
        (
            {"width": (0.2, 0.15, 0.25), "element": "pier"},
            {"bands": AASHTO},
            "Class 4 (observe): median width 0.20 mm (0.15–0.25), below AASHTO MBEI's 0.30 mm for reinforced "
            "concrete, 1130, "
            f"over 0.2 m (1.7 m per m² of the photo) on pier; {SCALE}; confidence 0.90.",
        ),
        (
            {"width": (0.5, 0.4, 0.6), "uncertainty": None},
            {"bands": AASHTO},
            "Class 3 (at the next maintenance): median width 0.50 mm (0.40–0.60), between AASHTO MBEI's 0.30 and "
            "1.27 mm for "
            "reinforced concrete, 1130, over 0.2 m (1.7 m per m² of the photo); how exact the scale is, is not known; "
            "confidence 0.90.",
        ),
        (
            {"width": (0.2, 0.15, 0.3)},
            {"bands": ACI, "elements": deck()},
            "Class 3 (at the next maintenance): median width 0.20 mm (0.15–0.30), at or below ACI 224R-01's 0.30",
        ),
        (  # just above the limit by less than is printed
            {"width": (0.3003, 0.3001, 0.302)},
            {"bands": ACI, "elements": deck(importance=None)},
            "Class 2 (soon): median width 0.3003 mm (0.3001–0.302), above ACI 224R-01's 0.30 mm",
        ),
        (
            {"width": (1.0, 0.05, 1.4)},
            {"bands": AASHTO},
            "Class 3 (at the next maintenance), perhaps 2 or 4: median width 1.00 mm (0.05–1.40), on both sides of "
            "AASHTO MBEI's 0.30 and 1.27 mm",
        ),
        (
            {"width": (3.2, 2.8, 3.9), "mm_per_px": None},
            {"bands": ACI, "elements": deck()},
            "Class 3 (at the next maintenance): median width 3.2 px (2.8–3.9), as the photo has no scale, over 2000 px "
            "(0.58 times the side of the photo) on deck (exposure humid, importance high); confidence 0.90.",
        ),
        (
            {},
            {"bands": ACI, "elements": deck(exposure=None, importance=None)},
            "median width 0.35 mm (0.28–0.44), judged by its 3.5 px (2.8–4.4), as ACI 224R-01 needs an exposure "
            "and none is "
            "given, over 0.2 m (1.7 m per m² of the photo) on deck;",
        ),
        (
            {},
            {},
            "median width 0.35 mm (0.28–0.44), judged by its 3.5 px (2.8–4.4), as no table of bands is chosen, over",
        ),
        (
            {"photo": "roof/a.jpg"},
            {"bands": AASHTO, "elements": deck()},
            "1130, over 0.2 m (1.7 m per m² of the photo) on no element; the scale",
        ),
        (
            {"width": (0.1, 0.0, 0.2), "resolved": False},
            {"bands": ACI, "elements": deck()},
            "Not sure, class 3 by what is known: width unknown, at most about 0.20 mm and too small to be told "
            "from this "
            "photo, over 0.2 m",
        ),
        (
            {"width": (1.0, 0.0, 2.2), "resolved": False, "mm_per_px": None},
            {},
            "Not sure, class 3 or 4 by what is known: width unknown, at most about 2.2 px and too small to be "
            "told from this "
            "photo, over",
        ),
        (
            {"width": None},
            {"bands": ACI, "elements": deck()},
            "Not sure, class 2 or 3 by what is known: width unknown, as it was not measured, over 0.2 m",
        ),
        (
            {"width": (0.5, 0.4, 0.6), "joint_like": True},
            {"bands": AASHTO},
            "Not sure, class 3 by what is known: median width 0.50 mm (0.40–0.60), between AASHTO MBEI's 0.30 and "
            "1.27 mm for "
            f"reinforced concrete, 1130, over 0.2 m (1.7 m per m² of the photo); {SCALE}; confidence 0.90; the "
            "line looks "
            "like a joint.",
        ),
        (
            {"width": (0.5, 0.4, 0.6), "confidence": 0.4998},
            {"bands": AASHTO},
            f"; {SCALE}; confidence 0.4998, below 0.50.",
        ),
    ],
)
def test_a_reason_says_what_decided(found: dict[str, Any], settings: dict[str, Any], said: str) -> None:
    reason = one(finding(**found), **settings).reason
    assert said in reason
    assert reason.endswith(".")
    assert reason.count(". ") == 0, "one sentence"
    german = one(finding(**found), **settings, texts=Texts.read("de")).reason
    assert german.startswith(("Klasse ", "Unsicher, "))
    assert not re.search(r"\d\.\d", german), "decimal commas"
    numbers = re.findall(r"\d+(?:[.,]\d+)?", german.replace(",", "."))
    assert sorted(numbers) == sorted(re.findall(r"\d+(?:\.\d+)?", reason))


@given(WIDTHS, st.sampled_from([0.30, 1.27]), st.sampled_from([-1e-4, 0, 1e-4, None]))
def test_a_relation_to_a_limit_is_true(width: tuple[float, float, float], limit: float, by: float | None) -> None:
    """Also where an end of the interval lies on a limit or next to it."""
    if by is not None and width[1] < limit + by:
        width = (min(width[0], limit + by), width[1], limit + by)
    _, low, high = width
    reason = one(finding(width=width), bands=AASHTO).reason
    told = re.search(r"mm \((.*?)\), (.*?) AASHTO", reason)
    assert told is not None
    interval, relation = told.groups()
    ends = [float(end) for end in interval.split("–")]
    assert (ends[0], ends[-1]) == pytest.approx((low, high), abs=0.0051)
    numbers = re.search(r"AASHTO MBEI's ([\d. and]+) mm", reason)
    limits = [float(number) for number in numbers[1].split(" and ")] if numbers else []
    for told_low, told_high in ((low, high), (ends[0], ends[-1])):  # true of the numbers, and of those that are printed
        assert {
            "below": lambda low=told_low, high=told_high: high < limits[0],
            "above": lambda low=told_low, high=told_high: low > limits[0],
            "between": lambda low=told_low, high=told_high: limits[0] <= low <= high <= limits[1],
            "on both sides of": lambda low=told_low, high=told_high: low <= limits[0] <= limits[-1] <= high,
        }[relation]()


def test_a_german_reason_reads_as_a_sentence() -> None:
    found = one(finding(width=(0.35, 0.31, 0.44)), bands=ACI, elements=deck(), texts=Texts.read("de"))
    assert found.reason == (
        "Klasse 2 (bald): mittlere Rissbreite (Median) 0,35 mm (0,31–0,44), über 0,30 mm nach ACI 224R-01 für Feuchte, "
        "feuchte Luft oder Erdreich, auf 0,2 m Länge (1,7 m je m² des Fotos) am Bauteil deck (Exposition feucht, "
        "Bedeutung "
        "hoch); der Maßstab ist auf ±4,9 % bekannt; Konfidenz 0,90."
    )


def test_extent_may_be_the_number_of_findings(tmp_path: Path) -> None:
    rules = read_rules(changed(tmp_path, 'by = "length"', 'by = "number"'))
    found = prioritise(
        [finding(at, photo=f"deck/{at % 2}.jpg") for at in range(3)], rules, bands=AASHTO, elements=deck(None)
    )
    assert all(
        "over 0.2 m on deck (importance high); the scale is known to ±4.9 %; one of 3 findings" in x.reason
        for x in found
    )
    alone = prioritise([finding(1, photo="a.jpg"), finding(2, photo="b.jpg"), finding(3, photo="b.jpg")], rules)
    assert sum("; the only finding there;" in each.reason for each in alone) == 1
    assert sum("; one of 2 findings in the photo;" in each.reason for each in alone) == 2


@pytest.mark.parametrize(
    ("figure", "said"), [("p90", "90th percentile of the width 0.35"), ("maximum", "greatest width 0.35")]
)
def test_another_figure_of_the_width_may_count(tmp_path: Path, figure: str, said: str) -> None:
    rules = read_rules(changed(tmp_path, 'width = "median"', f'width = "{figure}"'))
    assert said in one(finding(), rules=rules, bands=AASHTO).reason


# Class, score and rank


def test_the_score_is_the_weighted_mean_of_the_levels() -> None:
    found = one(finding(width=(0.35, 0.31, 0.44)), bands=ACI, elements=deck())
    assert found.levels == {"severity": 0.7, "extent": 0.67, "exposure": 0.5, "importance": 1, "confidence": 0.9}
    assert found.score == pytest.approx(100 * (5 * 0.7 + 2 * 0.67 + 1.5 * 0.5 + 1 + 0.5 * 0.9) / 10)
    document = found.to_dict()
    assert (document["class"], document["band_low"], document["band_high"], document["no_band"]) == (2, 2, 2, None)
    unsure = one(finding(width=None), bands=ACI, elements=deck()).to_dict()
    assert (unsure["class"], unsure["class_name"], unsure["band_low"]) == (None, None, None)
    assert (unsure["most_urgent_class"], unsure["least_urgent_class"], unsure["no_band"]) == (2, 3, "not measured")


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_probability_alone_makes_no_priority(sure: float, surer: float) -> None:
    """Without a width there is no class, and with the least of all else confidence never leaves the last class."""
    for confidence in (sure, surer):
        assert one(finding(width=None, confidence=confidence), bands=AASHTO).priority_class is None
        least = RULES.score_of(dict.fromkeys(RULES.weights, 0.0) | {"confidence": confidence})
        assert RULES.class_at(least) == RULES.classes[-1]


FINDINGS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(
        dict,
        width=st.none() | WIDTHS,
        mm_per_px=st.none() | st.floats(0.05, 0.5),
        resolved=st.booleans(),
        length_px=st.floats(20, 5000),
        confidence=st.floats(0, 1),
        joint_like=st.booleans(),
        photo=st.sampled_from(["deck/a.jpg", "deck/b.jpg", "c.jpg"]),
    ),
    max_size=8,
)


@given(FINDINGS, st.randoms(), st.sampled_from([None, AASHTO, ACI]))
def test_ranks_are_a_permutation_and_do_not_depend_on_the_order_given(drawn: Any, random: Any, bands: Any) -> None:
    findings = [finding(number, **settings) for number, settings in enumerate(drawn, 1)]
    found = prioritise(findings, RULES, bands=bands, elements=deck())
    assert [each.rank for each in found] == list(range(1, len(findings) + 1))
    assert {each.number for each in found} == {each.number for each in findings}
    shuffled = random.sample(findings, len(findings))
    assert prioritise(shuffled, RULES, bands=bands, elements=deck()) == found
    for each in found:
        assert each.score_low <= each.score <= each.score_high
        assert each.most_urgent.number <= each.least_urgent.number
        assert all(each.levels_low[key] <= level <= each.levels_high[key] for key, level in each.levels.items())
    moved = sensitivity(found, RULES)
    assert all(move.first <= move.rank <= move.last for move in moved.moves)
    assert moved.n_alike == len([*moved.alike()])


@given(WIDTHS, st.floats(0, 2))
def test_a_wider_crack_never_ranks_lower(width: tuple[float, float, float], more: float) -> None:
    best, low, high = (end + more for end in width)
    found = prioritise([finding(1, width=width), finding(2, width=(best, low, high))], RULES, bands=AASHTO)
    scores = {each.number: each.score for each in found}
    assert scores[1] <= scores[2]


def test_two_findings_with_one_number_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 findings have the number 7\. Give each finding its own number\."):
        prioritise([finding(7), finding(7)])
    assert prioritise([]) == []


@pytest.mark.parametrize(
    ("elements", "bands", "words"),
    [
        (deck("XC2"), ACI, r"row 2: exposure 'XC2' is not known to ACI 224R-01\..* Take one of dry"),
        (deck("marine"), AASHTO, r"row 2: exposure 'marine' is not known to the rules 'Default rules'\."),
        (deck(importance="hi"), AASHTO, r"row 2: importance 'hi' is not known to the rules 'Default rules'\."),
    ],
)
def test_an_exposure_or_importance_that_is_not_known_is_told(elements: Any, bands: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        prioritise([finding()], bands=bands, elements=elements)


# Sensitivity


def test_a_rank_moves_where_a_weight_decides() -> None:
    wide_short = finding(1, width=(0.5, 0.45, 0.6), length_px=100, confidence=0.7)  # severity .5, extent 0
    thin_long = finding(2, width=(0.2, 0.15, 0.25), length_px=5000, confidence=1)  # severity 0, extent 1
    found = prioritise([wide_short, thin_long], RULES, bands=AASHTO)
    assert [(each.number, each.levels["severity"], each.levels["extent"]) for each in found] == [(1, 0.5, 0), (2, 0, 1)]
    moved = sensitivity(found, RULES)
    first = moved.moves[0]
    assert (first.number, first.rank, first.first, first.last) == (1, 1, 1, 2)
    assert first.by_weight["severity"] == (2, 1)
    assert first.by_weight["extent"] == (1, 2)
    assert first.by_weight["confidence"] == (1, 1)
    assert [*moved.alike()] == []
    assert sensitivity(found, RULES, change=0.1).moves[0].last == 1


def test_findings_whose_intervals_overlap_cannot_be_told_apart() -> None:
    sure, spanning, thin = (0.5, 0.45, 0.6), (0.35, 0.25, 0.5), (0.2, 0.15, 0.25)
    widths = {1: sure, 2: spanning, 3: thin}
    found = prioritise([finding(at, width=width) for at, width in widths.items()], RULES, bands=AASHTO)
    assert [each.number for each in found] == [1, 2, 3]
    moved = sensitivity(found, RULES)
    assert [*moved.alike()] == [(1, 2), (2, 3)]
    assert moved.n_alike == 2
    assert all((move.first, move.last) == (move.rank, move.rank) for move in moved.moves)


@pytest.mark.parametrize("change", [0, 1, -0.2, float("nan")])
def test_a_change_that_is_none_is_refused(change: float) -> None:
    with pytest.raises(DataError, match="A change of weights by"):
        sensitivity([], RULES, change=change)


# The user's own rules

DEFAULT = (Path(__file__).parents[2] / "src/crackscope/inspection/rules/default.toml").read_text(encoding="utf-8")


def changed(folder: Path, old: str, new: str) -> Path:
    assert old in DEFAULT
    (folder / "my.toml").write_text(DEFAULT.replace(old, new, 1), encoding="utf-8")
    return folder / "my.toml"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("severity = 5.0", "severity = 0", "weights.severity: must be above 0, not 0"),
        ("extent = 2.0", "extent = -1", "weights.extent: must be at least 0, not -1"),
        ("extent = 2.0", "extnt = 2.0", "'weights.extent' is missing"),
        ("extent = 2.0", "extent = 2.0\nextnt = 2.0", "there is no key 'weights.extnt'. Did you mean 'extent'?"),
        (
            "confidence = 0.5",
            "confidence = 20",
            "weights.confidence 20 alone gives up to 68 points, and class 'at the next",
        ),
        (
            "[0.0, 0.5, 1.0]",
            "[0.0, 0.5, 0.4]",
            "severity: bands: a row has two levels at least, and they rise; not [0.0",
        ),
        ("[0.0, 0.5, 1.0]", "[0.0, 0.5]", "severity: bands: two rows for tables with the same number of bands"),
        ('width = "median"', 'width = "mean"', "severity.width: must be 'median', 'p90' or 'maximum', not 'mean'"),
        (
            "{ below = 4.0, level = 0.33 }",
            "{ below = 1.0, level = 0.33 }",
            "severity: px: an overlap; each step must end above",
        ),
        (
            "{ below = 4.0, level = 0.33 }",
            "{ below = 4.0, level = 0.9 }",
            "severity: px: the level falls from 0.9 to 0.67",
        ),
        (
            "    { level = 1.0 },\n]\n\n# Level of an extent",
            "]\n\n# Level of an extent",
            "severity: px: a hole; the last step",
        ),
        ('"dry" = 0.0', '"dry" = 1.5', "exposure.levels.dry: must be at most 1, not 1.5"),
        ('"dry" = 0.0', '"dry" = 0.0\n"Dry" = 0.1', "exposure: two names differ in capitals or spaces alone"),
        ("from = 60", "from = 90", "class 'soon' begins at 90, but 'urgent' before it at 85"),
        ("from = 0\n", "from = 5\n", "a hole; no class holds scores below 5. Let 'observe' begin at 0"),
        ("source = ", "# source = ", "'source' is missing"),
        (
            'width_unknown = "always"',
            "width_unknown = true",
            "not_sure.width_unknown: must be 'always', 'if classes differ' or 'never', not True",
        ),
    ],
)
def test_rules_that_cannot_be_used_are_one_clear_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    place = changed(tmp_path, old, new)
    with pytest.raises(DataError) as raised:
        read_rules(place)
    assert words in str(raised.value)
    assert str(raised.value).startswith(str(place))
    assert "\n" not in str(raised.value)


def test_rules_that_are_not_there_are_told() -> None:
    with pytest.raises(DataError, match=r"There is no set of rules 'defualt'\. Did you mean 'default'\?"):
        read_rules("defualt")


def test_rules_may_give_a_class_without_a_width(tmp_path: Path) -> None:
    rules = read_rules(changed(tmp_path, '= "always"', '= "never"'))
    found = one(finding(width=None), rules=rules, bands=AASHTO)
    assert found.priority_class is not None
    assert found.reason.startswith(
        "Class 3 (at the next maintenance), perhaps 2 or 4: width unknown, as it was not measured"
    )


def test_rules_may_give_a_class_where_all_possible_widths_lead_to_it(tmp_path: Path) -> None:
    rules = read_rules(changed(tmp_path, '= "always"', '= "if classes differ"'))
    thin = one(finding(width=(0.05, 0.0, 0.12), resolved=False), rules=rules, bands=AASHTO)
    assert thin.reason.startswith("Class 4 (observe): width unknown, at most about 0.12 mm and too small to be told")
    assert one(finding(width=None), rules=rules, bands=AASHTO).priority_class is None
