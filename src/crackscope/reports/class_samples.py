"""Class samples: a picture of some patches of each label, with the number of patches, for a first look at data."""

from __future__ import annotations

from pathlib import Path

import cv2

from crackscope.data.patches import LABELS, PatchIndex, read_patches
from crackscope.errors import ImageError
from crackscope.files.output import new_file
from crackscope.reports.contact_sheet import class_samples

__all__ = ["write_class_samples"]

_N_SHOWN = 12


def write_class_samples(data: str | Path | PatchIndex, out: str | Path, *, overwrite: bool = False) -> Path:
    """Write a PNG that shows twelve patches of each label, spread over the data, and the number of patches.

    Args:
        data: Labelled patches: a path that `crackscope.read_patches` takes, or the index that it returns.
        out: Path of the picture.
        overwrite: Whether an existing file is replaced.

    Returns:
        ``out`` as a path.

    Raises:
        DataError: If the data cannot be read.
        OutputError: If `out` exists and `overwrite` is false, or it cannot be written.
    """
    index, out = read_patches(data), Path(out)
    shown = {}
    for label in reversed(LABELS):
        members = [patch for patch in index.patches if patch.label == label]
        images = []
        for i in range(min(_N_SHOWN, len(members))):
            patch = members[i * len(members) // _N_SHOWN if len(members) > _N_SHOWN else i]
            try:
                images.append(index.read_pixels(patch.path))
            except (OSError, KeyError, ImageError):
                continue
        shown[label] = images
    sheet = class_samples(shown, index.counts())
    with new_file(Path(out), overwrite=overwrite) as part:
        part.write_bytes(cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    return out
