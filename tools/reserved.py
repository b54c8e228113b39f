"""Judge a bundle on SDNET2018's reserved photos, by which nothing was chosen. Run it when all else is decided.

    python tools/reserved.py --sdnet2018 SDNET2018 --grid GRID.csv --reserved RESERVED.csv [--model BUNDLE] [--seen]

The program judges all tiles of the photos in RESERVED.csv (surface,photo), as patches and as read from the maps of the
photos. GRID.csv puts the tiles together to photos. The tables are those of default_model.py, with 95 % intervals over
scenes. With --seen, each surface is judged in two sets: photos that show the same place as a photo outside the list,
from which a model may have learnt, and photos that do not.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from crackscope.data.patches import PatchIndex, read_patches
from crackscope.model.bundle import read_bundle
from default_figures import patch_figures, photo_figures, photos_of, print_figures
from default_sets import read_reserved


def by_seen(sets: Mapping[str, PatchIndex], sdnet_place: str) -> dict[str, PatchIndex]:
    """Divide each surface into photos whose place is also shown by a photo outside the list, and others."""
    listed = {patch.photo for index in sets.values() for patch in index.patches}
    free = {patch.scene for patch in read_patches(sdnet_place).patches if patch.photo not in listed} - {None}
    divided = {}
    for name, index in sets.items():
        for seen, title in ((True, "seen elsewhere"), (False, "not seen")):
            if mine := [patch for patch in index.patches if (patch.scene in free) == seen]:
                divided[f"{name}, {title}"] = index.select(mine)
    return divided


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--sdnet2018", "--grid", "--reserved"):
        parser.add_argument(name, required=True)
    parser.add_argument("--model", help="bundle; the default if left out")
    parser.add_argument(
        "--seen", action="store_true", help="judge photos that others show apart from those they do not"
    )
    given = parser.parse_args()
    sets = read_reserved(given.sdnet2018, given.reserved)
    if given.seen:
        sets = by_seen(sets, given.sdnet2018)
    bundle = read_bundle(given.model)
    figures = patch_figures(bundle, sets, None) | photo_figures(bundle, photos_of(sets, given.grid, None), "all")[0]
    print_figures(figures, "reserved photos")


if __name__ == "__main__":
    main()
