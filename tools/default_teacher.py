"""What a half trained network tells about its own material: lines that nobody traced, and labels that it doubts.

Many cracked photos of the traced set have no mask, and SDNET2018's labels are noisy. Half-way, the average of the
weights so far looks at both. Its lines become masks of the untraced photos, and its probabilities of the training tiles
temper their labels (Reed et al. 2015, https://arxiv.org/abs/1412.6596). The training then goes on with them.
"""

from __future__ import annotations

import csv
from collections.abc import Container, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.measure import label, regionprops

from crackscope.data.patches import PatchIndex
from crackscope.files.output import new_folder
from crackscope.model.card import BackboneCard
from crackscope.training.torch.export import torch_logits
from crackscope.training.torch.network import fast_convolutions
from default_network import Network
from default_settings import Settings
from default_source import Taught
from line_material import STRIDE, TracedPhoto, read_pixels

SCALES = 0.75, 1.0, 1.5  # at which a photo is looked at; the mean counts
LINE_FROM, DOUBTED_FROM = 0.5, 0.1  # probabilities of a line, and of a place that may be one
LEAST_PX, PEAK = 24, 0.8  # a line is as long as this, and somewhere as sure
LEVELS = 0, 100, 255  # of a mask: no line, perhaps, line
MULTIPLE_PX = 32
TILES, MASKS = "tiles.csv", "masks"


def teach(
    network: Network, card: BackboneCard, settings: Settings, tiles: PatchIndex, images: Sequence[Path], folder: Path
) -> Taught:
    """Let a network tell about its material, or read what it told before.

    Args:
        network: Half trained network, with the averaged weights, in inference mode.
        card: Card of the backbone.
        settings: Settings of the training.
        tiles: Tiles of SDNET2018 that are trained on.
        images: Untraced photos; those in which no line is found are left out.
        folder: Folder that keeps what was told.
    """
    if not folder.exists():
        with new_folder(folder, ours=(TILES, MASKS)) as part:
            (part / MASKS).mkdir()
            write_masks(network, images, part / MASKS)
            logits = torch_logits(tiles, network.blocks, network.head, card, patch_px=settings.patch_px)
            with (part / TILES).open("w", encoding="utf-8", newline="") as file:
                rows = zip(tiles.paths, 1 / (1 + np.exp(-logits)), strict=True)
                csv.writer(file).writerows([("path", "probability"), *((path, f"{one:.4f}") for path, one in rows)])
    by_name = {image.stem: image for image in images}
    photos = [TracedPhoto("taught", by_name[mask.stem], mask, mask.stem) for mask in sorted((folder / MASKS).iterdir())]
    with (folder / TILES).open(encoding="utf-8") as file:
        return Taught(photos, {row["path"]: float(row["probability"]) for row in csv.DictReader(file)})


def untraced(traced: Path, parts: Path, *, without: Container[str]) -> list[Path]:
    """List the photos of the traced set that nobody traced and that may be learnt.

    Args:
        traced: Folder of the traced set.
        parts: CSV of set, file, source and part.
        without: Sources that are left out.
    """
    rows = csv.DictReader(parts.read_text(encoding="utf-8").splitlines())
    return sorted(
        traced / "unlabelled" / "images" / row["file"]
        for row in rows
        if row["set"] == "traced/unlabelled" and row["part"] == "train" and row["source"] not in without
    )


def write_masks(network: Network, images: Sequence[Path], folder: Path) -> None:
    """Write a mask of each photo in which lines are found, and print how many these are."""
    n_found = 0
    with torch.inference_mode(), fast_convolutions(network.blocks):
        for image in images:
            mask = mask_of(probability_of(network, read_pixels(image)))
            if (mask == LEVELS[2]).any():
                cv2.imwrite(str(folder / f"{image.stem}.png"), mask)
                n_found += 1
    print(f"{n_found} of {len(images)} untraced photos have lines now", flush=True)


def probability_of(network: Network, pixels: np.ndarray) -> np.ndarray:
    """Probability of a line at each pixel, the mean over scales and mirrored views, shape (H, W), float32."""
    height, width = pixels.shape[:2]
    total = np.zeros((height, width), np.float32)
    for scale in SCALES:
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        seen = pixels if scale == 1 else cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=how)
        down, right = (-n % MULTIPLE_PX for n in seen.shape[:2])
        padded = cv2.copyMakeBorder(seen, 0, down, 0, right, cv2.BORDER_REPLICATE)
        both = np.stack([padded, padded[:, ::-1]])
        _, logits = network(both)
        assert logits is not None
        found = logits.sigmoid().numpy()
        cells = (found[0] + found[1][:, ::-1]) / 2
        across = np.repeat(np.repeat(cells, STRIDE, 0), STRIDE, 1)[: seen.shape[0], : seen.shape[1]]
        total += cv2.resize(across, (width, height), interpolation=cv2.INTER_LINEAR)
    return total / len(SCALES)


def mask_of(probability: np.ndarray) -> np.ndarray:
    """Mask of the lines that are sure, and of the places that may be lines, which are not judged."""
    mask = np.where(probability >= DOUBTED_FROM, LEVELS[1], LEVELS[0]).astype(np.uint8)
    for region in regionprops(label(probability >= LINE_FROM), probability):  # type: ignore[no-untyped-call]
        top, left, bottom, right = region.bbox
        if np.hypot(bottom - top, right - left) >= LEAST_PX and region.intensity_max >= PEAK:
            mask[tuple(region.coords.T)] = LEVELS[2]
    return mask
