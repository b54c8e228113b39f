"""Collect pictures that show no concrete, from packages of Debian, for the gate's fit, its test and one last look.

    python tools/foreign_pictures.py PICTURES

The list is `foreign_pictures.csv`: package, file, licence, kind, part. A file after `!` lies inside an archive of the
package. Each picture was looked at; pictures of concrete, plaster, asphalt or cement stone, and those that a person
cannot tell from it, were left out. The part `test` holds whole packages, and no weight or limit may be fitted to it.
The package nexuiz-textures is the part `last`, for the next default model: no weight, limit or choice may be made by
it; it is looked at once. Some of its textures are also in packages of the other parts; these were left out.

Packages are downloaded with `apt-get download` and unpacked with `dpkg-deb`, into PICTURES/packages, unless they are
there already. The pictures are copied to PICTURES/PART/KIND/. Targa files become PNG, which crackscope reads.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as pillow

LIST = Path(__file__).with_suffix(".csv")
PARTS = ("fit", "test", "last")


@dataclass(frozen=True)
class ForeignPicture:
    """A row of the list.

    Attributes:
        package: Debian package.
        file: Path inside the package; behind ``!`` the path inside an archive of the package.
        licence: Licence that the package states.
        kind: What the picture shows.
        part: ``fit``, ``test`` or ``last``.
    """

    package: str
    file: str
    licence: str
    kind: str
    part: str


def listed() -> list[ForeignPicture]:
    """Read the list."""
    with LIST.open(encoding="utf-8", newline="") as file:
        return [ForeignPicture(**row) for row in csv.DictReader(file)]


def unpacked(package: str, folder: Path) -> Path:
    """The folder of a package, downloaded and unpacked if it is not there yet."""
    place = folder / package
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "--quiet", package], cwd=folder, check=True)
        (archive,) = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "--extract", archive, place], check=True)
    return place


def contents(pictures: list[ForeignPicture], folder: Path) -> Iterator[tuple[ForeignPicture, bytes]]:
    """Each picture with the bytes of its file."""
    for picture in pictures:
        outer, _, inner = picture.file.partition("!")
        place = unpacked(picture.package, folder) / outer
        if inner:
            with zipfile.ZipFile(place) as archive:
                yield picture, archive.read(inner)
        else:
            yield picture, place.read_bytes()


def readable(name: str, content: bytes) -> tuple[str, bytes]:
    """Name and bytes of a copy that crackscope reads; a Targa file becomes PNG.

    The fourth channel of a Targa file is left out, since games keep other things than transparency in it.
    """
    if not name.endswith(".tga"):
        return name, content
    copy = io.BytesIO()
    pillow.open(io.BytesIO(content), formats=("TGA",)).convert("RGB").save(copy, "PNG")
    return str(Path(name).with_suffix(".png")), copy.getvalue()


def main() -> None:
    """Collect the pictures, and count them by part and kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, metavar="PICTURES", help="folder for packages and pictures")
    given = parser.parse_args()
    pictures = listed()
    for part in PARTS:
        shutil.rmtree(given.pictures / part, ignore_errors=True)
    for number, (picture, content) in enumerate(contents(pictures, given.pictures / "packages")):
        name, copy = readable(Path(picture.file).name, content)
        place = given.pictures / picture.part / picture.kind / f"{number:03d}-{name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(copy)
    for (part, kind), n in sorted(Counter((picture.part, picture.kind) for picture in pictures).items()):
        print(f"{part:4}  {n:4}  {kind}")


if __name__ == "__main__":
    main()
