"""The patches and crops of each training step. Each step has its own seed, so a training can go on at any step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from crackscope.data.patches import Patch, PatchIndex
from crackscope.model.preprocessing import resize_patch
from crackscope.training.augmentation import square, view_of
from default_sets import METU
from default_settings import Settings
from line_material import STRIDE, TracedPhoto, drawn_crop, traced_crop
from tile_material import FreeGround, LabelledSquares

ByLabel = tuple[PatchIndex, list[list[Patch]]]  # an index, and its uncracked and its cracked patches
Crop = tuple[np.ndarray, np.ndarray]  # pixels and truth


@dataclass(frozen=True, eq=False)
class Step:
    """Patches and crops of one step.

    Attributes:
        patches: Pixels, shape (n, patch_px, patch_px, 3).
        targets: 1 for a cracked patch, 0 for an uncracked one, in between for one that is doubted, shape (n,).
        squares: Pixels of 2×2 tiles, shape (s, 2 * patch_px, 2 * patch_px, 3).
        square_targets: The same for each of their tiles, shape (s, 2, 2).
        crops: Pixels, shape (m, crop_px, crop_px, 3).
        truth: Truth of the cells of each crop, shape (m, crop_px / STRIDE, crop_px / STRIDE), see `line_material`.
    """

    patches: np.ndarray
    targets: np.ndarray
    squares: np.ndarray
    square_targets: np.ndarray
    crops: np.ndarray
    truth: np.ndarray

    def share(self, number: int, of: int) -> Step:
        """Cut out one of several shares, each with patches and crops of every kind."""
        return Step(*(getattr(self, field.name)[number::of] for field in fields(self)))

    @property
    def n_labels(self) -> int:
        """Number of patches and of tiles in squares."""
        return int(self.targets.size + self.square_targets.size)


@dataclass(frozen=True, eq=False)
class Material:
    """What crops are cut from.

    Attributes:
        real: Photos that people traced, by kind.
        made: Pictures on which others drew cracks, by kind.
        free: Uncracked tiles of SDNET2018's training scenes.
        squares: Labelled tiles of each surface of the same scenes.
    """

    real: Sequence[Sequence[TracedPhoto]]
    made: Sequence[Sequence[TracedPhoto]]
    free: FreeGround
    squares: Sequence[LabelledSquares]


@dataclass(frozen=True, eq=False)
class Taught:
    """What the half trained network tells about its material.

    Attributes:
        photos: Photos that nobody traced, with masks of the lines that it found.
        tiles: Probability of a crack by path of a tile of SDNET2018.
    """

    photos: Sequence[TracedPhoto]
    tiles: Mapping[str, float]


class Source:
    """Source of the patches and crops of each step, which depend on the number of the step alone."""

    def __init__(
        self,
        settings: Settings,
        index: PatchIndex,
        material: Material | None = None,
        *,
        run: int = 0,
        taught: Taught | None = None,
    ) -> None:
        self.settings, self.material, self.taught, self.seed = settings, material, taught, settings.seed + run
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
        targets = np.array([self._target(patch) for _, patch, _ in drawn], np.float32)
        return Step(np.stack(views), targets, *self._squares(rng), *self._crops(rng))

    def _squares(self, rng: np.random.Generator) -> Crop:
        side = 2 * self.settings.patch_px
        pixels, labels = np.empty((self.settings.n_squares, side, side, 3), np.uint8), []
        for own in pixels:
            kinds = self._known.squares
            square = kinds[int(rng.integers(len(kinds)))]
            whole, patches = square.draw(rng, cracked=rng.random() < self.settings.cracked)
            seen, _ = view_of(whole, self.of_crops, view=int(rng.integers(1, 2**31)))
            own[:] = resize_patch(seen, patch_px=side)
            labels.append([self._target(patch) for patch in patches])
        return pixels, np.array(labels, np.float32).reshape(-1, 2, 2)

    def _crops(self, rng: np.random.Generator) -> Crop:
        settings, side = self.settings, self.settings.crop_px
        kinds: list[tuple[int, Callable[[np.random.Generator], Crop]]] = [
            (settings.n_real, self._real), (settings.n_made, self._made), (settings.n_drawn, self._drawn),
            (settings.n_free, self._free), (settings.n_taught if self.taught else 0, self._taught),
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

    def _taught(self, rng: np.random.Generator) -> Crop:
        assert self.taught is not None
        return self._traced([self.taught.photos], rng)

    def _drawn(self, rng: np.random.Generator) -> Crop:
        return drawn_crop(self._ground(rng), rng, cracked=True, negative=0.35)

    def _free(self, rng: np.random.Generator) -> Crop:
        return drawn_crop(self._ground(rng), rng, cracked=False, negative=0.5)

    def _ground(self, rng: np.random.Generator) -> np.ndarray:
        return self._known.free.crop(rng, scales=self.settings.free_scales, side=self.settings.crop_px)

    def _target(self, patch: Patch) -> float:
        label = float(patch.label == "crack")
        if self.taught is None or patch.path not in self.taught.tiles:
            return label
        share = self.settings.taught_share
        return (1 - share) * label + share * self.taught.tiles[patch.path]

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
