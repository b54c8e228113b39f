"""The training of `default_model.py`: the patches of each step, and the loop. It can be resumed at any step.

A step holds single patches of METU and SDNET2018, turned and with changed light. Patches of METU are also shown as if
from farther away. Each step has its own seed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from crackscope.data.patches import Patch, PatchIndex
from crackscope.files.output import new_file
from crackscope.files.streaming import default_threads, ordered_map
from crackscope.model.preprocessing import resize_patch
from crackscope.training.augmentation import Augmentation, square, view_of
from crackscope.training.recipes import HeadSettings, NamedSettings
from crackscope.training.torch.averaging import WeightAverage
from crackscope.training.torch.backbones import FeatureMap, load_backbone
from crackscope.training.torch.network import HeadLayers, fast_convolutions, plane_logits, to_planes
from crackscope.training.torch.process import own_threads
from default_sets import METU

SAVED_EVERY_S = 120.0
TOLD_EVERY = 100  # steps between two lines of progress
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ByLabel = tuple[PatchIndex, list[list[Patch]]]  # an index, and its uncracked and its cracked patches


class Settings(NamedSettings):
    """Settings of the training; `--set` changes one."""

    name: str = "default_model"
    until: str | None = "block_13.expand_1x1"  # the layer where the network ends: a cell of its map is 16 px
    patch_px: int = 160
    n_metu: int = 20  # patches of METU in a step
    n_tiles: int = 28
    cracked: float = 0.4  # share of cracked patches
    runs: int = 3  # number of trainings, each with other views; their weights are averaged
    steps: int = 1500  # steps of a run; more steps fit the noise in SDNET2018's labels
    peak_rate: float = 1.2e-4  # at 4e-4 the loss rises again, since normalisation is in inference mode
    warm_up: int = 100
    decay: int = 9000  # length in steps of the half cosine by which the rate falls; a run ends long before
    weight_decay: float = 0.02
    smoothing: float = 0.05  # SDNET2018's labels are noisy: some cracks lie at tile edges, some can hardly be seen
    average: float = 0.998
    zoom_out: float = 1.0  # 1: tiles are not shrunk, since a hairline would vanish and its label would be wrong
    zoom_out_metu: float = 1.25
    seed: int = 0
    precision: str = "bf16"

    def augmentation(self, zoom_out: float) -> Augmentation:
        """Settings that limit how much a view may differ from its patch."""
        return Augmentation(
            quarter_turns=True,
            flip_horizontal=True,
            zoom_out=zoom_out,
            light=1.0,
            blur_px=1.5,
            motion=0.05,
            noise=8,
            jpeg=0.3,
        )


@dataclass(frozen=True, eq=False)
class Step:
    """Patches and targets of one step."""

    patches: np.ndarray  # (n, patch_px, patch_px, 3)
    targets: np.ndarray  # (n,)

    def share(self, number: int, of: int) -> Step:
        """Cut out one of several shares, each with patches of every set."""
        return Step(self.patches[number::of], self.targets[number::of])


class Source:
    """Source of the patches of each step, which depend on the number of the step alone."""

    def __init__(self, settings: Settings, index: PatchIndex, *, run: int = 0) -> None:
        self.settings, self.seed = settings, settings.seed + run
        self.of_metu = settings.augmentation(settings.zoom_out_metu)
        self.of_tiles = settings.augmentation(settings.zoom_out)
        parts = {
            name: _by_label(index.select([patch for patch in index.patches if patch.dataset == name]))
            for name in sorted({patch.dataset or "" for patch in index.patches})
        }
        self.metu = [part for name, part in parts.items() if name == METU]
        self.surfaces = [part for name, part in parts.items() if name != METU]

    def step(self, number: int) -> Step:
        """Draw the patches of a step, whatever steps came before."""
        settings, rng = self.settings, np.random.default_rng([self.seed, number])
        drawn = [(*self._patch(own, rng), self.of_metu) for own in self.metu for _ in range(settings.n_metu)]
        for _ in range(settings.n_tiles):
            surface = self.surfaces[int(rng.integers(len(self.surfaces)))]
            drawn.append((*self._patch(surface, rng), self.of_tiles))
        views = []
        for index, patch, how in drawn:
            view = int(rng.integers(1, 2**31))
            seen, _ = view_of(square(index.read_pixels(patch.path)), how, view=view)
            views.append(resize_patch(seen, patch_px=settings.patch_px))
        return Step(np.stack(views), np.array([patch.label == "crack" for _, patch, _ in drawn], np.float32))

    def _patch(self, own: ByLabel, rng: np.random.Generator) -> tuple[PatchIndex, Patch]:
        index, by_label = own
        mine = by_label[int(rng.random() < self.settings.cracked)]
        return index, mine[int(rng.integers(len(mine)))]


def _by_label(index: PatchIndex) -> ByLabel:
    return index, [[p for p in index.patches if p.label == label] for label in ("uncracked", "crack")]


class Network(nn.Module):
    """Network of blocks and a head, from raw pixels to logits."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, blocks: FeatureMap, head: HeadLayers, scale: torch.Tensor, shift: torch.Tensor) -> None:
        super().__init__()
        self.blocks, self.head = blocks, head
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def planes(self, pixels: np.ndarray) -> torch.Tensor:
        """Normalise raw pixels (n, H, W, 3) for the blocks."""
        return to_planes(torch.from_numpy(pixels).to(self.scale.device), self.scale, self.shift)

    def patch_logits(self, pixels: np.ndarray) -> torch.Tensor:
        """Compute logits (n,) from raw pixels (n, H, W, 3)."""
        return plane_logits(self.blocks, self.head, self.planes(pixels))


