"""A picture of a sample of each class, with the counts: what one looks at first."""

from __future__ import annotations

from pathlib import Path

import cv2

from crackscope.data.patches import LABELS, PatchIndex
from crackscope.errors import ImageError
from crackscope.files.output import new_file
from crackscope.reports.contact_sheet import class_samples

__all__ = ["write_class_samples"]

_N_SHOWN = 12


def write_class_samples(index: PatchIndex, out: Path, *, overwrite: bool = False) -> None:
    """Write twelve patches of each class, spread over the data, and the counts, as a PNG.

    Raises:
        OutputError: If `out` exists, or cannot be written.
    """
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
    with new_file(out, overwrite=overwrite) as part:
        part.write_bytes(cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
