"""What documents call by name, such as `metu.tar` or `bridge/`: small and drawn, in the layout of the real thing."""

from __future__ import annotations

import csv
import io
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from crackscope.data.patches import read_patches
from crackscope.data.splits import split, write_split
from crackscope.drawing.walls import draw_dataset, draw_patch, draw_photo
from crackscope.model.bundle import write_model
from shared.models import SMALL_CONFIGS, fine_bundle, write_model_folder
from shared.pictures import jpeg, save
from shared.sdnet import draw_sdnet, photos_of_scenes

__all__ = ["MAKERS", "StandIns"]

_SIDE_PX = 64


@dataclass(frozen=True)
class StandIns:
    """Files and folders by their names in the documents, each made when it is first asked for."""

    folder: Path
    model: Path
    _made: dict[str, Path] = field(default_factory=dict, repr=False)

    def make(self, name: str) -> Path:
        """Make one of `MAKERS` and return where it lies."""
        if name not in self._made:
            self._made[name] = MAKERS[name](self, self.folder / name)
        return self._made[name]

    def put(self, name: str, folder: Path) -> None:
        """Copy one into a folder, and with a table the folder of its name."""
        place, made = folder / name, self.make(name)
        if made.is_dir():
            shutil.copytree(made, place)
            return
        shutil.copy(made, place)
        if made.suffix == ".csv" and made.with_suffix("").is_dir():
            shutil.copytree(made.with_suffix(""), place.with_suffix(""))


def _archive(place: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(place, "w") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return place


def _metu() -> dict[str, bytes]:
    contents = {}
    for seed in range(32):
        crack = seed % 2 == 0
        label = "Positive" if crack else "Negative"
        contents[f"{label}/{seed + 1:05}.jpg"] = jpeg(draw_patch(seed, side_px=_SIDE_PX, crack=crack).pixels)
    return contents


def _sdnet2018(folder: Path) -> dict[str, bytes]:
    """Photos of four scenes of decks, and of eight scenes of pavements, of which two photos each overlap."""
    root = draw_sdnet(
        folder / "sdnet2018", {"D": photos_of_scenes("D", 4, most=2), "P": photos_of_scenes("P", 8, most=2)}
    )
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.jpg"))}


def _grid(place: Path, archive: Path) -> Path:
    """A grid that puts the tiles of each photo into one row."""
    placed: Counter[tuple[str, str]] = Counter()
    with place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("surface", "photo", "tile", "row", "col", "label"))
        for patch in read_patches(archive).patches:
            surface, label, name = patch.path.split("/")
            photo, _, tile = name.removesuffix(".jpg").partition("-")
            writer.writerow((surface, photo, tile, 0, placed[surface, photo], label))
            placed[surface, photo] += 1
    return place


def _unpacked(place: Path, archive: Path) -> Path:
    with tarfile.open(archive) as opened:
        opened.extractall(place, filter="data")
    return place


def _patches(place: Path) -> Path:
    for seed in range(40):
        crack = seed % 2 == 0
        label = "cracked" if crack else "intact"
        save(place / label / f"{seed}.jpg", draw_patch(100 + seed, side_px=_SIDE_PX, crack=crack).pixels)
    return place


def _photos(place: Path) -> Path:
    for seed, name in enumerate("ab"):
        save(place / f"{name}.jpg", draw_photo(seed, photo_hw=(300, 560)).pixels)
    return place


def _site(place: Path) -> Path:
    """A table of patches with their photos; the patches lie beside it in the folder of its name."""
    folder = place.with_suffix("")
    table = draw_dataset(folder, n_photos=8, patches_per_photo=6, side_px=_SIDE_PX, seed=20)
    with place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "photo"))
        for patch in read_patches(table).patches:
            writer.writerow((f"{folder.name}/{patch.path}", patch.label, patch.photo))
    return place


def _scales(place: Path) -> Path:
    """A table of scales of the photos of the bridge."""
    rows = ("path,mm_per_px,x0,y0,x1,y1,mm", "bridge/a.jpg,0.25,,,,,", "bridge/b.jpg,,20,30,220,40,50")
    place.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return place


def _split(place: Path, data: Path) -> Path:
    write_split(split(read_patches(data), by="similarity", val=0.25, test=0.25), place)
    return place


def _family(name: str) -> Callable[[StandIns, Path], Path]:
    return lambda _, place: write_model_folder(place, SMALL_CONFIGS[name])


def _with_lines(place: Path) -> Path:
    """A bundle with a fine map; its answers mean nothing."""
    write_model(fine_bundle(), place)
    return place


MAKERS: dict[str, Callable[[StandIns, Path], Path]] = {
    "metu.tar": lambda _, place: _archive(place, _metu()),
    "sdnet2018.tar": lambda ins, place: _archive(place, _sdnet2018(ins.folder / "surfaces")),
    "sdnet2018-grid.csv": lambda ins, place: _grid(place, ins.make("sdnet2018.tar")),
    "DATA": lambda ins, place: _unpacked(place, ins.make("metu.tar")),
    "patches": lambda _, place: _patches(place),
    "split.csv": lambda ins, place: _split(place, ins.make("patches")),
    "lines.onnx": lambda _, place: _with_lines(place),
    "bridge": lambda _, place: _photos(place),
    "photos": lambda _, place: _photos(place),
    "scales.csv": lambda _, place: _scales(place),
    "site.csv": lambda _, place: _site(place),
    "photo.jpg": lambda _, place: save(place, draw_photo(0, photo_hw=(300, 560)).pixels),
    "patch.jpg": lambda _, place: save(place, draw_patch(1, side_px=_SIDE_PX).pixels),
    "crack.onnx": lambda ins, _: ins.model,
    "model.onnx": lambda ins, _: ins.model,
    "mobilenet_v2_1.0_224": _family("mobilenet_v2"),
    "resnet-50": _family("resnet"),
}
"""Makers of the stand-ins by the names that the documents use."""
