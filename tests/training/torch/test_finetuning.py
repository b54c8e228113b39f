"""The loop: rates and stops, what learns and what stays, the best weights, and a checkpoint that goes on exactly."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from crackscope.errors import RecipeError
from crackscope.files.output import new_file
from crackscope.measuring.history import Epoch
from crackscope.training.recipes import Phase, Plateau, Recipe
from crackscope.training.torch import finetuning
from crackscope.training.torch.backbones import FeatureMap
from crackscope.training.torch.finetuning import Trainer, has_bf16, learning_rate, stops
from crackscope.training.torch.network import HeadLayers, plane_logits
from shared.models import statistics_of
from shared.stopping import Stopped, stopping_after

N_TRAIN, N_VAL, DIM = 26, 12, 6


# Rates and stops

LOSSES = st.lists(st.floats(0, 100), max_size=30)
PHASES = st.builds(
    Phase,
    epochs=st.integers(31, 60),  # after the last epoch, a cosine is at 0
    learning_rate=st.floats(1e-8, 10),
    schedule=st.sampled_from(["constant", "cosine"]),
    early_stop=st.integers(0, 8),
    reduce_on_plateau=st.none() | st.builds(Plateau, factor=st.floats(0.1, 0.9), patience=st.integers(1, 5)),
)


@given(PHASES, LOSSES)
def test_a_rate_begins_as_set_and_never_rises(phase: Phase, losses: list[float]) -> None:
    rates = [learning_rate(phase, losses[:n]) for n in range(len(losses) + 1)]
    assert rates[0] == phase.learning_rate
    assert all(0 < later <= sooner for sooner, later in itertools.pairwise(rates))
    if phase.schedule == "constant" and phase.reduce_on_plateau is None:
        assert set(rates) == {phase.learning_rate}


@given(PHASES, st.integers(0, 30))
def test_a_rate_stays_on_its_schedule_while_the_loss_falls(phase: Phase, n: int) -> None:
    falling = [100.0 - i for i in range(n)]
    share = (1 + math.cos(math.pi * n / phase.epochs)) / 2 if phase.schedule == "cosine" else 1
    assert learning_rate(phase, falling) == pytest.approx(phase.learning_rate * share)


@given(st.integers(1, 5), st.floats(0.1, 0.9), st.integers(0, 30))
def test_on_a_plateau_a_rate_falls_once_every_so_many_epochs(patience: int, factor: float, n: int) -> None:
    phase = Phase(epochs=99, learning_rate=1, reduce_on_plateau=Plateau(factor=factor, patience=patience))
    assert learning_rate(phase, [1.0] * (n + 1)) == pytest.approx(factor ** (n // patience))


@given(PHASES, LOSSES)
def test_a_phase_stops_after_so_many_epochs_without_a_better_loss(phase: Phase, losses: list[float]) -> None:
    best, waited = math.inf, 0
    for loss in losses:
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
    assert stops(phase, losses) == (0 < phase.early_stop <= waited)
    assert not stops(phase, [])


# A small world: maps of noise, in which the crack lies in one channel


class Block(nn.Module):
    """As the layers of a backbone are named; it is computed the fast way."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inner, outer, 3, padding=1, bias=False)
        self.normalization = nn.BatchNorm2d(outer)
        self.activation = nn.ReLU()

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.activation(self.normalization(self.convolution(feature_map)))
        return found


def made_tail(seed: int = 0) -> FeatureMap:
    torch.manual_seed(seed)
    tail = FeatureMap([("a", nn.Sequential(Block(3, 5), Block(5, 5))), ("b", Block(5, DIM))]).eval()
    for module in tail.modules():
        if isinstance(module, nn.BatchNorm2d):
            mean, variance = statistics_of(module)
            mean.normal_(0, 0.1)
            variance.uniform_(0.5, 1.5)
    return tail


