"""Fine-tuning: phases, epochs, steps; the best weights by validation; a checkpoint from which it goes on exactly.

Everything random follows from seed and epoch, or from a state that the checkpoint holds, so a training that was killed
and goes on ends with the weights of one that was not (same machine, same number of threads).
"""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from crackscope.errors import RecipeError
from crackscope.files.output import new_file
from crackscope.files.streaming import Progress
from crackscope.measuring.history import Epoch
from crackscope.training.recipes import Finetuning, Phase, Recipe
from crackscope.training.torch.averaging import WeightAverage
from crackscope.training.torch.backbones import FeatureMap
from crackscope.training.torch.material import Material, n_batches
from crackscope.training.torch.network import HeadLayers, fast_convolutions, plane_logits
from crackscope.training.torch.process import own_threads

__all__ = ["Trainer", "has_bf16", "learning_rate", "stops"]

_CHECKPOINT_S = 60.0
_N_SUMS = 6
_KERAS_EPSILON = 1e-7  # Keras' constants, as the recipes' originals used them
_KERAS_RHO = 0.9
_WEIGHT_DECAY = 0.01

_MARK = b"crackscope checkpoint, SHA-256, torch\n"
"""Beginning of a checkpoint; then follow the SHA-256 of the rest, 32 bytes, and the rest, as torch writes it."""

State = dict[str, Any]


@dataclass
class _Progress:
    """Where a training stands: all of it is in a checkpoint."""

    phase: int = 0
    epoch: int = 0  # finished ones of this phase
    step: int = 0  # finished ones of this epoch
    sums: list[float] = field(default_factory=lambda: [0.0] * _N_SUMS)  # see `_sums_of`
    seconds: float = 0.0
    best_loss: float = float("inf")
    history: list[Epoch] = field(default_factory=list)


def _sums_of(logits: torch.Tensor, targets: torch.Tensor, mean_loss: float) -> list[float]:
    """Loss, patches, right answers, cracks found, patches called crack, and cracks of a batch."""
    called, cracked = logits > 0, targets > 0.5
    counts = torch.stack([(called == cracked).sum(), (called & cracked).sum(), called.sum(), cracked.sum()])
    return [mean_loss * len(targets), float(len(targets)), *map(float, counts.tolist())]


class _Figures:
    """Figures from the sums over all batches of an epoch."""

    def __init__(self, sums: Sequence[float]) -> None:
        loss, seen, right, found, called, cracked = sums
        self.loss, self.accuracy = loss / seen, right / seen
        self.recall_crack = found / cracked if cracked else math.nan
        self.f1_crack = 2 * found / (called + cracked) if called + cracked else math.nan


