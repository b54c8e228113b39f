import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from conftest import tiny_card
from crackscope.card import CARD_VERSION, Calibration, Card, TrainingData

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(recipe=st.dictionaries(st.text(), JSON, max_size=4), name=st.text())
def test_a_card_survives_its_json(recipe, name):
    card = tiny_card(recipe=recipe, name=name)
    again = Card.model_validate_json(card.to_json())
    assert again.recipe == recipe
    assert again == card
    assert again.to_json() == card.to_json()


def test_the_order_in_which_fields_were_given_does_not_matter():
    one, two = tiny_card(recipe={"a": 1, "b": 2}), tiny_card(recipe={"b": 2, "a": 1})
    assert one.to_json() == two.to_json()


def test_a_file_name_that_is_no_unicode_does_not_cost_the_card():
    card = tiny_card(recipe={"data": "walls\udcff"})
    assert Card.model_validate_json(card.to_json()).recipe == {"data": "walls?"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_field_holds_what_is_no_number(value):
    card = tiny_card()
    with pytest.raises(ValidationError, match="not JSON compliant"):
        Card.model_validate({**card.model_dump(), "figures": {"val": {"accuracy": value}}})
    assert '"figures":{"val":{"accuracy":null}}' in tiny_card(figures={"val": {"accuracy": value}}).to_json()
    with pytest.raises(ValidationError):
        Calibration(temperature=value, threshold=0.5, unsure_low=0.5, unsure_high=0.5)


def test_a_card_is_frozen_and_its_defaults_are_not_shared():
    card = tiny_card()
    with pytest.raises(ValidationError, match="frozen"):
        card.name = "other"
    a, b = (Calibration(temperature=1, threshold=0.5, unsure_low=0.5, unsure_high=0.5) for _ in range(2))
    cards = [Card(name="x", made_with="y", patch_px=64, source_px=64, patch=c, backbone=card.backbone) for c in (a, b)]
    cards[0].recipe["name"] = "head"
    assert cards[1].recipe == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"card_version": null}', '{"card_version": true}'])
def test_a_text_without_a_version_claims_none(text):
    with pytest.raises(ValueError, match=r"card_version|Expecting"):
        Card.version_of(text)


def test_the_version_is_read_whatever_else_is_there():
    assert Card.version_of('{"card_version": 9, "new": []}') == 9
    assert Card.version_of(tiny_card().to_json()) == CARD_VERSION


def test_training_data_is_compared_by_what_it_says():
    assert TrainingData(name="a", n_crack=1, n_uncracked=2) == TrainingData(name="a", n_crack=1, n_uncracked=2)
    assert len({TrainingData(name="a", n_crack=1, n_uncracked=2) for _ in range(2)}) == 1