class Memory:
    """Material that lies in memory; notes which patches it showed."""

    def __init__(self, tail: FeatureMap | None, *, maps: bool, n_train: int = N_TRAIN) -> None:
        rng = np.random.default_rng(0)
        self.labels = {part: (np.arange(n) % 2).astype(np.float32) for part, n in (("train", n_train), ("val", N_VAL))}
        self.inputs = {}
        for part, labels in self.labels.items():
            noise = rng.normal(0, 1, (len(labels), 3, 4, 4)).astype(np.float32)
            noise[:, 1] += labels[:, None, None]
            self.inputs[part] = torch.from_numpy(noise)
            if not maps:
                assert tail is not None
                with torch.no_grad():
                    self.inputs[part] = tail(self.inputs[part]).mean((2, 3))
        self.shown: list[tuple[int, list[int]]] = []

    def train(self, order: np.ndarray, *, epoch: int, batch_size: int) -> Iterator[Any]:
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            self.shown.append((epoch, places.tolist()))
            yield self.inputs["train"][places], torch.from_numpy(self.labels["train"][places])

    def val(self, *, batch_size: int) -> Iterator[Any]:
        for start in range(0, N_VAL, batch_size):
            chosen = slice(start, start + batch_size)
            yield self.inputs["val"][chosen], torch.from_numpy(self.labels["val"][chosen])


FROZEN = {"epochs": 3, "learning_rate": 0.01}
FINETUNING = {"epochs": 3, "learning_rate": 0.003}


def made_recipe(**changes: Any) -> Recipe:
    facts = {"name": "test", "backbone": "x", "patch_px": 32, "batch_size": 8, "head": {"features_dropout": 0.3}}
    return Recipe.model_validate(facts | changes)


class World:
    """A recipe, and trainers that begin from the same weights."""

    def __init__(self, folder: Path, recipe: Recipe, *, seed: int = 0) -> None:
        self.recipe, self.seed = recipe, seed
        self.checkpoint = folder / "checkpoint.pt"
        tail = made_tail()
        self.materials = {name: Memory(tail, maps=name == "finetuning") for name, _ in recipe.phases}
        self.epochs: list[Epoch] = []

    def trainer(self, *, identity: str = "mine", **options: Any) -> Trainer:
        tail = made_tail().requires_grad_(False) if self.recipe.finetuning else None
        torch.manual_seed(self.seed)
        head = HeadLayers(DIM, self.recipe.head)
        options = {"on_epoch": self.epochs.append, "seed": self.seed, **options}
        material = options.pop("material", self.materials.__getitem__)
        return Trainer(self.recipe, tail, head, material, checkpoint=self.checkpoint, identity=identity, **options)

    def run(self, **options: Any) -> Trainer:
        trainer = self.trainer(**options)
        trainer.restore()
        trainer.run()
        return trainer


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    found = {f"head.{name}": value for name, value in trainer.head.state_dict().items()}
    if trainer.tail is not None:
        found |= {f"tail.{name}": value for name, value in trainer.tail.state_dict().items()}
    return {name: value.clone() for name, value in found.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def without_times(epochs: Any) -> list[Any]:
    return [{**vars(epoch), "seconds": 0} for epoch in epochs]


# What happens


def test_phases_and_epochs_come_in_order_and_are_told(tmp_path: Path) -> None:
    world = World(tmp_path, made_recipe(frozen=FROZEN, finetuning=FINETUNING))
    told: list[tuple[int, int]] = []
    trainer = world.run(progress=lambda done, total: told.append((done, total)))
    assert [(epoch.number, epoch.phase) for epoch in trainer.history] == [
        *((n, "frozen") for n in (1, 2, 3)),
        *((n, "finetuning") for n in (4, 5, 6)),
    ]
    assert world.epochs == list(trainer.history)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)] * 6
    assert [epoch.learning_rate for epoch in trainer.history] == [0.01] * 3 + [0.003] * 3
    assert trainer.seconds == pytest.approx(sum(epoch.seconds for epoch in trainer.history))
    assert all(epoch.seconds > 0 for epoch in trainer.history)


