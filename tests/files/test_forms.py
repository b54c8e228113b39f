"""Whatever does not fit a form is told in our words: key, what is allowed, and the value; never in pydantic's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import crackscope
from crackscope.errors import CrackscopeError, DataError, RecipeError
from crackscope.files.forms import first_fault
from crackscope.measuring import comparison, run_document
from crackscope.measuring.run_document import Stated, read_run_document
from crackscope.model import card
from crackscope.training.augmentation import Augmentation
from crackscope.training.recipes import Finetuning, HeadSettings, Phase, Plateau, Recipe, changed, read_recipe

PYDANTIC = re.compile(r"Input should|valid (integer|number|string|boolean|dict|list|tuple)|unable to|Value error|Extra inputs|Field required|validation error|pydantic")  # fmt: skip  # noqa: E501
SETTINGS = (Augmentation, Finetuning, HeadSettings, Phase, Plateau, Recipe)
STATED = tuple(
    form
    for module in (card, run_document, comparison)
    for form in vars(module).values()
    if isinstance(form, type) and issubclass(form, BaseModel) and form not in (BaseModel, Stated)
)
WRONG: tuple[Any, ...] = (
    *(None, True, "x", "", -1e9, 1e9, 2.5, float("nan"), float("inf"), 0, -1),
    *([], ["x"], [1, 2, 3, 4], [[1]], {}, {"x": 1}, {1: {}}, b"\xff"),
)


@pytest.mark.parametrize("form", [*SETTINGS, *STATED], ids=lambda form: form.__name__)
def test_no_wrong_value_of_any_field_is_told_in_words_of_pydantic(form: type[BaseModel]) -> None:
    n_told = 0
    for name in (*form.model_fields, "no_such_field"):
        for value in WRONG:
            try:
                form.model_validate({name: value})
            except CrackscopeError as error:
                assert form in SETTINGS
                text = str(error)
            except ValidationError as error:  # whoever reads a file turns it into an error of ours
                assert form in STATED
                text = first_fault(error).text
            else:
                continue
            n_told += 1
            assert not PYDANTIC.search(text), text
            assert "does not fit" not in text, (name, value, text)
            assert "\n" not in text
    assert n_told


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0, "learning_rate": 1}, "Phase: epochs: must be at least 1, not 0."),
        ({"epochs": 10_001, "learning_rate": 1}, "Phase: epochs: must be at most 10000, not 10001."),
        ({"epochs": "many", "learning_rate": 1}, "Phase: epochs: must be a whole number, not 'many'."),
        ({"epochs": 2.5, "learning_rate": 1}, "Phase: epochs: must be a whole number, not 2.5."),
        ({"epochs": 1, "learning_rate": 0}, "Phase: learning_rate: must be above 0, not 0."),
        ({"epochs": 1, "learning_rate": float("nan")}, "Phase: learning_rate: must be a finite number, not nan."),
        ({"epochs": 1, "learning_rate": []}, "Phase: learning_rate: must be a number, not []."),
        ({"epochs": 1, "learning_rate": 1, "average": 1}, "Phase: average: must be below 1, not 1."),
        ({"epochs": 1}, "Phase: learning_rate: is missing."),
        ({"epochs": 1, "learning_rate": 1, "epoch": 2}, "Phase: epoch: is not known."),
        (
            {"epochs": 1, "learning_rate": 1, "optimiser": "sgd"},
            "Phase: optimiser: must be 'adam', 'adamw' or 'rmsprop', not 'sgd'.",
        ),
        (
            {"epochs": 1, "learning_rate": 1, "reduce_on_plateau": {"factor": 2, "patience": 1}},
            "Phase: reduce_on_plateau.factor: must be below 1, not 2.",
        ),
        (
            {"epochs": 1, "learning_rate": 1, "reduce_on_plateau": 3},
            "Phase: reduce_on_plateau: must be a table of keys and values, not 3.",
        ),
    ],
)
def test_settings_made_in_python_are_told_with_key_value_and_what_is_allowed(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        Phase(**values)
    assert str(caught.value) == message


def test_a_form_inside_another_is_told_with_its_whole_key() -> None:
    with pytest.raises(RecipeError) as caught:
        changed(read_recipe("resnet101"), {"frozen.reduce_on_plateau": {"factor": 2, "patience": 1}})
    assert str(caught.value) == "Recipe 'resnet101': frozen.reduce_on_plateau.factor: must be below 1, not 2."
    with pytest.raises(RecipeError, match=r"^Augmentation: drawn_widths_px: two widths above 0, the smaller one first"):
        crackscope.Augmentation(drawn_widths_px=(2, 1))
    assert Phase(epochs=1, learning_rate=1).epochs == 1  # what failed before is forgotten


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged (not a JSON object, or cut off)"),
        ("[]", "damaged (not a JSON object, or cut off)"),
        ('{"seconds": {"total": -1}}', "damaged (seconds.total: must be at least 0, not -1)"),
        ('{"seconds": {"total": "long"}}', "damaged (seconds.total: must be a number, not 'long')"),
        ('{"git": {"commit": "a"}}', "damaged (git.changed: is missing)"),
        ('{"settings": 3}', "damaged (settings: must be a table of keys and values, not 3)"),
        ('{"versions": {"torch": 2}}', "damaged (versions.torch: must be text, not 2)"),
        ('{"gate": {"fitted": "yes"}}', "damaged (gate.fitted: must be true or false, not 'yes')"),
    ],
)
def test_a_damaged_run_json_is_told_with_file_key_value_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    place = tmp_path / "run.json"
    place.write_text(text)
    with pytest.raises(DataError) as caught:
        read_run_document(place, remedy="Train again.")
    assert str(caught.value) == f"{place}: {message}. Train again."


def test_a_message_is_short_and_one_line_whatever_was_written(tmp_path: Path) -> None:
    place = tmp_path / "run.json"
    place.write_text(json.dumps({"git": {"commit": "a\n" * 1000, "changed": ["x\n"] * 1000}}))
    with pytest.raises(DataError) as caught:
        read_run_document(place, remedy="Train again.")
    assert len(str(caught.value)) < len(str(place)) + 200
    assert "\n" not in str(caught.value)
