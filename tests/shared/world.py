"""Every command once, with `--json`, on what is drawn: small, and each call made when it is first asked for."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from typer.testing import CliRunner

from crackscope.cli import app
from crackscope.data.patches import read_patches
from crackscope.drawing.walls import draw_dataset, draw_patch, draw_photo
from crackscope.model.bundle import write_model
from shared.command import Result
from shared.marked import marked_photo, view_of
from shared.models import fine_bundle
from shared.pictures import jpeg, save

__all__ = ["CASES", "Case", "Ran", "World", "call"]


def call(*words: object) -> Result:
    """Call a command; as the fixture `run`, but for fixtures of a session too."""
    done = CliRunner().invoke(app, [*map(str, words)])
    return Result(done.exit_code, done.stdout, done.stderr)


@dataclass(frozen=True)
class Ran:
    """What a call left.

    Attributes:
        result: Exit code and output.
        folder: Folder that holds what the call wrote, and nothing else.
    """

    result: Result
    folder: Path


@dataclass(frozen=True)
class World:
    """What commands work on, each as small as it may be."""

    folder: Path
    drawn: Path
    split_file: Path
    backbone: Path
    model: Path
    _ran: dict[str, Ran] = field(default_factory=dict, repr=False)

    def ran(self, name: str) -> Ran:
        """What one of the `CASES` leaves; it runs when it is first asked for."""
        if name not in self._ran:
            case, out = CASES[name], self.folder / "out" / name
            out.mkdir(parents=True)
            named = [] if case.out is None else ["--out", out / case.out]
            self._ran[name] = Ran(call(case.command, *case.words(self, out), *named, "--json"), out)
        return self._ran[name]

    def run_of(self, seed: int) -> Path:
        """The folder of a training that is finished and judged; made when it is first asked for."""
        out = self.folder / f"run {seed}"
        if not out.exists():
            data = [self.drawn, "--split", self.split_file, "--threads", 1]
            training = ["--backbone", self.backbone, "--patch-px", 64, "--seed", seed, "--out", out]
            assert call("train", *data, *training).code == 0
        return out

    def fine_model(self) -> Path:
        """A bundle with a fine map."""
        path = self.folder / "fine.onnx"
        write_model(fine_bundle(split={"by": "photo", "sha256": "0" * 64, "leaky": False}), path, overwrite=True)
        return path

    def split_without_test(self) -> Path:
        """A split file of the drawn patches that has train and val alone."""
        path = self.folder / "split without test.csv"
        assert call("split", self.drawn, "--val", 0.3, "--test", 0, "--out", path, "--overwrite").code == 0
        return path

    def scenes(self) -> Path:
        """A scenes file of the drawn patches: two photos each show the same place."""
        path = self.folder / "scenes.csv"
        photos = sorted({patch.photo for patch in read_patches(self.drawn).patches if patch.photo})
        rows = [f"{photo},place {i // 2}\n" for i, photo in enumerate(photos)]
        path.write_text("photo,scene\n" + "".join(rows), encoding="utf-8")
        return path

    def photos(self) -> Path:
        """Two photos of walls."""
        for seed in range(2):
            save(self.folder / "photos" / f"wall {seed}.png", draw_photo(seed, photo_hw=(150, 300)).pixels)
        return self.folder / "photos"

    def marked_photo(self) -> Path:
        """A photo of a wall with a marker."""
        wall = draw_photo(0, photo_hw=(250, 400)).pixels.copy()
        wall[20:180, 20:180] = marked_photo(view_of((160, 160)), (160, 160))
        save(self.folder / "marked" / "wall.png", wall)
        return self.folder / "marked" / "wall.png"

    def overlapping_photos(self) -> Path:
        """Two photos of one wall that overlap, and a file that is none."""
        folder = self.folder / "overlapping"
        wall = draw_photo(4, photo_hw=(220, 420)).pixels
        save(folder / "left.png", wall[:, :300])
        save(folder / "right.png", wall[:, 120:])
        (folder / "letter.jpg").write_text("no picture", encoding="utf-8")
        return folder

    def masked_photos(self) -> tuple[Path, Path]:
        """Photos of cracked walls and a file that is none; and the masks of their cracks."""
        photos, masks = self.folder / "masked", self.folder / "masks"
        for seed in range(2):
            wall = draw_photo(seed, photo_hw=(400, 700))
            save(photos / f"wall {seed}.png", wall.pixels)
            save(masks / f"wall {seed}.png", (255 * wall.mask).astype("uint8"))
        (photos / "letter.jpg").write_text("no picture", encoding="utf-8")
        return photos, masks

    def joints(self) -> Path:
        """Joints of one of the masked photos, and of a photo that is not there."""
        path = self.folder / "joints.csv"
        rows = [f"{photo},left,{point},20,{300 * point}" for photo in ("wall 0.png", "gone.png") for point in (0, 1)]
        path.write_text("\n".join(["photo,joint,point,x,y", *rows]), encoding="utf-8")
        return path

    def sets(self) -> list[Path]:
        """Two data sets."""
        folders = [self.folder / name for name in ("north", "south")]
        for seed, folder in enumerate(folders):
            if not folder.exists():
                draw_dataset(folder, n_photos=8, patches_per_photo=6, side_px=64, seed=seed)
        return folders

    def one_label(self) -> Path:
        """Cracked patches alone."""
        save(self.folder / "one label" / "crack" / "1.png", draw_patch(1, side_px=64).pixels)
        return self.folder / "one label"

    def few(self) -> Path:
        """Patches of two photos: too few to fit anything to a site."""
        folder = self.folder / "few"
        if not folder.exists():
            draw_dataset(folder, n_photos=2, patches_per_photo=6, side_px=64, seed=5)
        return folder

    def marred(self) -> Path:
        """A data set with a copy, a flat picture and a file that is no picture."""
        folder = self.folder / "marred"
        if not folder.exists():
            draw_dataset(folder, n_photos=6, patches_per_photo=8, side_px=96, seed=3)
            first = next(iter(sorted((folder / "crack").iterdir())))
            (folder / "labels.csv").unlink()
            (folder / "crack" / "copy.png").write_bytes(first.read_bytes())
            save(folder / "crack" / "flat.png", draw_patch(0, side_px=96).pixels // 255 + 90)
            (folder / "crack" / "letter.png").write_text("no picture", encoding="utf-8")
        return folder

    def archive(self) -> Path:
        """METU's archive as it is published, with one image of each label."""
        path = self.folder / "metu.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for seed, label in enumerate(("Positive", "Negative")):
                archive.writestr(f"{label}/00001.jpg", jpeg(draw_patch(seed, side_px=64).pixels))
        return path


