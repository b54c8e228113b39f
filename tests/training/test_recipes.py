"""Recipes say what their projects do, and any setting given by hand makes a recipe or one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crackscope.cli import main
from crackscope.errors import RecipeError
from crackscope.training import recipes as recipes_module
from crackscope.training.augmentation import Augmentation
from crackscope.training.recipes import (
    HEAD,
    SCRATCH_CNN,
    HeadSettings,
    Plateau,
    Recipe,
    changed,
    read_recipe,
    recipe_names,
)
from crackscope.training.runs import _settings

NAMES = (
    *("cnn-scratch", "mobilenetv2-augmented", "mobilenetv2-frozen", "mobilenetv2-full"),
    *("mobilenetv2-hairline", "mobilenetv2-top10", "resnet101"),
)
MOBILENET = "google/mobilenet_v2_1.0_224"


def dump(part: Any) -> dict[str, Any]:
    found: dict[str, Any] = part.model_dump()
    return found


# What the package promises


def test_every_recipe_is_there_sorted_and_opens_with_the_command_that_runs_it() -> None:
    assert recipe_names() == NAMES
    for name in recipe_names():
        recipe = read_recipe(name)
        text = (recipes_module._folder() / f"{name}.toml").read_text(encoding="utf-8")
        assert text.startswith("# crackscope train ")
        assert f"--recipe {name} " in text.splitlines()[0]
        assert recipe.name == name
        assert recipe.summary
        assert recipe.source
        assert recipe.expected


def test_each_project_of_the_field_is_the_source_of_one_recipe() -> None:
    sources = {
        "Concrete_Cracks_Image_Classification",
        "Concrete-Crack-Images-for-Classification",
        "Concrete-Crack-Images",
        "Crack Detection using MobileNetV2",
        "Concrete Crack Detection using ResNet101",
    }
    found = [read_recipe(name).source for name in recipe_names()]
    assert sources <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("name", "backbone", "patch_px", "batch_size"),
    [
        ("cnn-scratch", SCRATCH_CNN, 120, 64),
        ("mobilenetv2-augmented", MOBILENET, 160, 32),
        ("mobilenetv2-frozen", MOBILENET, 160, 16),
        ("mobilenetv2-full", MOBILENET, 160, 32),
        ("mobilenetv2-top10", MOBILENET, 256, 128),
        ("resnet101", "microsoft/resnet-101", 227, 64),
    ],
)
def test_backbone_patch_and_batch(name: str, backbone: str, patch_px: int, batch_size: int) -> None:
    recipe = read_recipe(name)
    assert (recipe.backbone, recipe.patch_px, recipe.batch_size) == (backbone, patch_px, batch_size)


PHASE = {
    **{"schedule": "constant", "early_stop": 0, "reduce_on_plateau": None, "optimiser": "adam"},
    "average": 0.0,
}
BLOCKS = {"from_block": 0, "frozen_layers": 0, "batch_norm": "inference", "precision": "fp32"}


@pytest.mark.parametrize(
    ("name", "frozen", "finetuning"),
    [
        (
            "cnn-scratch",
            None,
            {
                **{"epochs": 5, "learning_rate": 1e-3, "schedule": "cosine"},
                **{"batch_norm": "training", "precision": "bf16"},
            },
        ),
        (
            "mobilenetv2-augmented",
            {"epochs": 10, "learning_rate": 3e-4, "schedule": "cosine", "average": 0.999, "early_stop": 2},
            {
                **{"epochs": 10, "optimiser": "rmsprop", "learning_rate": 1e-5, "average": 0.999, "early_stop": 2},
                **{"from_block": 11, "frozen_layers": 2},
            },
        ),
        ("mobilenetv2-frozen", {"epochs": 10, "learning_rate": 1e-4}, None),
        (
            "mobilenetv2-full",
            {"epochs": 2, "learning_rate": 1e-3},
            {"epochs": 3, "learning_rate": 1e-4, "precision": "bf16"},
        ),
        (
            "mobilenetv2-top10",
            {"epochs": 15, "learning_rate": 3e-4, "schedule": "cosine", "average": 0.998},
            {
                **{"epochs": 10, "learning_rate": 3e-4, "schedule": "cosine", "average": 0.998, "early_stop": 3},
                **{"from_block": 16, "frozen_layers": 1, "precision": "bf16"},
            },
        ),
        (
            "resnet101",
            {
                **{"epochs": 25, "learning_rate": 1e-4, "early_stop": 10},
                "reduce_on_plateau": {"factor": 0.5, "patience": 5},
            },
            None,
        ),
    ],
)
def test_phases(name: str, frozen: dict[str, Any] | None, finetuning: dict[str, Any] | None) -> None:
    recipe = read_recipe(name)
    assert (recipe.frozen and dump(recipe.frozen)) == (frozen and {**PHASE, **frozen})
    assert (recipe.finetuning and dump(recipe.finetuning)) == (finetuning and {**PHASE, **BLOCKS, **finetuning})
    assert [phase for phase, _ in recipe.phases] == [
        phase for phase, settings in (("frozen", frozen), ("finetuning", finetuning)) if settings
    ]
    assert recipe.first_block == (finetuning or {}).get("from_block", 0)


def test_heads() -> None:
    plain = HeadSettings(output="softmax", features_dropout=0, hidden=(), hidden_dropout=())
    assert {name: read_recipe(name).head for name in NAMES} == {
        "cnn-scratch": plain,
        "mobilenetv2-augmented": HeadSettings(features_dropout=0.3),
        "mobilenetv2-frozen": plain,
        "mobilenetv2-full": plain,
        "mobilenetv2-hairline": HeadSettings(output="sigmoid", pool="logsumexp"),
        "mobilenetv2-top10": HeadSettings(output="sigmoid", features_dropout=0.2),
        "resnet101": HeadSettings(hidden=(256, 128), hidden_dropout=(0.5, 0.3)),
    }


def test_augmentations() -> None:
    found = {name: read_recipe(name).augmentation for name in NAMES if read_recipe(name).augmentation}
    assert found == {
        "cnn-scratch": Augmentation(flip_horizontal=True, rotation_degrees=30, shift=0.2, shear_degrees=0.2, zoom=0.2),
        "mobilenetv2-augmented": Augmentation(flip_horizontal=True, flip_vertical=True, rotation_degrees=72),
        "mobilenetv2-hairline": Augmentation(
            views=4,
            quarter_turns=True,
            flip_horizontal=True,
            zoom_out=2.9,
            zoom_in=2.5,
            drawn_cracks=0.5,
            drawn_widths_px=(0.7, 20),
            light=1,
            blur_px=1.5,
        ),
    }


def test_a_recipe_goes_through_json_unharmed_and_cannot_be_changed_in_place() -> None:
    for name in recipe_names():
        recipe = read_recipe(name)
        assert Recipe.model_validate(json.loads(json.dumps(recipe.model_dump(mode="json")))) == recipe
        assert changed(recipe, []) == recipe
        with pytest.raises(Exception, match="frozen"):
            recipe.batch_size = 3


# Settings given by hand


def test_dotted_keys_tables_bare_words_and_none() -> None:
    recipe = read_recipe(
        "resnet101",
        [
            *("frozen.epochs = 3", "frozen.reduce_on_plateau.patience=2", "head.hidden=[7]", "head.hidden_dropout=[0]"),
            *("backbone=microsoft/resnet-50", 'summary="a = b"', "frozen.optimiser=adamw"),
        ],
    )
    assert recipe.frozen is not None
    assert (recipe.frozen.epochs, recipe.frozen.optimiser) == (3, "adamw")
    assert recipe.frozen.reduce_on_plateau == Plateau(factor=0.5, patience=2)
    assert (recipe.head.hidden, recipe.head.hidden_dropout) == ((7,), (0.0,))
    assert (recipe.backbone, recipe.summary) == ("microsoft/resnet-50", "a = b")
    without = read_recipe("resnet101", ["frozen.reduce_on_plateau=none"])
    assert without.frozen is not None
    assert without.frozen.reduce_on_plateau is None


def test_a_phase_is_taken_away_and_another_begun() -> None:
    frozen_only = read_recipe("mobilenetv2-top10", ["finetuning=none"])
    assert frozen_only.finetuning is None
    assert frozen_only.first_block == 0
    begun = read_recipe("mobilenetv2-frozen", ["finetuning.epochs=2", "finetuning.learning_rate=1e-5"])
    assert begun.finetuning is not None
    assert [name for name, _ in begun.phases] == ["frozen", "finetuning"]
    assert read_recipe("cnn-scratch", ["augmentation=none"]).augmentation is None
    turned = read_recipe("mobilenetv2-frozen", ["augmentation.rotation_degrees=10"]).augmentation
    assert turned == Augmentation(rotation_degrees=10)


def test_a_later_change_wins() -> None:
    assert read_recipe("mobilenetv2-frozen", ["batch_size=4", "batch_size=8"]).batch_size == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("frozen.epoch=2", "Did you mean 'frozen.epochs'"),
        ("frozn.epochs=2", "Did you mean 'frozen.epochs'"),
        ("frozen.optimizer=adam", "Did you mean 'frozen.optimiser'"),
        ("epochs=2", "Did you mean 'frozen.epochs'"),
        ("batchsize=2", "Did you mean 'batch_size'"),
        ("frozen.from_block=2", "Did you mean 'finetuning.from_block'"),
        ("qqq=2", "has no setting 'qqq'"),
        ("name=other", "has no setting 'name'"),
        ("=2", "has no setting ''"),
        ("batch_size", "no value. Write it as key=value"),
        ("batch_size=", "batch_size: must be a whole number, not ''"),
        ("batch_size=0", "batch_size: must be at least 1, not 0"),
        ("batch_size=2.5", "batch_size: must be a whole number, not 2.5"),
        ("batch_size=many", "batch_size: .* not 'many'"),
        ("batch_size=none", "batch_size: "),
        ("patch_px=31", "patch_px: .* 32"),
        ("patch_px=4097", "patch_px: .* 4096"),
        ("frozen.epochs=0", "frozen.epochs: "),
        ("frozen.learning_rate=0", "frozen.learning_rate: "),
        ("frozen.learning_rate=nan", "frozen.learning_rate: .* finite"),
        ("frozen.learning_rate=inf", "frozen.learning_rate: .* finite"),
        ("frozen.early_stop=-1", "frozen.early_stop: "),
        ("frozen.optimiser=sgd", "'adam', 'adamw' or 'rmsprop', not 'sgd'"),
        ("frozen.schedule=linear", "'constant' or 'cosine', not 'linear'"),
        ("head.output=tanh", "'softmax' or 'sigmoid', not 'tanh'"),
        ("head.features_dropout=1", "head.features_dropout: must be below 1, not 1"),
        ("head.hidden=[3]", "1 hidden layers need as many values of hidden_dropout"),
        ("augmentation.shift=1", "augmentation.shift: must be below 1, not 1"),
        ("augmentation.zoom=-0.1", "augmentation.zoom: "),
        ("augmentation.rotation_degrees=181", "augmentation.rotation_degrees: "),
        ("frozen=none", "a recipe has a table 'frozen', 'finetuning', or both"),
        ("frozen={epochs=2, learning_rate=1, epoch=3}", "there is no setting 'frozen.epoch'. Did you mean 'frozen"),
        ("finetuning.epochs=2", r"'finetuning.learning_rate' is missing. Give it with --set finetuning.learning_rate="),
        ("frozen.reduce_on_plateau.factor=0.5", "'frozen.reduce_on_plateau.patience' is missing"),
    ],
)
def test_what_does_not_fit_is_one_line_with_key_value_and_remedy(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe("mobilenetv2-frozen", [change])
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'mobilenet-frozen'. Did you mean 'mobilenetv2-frozen'"):
        read_recipe("mobilenet-frozen")
    for name in ("", "../recipes/resnet101", "resnet101.toml", "RESNET101", "resnet101\0"):
        with pytest.raises(RecipeError, match="There is no recipe"):
            read_recipe(name)


def test_mean_features_are_all_that_a_frozen_phase_can_learn_from() -> None:
    with pytest.raises(RecipeError, match=r"a frozen phase learns from mean features, so head.pool cannot be"):
        read_recipe("mobilenetv2-frozen", ["head.pool=logsumexp"])
    with pytest.raises(RecipeError, match=r"'scratch-cnn' has no earlier end, so until cannot be 'block_2'"):
        read_recipe("cnn-scratch", ["until=block_2"])


@pytest.mark.parametrize(
    "change", ["finetuning.from_block=1", "finetuning.frozen_layers=1", "frozen={epochs=1, learning_rate=1}"]
)
def test_random_weights_cannot_stay_frozen(change: str) -> None:
    with pytest.raises(RecipeError, match="'scratch-cnn' are random, so nothing of it can stay frozen"):
        read_recipe("cnn-scratch", [change])


def test_a_table_that_was_made_a_number_before_is_an_error() -> None:
    for changes in (["frozen=3", "frozen.epochs=2"], ["head=[1]", "head.output=sigmoid"], ["head=x", "head.hidden=[]"]):
        with pytest.raises(RecipeError):
            read_recipe("mobilenetv2-frozen", changes)


KEYS = st.sampled_from(recipes_module._keys(Recipe))
VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["none", "true", "[]", "{}", "[1]", "{epochs=1}", "inf", "-0.0", "2020-02-30", "'''", "1\nx=2", '"']
    ),
    st.integers().map(str),
    st.floats().map(str),
)


@given(
    st.sampled_from(NAMES),
    st.lists(
        st.one_of(st.text(max_size=40), st.tuples(KEYS, VALUES).map("=".join)),
        max_size=4,
    ),
)
@example("mobilenetv2-frozen", ["frozen=3", "frozen.epochs=2"])
@example("mobilenetv2-frozen", ["batch_size=" + "9" * 5000])
@example("mobilenetv2-frozen", ["batch_size=" + "[" * 100_000])
@example("mobilenetv2-frozen", ["backbone=\udc80"])
def test_any_text_gives_a_recipe_or_a_recipe_error(name: str, changes: list[str]) -> None:
    try:
        recipe = read_recipe(name, changes)
    except RecipeError:
        return
    assert recipe.phases
    assert recipe.name == name


@pytest.mark.parametrize(
    "folder", ["weights/модель", "桥 😀", 'a"b', "C:\\weights\\m", "1e5", "none", "a = b", "x\udc80"]
)
def test_a_backbone_is_taken_as_it_is_spelled(folder: str) -> None:
    resolved = _settings("mobilenetv2-frozen", (), folder, None)
    assert resolved is not None
    assert resolved.backbone == folder


def test_options_are_settings_too_and_set_has_the_last_word() -> None:
    resolved = _settings("mobilenetv2-frozen", ["patch_px=96"], "some/model", 64)
    assert resolved is not None
    assert (resolved.backbone, resolved.patch_px) == ("some/model", 96)
    assert _settings(HEAD, (), None, None) is None
    with pytest.raises(RecipeError, match="the recipe 'head' has no settings"):
        _settings(HEAD, ["frozen.epochs=2"], None, None)
    with pytest.raises(RecipeError, match="patch_px"):
        _settings("mobilenetv2-frozen", (), None, 8)


# The command


def recipes_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["crackscope", "recipes", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def test_the_list_names_each_recipe_with_the_result_to_expect(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = recipes_command(capsys, monkeypatch)
    assert (code, err) == (0, "")
    for name in NAMES:
        recipe = read_recipe(name)
        assert f"{name}  " in out
        assert recipe.summary in out
        assert f"expect: {recipe.expected}" in out
    assert out.splitlines()[0].startswith("head ")
    assert out.splitlines()[-1].startswith("next: crackscope train")
    code, out, _ = recipes_command(capsys, monkeypatch, "--json")
    document = json.loads(out)
    assert (code, document["status"]) == (0, "done")
    assert [recipe["name"] for recipe in document["recipes"]] == list(NAMES)


def test_one_recipe_is_printed_with_all_its_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = recipes_command(capsys, monkeypatch, "resnet101")
    assert code == 0
    assert json.loads(out) == read_recipe("resnet101").model_dump(mode="json")
    _, out, _ = recipes_command(capsys, monkeypatch, "resnet101", "--json")
    assert json.loads(out)["recipes"] == [read_recipe("resnet101").model_dump(mode="json")]
    code, out, err = recipes_command(capsys, monkeypatch, "resnet-101", "--json")
    assert code == 1
    assert "Did you mean 'resnet101'" in json.loads(out)["error"]
    assert len(err.splitlines()) == 1


def test_recipes_are_read_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from crackscope.cli import main; sys.argv[1:] = ['recipes']; main()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mobilenetv2-top10" in found.stdout
