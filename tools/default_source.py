"""The patches and crops of each training step. Each step has its own seed, so a training can go on at any step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crackscope.data.patches import Patch, PatchIndex
from crackscope.model.preprocessing import resize_patch
from crackscope.training.augmentation import square, view_of
from default_sets import METU
from default_settings import Settings
from line_material import STRIDE, TracedPhoto, drawn_crop, traced_crop
from tile_material import FreeGround

ByLabel = tuple[PatchIndex, list[list[Patch]]]  # an index, and its uncracked and its cracked patches
Crop = tuple[np.ndarray, np.ndarray]  # pixels and truth


@dataclass(frozen=True, eq=False)
class Step:
    """Patches and crops of one step.

    Attributes:
        patches: Pixels, shape (n, patch_px, patch_px, 3).
        targets: 1 for a cracked patch, 0 for an uncracked one, shape (n,).
        crops: Pixels, shape (m, crop_px, crop_px, 3).
        truth: Truth of the cells of each crop, shape (m, crop_px / STRIDE, crop_px / STRIDE), see `line_material`.
    """

    patches: np.ndarray
    targets: np.ndarray
    crops: np.ndarray
    truth: np.ndarray

    def share(self, number: int, of: int) -> Step:
        """Cut out one of several shares, each with patches and crops of every kind."""
        return Step(*(values[number::of] for values in (self.patches, self.targets, self.crops, self.truth)))


@dataclass(frozen=True, eq=False)
class Material:
    """What crops are cut from.

    Attributes:
        real: Photos that people traced, by kind.
        made: Pictures on which others drew cracks, by kind.
        free: Uncracked tiles of SDNET2018's training scenes.
    """

    real: Sequence[Sequence[TracedPhoto]]
    made: Sequence[Sequence[TracedPhoto]]
    free: FreeGround


class Source:
    """Source of the patches and crops of each step, which depend on the number of the step alone."""

    def __init__(
        self, settings: Settings, index: PatchIndex, material: Material | None = None, *, run: int = 0
    ) -> None:
        self.settings, self.material, self.seed = settings, material, settings.seed + run
        self.of_metu = settings.augmentation(settings.zoom_out_metu)
        self.of_tiles = settings.augmentation(settings.zoom_out)
        self.of_crops = self.of_tiles.model_copy(update={"quarter_turns": False, "flip_horizontal": False})
        parts = {
            name: _by_label(index.select([patch for patch in index.patches if patch.dataset == name]))
            for name in sorted({patch.dataset or "" for patch in index.patches})
        }
        self.metu = [part for name, part in parts.items() if name == METU]
        self.surfaces = [part for name, part in parts.items() if name != METU]

    def step(self, number: int) -> Step:
        """Draw the patches and crops of a step, whatever steps came before."""
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
        targets = np.array([patch.label == "crack" for _, patch, _ in drawn], np.float32)
        return Step(np.stack(views), targets, *self._crops(rng))

    def _crops(self, rng: np.random.Generator) -> Crop:
        settings, side = self.settings, self.settings.crop_px
        kinds: list[tuple[int, Callable[[np.random.Generator], Crop]]] = [
            (settings.n_real, self._real), (settings.n_made, self._made), (settings.n_drawn, self._drawn),
            (settings.n_free, self._free),
        ]  # fmt: skip
        pixels, truth = [np.empty((0, side, side, 3), np.uint8)], [np.empty((0, side // STRIDE, side // STRIDE))]
        for crop in [draw(rng) for n, draw in kinds for _ in range(n)]:
            seen, _ = view_of(crop[0], self.of_crops, view=int(rng.integers(1, 2**31)))
            pixels.append(seen[None])
            truth.append(crop[1][None])
        return np.concatenate(pixels), np.concatenate(truth).astype(np.uint8)

    def _real(self, rng: np.random.Generator) -> Crop:
        return self._traced(self._known.real, rng)

    def _made(self, rng: np.random.Generator) -> Crop:
        return self._traced(self._known.made, rng)

    def _traced(self, kinds: Sequence[Sequence[TracedPhoto]], rng: np.random.Generator) -> Crop:
        photos = kinds[int(rng.integers(len(kinds)))]
        photo = photos[int(rng.integers(len(photos)))]
        return traced_crop(photo, rng, scales=self.settings.scales, side=self.settings.crop_px)

    def _drawn(self, rng: np.random.Generator) -> Crop:
        return drawn_crop(self._ground(rng), rng, cracked=True, negative=0.35)

    def _free(self, rng: np.random.Generator) -> Crop:
        return drawn_crop(self._ground(rng), rng, cracked=False, negative=0.5)

    def _ground(self, rng: np.random.Generator) -> np.ndarray:
        return self._known.free.crop(rng, scales=self.settings.free_scales, side=self.settings.crop_px)

    @property
    def _known(self) -> Material:
        assert self.material is not None
        return self.material

    def _patch(self, own: ByLabel, rng: np.random.Generator) -> tuple[PatchIndex, Patch]:
        index, by_label = own
        mine = by_label[int(rng.random() < self.settings.cracked)]
        return index, mine[int(rng.integers(len(mine)))]


def _by_label(index: PatchIndex) -> ByLabel:
    return index, [[p for p in index.patches if p.label == label] for label in ("uncracked", "crack")]
