"""Settings of the training of the default model; `--set` of `default_model.py` changes one."""

from __future__ import annotations

from crackscope.training.augmentation import Augmentation
from crackscope.training.recipes import NamedSettings

SECOND = (
    "n_metu=20",
    "n_tiles=28",
    "n_squares=0",
    "n_real=0",
    "n_made=0",
    "n_drawn=0",
    "n_free=0",
    "n_taught=0",
    "taught_share=0",
    "runs=3",
    "steps=1500",
)
"""Changes that give the recipe of the second default model, which has no fine map."""


class Settings(NamedSettings):
    """Settings of the training. The numbers of crops add up to a step's crops; with none, there is no fine map."""

    name: str = "default_model"
    until: str | None = "block_13.expand_1x1"  # the layer where the network ends: a cell of its map is 16 px
    patch_px: int = 160
    n_metu: int = 12  # patches of METU in a step
    n_tiles: int = 12  # single tiles of SDNET2018, as they are judged alone
    n_squares: int = 4  # squares of 2×2 tiles, whose tiles are judged as in the map of a photo
    cracked: float = 0.4  # share of cracked patches
    crop_px: int = 256
    n_real: int = 6  # crops of photos that were traced by people
    n_made: int = 4  # crops of pictures on which cracks were drawn by others
    n_drawn: int = 4  # crops of uncracked photos on which we draw a crack
    n_free: int = 4  # crops of uncracked photos
    n_taught: int = 4  # crops of photos whose lines the half trained network found, from step `taught_from` on
    taught_from: int = 1500
    taught_share: float = 0.5  # weight of the half trained network beside the labels of tiles, from then on
    scales: tuple[float, float] = (0.5, 2.2)  # pixels of a crop in a pixel of a traced photo
    free_scales: tuple[float, float] = (0.4, 1.2)  # the same for crops of SDNET2018
    channels: int = 32  # of the fine head; blocks of 16 are computed at once
    depth: int = 2
    runs: int = 1  # number of trainings, each with other views; their weights are averaged
    steps: int = 4000  # steps of a run; more steps fit the noise in SDNET2018's labels
    peak_rate: float = 1.2e-4  # at 4e-4 the loss rises again, since normalisation is in inference mode
    fine_rate: float = 1e-3  # of the fine head, which begins with random weights
    warm_up: int = 100
    decay: int = 9000  # length in steps of the half cosine by which the rate falls
    weight_decay: float = 0.02
    smoothing: float = 0.05  # SDNET2018's labels are noisy: some cracks lie at tile edges, some can hardly be seen
    average: float = 0.998
    fine_share: float = 1.0  # weight of the loss of the fine map beside that of patches
    weak_share: float = 0.1  # weight of the labels of patches as labels of the fine map
    crop_share: float = 0.5  # weight of the crops' quarters, which are labelled as patches are
    zoom_out: float = 1.0  # 1: tiles are not shrunk, since a hairline would vanish and its label would be wrong
    zoom_out_metu: float = 1.25
    seed: int = 0
    precision: str = "bf16"

    @property
    def n_crops(self) -> int:
        """Number of crops in a step."""
        return self.n_real + self.n_made + self.n_drawn + self.n_free

    @property
    def teaches(self) -> bool:
        """Whether the half trained network teaches."""
        return self.taught_from < self.steps and bool(self.n_taught or self.taught_share)

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
