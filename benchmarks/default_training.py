"""The training behind `default_model.py`: what a step learns from, and the loop; resumable, seeded step by step.

A step sees patches of METU and of SDNET2018, in views that are turned, nearer, farther, in other light or with a crack
drawn on; and crops of SDNET2018's photos, laid back together, in which every tile has its label and true surroundings,
or of METU's patches, laid side by side.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from crackscope.output import new_file
from crackscope.patches import Patch, PatchIndex, read_patches
from crackscope.preprocessing import resize_patch
from crackscope.splits import apply_split, split
from crackscope.streaming import default_threads, ordered_map
from crackscope.training.augmentation import Augmentation, square, view_of
from crackscope.training.averaging import WeightAverage
from crackscope.training.backbones import FeatureMap, load_backbone
from crackscope.training.crops import Crop, Place, TiledPhoto, box_logits, crop_of, tiled_photos
from crackscope.training.network import HeadLayers, fast_convolutions, own_threads, plane_logits, to_planes
from crackscope.training.recipes import HeadSettings

METU, SURFACES = "metu", {"decks": "sdnet2018-D", "pavements": "sdnet2018-P", "walls": "sdnet2018-W"}
TILE_PX = 256
MOSAIC = 3  # patches along a side
SAVED_EVERY_S = 120.0
TOLD_EVERY = 100  # steps
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Settings:
    """The recipe; `--set` changes one."""

    until: str = "block_13.expand_1x1"  # the layer where the network ends; empty: its last, where a cell is 32 px
    cell_px: int = 16
    frozen: int = 3  # blocks from the first on that stay as they are: two thirds of the time, no worse
    patch_px: int = 160
    crop_px: int = 320
    n_metu: int = 12  # patches a step
    n_tiles: int = 16
    n_crops: int = 5
    n_mosaics: int = 1  # crops of METU patches laid side by side
    cracked: float = 0.4  # share of the patches, and of the crops that are cut around a cracked tile
    runs: int = 3  # trainings of their own, each on other views; their weights are averaged
    steps: int = 1500  # of a run: more fit SDNET2018's noise
    peak_rate: float = 1.2e-4  # at 4e-4 the loss climbs again, as normalisation is in inference mode
    warm_up: int = 100
    decay: int = 9000  # steps of the half cosine by which the rate falls; a run ends long before
    weight_decay: float = 0.02
    smoothing: float = 0.05  # SDNET2018's labels are noisy: cracks at tile edges, cracks hardly to be seen
    average: float = 0.998
    drawn: float = 0.0  # share of SDNET2018's uncracked views that get a crack: patches lose by it
    drawn_from_px: float = 1.5  # of 256 px; what is finer can hardly be seen, and its label is noise
    marks: float = 0.0
    clutter: float = 0.12
    zoom_out: float = 1.25  # of patches: a hairline seen from farther away is there no longer, and its label is wrong
    zoom_in: float = 1.0  # of uncracked patches alone: more than 1 teaches that what is large and smooth is no crack
    zoom_low: float = 0.7  # of crops
    zoom_high: float = 2.0
    seed: int = 0
    precision: str = "bf16"

    def augmentation(self) -> Augmentation:
        return Augmentation(
            quarter_turns=True,
            flip_horizontal=True,
            zoom_out=self.zoom_out,
            zoom_in=self.zoom_in,
            drawn_cracks=self.drawn,
            drawn_widths_px=(self.drawn_from_px, 24),
            light=1.0,
            blur_px=1.5,
            motion=0.05,
            noise=8,
            jpeg=0.3,
            marks=self.marks,
            clutter=self.clutter,
        )


@dataclass(frozen=True, eq=False)
class Step:
    """What one step learns from."""

    patches: np.ndarray  # (n, patch_px, patch_px, 3)
    targets: np.ndarray  # (n,)
    crops: list[Crop]

    @property
    def n_targets(self) -> int:
        return len(self.targets) + sum(len(crop.targets) for crop in self.crops)

    def share(self, number: int, of: int) -> Step:
        """One of so many parts, each with every kind of patch and crop."""
        return Step(self.patches[number::of], self.targets[number::of], self.crops[number::of])


class Source:
    """Draws the patches and crops of each step, by its number alone."""

    def __init__(self, settings: Settings, index: PatchIndex, grid: str, *, run: int = 0) -> None:
        self.settings, self.augmentation, self.seed = settings, settings.augmentation(), settings.seed + run
        self.undrawn = self.augmentation.model_copy(update={"drawn_cracks": 0.0})
        parts = {
            name: index.select([patch for patch in index.patches if patch.dataset == name])
            for name in sorted({patch.dataset or "" for patch in index.patches})
        }
        self.metu = [_by_label(part) for name, part in parts.items() if name == METU]
        self.n_mosaics = settings.n_mosaics if self.metu else 0
        surfaces = [part for name, part in parts.items() if name != METU]
        self.tiles = [_by_label(part) for part in surfaces]
        self.photos = [tiled_photos(part, grid, tile_px=TILE_PX) for part in surfaces]
        self.cracked = [
            [(photo, at) for photo in own for at, is_cracked in photo.cracked.items() if is_cracked]
            for own in self.photos
        ]

    def step(self, number: int) -> Step:
        settings, rng = self.settings, np.random.default_rng([self.seed, number])
        drawn = [self._patch(own, rng) for own in self.metu for _ in range(settings.n_metu)]
        drawn += [self._patch(self.tiles[int(rng.integers(len(self.tiles)))], rng) for _ in range(settings.n_tiles)]
        views = []
        for index, patch in drawn:
            pixels, cracked = square(index.read_pixels(patch.path)), patch.label == "crack"
            how = self.undrawn if patch.dataset == METU else self.augmentation
            seen, cracked = view_of(pixels, how, view=int(rng.integers(1, 2**31)), cracked=cracked)
            views.append((resize_patch(seen, patch_px=settings.patch_px), cracked))
        return Step(
            np.stack([pixels for pixels, _ in views]),
            np.array([cracked for _, cracked in views], np.float32),
            [self._crop(rng) for _ in range(settings.n_crops)]
            + [self._cut(*self._mosaic(rng), rng, self.undrawn) for _ in range(self.n_mosaics)],
        )

    def _patch(self, own: tuple[PatchIndex, list[list[Patch]]], rng: np.random.Generator) -> tuple[PatchIndex, Patch]:
        index, by_label = own
        mine = by_label[int(rng.random() < self.settings.cracked)]
        return index, mine[int(rng.integers(len(mine)))]

    def _crop(self, rng: np.random.Generator) -> Crop:
        surface = int(rng.integers(len(self.photos)))
        if rng.random() < self.settings.cracked:
            photo, at = self.cracked[surface][int(rng.integers(len(self.cracked[surface])))]
        else:
            photo = self.photos[surface][int(rng.integers(len(self.photos[surface])))]
            places = sorted(photo.cracked)
            at = places[int(rng.integers(len(places)))]
        return self._cut(photo, at, rng, self.augmentation)

    def _mosaic(self, rng: np.random.Generator) -> tuple[TiledPhoto, Place]:
        """METU patches side by side, and the place of the middle one: wide cracks in a window, seams that are none."""
        places = list(product(range(MOSAIC), repeat=2))
        drawn = {place: self._patch(self.metu[0], rng) for place in places}

        def read(place: Place) -> np.ndarray:
            index, patch = drawn[place]
            return cv2.resize(square(index.read_pixels(patch.path)), (TILE_PX, TILE_PX), interpolation=cv2.INTER_LINEAR)

        cracked = {place: patch.label == "crack" for place, (_, patch) in drawn.items()}
        return TiledPhoto("mosaic", TILE_PX, cracked, read), places[len(places) // 2]

    def _cut(self, photo: TiledPhoto, at: Place, rng: np.random.Generator, augmentation: Augmentation) -> Crop:
        settings = self.settings
        return crop_of(
            photo,
            at,
            rng,
            side_px=settings.crop_px,
            tile_px=settings.patch_px,
            zoom=(settings.zoom_low, settings.zoom_high),
            augmentation=augmentation,
        )


def _by_label(index: PatchIndex) -> tuple[PatchIndex, list[list[Patch]]]:
    return index, [[p for p in index.patches if p.label == label] for label in ("uncracked", "crack")]


class Network(nn.Module):
    """Blocks and head, from raw pixels to logits."""

    def __init__(self, blocks: FeatureMap, head: HeadLayers, scale: torch.Tensor, shift: torch.Tensor) -> None:
        super().__init__()
        self.blocks, self.head = blocks, head
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def planes(self, pixels: np.ndarray) -> torch.Tensor:
        return to_planes(torch.from_numpy(pixels).to(self.scale.device), self.scale, self.shift)

    def patch_logits(self, pixels: np.ndarray) -> torch.Tensor:
        return plane_logits(self.blocks, self.head, self.planes(pixels))

    def map_logits(self, pixels: np.ndarray) -> torch.Tensor:
        features = self.blocks(self.planes(pixels))
        with torch.autocast(features.device.type, enabled=False):
            cells = self.head(features.flatten(2).transpose(1, 2).flatten(0, 1).float())
        return cells.view(len(features), *features.shape[2:])


def new_network(settings: Settings, backbone: str) -> Network:
    torch.manual_seed(settings.seed)
    blocks, card = load_backbone(backbone, until=settings.until or None)
    head = HeadLayers(card.feature_dim, HeadSettings(output="sigmoid", pool="logsumexp"))
    scale, shift = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.pixel_scale, card.pixel_shift))
    for number, block in enumerate(blocks.blocks.values()):
        block.requires_grad_(number >= settings.frozen)
    return Network(blocks, head, scale, shift).to(memory_format=torch.channels_last)


class Training:
    """The network, its average, optimiser and schedule: what a checkpoint holds.

    Args:
        settings: The recipe.
        network: In inference mode: batch normalisation keeps its statistics, and its factors learn.
        checkpoint: To go on from, and to write; one of another training ends the program.
        learns: Names of the sets that are learnt.
    """

    def __init__(self, settings: Settings, network: Network, checkpoint: Path, *, learns: Sequence[str]) -> None:
        self.settings, self.network, self.checkpoint = settings, network.to(DEVICE), checkpoint
        self.average = WeightAverage(network, settings.average)
        self.learning = [one for one in self.network.parameters() if one.requires_grad]
        self.optimiser = torch.optim.AdamW(self.learning, lr=settings.peak_rate, weight_decay=settings.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.peak_rate, settings.decay, pct_start=settings.warm_up / settings.decay
        )
        self.n_steps = 0
        self._identity = {**asdict(settings), "learns": list(learns)}
        self._parts = {name: getattr(self, name) for name in ("network", "average", "optimiser", "schedule")}
        if checkpoint.exists():
            saved = torch.load(checkpoint, map_location=DEVICE)
            if saved.get("identity") != self._identity:
                raise SystemExit(f"{checkpoint} is of a training with other settings or sets. Give another --work.")
            self.n_steps = saved["n_steps"]
            for name, part in self._parts.items():
                part.load_state_dict(saved[name])

    def run(self, source: Source) -> None:
        """All steps that are left."""
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
        """Loss, share of cracks and of right answers of one step; each thread takes a share of it, a core each."""
        n_shares = min(n_shares, len(step.patches))  # a share without patches would be no batch
        shares = [step.share(i, n_shares) for i in range(n_shares)]
        n_targets = sum(share.n_targets for share in shares)
        found = list(pool.map(lambda share: self._gradients(share, n_targets), shares))
        for one, *gradients in zip(self.learning, *(gradients for gradients, _ in found), strict=True):
            one.grad = gradients[0] if len(gradients) == 1 else torch.stack(gradients).sum(0)
        self.optimiser.step()
        self.schedule.step()
        self.average.update()
        self.n_steps += 1
        return np.sum([told for _, told in found], axis=0)

    def _gradients(self, step: Step, n_targets: int) -> tuple[Sequence[torch.Tensor], np.ndarray]:
        """What a share of a step adds to the gradients of its mean loss, and to what is told of it."""
        crops, smoothing = step.crops, self.settings.smoothing
        with torch.autocast(DEVICE, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            logits = self.network.patch_logits(step.patches)
            maps = self.network.map_logits(np.stack([crop.pixels for crop in crops])) if crops else None
        if maps is not None:
            boxes = [crop.boxes_xyxy for crop in crops]
            logits = torch.cat([logits, box_logits(maps, boxes, cell_px=self.settings.cell_px)])
        targets = torch.from_numpy(np.concatenate([step.targets, *(crop.targets for crop in crops)])).to(DEVICE)
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


def part_of(index: PatchIndex, part: str) -> PatchIndex:
    return index.select([patch for patch in index.patches if patch.part == part])


def changed(settings: Settings, changes: Sequence[str]) -> Settings:
    kinds = {one.name: type(getattr(settings, one.name)) for one in fields(settings)}
    pairs = [one.partition("=")[::2] for one in changes]
    if unknown := [key for key, _ in pairs if key not in kinds]:
        raise SystemExit(f"--set {unknown[0]}: no such setting. There are {', '.join(kinds)}.")
    return replace(settings, **{key: kinds[key](value) for key, value in pairs})


def read_reserved(place: str) -> set[str]:
    with Path(place).open(newline="") as file:
        return {f"{row['surface']}-{row['photo']}" for row in csv.DictReader(file)}


def read_sets(metu_place: str, sdnet_place: str, reserved_place: str) -> dict[str, PatchIndex]:
    """METU and the surfaces, with their parts, without reserved photos."""
    reserved = read_reserved(reserved_place)
    metu, full = read_patches(metu_place), read_patches(sdnet_place)
    sdnet = full.select([patch for patch in full.patches if patch.photo not in reserved])
    metu, sdnet = apply_split(metu, split(metu, by="similarity")), apply_split(sdnet, split(sdnet, by="photo"))
    surfaces = {
        name: sdnet.select([patch for patch in sdnet.patches if patch.dataset == dataset])
        for name, dataset in SURFACES.items()
    }
    return {"metu": metu, **surfaces}
