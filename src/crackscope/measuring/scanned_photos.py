"""Scanned photos: labelled photos with the map that a model makes of them, and the lines that it finds in them.

Lines are compared with those of masks, so only photos with a mask are traced. They are traced in the regions of their
crack map, as in a scan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from crackscope.arrays import Float64Array
from crackscope.data.labelled_photos import LabelledPhoto
from crackscope.data.patches import Patch, PatchIndex
from crackscope.errors import DataError, reason_of
from crackscope.files.images import Image
from crackscope.files.streaming import Progress
from crackscope.geometry.cracks import Crack
from crackscope.measuring.lines import (
    PhotoLines,
    compare_lines,
    line_map_of,
    line_of_paths,
    tolerance_factor,
    true_line,
)
from crackscope.model.card import Card
from crackscope.model.provenance import count_seen
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.scanner import NetworkScale, PreparedPhoto, map_of, photo_scale, prepare_photo
from crackscope.scanning.tracing import cracks_in, grey_of, guide_of

__all__ = ["ScannedPhoto", "scan_labelled"]


@dataclass(frozen=True, eq=False)
class ScannedPhoto:
    """A labelled photo and its map.

    Attributes:
        photo: Photo with the labels of its tiles.
        map: Map of the photo.
        logits: Pooled logit of each tile's box in the map, shape (n,).
        n_seen: Number of its tiles that the model or its backbone was trained on, or whose photo was.
        n_seen_by_backbone: Number of those tiles that the backbone was trained on.
        lines: Line of the fine map, and true line of the mask; None without fine map or mask.
        traced: Traced line without what looks like joints, and true line of the mask; None without a mask.
        cracks: All traced lines, also those that look like joints; None without a mask.
    """

    photo: LabelledPhoto
    map: CrackMap
    logits: Float64Array
    n_seen: int
    n_seen_by_backbone: int = 0
    lines: PhotoLines | None = None
    traced: PhotoLines | None = None
    cracks: tuple[Crack, ...] | None = None

    @property
    def group(self) -> Patch:
        """A patch that has the photo's name and its scene, where it is known."""
        scenes = {patch.scene for patch in self.photo.patches}
        return Patch(self.photo.name, "crack", self.photo.name, scene=scenes.pop() if len(scenes) == 1 else None)

    @property
    def probabilities(self) -> Float64Array:
        """Probability of crack of each tile, shape (n,), in [0, 1]."""
        return self.map.calibration.probability(self.logits)


def scan_labelled(
    photos: Sequence[LabelledPhoto],
    model: Model,
    *,
    network_scale: NetworkScale = "auto",
    check: Callable[[PatchIndex, Sequence[bytes]], None] | None = None,
    progress: Progress | None = None,
) -> tuple[list[ScannedPhoto], list[tuple[str, str]]]:
    """Scan labelled photos, one at a time; those with a mask are traced, too, in the regions of their maps.

    Args:
        photos: Labelled photos, from `crackscope.data.labelled_photos`.
        model: The model.
        network_scale: Pixels of the network per pixel of all photos; ``auto`` chooses, as in `crackscope.scan`.
        check: Called with the patches of a photo and the SHA-256 of each file, before it is scanned; it may refuse them
            by an error.
        progress: Called with (done, total).

    Returns:
        The photos that could be read, and name and reason of those that could not.
    """
    found: list[ScannedPhoto] = []
    refused: list[tuple[str, str]] = []
    card = model.card
    lineage = (*card.backbone.trained_on, *card.training_data)
    for i, photo in enumerate(photos):
        try:
            pixels, digests = photo.load()
        except (OSError, DataError) as error:
            refused.append((photo.name, reason_of(error)))
            if progress:
                progress(i + 1, len(photos))
            continue
        own = PatchIndex(photo.name, photo.patches, files=None)  # type: ignore[arg-type]  # nothing is read
        if check:
            check(own, digests)
        try:
            # Whoever labels the tiles of an image takes it for a photo, were it as small as a patch.
            auto = network_scale == "auto"
            chosen = photo_scale(card, (pixels.shape[0], pixels.shape[1])) if auto else network_scale
            prepared = prepare_photo(Image(pixels), card, network_scale=chosen)
            fine = model._fine_network if photo.load_mask and card.fine_map else None
            seen = map_of(prepared, model.network, card, fine)
            compared = _compared(photo, Image(pixels), prepared, seen, card) if photo.load_mask else _Compared()
        except (OSError, DataError) as error:
            refused.append((photo.name, reason_of(error)))
        else:
            logits = np.array([seen.logit_in(box) for box in photo.boxes_xyxy(seen.photo_hw)], np.float64)
            counts = [count_seen(own, digests, data) for data in (lineage, card.backbone.trained_on)]
            if len(own) == 1:  # a whole photo, one file for all of its tiles
                counts = [len(logits) if n else 0 for n in counts]
            own_map = replace(seen, fine=None)
            found.append(ScannedPhoto(photo, own_map, logits, counts[0], counts[1], *compared))
        if progress:
            progress(i + 1, len(photos))
    return found, refused


class _Compared(NamedTuple):
    """Lines of a photo; nothing where it has no mask."""

    lines: PhotoLines | None = None
    traced: PhotoLines | None = None
    cracks: tuple[Crack, ...] | None = None


def _compared(photo: LabelledPhoto, image: Image, prepared: PreparedPhoto, found: CrackMap, card: Card) -> _Compared:
    """Compare the line of the fine map, if there is one, and the traced line with that of the mask."""
    assert photo.load_mask is not None
    mask = photo.load_mask()
    truth = true_line(mask, found.photo_hw)
    factor = tolerance_factor(found.photo_hw, (mask.shape[0], mask.shape[1]))
    line_map, lines = line_map_of(found), None
    if line_map is not None and found.fine is not None:
        line = line_map.line(found.fine.threshold)
        lines = compare_lines(line, truth, factor=factor, bins=line_map.bins(truth))
    guide, _ = guide_of(found, prepared, card)
    cracks = cracks_in(grey_of(image), guide)
    paths = [path for crack in cracks if not crack.joint_like for path in crack.path_xy]
    traced = compare_lines(line_of_paths(paths, found.photo_hw), truth, factor=factor)
    return _Compared(lines, traced, cracks)
