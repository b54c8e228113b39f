"""Make the table of SDNET2018's scenes that the package ships.

    python tools/sdnet2018_scenes.py SCENES.csv

SCENES.csv has the columns ``surface,photo,scene``, or ``photo,scene`` as `crackscope scenes` writes it. It must list
every photo once. `crackscope.data.scenes` says how the scenes were found; change its text when the search changes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from crackscope.data.scenes import SDNET2018_TABLE, read_scenes
from crackscope.files.output import write_text
from crackscope.files.tables import table_text


def main() -> None:
    """Read the scenes, and replace the table of the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, help="scenes of SDNET2018, surface,photo,scene or photo,scene")
    given = parser.parse_args()
    scenes = read_scenes(given.scenes)
    write_text(SDNET2018_TABLE, table_text(("photo", "scene"), sorted(scenes.items())), overwrite=True)
    print(f"{len(scenes)} photos of {len(set(scenes.values()))} scenes: {SDNET2018_TABLE}")


if __name__ == "__main__":
    main()
