"""The run of a recipe: from patches to a run folder by training, export, calibration, check against torch, evaluation.

The folder is filled as the training goes on, each file whole or not at all; the caller writes ``run.json`` last. A run
that was killed goes on from its checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from crackscope.data.cache import cache_folder
from crackscope.data.patches import PatchIndex
from crackscope.data.splits import Split, write_split
from crackscope.files.output import new_file
from crackscope.files.streaming import Progress, default_threads
from crackscope.measuring.evaluation import Evaluation
from crackscope.measuring.history import Epoch
from crackscope.measuring.judging import judge
from crackscope.measuring.run_document import RunAgreement, RunComputed, RunSeconds
from crackscope.model.bundle import Backbone, compose, graph_digest, read_backbone, read_bundle
from crackscope.model.card import BackboneCard
from crackscope.scanning.loaded_model import Model
from crackscope.training.cards import calibrated_card
from crackscope.training.conversion import convert_backbone, source_digest
from crackscope.training.gates import gate_of, gated
from crackscope.training.parts import to_judge
from crackscope.training.recipes import SCRATCH_CNN, Recipe
from crackscope.training.torch.backbones import FeatureMap, load_backbone
from crackscope.training.torch.export import check_bundle, export_backbone, torch_logits
from crackscope.training.torch.finetuning import Trainer
from crackscope.training.torch.layers import Layer, layer_table
from crackscope.training.torch.material import Material, Reader, readable
from crackscope.training.torch.network import HeadLayers
from crackscope.training.torch.process import own_generator, own_threads
from crackscope.training.torch.run_log import RunRecord
from crackscope.training.torch.scratch_cnn import build_scratch_cnn

__all__ = ["RecipeRun", "Say", "run_recipe"]

_CHECKPOINT = "checkpoint-2"
"""Form of the checkpoint: a run goes on with one of the same form only."""

Say = Callable[[str], None]
"""Told, a line at a time, how a training goes."""


@dataclass(frozen=True, eq=False)
class RecipeRun:
    """What a training by a recipe gave.

    Attributes:
        evaluation: Evaluation on ``test``, or on ``val`` where the split has no test part.
        history: Figures of every epoch.
        layers: Layers of the network, in order.
        agreement: How far the bundle's answers lie from torch's, on the same files.
        refused: Path and reason of training and validation patches that could not be read.
        computed: Device of the training, and precision that convolutions were trained in.
        seconds: Wall-clock time, that of earlier sessions included.
        no_gate: Reason why the bundle has no gate; None where it has one.
    """

    evaluation: Evaluation
    history: tuple[Epoch, ...]
    layers: tuple[Layer, ...]
    agreement: RunAgreement
    refused: tuple[tuple[str, str], ...]
    computed: RunComputed
    seconds: RunSeconds
    no_gate: str | None = None

    @property
    def best(self) -> Epoch:
        """The epoch whose weights the bundle has: the least loss on ``val``."""
        return min(self.history, key=lambda epoch: epoch.val_loss)


@dataclass(frozen=True, eq=False)
class _Network:
    blocks: FeatureMap
    head: HeadLayers
    card: BackboneCard

    def layers(self, patch_px: int) -> list[Layer]:
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        named = [*self.blocks.blocks.items(), ("pool", pool), ("head", self.head)]
        side = -(-patch_px // 32) * 32
        return layer_table(named, example=torch.zeros(1, 3, side, side))


@dataclass(frozen=True, eq=False)
class _Setting:
    """What every step of a run needs to know."""

    recipe: Recipe
    split: Split
    n_leaks: int
    seed: int
    threads: int
    on_disk: bool
    progress: Progress | None
    say: Say


def run_recipe(
    index: PatchIndex,
    split: Split,
    recipe: Recipe,
    folder: Path,
    *,
    begin: Callable[[], None] = lambda: None,
    seed: int = 0,
    n_leaks: int = 0,
    on_disk: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
    say: Say = lambda _: None,
) -> RecipeRun:
    """Train, export, check, evaluate and draw, into a folder that is made with its first file.

    Args:
        index: Patches with their parts, from `crackscope.data.splits.apply_split`.
        split: Split of the patches, for the card and the run folder.
        recipe: Settings of the training.
        folder: Path of the run folder, empty or with the checkpoint to go on from.
        begin: Called when all that a run needs is there, before the folder is read or written.
        seed: Seed of first weights, order and dropout.
        n_leaks: Number of leaks of the split, for the card and the figures.
        on_disk: Whether outputs of frozen blocks are cached.
        threads: Number of threads, that of torch included while it trains.
        progress: Called with (done, total) as work goes on.
        say: Called with a line of text as each step begins.

    Raises:
        DataError: If ``train`` or ``val`` lacks a label.
        RecipeError: If the checkpoint belongs to another training, or the loss is no number.
        BundleError: If the bundle does not agree with torch.
    """
    setting = _Setting(recipe, split, n_leaks, seed, threads or default_threads(), on_disk, progress, say)
    with own_threads(setting.threads), own_generator(seed):
        return _run(index, setting, folder, begin)


def _run(index: PatchIndex, setting: _Setting, folder: Path, begin: Callable[[], None]) -> RecipeRun:
    begun = time.perf_counter()
    recipe, say = setting.recipe, setting.say
    used, digests, refused = _usable(index, setting)
    network = _build(recipe)
    tail = network.blocks.cut(recipe.first_block)[1] if recipe.finetuning else None
    materials = _Materials(used, network.card, setting)
    trainer = Trainer(
        recipe,
        tail,
        network.head,
        materials.of,
        seed=setting.seed,
        checkpoint=folder / "checkpoint.pt",
        identity=_identity(used, digests, setting),
        progress=setting.progress,
    )
    materials.require_space()
    begin()
    n_epochs_before = trainer.restore()  # refuses another training before anything is written
    write_split(setting.split, folder / "split.csv", overwrite=True)
    with RunRecord(folder, recipe, n_epochs_before=n_epochs_before, say=say) as record:
        record.patches(used)
        trainer.on_epoch = lambda _: record.epoch(trainer.history)
        trainer.run()
        say("exporting, and comparing the bundle with torch on every file")
        val_logits = trainer.val_logits(materials.of(recipe.phases[-1][0])).numpy()
        evaluation, agreement, no_gate = _export(
            network, val_logits, (used, digests, refused), to_judge(index), folder / "model.onnx", setting
        )
        layers = network.layers(recipe.patch_px)
        record.layers(layers)
        record.evaluation(trainer.history, evaluation, index)
    seconds = RunSeconds(epochs=trainer.seconds, total=trainer.seconds_before + time.perf_counter() - begun)
    computed = RunComputed(device=trainer.device.type, precision=trainer.precision)
    return RecipeRun(evaluation, trainer.history, tuple(layers), agreement, refused, computed, seconds, no_gate)


def _usable(index: PatchIndex, setting: _Setting) -> tuple[PatchIndex, list[bytes], tuple[tuple[str, str], ...]]:
    """Patches of ``train`` and ``val`` that can be read, the SHA-256 of each, and the others with the reason."""
    wanted = index.part("train", "val")
    digests, refused = readable(wanted, threads=setting.threads, progress=setting.progress)
    left = [i for i in range(len(wanted)) if i not in refused]
    used = wanted.select([wanted.patches[i] for i in left])
    for part in ("train", "val"):
        used.part(part).require_both_labels(f"part {part}")
    return used, [digests[i] for i in left], tuple((wanted.patches[i].path, why) for i, why in refused.items())


def _build(recipe: Recipe) -> _Network:
    if recipe.backbone == SCRATCH_CNN:
        blocks, card = build_scratch_cnn()
    else:
        blocks, card = load_backbone(recipe.backbone, until=recipe.until)
    return _Network(blocks.requires_grad_(False), HeadLayers(card.feature_dim, recipe.head), card)


def _identity(index: PatchIndex, digests: Sequence[bytes], setting: _Setting) -> str:
    """What tells one training from another: settings, and every patch with its label and part."""
    told = {"summary", "source", "expected", "backbone"}
    weights = source_digest(setting.recipe.backbone)
    facts: list[object] = [_CHECKPOINT, setting.recipe.model_dump(mode="json", exclude=told), weights]
    facts += [setting.seed, setting.threads, setting.on_disk]
    content = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for patch, digest in zip(index.patches, digests, strict=True):
        content.update(digest + f"{patch.label} {patch.part}".encode())
    return content.hexdigest()


class _Materials:
    """Makes the material of each phase when it begins, one at a time."""

    def __init__(self, used: PatchIndex, card: BackboneCard, setting: _Setting) -> None:
        self.used, self.setting = used, setting
        scale, shift = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.pixel_scale, card.pixel_shift))
        self.normalise = (scale, shift)
        self._made: dict[str, Material] = {}

    def of(self, phase: str) -> Material:
        """The material of a phase; what the cache will take is said before it is written."""
        if phase not in self._made:
            self._made.clear()
            material = self._made[phase] = self._make(phase)
            if material.on_disk:
                size = math.ceil(material.bytes_needed(self._n_views(phase)) / 1e6)
                self.setting.say(
                    f"{phase}: what is frozen runs once, and takes at most {size:,} MB in {cache_folder()}"
                )
                material.require_space(self._n_views(phase))
        return self._made[phase]

    def require_space(self) -> None:
        """Refuse a run if the disk has no room for what any of its phases caches."""
        for phase, _ in self.setting.recipe.phases:
            self._make(phase).require_space(self._n_views(phase))

    def _n_views(self, phase: str) -> int:
        recipe = self.setting.recipe
        shown = recipe.augmentation
        return shown.views + 1 if shown and shown.views else dict(recipe.phases)[phase].epochs

    def _make(self, phase: str) -> Material:
        setting = self.setting
        recipe = setting.recipe
        return Material(
            self.used,
            Reader(
                _frozen_part(recipe, phase),
                output="features" if phase == "frozen" else "feature_map",
                patch_px=recipe.patch_px,
                augmentation=recipe.augmentation,
            ),
            on_disk=setting.on_disk,
            threads=setting.threads,
            progress=setting.progress,
            normalise=self.normalise,
        )


def _frozen_part(recipe: Recipe, phase: str) -> Backbone | None:
    """What runs once in a phase: the whole backbone, its first blocks, or nothing."""
    if phase == "frozen":
        return read_backbone(convert_backbone(recipe.backbone, until=recipe.until))
    if recipe.first_block == 0:
        return None
    return read_backbone(convert_backbone(recipe.backbone, n_blocks=recipe.first_block))


def _export(
    network: _Network,
    val_logits: np.ndarray,
    material: tuple[PatchIndex, Sequence[bytes], Sequence[tuple[str, str]]],
    judged: PatchIndex,
    out: Path,
    setting: _Setting,
) -> tuple[Evaluation, RunAgreement, str | None]:
    """Write the bundle if it answers as torch does on every file that is judged; and why it has no gate."""
    recipe = setting.recipe
    used, digests, refused = material
    card, _ = calibrated_card(
        used,
        digests,
        val_logits,
        backbone=network.card,
        name=recipe.name,
        patch_px=recipe.patch_px,
        recipe={"name": recipe.name, "patch_px": recipe.patch_px},
        split=setting.split,
        n_leaks=setting.n_leaks,
        refused=refused,
        seed=setting.seed,
        pool=recipe.head.pool,
    )
    backbone = _exported(network, recipe)
    frozen = recipe.finetuning is None  # else its features are asked for this once
    found = gate_of(
        used,
        backbone,
        card,
        on_disk=setting.on_disk and frozen,
        threads=setting.threads,
        progress=setting.progress,
    )
    card, plane, no_gate = gated(card, found)
    model = compose(backbone, network.head.exported(temperature=card.patch.temperature), card, plane)
    with new_file(out, overwrite=True) as part:
        part.write_bytes(model.SerializeToString(deterministic=True))
        evaluation = judge(
            judged,
            Model(read_bundle(part), threads=setting.threads),
            part=judged.patches[0].part,
            split="split.csv",
            n_leaks=setting.n_leaks,
            seed=setting.seed,
            threads=setting.threads,
            progress=setting.progress,
        )
        known = {patch.path: patch for patch in judged.patches}
        logits = torch_logits(
            judged.select([known[path] for path in evaluation.paths]),
            network.blocks,
            network.head,
            network.card,
            patch_px=recipe.patch_px,
            threads=setting.threads,
            progress=setting.progress,
        )
        return evaluation, check_bundle(evaluation, logits, temperature=card.patch.temperature), no_gate


def _exported(network: _Network, recipe: Recipe) -> Backbone:
    """The backbone of the bundle: the very file that features came from, or the one with the blocks that learned."""
    if recipe.finetuning is None:
        return read_backbone(convert_backbone(recipe.backbone, until=recipe.until))
    model = export_backbone(network.blocks, network.card)
    return Backbone(model.graph, network.card.model_copy(update={"sha256": graph_digest(model.graph)}))
