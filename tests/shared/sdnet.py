"""Drawn patches in the layout of SDNET2018, named as photos of it whose scenes are known."""

from __future__ import annotations

from pathlib import Path

from crackscope.data.patches import read_patches
from crackscope.data.scenes import sdnet2018_scenes
from crackscope.drawing.walls import draw_dataset

__all__ = ["draw_sdnet", "photos_of_scenes"]


def photos_of_scenes(surface: str, n_scenes: int, *, most: int = 1) -> list[str]:
    """Numbers of photos of a surface, at most so many of each of its first scenes that have several photos, if any.

    Args:
        surface: ``D``, ``P`` or ``W``.
        n_scenes: Number of scenes.
        most: Greatest number of photos of a scene.
    """
    members: dict[str, list[str]] = {}
    for photo, scene in sorted(sdnet2018_scenes().items()):
        if photo.startswith(surface):
            members.setdefault(scene, []).append(photo.partition("-")[2])
    largest = sorted(members.values(), key=lambda photos: (-len(photos[:most]), photos))
    return [photo for photos in largest[:n_scenes] for photo in photos[:most]]


def draw_sdnet(
    folder: Path, photos: dict[str, list[str]], *, patches_per_photo: int = 6, side_px: int = 48, seed: int = 10
) -> Path:
    """Draw patches of some photos, and lay them out as SDNET2018 does.

    Args:
        folder: Folder to write to, such as ``sdnet2018``.
        photos: Numbers of photos by surface.
        patches_per_photo: Number of patches of each photo, about half of them cracked.
        side_px: Side of a patch, in pixels.
        seed: Seed of the drawing.
    """
    for place, (surface, numbers) in enumerate(sorted(photos.items())):
        table = draw_dataset(
            folder.parent / f".{folder.name}-{surface}",
            n_photos=len(numbers),
            patches_per_photo=patches_per_photo,
            side_px=side_px,
            seed=seed + place,
        )
        index = read_patches(table)
        number_of = dict(zip(sorted({patch.photo for patch in index.patches if patch.photo}), numbers, strict=True))
        for i, patch in enumerate(index.patches):
            kind = "C" if patch.label == "crack" else "U"
            new = folder / surface / f"{kind}{surface}" / f"{number_of[patch.photo or '']}-{i + 1}.jpg"
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes((table.parent / patch.path).read_bytes())
    return folder
