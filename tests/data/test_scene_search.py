"""Photos of one place are brought together, without comparing all with all, and again after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crackscope.arrays import UInt8Array
from crackscope.data import scene_search
from crackscope.data.likeness import votes_between
from crackscope.data.photo_features import features_of
from crackscope.data.registration import register_features
from crackscope.data.scene_photos import photos_for_scenes
from crackscope.data.scene_search import ScenePhoto, _joined, find_scenes
from crackscope.drawing.walls import draw_photo
from crackscope.errors import DataError, ImageError
from crackscope.files.images import Image
from shared.pictures import save

N_WALLS = 3


@pytest.fixture(scope="module")
def views() -> dict[str, UInt8Array]:
    """Three walls in two overlapping photos each, shuffled by name; and a photo of a fourth wall."""
    found = {}
    for wall in range(N_WALLS):
        pixels = draw_photo(wall, photo_hw=(220, 420)).pixels
        found[f"b{wall}"], found[f"a{2 - wall}"] = pixels[:, :300], pixels[:, 120:]
    return dict(sorted(found.items())) | {"single": draw_photo(9, photo_hw=(220, 300)).pixels}


def photo(name: str, pixels: UInt8Array) -> ScenePhoto:
    return ScenePhoto(name, lambda: Image(np.ascontiguousarray(pixels)))


@pytest.mark.parametrize("by_names", [True, False])
def test_photos_of_a_wall_are_one_scene(views: dict[str, UInt8Array], by_names: bool) -> None:
    found = find_scenes([photo(*view) for view in views.items()], by_names=by_names, threads=1)
    scenes = found.scenes
    assert {(pair.photo_a, pair.photo_b) for pair in found.pairs} == {("a2", "b0"), ("a1", "b1"), ("a0", "b2")}
    assert scenes["a2"] == scenes["b0"] == "S003"
    assert scenes["single"] == "S004"
    assert len(set(scenes.values())) == 4
    assert all(pair.picture.startswith(b"\xff\xd8") for pair in found.pairs)
    assert found.refused == ()


def test_a_photo_that_cannot_be_read_is_told(views: dict[str, UInt8Array]) -> None:
    def fail() -> Image:
        raise ImageError("not an image")

    photos = [photo("a2", views["a2"]), ScenePhoto("torn", fail), photo("b0", views["b0"])]
    found = find_scenes(photos, threads=1)
    assert found.refused == (("torn", "not an image"),)
    assert found.scenes == {"a2": "S001", "b0": "S001"}


@pytest.mark.parametrize("views_given", [0, 1])
def test_few_photos(views: dict[str, UInt8Array], views_given: int) -> None:
    found = find_scenes([photo(*view) for view in views.items()][:views_given], threads=1)
    assert (len(found.scenes), found.n_compared, found.pairs) == (views_given, 0, ())


def test_two_photos_of_one_name_are_refused(views: dict[str, UInt8Array]) -> None:
    with pytest.raises(DataError, match="a2: two photos have this name"):
        find_scenes([photo("a2", views["a2"])] * 2)


@pytest.mark.slow
def test_an_interrupted_search_goes_on(
    views: dict[str, UInt8Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [photo(*view) for view in views.items()]
    whole = find_scenes(photos, threads=1)
    looked: list[str] = []
    compared = 0
    real_features, real_register = features_of, register_features

    def features(grey: UInt8Array) -> object:
        looked.append("one")
        if len(looked) == 4:
            raise KeyboardInterrupt
        return real_features(grey)

    def register(*words: object) -> object:
        nonlocal compared
        compared += 1
        if compared == 3:
            raise KeyboardInterrupt
        return real_register(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(scene_search, "features_of", features)
    monkeypatch.setattr(scene_search, "register_features", register)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            find_scenes(photos, folder=tmp_path, threads=1)
    assert find_scenes(photos, folder=tmp_path, threads=1) == whole
    assert len(looked) <= len(photos) + 2  # what was under way when it was interrupted is done again
    assert compared <= whole.n_compared + 2


def test_a_photo_that_changed_is_looked_at_again(views: dict[str, UInt8Array], tmp_path: Path) -> None:
    states = {"a2": 1, "b0": 1}
    loads: list[str] = []

    def watched(name: str) -> ScenePhoto:
        def load() -> Image:
            loads.append(name)
            return Image(np.ascontiguousarray(views[name]))

        return ScenePhoto(name, load, lambda: states[name])

    for changed in (None, None, "b0"):
        if changed:
            states[changed] = 2
        find_scenes([watched("a2"), watched("b0")], folder=tmp_path, threads=1)
    assert loads == ["a2", "b0", "b0"]


@pytest.mark.parametrize(
    ("links", "roots"), [([], [0, 1, 2, 3]), ([(2, 3), (0, 3)], [0, 1, 0, 0]), ([(1, 2), (1, 2)], [0, 1, 1, 3])]
)
def test_links_make_groups(links: list[tuple[int, int]], roots: list[int]) -> None:
    assert _joined(4, links) == roots


@pytest.mark.parametrize("sizes", [[0, 0], [5, 0], [0, 1, 1]])
def test_votes_of_photos_with_few_points(sizes: list[int]) -> None:
    votes = votes_between([np.ones((n, 128), np.float32) / np.float32(np.sqrt(128)) for n in sizes])
    assert votes.shape == (len(sizes), len(sizes))
    assert np.isfinite(votes).all()


# The photos behind a path


def test_whole_photos_are_named_by_their_paths(tmp_path: Path, views: dict[str, UInt8Array]) -> None:
    for name in ("a2", "b0"):
        save(tmp_path / f"{name}.png", views[name])
    photos = photos_for_scenes([tmp_path, tmp_path / "a2.png"])
    assert [one.name for one in photos] == [f"{tmp_path}/a2.png", f"{tmp_path}/b0.png"]
    assert photos[0].load().pixels.shape == (220, 300, 3)
    before = photos[0].state()
    save(tmp_path / "a2.png", views["b0"])
    assert before is not None
    assert photos[0].state() != before


def tiles(folder: Path) -> None:
    """Two photos of two tiles each, as SDNET2018 names them."""
    for number in (7001, 7002):
        for tile, side in ((1, "CD"), (2, "UD")):
            save(folder / "D" / side / f"{number}-{tile}.jpg", draw_photo(number + tile, photo_hw=(64, 64)).pixels)


def grid(folder: Path) -> Path:
    lines = [
        f"D,{number},{tile},0,{tile - 1},{side}" for number in (7001, 7002) for tile, side in ((1, "CD"), (2, "UD"))
    ]
    path = folder / "grid.csv"
    path.write_text("surface,photo,tile,row,col,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_photos_are_laid_together_by_a_grid(tmp_path: Path) -> None:
    tiles(tmp_path / "set")
    photos = photos_for_scenes([tmp_path / "set"], grid=grid(tmp_path))
    assert [one.name for one in photos] == ["D-7001", "D-7002"]
    assert photos[0].load().pixels.shape == (64, 128, 3)
    assert photos[0].state() == photos[0].state() != photos[1].state()


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "tiles without a grid": (lambda folder: photos_for_scenes([folder / "many"]), "Give --grid"),
    "two sets with a grid": (lambda folder: photos_for_scenes(["a", "b"], grid=grid(folder)), "one set of tiles"),
    "a grid that does not fit": (
        lambda folder: photos_for_scenes([folder / "other"], grid=grid(folder)),
        "names no photo",
    ),
    "nothing there": (lambda folder: photos_for_scenes([folder / "nowhere"]), "nowhere"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_told(tmp_path: Path, name: str) -> None:
    for tile in range(1, 9):
        save(tmp_path / "many" / "D" / "CD" / f"7001-{tile}.jpg", draw_photo(tile, photo_hw=(32, 32)).pixels)
    save(tmp_path / "other" / "wall.png", draw_photo(1, photo_hw=(32, 32)).pixels)
    call, reason = WRONG[name]
    with pytest.raises(DataError, match=reason):
        call(tmp_path)
