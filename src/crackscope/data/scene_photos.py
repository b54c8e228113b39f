"""The photos of a search for scenes: whole photos from files, or photos laid together from labelled tiles by a grid."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from crackscope.data.class_names import ClassNames
from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid
from crackscope.data.patches import read_patches
from crackscope.data.scene_search import ScenePhoto
from crackscope.errors import DataError
from crackscope.files.images import Image
from crackscope.files.inputs import ImageFile, list_images

__all__ = ["photos_for_scenes"]


_TILES_A_PHOTO = 4  # from so many patches a photo on, a set is one of tiles and not of photos


def photos_for_scenes(
    paths: Sequence[str | Path], *, grid: str | Path | None = None, names: ClassNames | None = None
) -> list[ScenePhoto]:
    """List the photos behind paths, each named as a split names it.

    Args:
        paths: Files, folders, globs, lists or archives; with a grid, one folder or archive of tiles.
        grid: Path of the CSV that says where each tile lies in its photo; left out, each image is a photo.
        names: Names of classes, beside the known ones, in the folders of tiles and in the grid.

    Raises:
        DataError: If there is no photo, the grid is damaged or does not fit, or tiles come without a grid.
    """
    if grid is not None:
        if len(paths) != 1:
            raise DataError(f"{len(paths)} paths were given with a grid, which is of one set of tiles. Name that one.")
        return [ScenePhoto(photo.name, partial(_laid, photo), partial(_digest, photo)) for photo in
                photos_by_grid(paths[0], grid, names)]  # fmt: skip
    for path in paths:
        _require_photos(path, names)
    unique = {image.path: image for image in list_images(paths)}
    return [_from_file(image) for image in unique.values()]


def _from_file(image: ImageFile) -> ScenePhoto:
    return ScenePhoto(image.path, image.load, partial(_entry, image))


def _entry(image: ImageFile) -> dict[str, Any] | None:
    """Size and times of a file, or of the archive that holds it."""
    try:
        status = Path(image.place).stat()
    except (OSError, ValueError):
        return None
    return {"n_bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}


def _laid(photo: LabelledPhoto) -> Image:
    return Image(photo.load()[0], path=photo.name)


def _digest(photo: LabelledPhoto) -> dict[str, Any] | None:
    return {"sha256": hashlib.sha256(b"".join(photo.load()[1])).hexdigest()}


def _require_photos(path: str | Path, names: ClassNames | None) -> None:
    """Refuse tiles: small pieces of one photo do not overlap, and would be compared for nothing."""
    try:
        index = read_patches(path, names=names)
    except DataError:
        return
    photos = {patch.photo for patch in index.patches if patch.photo is not None}
    if photos and len(index) >= _TILES_A_PHOTO * len(photos):
        raise DataError(
            f"{path}: holds {len(index):,} tiles of {len(photos):,} photos, not the photos. Give --grid, a CSV that "
            "says where each tile lies, or name the whole photos."
        )
