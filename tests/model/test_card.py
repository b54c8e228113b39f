from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import expit

from crackscope.model.card import CARD_VERSION, Calibration, Card, TrainingData, Verdict
from shared.models import tiny_card

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(recipe=st.dictionaries(st.text(), JSON, max_size=4), name=st.text())
def test_a_card_survives_its_json(recipe: Any, name: str) -> None:
    card = tiny_card(recipe=recipe, name=name)
    again = Card.model_validate_json(card.to_json())
    assert again.recipe == recipe
    assert again == card
    assert again.to_json() == card.to_json()


def test_the_order_in_which_fields_were_given_does_not_matter() -> None:
    one, two = tiny_card(recipe={"a": 1, "b": 2}), tiny_card(recipe={"b": 2, "a": 1})
    assert one.to_json() == two.to_json()


def test_a_file_name_that_is_no_unicode_does_not_cost_the_card() -> None:
    card = tiny_card(recipe={"data": "walls\udcff"})
    assert Card.model_validate_json(card.to_json()).recipe == {"data": "walls?"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_field_holds_what_is_no_number(value: float) -> None:
    card = tiny_card()
    with pytest.raises(ValidationError, match="not JSON compliant"):
        Card.model_validate({**card.model_dump(), "figures": {"val": {"accuracy": value}}})
    assert '"figures":{"val":{"accuracy":null}}' in tiny_card(figures={"val": {"accuracy": value}}).to_json()
    with pytest.raises(ValidationError):
        Calibration(temperature=value, threshold=0.5, unsure_low=0.5, unsure_high=0.5)


def test_a_card_is_frozen_and_its_defaults_are_not_shared() -> None:
    card = tiny_card()
    with pytest.raises(ValidationError, match="frozen"):
        card.name = "other"
    a, b = (Calibration(temperature=1, threshold=0.5, unsure_low=0.5, unsure_high=0.5) for _ in range(2))
    cards = [Card(name="x", made_with="y", patch_px=64, source_px=64, patch=c, backbone=card.backbone) for c in (a, b)]
    cards[0].recipe["name"] = "head"
    assert cards[1].recipe == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"card_version": null}', '{"card_version": true}'])
def test_a_text_without_a_version_claims_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"card_version|Expecting"):
        Card.version_of(text)


def test_the_version_is_read_whatever_else_is_there() -> None:
    assert Card.version_of('{"card_version": 9, "new": []}') == 9
    assert Card.version_of(tiny_card().to_json()) == CARD_VERSION


def test_training_data_is_compared_by_what_it_says() -> None:
    assert TrainingData(name="a", n_crack=1, n_uncracked=2) == TrainingData(name="a", n_crack=1, n_uncracked=2)
    assert len({TrainingData(name="a", n_crack=1, n_uncracked=2) for _ in range(2)}) == 1


# From logits to labels


def calibration(**changes: Any) -> Calibration:
    return Calibration(**{"temperature": 1.0, "threshold": 0.5, "unsure_low": 0.5, "unsure_high": 0.5} | changes)


def verdict(**changes: Any) -> Verdict:
    counts = {"stretch_px": 512, "n_clean": 30, "false_alarm_rate": 0.1, "n_cracked": 20, "missed_rate": 0.05}
    return Verdict(**{"threshold": 0.7, "unsure_low": 0.4, **counts} | changes)


@settings(deadline=None)
@given(st.lists(st.floats(-700, 700), max_size=9), st.floats(0.05, 20), st.floats(-9, 9))
def test_a_probability_is_the_sigmoid_of_the_shifted_logit_over_the_temperature(
    logits: list[float], temperature: float, shift: float
) -> None:
    found = calibration(temperature=temperature, shift=shift).probability(np.array(logits))
    assert found == pytest.approx(expit((np.array(logits) + shift) / temperature), abs=1e-12)
    assert ((found >= 0) & (found <= 1)).all()


def test_a_probability_grows_with_its_logit_and_never_leaves_its_range() -> None:
    one = calibration(temperature=0.3, shift=0.2)
    logits = np.concatenate([[-np.inf, -1e308], np.linspace(-40, 40, 999), [1e308, np.inf]])
    found = one.probability(logits)
    assert (np.diff(found) >= 0).all()
    assert (found[0], found[-1]) == (0, 1)
    assert one.probability(np.array(-0.2)) == 0.5


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (1, 2, 3)])
def test_logits_of_any_shape_have_probabilities_of_that_shape(shape: Any) -> None:
    assert np.shape(calibration(shift=1.0).probability(np.zeros(shape))) == shape


def test_a_calibration_without_a_shift_has_none() -> None:
    assert calibration().shift == 0
    assert tiny_card().patch.shift == 0


@pytest.mark.parametrize(
    ("probability", "label"),
    [(0.0, "uncracked"), (0.39, "uncracked"), (0.4, "unsure"), (0.69, "unsure"), (0.7, "crack"), (1.0, "crack")],
)
def test_a_verdict_at_every_border(probability: float, label: str) -> None:
    assert verdict().label(probability) == label


def test_a_verdict_without_a_band_is_never_unsure() -> None:
    one = verdict(unsure_low=0.7)
    assert [one.label(value) for value in (0.0, 0.699, 0.7, 1.0)] == ["uncracked", "uncracked", "crack", "crack"]


@pytest.mark.parametrize(
    "changes",
    [
        {"unsure_low": 0.71},
        {"threshold": 1.1},
        {"unsure_low": -0.1},
        {"false_alarm_rate": 1.5},
        {"missed_rate": float("nan")},
        {"n_clean": -1},
        {"stretch_px": 0},
        {"surprise": 1},
    ],
)
def test_a_verdict_that_makes_no_sense_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        verdict(**changes)


def test_what_was_fitted_for_photos_survives_the_json_and_may_be_missing() -> None:
    card = tiny_card(photo=calibration(shift=-0.5, fitted_on="walls, val"), verdict=verdict(fitted_on="walls, val"))
    again = Card.model_validate_json(card.to_json())
    assert again == card
    assert again.verdict is not None
    assert again.verdict.label(0.5) == "unsure"
    older = {
        key: value for key, value in tiny_card().model_dump(mode="json").items() if key not in ("photo", "verdict")
    }
    del older["patch"]["shift"]
    assert Card.model_validate(older) == tiny_card()


@pytest.mark.parametrize(
    ("threshold", "low", "high", "expected"),
    [(0.5, 0.3, 0.8, 0.8), (0.5, 0.5, 0.5, 0.5), (0.5, 0.7, 0.7, 0.5), (0.6, 0.2, 0.4, 0.6)],
)
def test_the_probability_from_which_the_answer_is_crack_agrees_with_the_label(
    threshold: float, low: float, high: float, expected: float
) -> None:
    found = calibration(threshold=threshold, unsure_low=low, unsure_high=high)
    assert found.crack_from == expected
    assert found.label(expected) == "crack"
    assert found.label(expected - 1e-9) != "crack"
    assert verdict().crack_from == verdict().threshold
