"""Joined data: several data sets as one index, so that a training can learn from all of them at once.

A path begins with the name of its set. A photo keeps its name where the publisher gave it, so that what a model was
trained on is recognised later (`crackscope.model.provenance`); other photos get the set's name in front, as their
scenes do, and groups that look alike are numbered anew. So no two sets share a photo by accident, and
`crackscope.data.grouping.is_group` goes on to hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from crackscope.data.grouping import is_group
from crackscope.data.patches import Patch, PatchIndex
from crackscope.errors import DataError
from crackscope.files.archives import Files

__all__ = ["join_indexes", "set_of"]


def join_indexes(named: Mapping[str, PatchIndex], *, name: str = "") -> PatchIndex:
    """Make one index of several; their order changes nothing.

    Args:
        named: Data sets by the names that their paths begin with.
        name: Name of the joined index; if left out, the names of the sets with ``+`` between them.

    Raises:
        DataError: If a name is empty or holds a slash, or there is no set.
    """
    if not named or any(not one or "/" in one for one in named):
        raise DataError(
            f"data sets named {', '.join(map(repr, named)) or 'nothing'}: give each a name without a slash."
        )
    groups = sorted(
        {(one, patch.photo) for one, index in named.items() for patch in index.patches if is_group(patch.photo or "")}
    )
    numbers = {group: f"group-{number:03d}" for number, group in enumerate(groups)}
    patches = [
        replace(
            patch,
            path=f"{one}/{patch.path}",
            photo=numbers.get((one, patch.photo)) or _named(one, patch, patch.photo),
            scene=_named(one, patch, patch.scene),
        )
        for one, index in named.items()
        for patch in index.patches
    ]
    return PatchIndex(
        name or "+".join(sorted(named)),
        tuple(sorted(patches, key=lambda patch: patch.path)),
        _JoinedFiles({one: index.files for one, index in named.items()}),
        tuple(sorted(f"{one}/{path}" for one, index in named.items() for path in index.ignored)),
    )


def set_of(path: str) -> str:
    """The set that a joined path belongs to.

    Example:
        >>> set_of("decks/D/CD/7001-115.jpg")
        'decks'
    """
    return path.partition("/")[0]


def _named(name: str, patch: Patch, own: str | None) -> str | None:
    """Name of a patch's photo or scene, with the set's name in front where no publisher gave it."""
    return f"{name}/{own}" if own and patch.dataset == "folder" else own


class _JoinedFiles:
    """Files of several sets: the beginning of a name says from which set it is read."""

    def __init__(self, files: Mapping[str, Files]) -> None:
        self._files = dict(files)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(f"{one}/{name}" for one, files in self._files.items() for name in files.names))

    def read(self, name: str) -> bytes:
        one, _, inner = name.partition("/")
        if one not in self._files:
            raise FileNotFoundError(2, "No such data set", name)
        return self._files[one].read(inner)