def test_every_epoch_shows_every_patch_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    world = World(tmp_path, made_recipe(frozen=FROZEN, finetuning=FINETUNING))
    world.run()
    orders = []
    for material in world.materials.values():
        assert {epoch for epoch, _ in material.shown} == {1, 2, 3}
        for number in (1, 2, 3):
            batches = [places for epoch, places in material.shown if epoch == number]
            assert [len(places) for places in batches] == [8, 8, 8, 2]
            orders.append(tuple(place for places in batches for place in places))
            assert sorted(orders[-1]) == list(range(N_TRAIN))
    assert len(set(orders)) == 6


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    recipe = made_recipe(frozen=FROZEN, finetuning=FINETUNING)
    found = []
    for i, seed in enumerate((0, 0, 1)):
        torch.manual_seed(100 + i)  # whatever was drawn before
        found.append(weights(World(tmp_path / str(i), recipe, seed=seed).run()))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_it_learns(tmp_path: Path) -> None:
    recipe = made_recipe(
        head={}, frozen={"epochs": 20, "learning_rate": 0.03}, finetuning={"epochs": 20, "learning_rate": 0.01}
    )
    trainer = World(tmp_path, recipe).run()
    frozen, finetuned = (
        min(epoch.val_loss for epoch in trainer.history if epoch.phase == phase) for phase in ("frozen", "finetuning")
    )
    assert frozen < trainer.history[0].val_loss
    assert finetuned < 0.9 * frozen
    assert min(trainer.history, key=lambda epoch: epoch.val_loss).val_accuracy >= 0.8


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "rmsprop"])
def test_optimisers_step_as_keras_does(tmp_path: Path, optimiser: str) -> None:
    """By hand: one step on one batch, from the gradient at the start."""
    recipe = made_recipe(
        head={}, batch_size=N_TRAIN, frozen={"epochs": 1, "learning_rate": 0.1, "optimiser": optimiser}
    )
    world = World(tmp_path, recipe)
    trainer = world.trainer()
    before = weights(trainer)
    material = world.materials["frozen"]
    loss = nn.functional.binary_cross_entropy_with_logits(
        trainer.head(material.inputs["train"]), torch.from_numpy(material.labels["train"])
    )
    (gradient,) = torch.autograd.grad(loss, [trainer.head.output.weight])
    trainer.restore()
    trainer.run()
    decay = 1 - 0.1 * 0.01 if optimiser == "adamw" else 1
    scaled = gradient / (gradient.abs() + 1e-7)  # Adam's first step; RMSprop's is √(1 − .9) of that in its root
    if optimiser == "rmsprop":
        scaled = gradient / ((0.1 * gradient**2).sqrt() + 1e-7)
    expected = before["head.output.weight"] * decay - 0.1 * scaled
    np.testing.assert_allclose(trainer.head.output.weight.detach(), expected.detach(), atol=1e-5)


def test_early_stop_plateau_and_cosine_act_on_the_loss_of_val(tmp_path: Path) -> None:
    """A rate so high that the loss only rises after a while."""
    frozen = {"epochs": 40, "learning_rate": 0.5, "early_stop": 4, "reduce_on_plateau": {"factor": 0.5, "patience": 2}}
    trainer = World(tmp_path, made_recipe(frozen=frozen)).run()
    losses = [epoch.val_loss for epoch in trainer.history]
    assert len(losses) < 40
    assert len(losses) - 1 - int(np.argmin(losses)) == 4
    phase = Phase.model_validate(frozen)
    assert [epoch.learning_rate for epoch in trainer.history] == [
        learning_rate(phase, losses[:n]) for n in range(len(losses))
    ]
    assert trainer.history[-1].learning_rate < 0.5
    cosine = World(tmp_path / "c", made_recipe(frozen={**FROZEN, "schedule": "cosine"})).run()
    assert [epoch.learning_rate for epoch in cosine.history] == pytest.approx([0.01, 0.0075, 0.0025])


