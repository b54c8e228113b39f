"""Groups: what patches stay together with, that is, their scene, or else their photo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from crackscope.data.patches import Patch, PatchIndex
from crackscope.data.scenes import read_scenes
from crackscope.errors import DataError

__all__ = ["overlap_text", "place_of", "with_scenes"]

_SHOWN = 3  # photos that a message names


def with_scenes(index: PatchIndex, scenes: str | Path | Mapping[str, str]) -> PatchIndex:
    """Give each patch the scene of its photo; scenes that the patches had are forgotten.

    Args:
        index: The patches.
        scenes: Path of a scenes file, or scenes by the names of photos. A photo without one counts as a scene of its
            own.

    Raises:
        DataError: If the file is damaged, see `read_scenes`, or names a photo that the patches lack.
    """
    known = scenes if isinstance(scenes, Mapping) else read_scenes(scenes)
    name = "the scenes" if isinstance(scenes, Mapping) else str(scenes)
    photos = {patch.photo for patch in index.patches if patch.photo is not None}
    if unknown := [photo for photo in known if photo not in photos]:
        whose = f"{index.name} has photos such as '{min(photos)}'" if photos else f"no photo of {index.name} is known"
        raise DataError(
            f"{name}: names {len(unknown):,} {'photo' if len(unknown) == 1 else 'photos'} that {index.name} lacks: "
            f"{_listed(unknown)}; {whose}. Give the scenes of this data, made with `crackscope scenes`."
        )
    return index.select([replace(patch, scene=known.get(patch.photo or "")) for patch in index.patches])


def place_of(patch: Patch) -> tuple[str, str] | None:
    """What a patch stays together with: its scene, else its photo; None where neither is known.

    Returns:
        ``scene`` or ``photo``, and its name.
    """
    if patch.scene is not None:
        return "scene", patch.scene
    return None if patch.photo is None else ("photo", patch.photo)


def overlap_text(index: PatchIndex) -> str:
    """Sentence that says how many photos show the same place as another one; empty where no scene has two photos."""
    scenes = {patch.photo: patch.scene for patch in index.patches if patch.photo is not None}
    sizes = Counter(scene for scene in scenes.values() if scene is not None)
    several = [n for n in sizes.values() if n > 1]
    if not several:
        return ""
    return (
        f"{sum(several):,} of {len(scenes):,} photos of {index.name} show the same place as another one "
        f"({len(several):,} {'scene' if len(several) == 1 else 'scenes'} of several photos)"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
