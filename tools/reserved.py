"""Judge a bundle on SDNET2018's reserved photos, by which nothing was chosen. Run it when all else is decided.

    python tools/reserved.py --sdnet2018 SDNET2018 --grid GRID.csv --reserved RESERVED.csv [--model BUNDLE]

The program judges all tiles of the photos in RESERVED.csv (surface,photo), as patches and as read from the maps of the
photos. GRID.csv puts the tiles together to photos. The tables are those of default_model.py, with 95 % intervals over
photos.
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