def test_the_early_stop_of_one_phase_says_nothing_of_the_next(tmp_path: Path) -> None:
    frozen = {"epochs": 40, "learning_rate": 0.5, "early_stop": 1}
    recipe = made_recipe(frozen=frozen, finetuning={**FINETUNING, "early_stop": 3})
    phases = [epoch.phase for epoch in World(tmp_path, recipe).run().history]
    assert phases.count("frozen") < 40
    assert phases.count("finetuning") == 3


# What learns, and what stays


def layers_of_first_block(tail: FeatureMap) -> list[nn.Module]:
    block: Any = tail.blocks["a"]
    first, second = block
    return [first.convolution, first.normalization, second.convolution, second.normalization]


@pytest.mark.parametrize("n_frozen", range(5))
def test_the_layers_that_stay_are_the_first_of_the_first_block(tmp_path: Path, n_frozen: int) -> None:
    recipe = made_recipe(finetuning={**FINETUNING, "frozen_layers": n_frozen})
    trainer = World(tmp_path, recipe).trainer()
    assert trainer.tail is not None
    before = made_tail()
    trainer.run()
    changed = [
        any(not torch.equal(one, two) for one, two in zip(layer.parameters(), own.parameters(), strict=True))
        for layer, own in zip(layers_of_first_block(trainer.tail), layers_of_first_block(before), strict=True)
    ]
    assert changed == [i >= n_frozen for i in range(4)]
    one, other = (model.get_parameter("blocks.b.convolution.weight") for model in (trainer.tail, before))
    assert not torch.equal(one, other)


def statistics(tail: FeatureMap) -> list[torch.Tensor]:
    return [value for module in tail.modules() if isinstance(module, nn.BatchNorm2d) for value in statistics_of(module)]


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_batch_statistics_stay_or_are_learnt_anew(tmp_path: Path, mode: str) -> None:
    recipe = made_recipe(finetuning={**FINETUNING, "batch_norm": mode})
    trainer = World(tmp_path, recipe).run()
    assert trainer.tail is not None
    kept = [torch.equal(one, two) for one, two in zip(statistics(trainer.tail), statistics(made_tail()), strict=True)]
    assert kept == [mode == "inference"] * 6


def test_statistics_of_frozen_layers_stay_too(tmp_path: Path) -> None:
    """A layer that stays as it is, stays so wholly: as Keras takes ``trainable = False``."""
    recipe = made_recipe(finetuning={**FINETUNING, "batch_norm": "training", "frozen_layers": 2})
    trainer = World(tmp_path, recipe).run()
    assert trainer.tail is not None
    kept = [torch.equal(one, two) for one, two in zip(statistics(trainer.tail), statistics(made_tail()), strict=True)]
    assert kept == [True, True, False, False, False, False]


def test_in_the_frozen_phase_the_head_alone_learns(tmp_path: Path) -> None:
    trainer = World(tmp_path, made_recipe(frozen=FROZEN, finetuning={**FINETUNING, "learning_rate": 1e-30})).run()
    assert trainer.tail is not None
    assert all(
        torch.equal(one, two)
        for one, two in zip(trainer.tail.state_dict().values(), made_tail().state_dict().values(), strict=True)
    )


# The best weights


def val_loss_of(trainer: Trainer, material: Memory) -> float:
    with torch.inference_mode():
        trainer.head.eval()
        inputs = material.inputs["val"]
        logits = trainer.head(inputs) if inputs.ndim == 2 else plane_logits(trainer.tail, trainer.head, inputs)  # type: ignore[arg-type]
        return float(nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(material.labels["val"])))