@dataclass(frozen=True)
class Case:
    """One call of a command.

    Attributes:
        command: Name of the command.
        words: From the world, and the folder of what is written, to the words behind the command.
        out: What `--out` names in that folder; None for a command that takes none.
        needs: Package that the call cannot do without; none if empty.
    """

    command: str
    words: Callable[[World, Path], list[object]]
    out: str | None = "out"
    needs: str = ""


CASES: dict[str, Case] = {
    "audit": Case("audit", lambda world, _: [world.drawn, "--split", world.split_file]),
    "audit, with findings": Case("audit", lambda world, out: [world.marred(), "--clean", out / "clean.csv"]),
    "audit, of one label": Case("audit", lambda world, _: [world.one_label()]),
    "split": Case("split", lambda world, _: [world.drawn], out="split.csv"),
    "split, by scene": Case(
        "split", lambda world, _: [world.drawn, "--by", "scene", "--scenes", world.scenes()], out="split.csv"
    ),
    "train": Case(
        "train",
        lambda world, _: [
            *(world.drawn, "--split", world.split_file),
            *("--backbone", world.backbone, "--patch-px", 64),
        ],
    ),
    "train, by folds": Case(
        "train",
        lambda world, _: [
            *(world.drawn, "--cross-validate", "photo", "--folds", 2),
            *("--backbone", world.backbone, "--patch-px", 64),
        ],
    ),
    "train, by a recipe": Case(
        "train",
        lambda world, _: [
            *(world.drawn, "--split", world.split_file, "--recipe", "cnn-scratch", "--patch-px", 48),
            *("--set", "finetuning.epochs=1", "--set", "batch_size=16", "--threads", 1),
        ],
        needs="torch",
    ),
    "train, without a test part": Case("train", lambda world, _: [world.drawn, "--split", world.split_without_test()]),
    "recipes": Case("recipes", lambda world, _: [], out=None),
    "evaluate": Case("evaluate", lambda world, _: [world.drawn, "--split", world.split_file, "--model", world.model]),
    "evaluate, with a gate": Case("evaluate", lambda world, _: [world.marred()]),
    "evaluate, photos": Case(
        "evaluate",
        lambda world, _: [world.masked_photos()[0], "--masks", world.masked_photos()[1], "--model", world.model],
    ),
    "robustness": Case("robustness", lambda world, _: [world.drawn, "--model", world.model, "--max-patches", 8]),
    "transfer": Case(
        "transfer",
        lambda world, _: [*world.sets(), "--backbone", world.backbone, "--seeds", "0", "--per-label", 12],
    ),
    "transfer, with a refused file": Case(
        "transfer",
        lambda world, _: [
            *(world.sets()[0], world.marred(), "--backbone", world.backbone),
            *("--seeds", "0", "--per-label", 12),
        ],
    ),
    "accept": Case("accept", lambda world, _: [world.sets()[0], "--model", world.model]),
    "accept, with a gate": Case("accept", lambda world, _: [world.marred()]),
    "accept, with few photos": Case("accept", lambda world, _: [world.few(), "--model", world.model]),
    "compare": Case("compare", lambda world, _: [world.run_of(0), world.run_of(1)]),
    "export": Case(
        "export",
        lambda world, _: [
            *(world.drawn, "--split", world.split_file, "--model", world.model),
            *("--calibration-patches", 8, "--allow-loss"),
        ],
        out="out.onnx",
    ),
    "predict": Case(
        "predict", lambda world, _: [world.drawn.parent / "crack", "--model", world.model], out="predictions.csv"
    ),
    "predict, as JSON lines": Case(
        "predict", lambda world, _: [world.marred() / "crack", "--model", world.model], out="predictions.jsonl"
    ),
    "predict, as Parquet": Case(
        "predict",
        lambda world, _: [world.photos(), "--model", world.model],
        out="predictions.parquet",
        needs="pyarrow",
    ),
    "scan": Case("scan", lambda world, _: [world.photos(), "--model", world.model]),
    "scan, with lines": Case(
        "scan", lambda world, _: [world.photos(), "--model", world.fine_model(), "--fine-map", "--maps", "npz"]
    ),
    "scan, at a known scale": Case("scan", lambda world, _: [world.masked_photos()[0], "--mm-per-px", 0.4]),
    "scan, with a marker": Case(
        "scan",
        lambda world, _: [
            *(world.marked_photo(), "--model", world.model),
            *("--marker", "APRILTAG_36h11:50", "--mm-per-px", 0.9),
        ],
    ),
    "measure": Case(
        "measure",
        lambda world, _: [world.marked_photo(), "--line", "200,40,390,200", "--marker", "APRILTAG_36h11:50"],
        out="line.png",
    ),
    "measure, without a scale": Case(
        "measure",
        lambda world, _: [world.marked_photo(), "--line", "200,40,390,200", "--line", "9,9,50,9", "--as-drawn"],
        out=None,
    ),
    "markers": Case("markers", lambda world, _: [], out="markers.pdf"),
    "scenes": Case("scenes", lambda world, _: [world.overlapping_photos(), "--threads", 1]),
    "bundle": Case("bundle", lambda world, _: [world.run_of(0) / "model.onnx"], out=None),
    "bundle, on a trained backbone": Case(
        "bundle", lambda world, _: [world.ran("train, without a test part").folder / "out" / "model.onnx"], out=None
    ),
    "bundle, with a fine map": Case("bundle", lambda world, _: [world.fine_model()], out=None),
    "bundle, the default": Case("bundle", lambda world, out: ["--copy", out / "copy.onnx"], out=None),
    "download": Case("download", lambda world, _: ["metu", "--archive", world.archive()]),
}
"""Calls by name: each command on its own under its name, then in other circumstances, which bring other fields."""