def new_network(settings: Settings, backbone: str) -> Network:
    """Make the backbone with a head of random weights, the same in every run."""
    torch.manual_seed(settings.seed)
    blocks, card = load_backbone(backbone, until=settings.until)
    head = HeadLayers(card.feature_dim, HeadSettings(output="sigmoid", pool="logsumexp"))
    scale, shift = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.pixel_scale, card.pixel_shift))
    network: Any = Network(blocks, head, scale, shift)
    found: Network = network.to(memory_format=torch.channels_last)  # which torch does not type
    return found


class Training:
    """State of a training, as a checkpoint holds it: network, average of weights, optimiser and schedule.

    Args:
        settings: Settings of the training.
        network: Network in inference mode: batch normalisation keeps its statistics, and its factors are trained.
        checkpoint: Path of the checkpoint to go on from and to write; one of another training ends the program.
        learns: Names of the sets that are trained on.
    """

    def __init__(self, settings: Settings, network: Network, checkpoint: Path, *, learns: Sequence[str]) -> None:
        self.settings, self.network, self.checkpoint = settings, network.to(DEVICE), checkpoint
        self.average = WeightAverage(network, settings.average)
        self.learning = list(self.network.parameters())
        self.optimiser = torch.optim.AdamW(self.learning, lr=settings.peak_rate, weight_decay=settings.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.peak_rate, settings.decay, pct_start=settings.warm_up / settings.decay
        )
        self.n_steps = 0
        self._identity = {**settings.model_dump(exclude={"name"}), "learns": list(learns)}
        self._parts = {name: getattr(self, name) for name in ("network", "average", "optimiser", "schedule")}
        if checkpoint.exists():
            saved = torch.load(checkpoint, map_location=DEVICE)
            if saved.get("identity") != self._identity:
                raise SystemExit(f"{checkpoint} is of a training with other settings or sets. Give another --work.")
            self.n_steps = saved["n_steps"]
            for name, part in self._parts.items():
                part.load_state_dict(saved[name])

    def run(self, source: Source) -> None:
        """Do all remaining steps."""
        sums, begun, saved_at, first = np.zeros(3), time.monotonic(), time.monotonic(), self.n_steps
        n_threads = torch.get_num_threads() if DEVICE == "cpu" else 1
        prepared = ordered_map(source.step, range(first, self.settings.steps), threads=default_threads())
        with (
            fast_convolutions(self.network.blocks),
            own_threads(1),
            ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            for step in prepared:
                sums += self._learn(step, pool, n_threads)
                if self.n_steps % TOLD_EVERY == 0:
                    self._tell(sums / TOLD_EVERY, (time.monotonic() - begun) / (self.n_steps - first))
                    sums[:] = 0
                if time.monotonic() - saved_at > SAVED_EVERY_S or self.n_steps == self.settings.steps:
                    self._save()
                    saved_at = time.monotonic()
        self.network.to("cpu")

    def _learn(self, step: Step, pool: ThreadPoolExecutor, n_shares: int) -> np.ndarray:
        """Do one step, divided among threads with a core each; give loss and shares of cracks and of right answers."""
        n_shares = min(n_shares, len(step.patches))  # no share may be empty
        shares = [step.share(i, n_shares) for i in range(n_shares)]
        found = list(pool.map(lambda share: self._gradients(share, len(step.targets)), shares))
        for one, *gradients in zip(self.learning, *(gradients for gradients, _ in found), strict=True):
            one.grad = gradients[0] if len(gradients) == 1 else torch.stack(gradients).sum(0)
        self.optimiser.step()
        self.schedule.step()
        self.average.update()
        self.n_steps += 1
        return np.asarray(np.sum([told for _, told in found], axis=0))

    def _gradients(self, step: Step, n_targets: int) -> tuple[Sequence[torch.Tensor], np.ndarray]:
        """Add the part of a share to the gradients of the step's mean loss, and to its figures."""
        smoothing = self.settings.smoothing
        with torch.autocast(DEVICE, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            logits = self.network.patch_logits(step.patches)
        targets = torch.from_numpy(step.targets).to(DEVICE)
        wanted = targets * (1 - smoothing) + smoothing / 2
        loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / n_targets
        gradients = torch.autograd.grad(loss, self.learning)
        right = ((logits > 0) == (targets > 0.5)).float().sum()
        return gradients, np.array([float(loss.detach()), float(targets.sum()) / n_targets, float(right) / n_targets])

    def _tell(self, means: np.ndarray, seconds: float) -> None:
        left = seconds * (self.settings.steps - self.n_steps) / 60
        loss, cracked, right = means
        print(
            f"step {self.n_steps}/{self.settings.steps}: loss {loss:.3f}, cracked {cracked:.2f}, right {right:.3f}; "
            f"{seconds:.2f} s a step, about {left:.0f} min left",
            flush=True,
        )

    def _save(self) -> None:
        with new_file(self.checkpoint, overwrite=True) as part:
            torch.save(
                {
                    "identity": self._identity,
                    "n_steps": self.n_steps,
                    **{name: own.state_dict() for name, own in self._parts.items()},
                },
                part,
            )