@pytest.mark.parametrize("phase", ["frozen", "finetuning"])
@pytest.mark.parametrize("average", [0.0, 0.7])
@pytest.mark.parametrize("rate", [0.02, 3.0])
def test_the_best_weights_by_validation_are_brought_back(
    tmp_path: Path, phase: str, average: float, rate: float
) -> None:
    recipe = made_recipe(**{phase: {"epochs": 8, "learning_rate": rate, "average": average}})
    world = World(tmp_path, recipe)
    trainer = world.run()
    losses = [epoch.val_loss for epoch in trainer.history]
    if rate > 1 and not average:
        assert losses[-1] > min(losses)
    assert val_loss_of(trainer, world.materials[phase]) == pytest.approx(min(losses), rel=1e-5)


def test_an_average_is_what_is_judged_and_kept(tmp_path: Path) -> None:
    plain, averaged = (
        World(tmp_path / str(average), made_recipe(frozen={"epochs": 1, "learning_rate": 0.05, "average": average}))
        for average in (0.0, 0.9)
    )
    for world in (plain, averaged):
        world.checkpoint.parent.mkdir()
    trained = [world.run() for world in (plain, averaged)]
    assert trained[0].history[0].train_loss == trained[1].history[0].train_loss  # the steps are the same
    assert not same(weights(trained[0]), weights(trained[1]))
    assert val_loss_of(trained[1], averaged.materials["frozen"]) == pytest.approx(trained[1].history[0].val_loss)


def test_a_second_phase_that_only_spoils_leaves_the_first_ones_weights(tmp_path: Path) -> None:
    recipe = made_recipe(frozen={"epochs": 10, "learning_rate": 0.01}, finetuning={"epochs": 2, "learning_rate": 30})
    world = World(tmp_path, recipe)
    trainer = world.run()
    best = min(trainer.history, key=lambda epoch: epoch.val_loss)
    assert best.phase == "frozen"
    assert val_loss_of(trainer, world.materials["frozen"]) == pytest.approx(best.val_loss, rel=1e-5)
    assert val_loss_of(trainer, world.materials["finetuning"]) == pytest.approx(best.val_loss, rel=1e-4)
    assert trainer.tail is not None
    assert same(trainer.tail.state_dict(), made_tail().state_dict())


def test_logits_of_val_are_those_of_the_best_weights_in_order(tmp_path: Path) -> None:
    for name, recipe in {
        "f": made_recipe(frozen={"epochs": 4, "learning_rate": 1}),
        "m": made_recipe(finetuning={"epochs": 4, "learning_rate": 1}),
    }.items():
        world = World(tmp_path / name, recipe)
        trainer = world.run()
        (material,) = world.materials.values()
        logits = trainer.val_logits(material)  # type: ignore[arg-type]
        assert logits.shape == (N_VAL,)
        targets = torch.from_numpy(material.labels["val"])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets).item()
        assert loss == pytest.approx(min(epoch.val_loss for epoch in trainer.history), rel=1e-5)
        accuracy = ((logits > 0) == (targets > 0.5)).float().mean().item()
        best = min(trainer.history, key=lambda epoch: epoch.val_loss)
        assert accuracy == pytest.approx(best.val_accuracy)
        assert not trainer.head.training


@pytest.mark.parametrize("phase", ["frozen", "finetuning"])
def test_a_loss_that_is_no_number_names_the_setting_to_lower(tmp_path: Path, phase: str) -> None:
    recipe = made_recipe(**{phase: {"epochs": 3, "learning_rate": 1e38}})
    with pytest.raises(RecipeError, match=rf"epoch \d of 'test': the loss is no number. Lower {phase}.learning_rate"):
        World(tmp_path, recipe).run()


def test_bf16_is_used_where_the_processor_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_bf16(torch.device("cpu")) in (True, False)
    recipe = made_recipe(finetuning={**FINETUNING, "precision": "bf16"})
    seen: list[bool] = []
    real = plane_logits

    def watched(*args: Any) -> torch.Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return real(*args)

    monkeypatch.setattr(finetuning, "plane_logits", watched)
    for wanted in (True, False):
        seen.clear()
        monkeypatch.setattr(finetuning, "has_bf16", lambda device, wanted=wanted: wanted)
        trainer = World(tmp_path / str(wanted), recipe).run()
        assert seen == ([wanted] * 4 + [False] * 2) * 3  # validation in float32 always
        assert all(value.dtype != torch.bfloat16 for value in weights(trainer).values())


