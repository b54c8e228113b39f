"""What a model was trained on is not taken for new, and a leaking split is no measurement."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

import crackscope
from crackscope.data.cache import Rows
from crackscope.data.patches import read_patches
from crackscope.data.similarity import fingerprints
from crackscope.data.splits import apply_split, split, write_split
from crackscope.drawing.walls import draw_dataset
from crackscope.errors import SplitError
from crackscope.measuring.judging import part_to_judge
from crackscope.model.provenance import count_seen, describe_training_data
from shared.sdnet import draw_sdnet, photos_of_scenes


@pytest.fixture
def run(drawn: Path, backbone_file: Path, tmp_path: Path) -> Path:
    write_split(split(read_patches(drawn), val=0.25, test=0.25), tmp_path / "split.csv")
    crackscope.train(drawn, out=tmp_path / "run", split=tmp_path / "split.csv", backbone=backbone_file, patch_px=64)
    return tmp_path / "run"


def test_a_clean_test_part_is_clean_from_a_path_or_an_index(drawn: Path, run: Path) -> None:
    model = crackscope.load(run / "model.onnx")
    by_path = crackscope.evaluate(drawn, model, split=run / "split.csv")
    assert not by_path.leaky
    assert (by_path.part, by_path.split, by_path.photo_kind) == ("test", "split.csv", "photos")
    assert by_path.model_sha256 == model.sha256
    index = apply_split(read_patches(drawn), split=crackscope.read_split(run / "split.csv"))
    by_index = crackscope.evaluate(index, model)
    assert by_index.paths == by_path.paths
    assert (by_index.probabilities == by_path.probabilities).all()


def test_trained_patches_are_counted_exactly_wherever_they_lie(drawn: Path, run: Path) -> None:
    index = read_patches(drawn)
    model = crackscope.load(run / "model.onnx")
    n_train = sum(patch.part == "train" for patch in crackscope.read_split(run / "split.csv").patches)
    with pytest.raises(SplitError, match=rf"trained on {n_train} of these {len(index)} patches.*photos photo-\d+, "):
        crackscope.evaluate(index, model)
    everything = crackscope.evaluate(index, model, allow_leakage=True, n_resamples=10)
    assert (everything.part, everything.n_seen, everything.leaky) == (None, n_train, True)


def test_a_name_that_no_disk_takes_is_a_patch_that_cannot_be_read(tmp_path: Path, bundle_file: Path) -> None:
    table = draw_dataset(tmp_path / "walls", n_photos=4, patches_per_photo=4, side_px=96)
    names = ("a\0b.png", "n" * 300 + ".png", "crack/gone.png")
    with table.open("a", encoding="utf-8") as file:
        file.writelines(f"{name},crack,wall\n" for name in names)
    found = crackscope.evaluate(table, bundle_file, n_resamples=5)
    assert [path for path, _ in found.refused] == list(names)
    assert all(why.startswith("cannot be read: ") for _, why in found.refused)


def test_a_leaking_split_is_refused_or_counted(drawn: Path, run: Path, tmp_path: Path) -> None:
    rows = (run / "split.csv").read_text().splitlines()
    first = next(i for i, row in enumerate(rows) if row.endswith(",train"))
    rows[first] = rows[first].removesuffix("train") + "test"
    (tmp_path / "leaking.csv").write_text("\n".join(rows))
    model = crackscope.load(run / "model.onnx")
    with pytest.raises(SplitError, match="has patches in both train and test"):
        crackscope.evaluate(drawn, model, split=tmp_path / "leaking.csv")
    allowed = crackscope.evaluate(drawn, model, split=tmp_path / "leaking.csv", allow_leakage=True)
    assert (allowed.n_leaks, allowed.n_seen) == (1, 1)


def test_the_part_to_judge(drawn: Path, run: Path) -> None:
    index = read_patches(drawn)
    assert part_to_judge(index, None) is None
    assert part_to_judge(index, run / "split.csv") == "test"
    parts = apply_split(index, split=crackscope.read_split(run / "split.csv"))
    assert part_to_judge(parts, None) == "test"
    assert part_to_judge(parts.select([p for p in parts.patches if p.part != "test"]), None) is None


def test_a_trained_photo_of_a_published_set_is_known_by_its_name(tmp_path: Path) -> None:
    """Another tile of a trained SDNET2018 photo counts as seen; photos of other sets may share a name by chance."""
    for name, labels in (("sdnet", ("D/CD", "D/UD")), ("own", ("crack", "uncracked"))):
        for label in labels:
            for tile in ("7001-1.jpg", "7001-2.jpg", "7039-1.jpg"):
                place = tmp_path / name / label / tile
                place.parent.mkdir(parents=True, exist_ok=True)
                write_patch(place, seed=zlib.crc32(f"{name}{label}{tile}".encode()))
    index = read_patches(tmp_path / "sdnet")
    rows: Rows = fingerprints(index)
    of_path = {patch.path: i for i, patch in enumerate(index.patches)}
    trained = index.select([index.patches[of_path["D/CD/7001-1.jpg"]]])
    data = describe_training_data(trained, [rows.digests[of_path["D/CD/7001-1.jpg"]]])
    assert count_seen(index, rows.digests, data) == 4  # every tile of photo 7001
    own = read_patches(tmp_path / "own")
    own_rows = fingerprints(own)
    assert count_seen(own, own_rows.digests, data) == 0
    assert count_seen(own, own_rows.digests, describe_training_data(own, own_rows.digests)) == len(own)


def test_a_model_trained_by_photo_stops_on_photos_that_overlap(backbone_file: Path, tmp_path: Path) -> None:
    """The card knows photos; the table of SDNET2018 knows which of them show the same place."""
    photos = photos_of_scenes("P", 6, most=2)
    data = draw_sdnet(tmp_path / "sdnet2018", {"P": photos})
    by_photo = split(read_patches(data), by="photo", val=0.25, test=0.25)
    with pytest.raises(SplitError, match=r"Scene S\d+ has photos in .*: P-\d+ .*`crackscope split --by scene`"):
        crackscope.train(data, out=tmp_path / "run", split=by_photo, backbone=backbone_file, patch_px=64)
    crackscope.train(
        data, out=tmp_path / "run", split=by_photo, backbone=backbone_file, patch_px=64, allow_leakage=True
    )
    model = crackscope.load(tmp_path / "run" / "model.onnx")
    index = read_patches(data)
    trained = {patch.photo for patch in by_photo.patches if patch.part == "train"}
    scenes = {patch.scene for patch in by_photo.patches if patch.part == "train"}
    tested = [patch for patch in index.patches if patch.photo not in trained]
    overlapping = index.select([patch for patch in tested if patch.scene in scenes])
    photo = overlapping.patches[0].photo
    told = rf"photo {photo}, which shows the same place as P-\d+"
    with pytest.raises(SplitError, match=told):
        crackscope.evaluate(overlapping, model)
    with pytest.raises(SplitError, match=told):
        crackscope.measure_robustness(overlapping, model)
    marked = crackscope.evaluate(overlapping, model, allow_leakage=True, n_resamples=10)
    assert (marked.n_seen, marked.leaky, marked.photo_kind) == (len(overlapping), True, "scenes")
    alone = index.select([patch for patch in tested if patch.scene not in scenes])
    assert len(alone) == len(tested) - len(overlapping)
    if len(alone):
        assert not crackscope.evaluate(alone, model, n_resamples=10).leaky


def test_intervals_resample_scenes_where_they_are_known(bundle_file: Path, tmp_path: Path) -> None:
    data = draw_sdnet(tmp_path / "sdnet2018", {"P": photos_of_scenes("P", 4, most=2)}, patches_per_photo=3)
    found = crackscope.evaluate(data, bundle_file, n_resamples=10)
    assert (found.photo_kind, found.n_photos, found.leaky) == ("scenes", 4, False)


def write_patch(place: Path, *, seed: int) -> None:
    import cv2

    cv2.imwrite(str(place), crackscope.draw_patch(seed, side_px=64).pixels)