class Trainer:
    """A network in training.

    Args:
        recipe: Settings of the training.
        tail: Blocks that learn in the phase ``finetuning``; None where the recipe has no such phase.
        head: Layers on the mean of the last map, or on the cached features.
        material: Function from the name of a phase to its material, called when the phase begins.
        seed: Seed of order and dropout.
        checkpoint: Path of the file to go on from, written at least once a minute between steps.
        identity: Digest of data and settings; a checkpoint with another one is refused.
        on_epoch: Function that is called after every epoch.
        progress: Function that is called with steps done and steps of the epoch.
    """

    def __init__(
        self,
        recipe: Recipe,
        tail: FeatureMap | None,
        head: HeadLayers,
        material: Callable[[str], Material],
        *,
        seed: int,
        checkpoint: Path,
        identity: str,
        on_epoch: Callable[[Epoch], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        if tail is not None and recipe.finetuning is not None:
            _require_layers(tail, recipe.finetuning)
        self.recipe, self.tail, self.head, self.material = recipe, tail, head, material
        self.seed, self.checkpoint, self.identity = seed, checkpoint, identity
        self.on_epoch, self.report = on_epoch, progress
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._at = _Progress()
        self._best: State | None = None
        self._average: WeightAverage | None = None
        self._loaded: State | None = None
        self.seconds_before = 0.0
        self._saved_at = time.monotonic()
        self._begun_at = time.monotonic()
        self.head.to(self.device)
        if self.tail is not None:
            self.tail.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def history(self) -> tuple[Epoch, ...]:
        """All finished epochs."""
        return tuple(self._at.history)

    @property
    def seconds(self) -> float:
        """Time spent on epochs, all sessions together."""
        return sum(epoch.seconds for epoch in self._at.history)

    def restore(self) -> int:
        """Read the checkpoint, if there is one; the number of finished epochs.

        Raises:
            RecipeError: If it belongs to another training, or is damaged.
        """
        self._loaded = self._load()
        self.seconds_before = self._at.seconds
        return len(self._at.history)

    def run(self) -> None:
        """Train to the end, from where `restore` found it; the network then has its best weights.

        Raises:
            RecipeError: If the loss is no longer a number.
        """
        self._begun_at = self._saved_at = time.monotonic()
        loaded = self._loaded
        phases = self.recipe.phases
        for number in range(self._at.phase, len(phases)):
            name, phase = phases[number]
            learning = self._learning(name)
            optimiser = _optimiser(phase, [p for p in learning.parameters() if p.requires_grad])
            self._average = WeightAverage(learning, phase.average) if phase.average else None
            generator = None
            if loaded is not None:
                learning.load_state_dict(loaded["learning"])
                optimiser.load_state_dict(loaded["optimiser"])
                if self._average:
                    self._average.load_state_dict(loaded["average"])
                self._best, generator = loaded["best"], loaded["generator"].cpu()
                loaded = None
            elif self._best is not None:  # the frozen phase's best weights, as the state to beat
                self._best = _copied(learning)
            if not self._phase_is_over(phase):
                material = self.material(name)  # before the generator: making it may draw numbers
                if generator is not None:
                    torch.set_rng_state(generator)
                with own_threads(1 if name == "frozen" else torch.get_num_threads()):
                    self._run_phase(name, phase, learning, optimiser, material)
            if self._best is not None:
                learning.load_state_dict(self._best)
            self._at.phase, self._at.epoch = number + 1, 0
        self._at.phase = len(phases)
        self.head.to("cpu").eval()
        if self.tail is not None:
            self.tail.to("cpu").eval()

    def val_logits(self, material: Material) -> torch.Tensor:
        """Logits of the validation patches of the last phase's material, shape (n,), with the weights as they are."""
        learnt_on_maps = self.recipe.finetuning is not None
        with torch.inference_mode(), self._mode(learnt_on_maps, training=False):
            batches = material.val(batch_size=self.recipe.batch_size)
            return torch.cat([self._logits(inputs) for inputs, _ in batches])

    def _learning(self, phase: str) -> nn.ModuleDict:
        if phase == "frozen":
            return nn.ModuleDict({"head": self.head})
        assert self.tail is not None
        settings = self.recipe.finetuning
        assert settings is not None
        self.tail.requires_grad_(True)
        for layer in _layers(next(iter(self.tail.blocks.values())))[: settings.frozen_layers]:
            layer.requires_grad_(False)
        return nn.ModuleDict({"tail": self.tail, "head": self.head})

    def _run_phase(
        self, name: str, phase: Phase, learning: nn.ModuleDict, optimiser: torch.optim.Optimizer, material: Material
    ) -> None:
        n_train = len(material.labels["train"])
        n_steps = n_batches(n_train, self.recipe.batch_size)
        while not self._phase_is_over(phase):
            at = self._at
            rate = learning_rate(phase, self._losses(name))
            for group in optimiser.param_groups:
                group["lr"] = rate
            rng = np.random.default_rng([self.seed, at.phase, at.epoch])
            order = rng.permutation(n_train)[at.step * self.recipe.batch_size if at.step < n_steps else n_train :]
            if at.step == 0:  # else a checkpoint brought the state of the generator
                torch.manual_seed(int(rng.integers(2**63)))
            with self._mode(name == "finetuning", training=True):
                for inputs, targets in material.train(order, epoch=at.epoch + 1, batch_size=self.recipe.batch_size):
                    self._step(inputs, targets, optimiser, phase)
                    if self.report:
                        self.report(at.step, n_steps)
                    if time.monotonic() - self._saved_at > _CHECKPOINT_S:
                        self._save(learning, optimiser)
            self._finish_epoch(name, rate, learning, optimiser, material)

    def _step(
        self, inputs: torch.Tensor, targets: torch.Tensor, optimiser: torch.optim.Optimizer, phase: Phase
    ) -> None:
        at = self._at
        with self._autocast(phase):
            logits = self._logits(inputs.to(self.device))
        targets = targets.to(self.device)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if self._average:
            self._average.update()
        new = _sums_of(logits, targets, float(loss.detach()))
        at.sums = [before + own for before, own in zip(at.sums, new, strict=True)]
        at.step += 1

    def _logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits of maps, through the tail, or of features."""
        if inputs.ndim == 2:
            found: torch.Tensor = self.head(inputs)
            return found
        assert self.tail is not None
        return plane_logits(self.tail, self.head, inputs)

    def _finish_epoch(
        self, name: str, rate: float, learning: nn.ModuleDict, optimiser: torch.optim.Optimizer, material: Material
    ) -> None:
        at = self._at
        learnt = _Figures(at.sums)
        with self._average.applied() if self._average else nullcontext():
            judged = self._validate(material, maps=name == "finetuning")
            if judged.loss < at.best_loss:
                at.best_loss, self._best = judged.loss, _copied(learning)
        if not np.isfinite([learnt.loss, judged.loss]).all():
            raise RecipeError(
                f"epoch {len(at.history) + 1} of '{self.recipe.name}': the loss is no number. "
                f"Lower {name}.learning_rate ({rate:g}) with --set."
            )
        seconds = time.monotonic() - self._begun_at + at.seconds
        done = Epoch(
            number=len(at.history) + 1,
            phase=name,
            train_loss=learnt.loss,
            train_accuracy=learnt.accuracy,
            val_loss=judged.loss,
            val_accuracy=judged.accuracy,
            learning_rate=rate,
            seconds=seconds - sum(epoch.seconds for epoch in at.history),
            train_recall_crack=learnt.recall_crack,
            train_f1_crack=learnt.f1_crack,
            val_recall_crack=judged.recall_crack,
            val_f1_crack=judged.f1_crack,
        )
        at.history.append(done)
        at.epoch, at.step, at.sums = at.epoch + 1, 0, [0.0] * _N_SUMS
        if self.on_epoch:
            self.on_epoch(done)
        self._save(learning, optimiser)

    def _validate(self, material: Material, *, maps: bool) -> _Figures:
        """Figures on ``val``, in float32."""
        with torch.inference_mode(), self._mode(maps, training=False):
            sums = np.zeros(_N_SUMS)
            for inputs, targets in material.val(batch_size=self.recipe.batch_size):
                logits, wanted = self._logits(inputs.to(self.device)), targets.to(self.device)
                loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
                sums += _sums_of(logits, wanted, float(loss) / len(wanted))
        return _Figures(sums.tolist())

    @contextmanager
    def _mode(self, maps: bool, *, training: bool) -> Iterator[None]:
        """Dropout on or off; batch normalisation as the recipe says."""
        self.head.train(training)
        if not maps or self.tail is None:
            yield
            return
        settings = self.recipe.finetuning
        self.tail.train(training and settings is not None and settings.batch_norm == "training")
        for layer in self.tail.modules():
            if isinstance(layer, nn.BatchNorm2d) and not layer.weight.requires_grad:
                layer.eval()  # of `frozen_layers`: its statistics stay as well
        with fast_convolutions(self.tail):
            yield

    @property
    def precision(self) -> str:
        """What convolutions are trained in here: ``bf16`` only where the device has it."""
        settings = self.recipe.finetuning
        return "bf16" if settings and settings.precision == "bf16" and has_bf16(self.device) else "fp32"

    def _autocast(self, phase: Phase) -> Any:
        wanted = isinstance(phase, Finetuning) and self.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if wanted else nullcontext()

    def _losses(self, phase: str) -> list[float]:
        return [epoch.val_loss for epoch in self._at.history if epoch.phase == phase]

    def _phase_is_over(self, phase: Phase) -> bool:
        name = "finetuning" if isinstance(phase, Finetuning) else "frozen"
        return self._at.epoch >= phase.epochs or stops(phase, self._losses(name))

    # The checkpoint

    def _save(self, learning: nn.ModuleDict, optimiser: torch.optim.Optimizer) -> None:
        at = self._at
        state = {
            "identity": self.identity,
            "at": {**asdict(at), "seconds": time.monotonic() - self._begun_at + at.seconds},
            "learning": learning.state_dict(),
            "optimiser": optimiser.state_dict(),
            "best": self._best,
            "average": self._average.state_dict() if self._average else None,
            "generator": torch.get_rng_state(),
        }
        content = io.BytesIO()
        torch.save(state, content)
        with new_file(self.checkpoint, overwrite=True) as part, part.open("wb") as file:
            file.write(_MARK + hashlib.sha256(content.getbuffer()).digest())
            file.write(content.getbuffer())
        self._saved_at = time.monotonic()

    def _load(self) -> State | None:
        if not self.checkpoint.is_file():
            return None
        try:
            content = _checked(self.checkpoint.read_bytes())
            state: State = torch.load(io.BytesIO(content), map_location=self.device, weights_only=True)
            at: Mapping[str, Any] = state["at"]
            self._at = _Progress(**{**at, "history": [Epoch(**epoch) for epoch in at["history"]]})
        except Exception as error:  # torch and pickle raise their own kinds
            raise RecipeError(
                f"{self.checkpoint}: not a checkpoint, or damaged. Say --overwrite to begin anew."
            ) from error
        if state.get("identity") != self.identity:
            raise RecipeError(
                f"{self.checkpoint}: of a training with other data, split, recipe, seed or threads, or another version "
                "of crackscope. Give the same, or say --overwrite to begin anew."
            )
        return state


def _checked(content: bytes) -> bytes:
    """What torch wrote into a checkpoint.

    Raises:
        ValueError: If a byte of it was changed, or it has no digest.
    """
    digest, rest = content[len(_MARK) :][:32], content[len(_MARK) + 32 :]
    if not content.startswith(_MARK) or hashlib.sha256(rest).digest() != digest:
        raise ValueError("not what was written")
    return rest


def learning_rate(phase: Phase, losses: list[float]) -> float:
    """The learning rate of the next epoch, from the validation losses of the phase so far.

    With ``reduce_on_plateau`` it falls by its factor after so many epochs in a row without a better loss. A ``cosine``
    schedule follows half a wave over the phase (Loshchilov & Hutter 2017, equation 5, without restarts).

    Example:
        >>> from crackscope.training.recipes import Plateau
        >>> phase = Phase(epochs=9, learning_rate=0.1, reduce_on_plateau=Plateau(factor=0.5, patience=2))
        >>> learning_rate(phase, [3.0, 2.0, 2.5]), learning_rate(phase, [3.0, 2.0, 2.5, 2.1])
        (0.1, 0.05)
    """
    rate, plateau = phase.learning_rate, phase.reduce_on_plateau
    if phase.schedule == "cosine":
        rate *= (1 + math.cos(math.pi * len(losses) / phase.epochs)) / 2
    best, waited = float("inf"), 0
    for loss in losses:
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if plateau and waited >= plateau.patience:
            rate, waited = rate * plateau.factor, 0
    return rate


def stops(phase: Phase, losses: list[float]) -> bool:
    """Whether the phase ends early: as many epochs without a better validation loss as it has patience for.

    Example:
        >>> phase = Phase(epochs=9, learning_rate=0.1, early_stop=2)
        >>> stops(phase, [3.0, 2.0, 2.5]), stops(phase, [3.0, 2.0, 2.5, 2.1])
        (False, True)
    """
    return 0 < phase.early_stop <= len(losses) - 1 - int(np.argmin(losses)) if losses else False


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes bfloat16 natively; elsewhere it would be slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags()


def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


def _copied(module: nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _require_layers(tail: FeatureMap, settings: Finetuning) -> None:
    n_layers = len(_layers(next(iter(tail.blocks.values()))))
    if settings.frozen_layers > n_layers:
        raise RecipeError(
            f"finetuning.frozen_layers is {settings.frozen_layers}, and block {settings.from_block} has {n_layers} "
            "layers with weights. Give at most that many, or a later finetuning.from_block."
        )


def _layers(block: nn.Module) -> list[nn.Module]:
    """Layers with weights of their own, in the order in which the block lists them."""
    return [layer for layer in block.modules() if next(layer.parameters(recurse=False), None) is not None]


def _optimiser(phase: Phase, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    rate = phase.learning_rate
    if phase.optimiser == "rmsprop":
        return torch.optim.RMSprop(parameters, rate, alpha=_KERAS_RHO, eps=_KERAS_EPSILON, foreach=True)
    if phase.optimiser == "adamw":
        return torch.optim.AdamW(parameters, rate, eps=_KERAS_EPSILON, weight_decay=_WEIGHT_DECAY, fused=True)
    return torch.optim.Adam(parameters, rate, eps=_KERAS_EPSILON, fused=True)