# The checkpoint


KINDS: dict[str, dict[str, Any]] = {
    "frozen": {"frozen": {"epochs": 4, "learning_rate": 0.05, "reduce_on_plateau": {"factor": 0.5, "patience": 1}}},
    "hidden": {
        "frozen": {"epochs": 4, "learning_rate": 0.05, "optimiser": "adamw"},
        "head": {"hidden": [4], "hidden_dropout": [0.5], "features_dropout": 0.2},
    },
    "both": {"frozen": FROZEN, "finetuning": {**FINETUNING, "optimiser": "rmsprop", "frozen_layers": 1}},
    "anew": {"finetuning": {**FINETUNING, "batch_norm": "training", "schedule": "cosine", "optimiser": "adamw"}},
    "bf16": {"finetuning": {**FINETUNING, "precision": "bf16"}},
    "averaged": {"frozen": {**FROZEN, "average": 0.6}, "finetuning": {**FINETUNING, "average": 0.9}},
}


@pytest.mark.parametrize("interval_s", [-1.0, 60.0])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6, deadline=None)
@given(stops_at=st.lists(st.integers(0, 30), max_size=4), stir=st.booleans())
def test_a_training_that_was_stopped_anywhere_ends_as_one_that_was_not(
    tmp_path_factory: pytest.TempPathFactory, kind: str, interval_s: float, stops_at: list[int], stir: bool
) -> None:
    recipe = made_recipe(**KINDS[kind])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetuning, "_CHECKPOINT_S", interval_s)
        whole = World(tmp_path_factory.mktemp("whole"), recipe)
        expected = whole.run()
        broken = World(tmp_path_factory.mktemp("broken"), recipe)

        def material(name: str) -> Memory:
            if stir:
                torch.rand(7)  # what is made on the way may draw random numbers of its own
            return broken.materials[name]

        for n in stops_at:
            torch.manual_seed(n)
            with contextlib.suppress(Stopped):
                broken.run(progress=stopping_after(n), material=material)
        torch.manual_seed(99)
        found = broken.run(material=material)
    assert same(weights(found), weights(expected))
    assert without_times(found.history) == without_times(expected.history)


def test_steps_that_are_safe_are_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetuning, "_CHECKPOINT_S", -1.0)
    world = World(tmp_path, made_recipe(frozen=FROZEN))
    with pytest.raises(Stopped):
        world.run(progress=stopping_after(6))
    told: list[int] = []
    world.run(progress=lambda done, total: told.append(done))
    assert len(told) == 12 - 6
    assert told[:2] == [3, 4]


def test_a_kill_between_the_last_step_of_an_epoch_and_its_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetuning, "_CHECKPOINT_S", -1.0)
    recipe = made_recipe(frozen=FROZEN)
    expected = World(tmp_path / "whole", recipe).run()
    world = World(tmp_path / "broken", recipe)
    with monkeypatch.context() as inner:
        inner.setattr(Trainer, "_validate", lambda *args, **kwargs: (_ for _ in ()).throw(Stopped))
        with pytest.raises(Stopped):
            world.run()
    found = world.run()
    assert same(weights(found), weights(expected))
    assert without_times(found.history) == without_times(expected.history)


def test_a_finished_training_goes_on_to_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, made_recipe(frozen=FROZEN, finetuning=FINETUNING))
    expected = world.run()
    before = world.checkpoint.read_bytes()
    again = world.trainer(progress=stopping_after(0), material=lambda name: pytest.fail("made anew"))
    assert again.restore() == 6
    again.run()
    assert same(weights(again), weights(expected))
    assert again.history == expected.history
    assert again.seconds_before >= expected.seconds
    assert world.checkpoint.read_bytes() == before


