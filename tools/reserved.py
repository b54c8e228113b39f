"""Judge a bundle on SDNET2018's reserved photos, which nothing was chosen by: to be run when all else is decided.

    python tools/reserved.py --sdnet2018 SDNET2018 --grid GRID.csv --reserved RESERVED.csv [--model BUNDLE]

Photos of RESERVED.csv (surface,photo) alone, all their tiles: as patches, and read from the maps of the photos that
GRID.csv lays them into. Printed as by default_model.py, with 95 % intervals over photos.
"""

from __future__ import annotations

import argparse

from crackscope.model.bundle import read_bundle
from default_figures import patch_figures, photo_figures, photos_of, print_figures
from default_sets import read_reserved


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--sdnet2018", "--grid", "--reserved"):
        parser.add_argument(name, required=True)
    parser.add_argument("--model")
    given = parser.parse_args()
    sets = read_reserved(given.sdnet2018, given.reserved)
    bundle = read_bundle(given.model)
    figures = patch_figures(bundle, sets, None) | photo_figures(bundle, photos_of(sets, given.grid, None), "all")[0]
    print_figures(figures, "reserved photos")


if __name__ == "__main__":
    main()
