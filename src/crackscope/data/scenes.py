"""Scenes: photos that show the same place, so that their patches must stay in one part of a split.

A scenes file is a CSV with the columns ``photo,scene``; a photo is named as `crackscope.Patch` names it, such as
``D-7001``. A third column ``surface`` may hold the letter in front, as in ``D,7001``. A photo that the file does not
list counts as a scene of its own.

The scenes of SDNET2018 ship with the package (``assets/sdnet2018-scenes.csv``) and are used wherever its layout is
read. They were found by `crackscope scenes --ignore-order`: the photos were laid together from their tiles and matched
by their pixels alone. 290 pairs show the same place, and each was looked at (docs/development/scenes.md). Photos that
such pairs connect are one scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from crackscope.errors import CrackscopeError, DataError
from crackscope.files.tables import TableForm, read_table

__all__ = ["SDNET2018_TABLE", "SceneOfPhoto", "read_scenes", "sdnet2018_scenes"]

SDNET2018_TABLE = Path(__file__).parents[1] / "assets" / "sdnet2018-scenes.csv"
"""Path of the shipped scenes of SDNET2018."""

_FORM = TableForm(
    ("photo", "scene"),
    ("surface",),
    remedy="Make it with `crackscope scenes`.",
    columns_remedy="The first line must name photo,scene. Make it with `crackscope scenes`.",
)


def read_scenes(path: str | Path) -> dict[str, str]:
    """Read a scenes file: the scene of each photo, by the photo's name.

    Args:
        path: Path of a CSV with the columns ``photo,scene``, and perhaps ``surface``.

    Raises:
        DataError: If the file cannot be read, a column is missing, a cell is empty, no row is there, or a photo is in
            two scenes.
    """
    place = Path(path)
    found = SceneOfPhoto(DataError)
    for row in read_table(place, _FORM):
        surface, photo, scene = (row[column].strip() for column in ("surface", "photo", "scene"))
        if not photo or not scene:
            raise DataError(
                f"{row.where}: the {'scene' if photo else 'photo'} is empty. Fill it in, or delete the row."
            )
        name = f"{surface}-{photo}" if surface else photo
        found.require_same(name, scene, row.where)
    if not found.scenes:
        raise DataError(f"{place}: no photo is listed. {_FORM.remedy}")
    return found.scenes


class SceneOfPhoto:
    """Scenes of photos as the rows of a table name them, which must not contradict each other.

    Attributes:
        scenes: Scenes by the names of photos, of the rows so far.
    """

    def __init__(self, error: type[CrackscopeError]) -> None:
        self.scenes: dict[str, str] = {}
        self._error = error

    def require_same(self, photo: str | None, scene: str | None, where: str) -> None:
        """Note the scene of a photo, unless one of the two is not known.

        Args:
            photo: Name of the photo.
            scene: Name of its scene.
            where: Name of the table and number of the row, for the message.

        Raises:
            CrackscopeError: If an earlier row puts the photo into another scene. Its class was given at the start.
        """
        if photo is None or scene is None:
            return
        before = self.scenes.setdefault(photo, scene)
        if before != scene:
            raise self._error(
                f"{where}: photo '{photo}' is in scene '{scene}' here and in '{before}' above. "
                "Keep one of the two, or join the scenes under one name."
            )


@cache
def sdnet2018_scenes() -> Mapping[str, str]:
    """Scenes of SDNET2018 by the names of its photos, such as ``D-7001``."""
    return read_scenes(SDNET2018_TABLE)