def test_time_of_all_sessions_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(finetuning, "_CHECKPOINT_S", 5.0)
    world = World(tmp_path, made_recipe(frozen=FROZEN))

    def slow(done: int, total: int) -> None:
        clock[0] += 10
        if clock[0] == 1060:
            raise Stopped

    with pytest.raises(Stopped):
        world.run(progress=slow)
    clock[0] = 5.0  # another boot
    trainer = world.run(progress=slow)
    # One step of ten seconds was lost; it was begun after the last checkpoint.
    assert [epoch.seconds for epoch in trainer.history] == [40, 40, 40]
    assert trainer.seconds == 120
    assert trainer.seconds_before == 50


def test_a_checkpoint_of_another_training_is_refused_and_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path, made_recipe(frozen=FROZEN))
    world.run()
    before = world.checkpoint.read_bytes()
    other = world.trainer(identity="another")
    with pytest.raises(RecipeError, match=r"checkpoint.pt: of a training with other data.*--overwrite"):
        other.restore()
    assert world.checkpoint.read_bytes() == before


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "text", "flipped", "list", "no identity", "foreign pickle", "zeros"]
)
def test_a_damaged_checkpoint_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    world = World(tmp_path, made_recipe(frozen=FROZEN))
    world.run()
    content = world.checkpoint.read_bytes()
    if damage in ("list", "no identity", "foreign pickle"):
        mark, digest = finetuning._MARK, 32
        state = torch.load(io.BytesIO(content[len(mark) + digest :]), weights_only=True)
        state.pop("identity")
        buffer = io.BytesIO()
        torch.save({"list": [1], "no identity": state, "foreign pickle": Path("x")}[damage], buffer)
        rest = buffer.getvalue()
        world.checkpoint.write_bytes(mark + hashlib.sha256(rest).digest() + rest)
    else:
        middle = len(content) // 2
        world.checkpoint.write_bytes(
            {
                "cut": content[:middle],
                "empty": b"",
                "text": b"hello",
                "flipped": content[:200] + bytes(byte ^ 255 for byte in content[200:400]) + content[400:],
                "zeros": bytes(len(content)),
            }[damage]
        )
    with pytest.raises(RecipeError, match=r"checkpoint.pt: .*--overwrite"):
        world.trainer().restore()


@pytest.mark.parametrize("seed", range(6))
def test_eight_changed_bytes_anywhere_are_refused(tmp_path: Path, seed: int) -> None:
    """Such a checkpoint was taken up: its weights were others, and nothing told so."""
    world = World(tmp_path, made_recipe(frozen=FROZEN))
    world.run()
    content = bytearray(world.checkpoint.read_bytes())
    at = int(np.random.default_rng(seed).integers(len(content) - 8))
    content[at : at + 8] = bytes(byte ^ 1 for byte in content[at : at + 8])
    world.checkpoint.write_bytes(content)
    with pytest.raises(RecipeError, match=r"checkpoint.pt: not a checkpoint, or damaged\. Say --overwrite"):
        world.trainer().restore()


def test_a_checkpoint_without_a_digest_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, made_recipe(frozen=FROZEN))
    world.run()
    world.checkpoint.write_bytes(world.checkpoint.read_bytes()[len(finetuning._MARK) + 32 :])
    with pytest.raises(RecipeError, match=r"checkpoint.pt: .*--overwrite"):
        world.trainer().restore()


def test_a_checkpoint_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, made_recipe(frozen=FROZEN))
    with pytest.raises(Stopped):
        world.run(progress=stopping_after(5))
    before = world.checkpoint.read_bytes()

    @contextlib.contextmanager
    def half(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
        with new_file(path, overwrite=overwrite) as part:
            part.write_bytes(b"half")
            raise Stopped
            yield part

    with monkeypatch.context() as inner:
        inner.setattr(finetuning, "new_file", half)
        with pytest.raises(Stopped):
            world.run()
    assert world.checkpoint.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
