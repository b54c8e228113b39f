"""A matrix of trainings and tests: nothing leaks, numbers are equal, and a stopped run ends as one that was not."""

from __future__ import annotations

import csv
import itertools
import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser

import crackscope
from crackscope.data.patches import LABELS, PARTS, Patch, PatchIndex, read_patches
from crackscope.data.splits import Split
from crackscope.drawing.walls import draw_dataset
from crackscope.errors import CrackscopeError, DataError, OutputError, RecipeError
from crackscope.measuring.metrics import Estimate
from crackscope.measuring.transfer import FIGURES, Transfer, TransferTest
from crackscope.measuring.transfer_sets import draw, n_to_draw, read_photo_list, read_sets
from crackscope.reports.transfer_report import REPORT_FILES, write_transfer
from crackscope.training import transfer_run
from crackscope.training.transfer_run import FILES, LEAST_PER_LABEL, measure_transfer
from shared.command import run
from shared.folders import contents_of
from shared.markup import ReadPage
from shared.pages import violations
from shared.pictures import read_pixels
from shared.sdnet import draw_sdnet, photos_of_scenes
from shared.stopping import Stopped

NAMES = ("north", "south", "east")
OPTIONS: dict[str, Any] = {"seeds": (0, 1), "per_label": 16, "n_resamples": 20, "threads": 1}


@pytest.fixture(scope="module")
def walls(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three drawn sets."""
    folder = tmp_path_factory.mktemp("walls")
    for seed, name in enumerate(NAMES):
        draw_dataset(folder / name, n_photos=10, patches_per_photo=6, side_px=48, seed=seed)
    return [folder / name for name in NAMES]


@pytest.fixture(scope="module")
def done(walls: list[Path], backbone_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Transfer, Path]:
    out = tmp_path_factory.mktemp("transfer") / "out"
    return measure_transfer(walls, out=out, backbone=backbone_file, **OPTIONS), out


def without_times(files: dict[str, bytes]) -> dict[str, bytes]:
    """All but ``run`` in the figures of a training, which tells how many features were computed."""
    found = dict(files)
    for name in files:
        if name.startswith("figures/"):
            document = json.loads(files[name])
            del document["run"]
            found[name] = json.dumps(document).encode()
    return found


# The sets


def test_published_sets_are_divided_and_have_readable_names(tmp_path: Path) -> None:
    for name in ("D/CD/7001-1", "D/UD/7001-2", "P/CP/001-1", "P/UP/001-2", "W/CW/7001-1", "W/UW/7001-2"):
        place = tmp_path / "SDNET2018" / f"{name}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), crackscope.draw_patch(sum(map(ord, name)), side_px=32).pixels)
    for label, other in (("Positive", "CRACK"), ("Negative", "uncracked")):
        for folder in (
            tmp_path / "data" / label,
            tmp_path / "crack data!" / other,
            tmp_path / "b" / "Crack-Data" / other,
        ):
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "00001.jpg"), crackscope.draw_patch(len(str(folder)), side_px=32).pixels)
    found = read_sets(
        [tmp_path / "data", tmp_path / "SDNET2018", tmp_path / "crack data!", tmp_path / "b" / "Crack-Data"]
    )
    assert [one.name for one in found] == ["metu", "decks", "pavements", "walls", "crack-data", "Crack-Data-2"]
    assert [one.split_by for one in found] == ["similarity", "scene", "scene", "photo", "similarity", "similarity"]
    assert {patch.photo for patch in found[1].index.patches} == {"D-7001"}


def test_one_set_alone_and_a_set_with_one_label_are_errors(walls: list[Path]) -> None:
    with pytest.raises(DataError, match=r"needs two sets; found north\. Name another one"):
        read_sets(walls[:1])
    index = read_patches(walls[1])
    one_label = index.select([patch for patch in index.patches if patch.label == "crack"])
    with pytest.raises(DataError, match="south: a transfer needs both labels; found"):
        read_sets([walls[0], one_label])


def test_photos_that_take_no_part_are_left_out_and_counted(walls: list[Path]) -> None:
    index = read_patches(walls[0])
    photos = sorted({patch.photo for patch in index.patches if patch.photo})[:2]
    found = read_sets(walls[:2], without=photos)
    assert [one.without for one in found] == [frozenset(photos)] * 2
    for one in found:
        assert not {patch.photo for patch in one.index.patches} & set(photos)
    assert len(found[0].index) == sum(patch.photo not in photos for patch in index.patches)


@pytest.mark.parametrize(
    ("text", "photos"),
    [
        ("photo\nD-7001\nW-2\n", {"D-7001", "W-2"}),
        ("\ufeffSurface, Photo\nD,7001\n\nW, 2\n", {"D-7001", "W-2"}),
        ("photo,why\np1,reserved\n", {"p1"}),
        ("surface,photo\n,p1\n", {"p1"}),
    ],
)
def test_a_list_names_photos_as_patches_have_them(tmp_path: Path, text: str, photos: set[str]) -> None:
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    assert read_photo_list(tmp_path / "list.csv") == photos


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"surface,phto\nD,7001\n", "no column 'photo' among surface, phto. Did you mean 'phto'?"),
        (b"", "no column 'photo' among none"),
        (b"photo\n", "no photo is listed"),
        (b"surface,photo\nD,\n", "row 2: the photo is empty"),
        (b"photo\n\xff\n", "not UTF-8 text (byte 6)"),
    ],
)
def test_a_wrong_list_is_an_error_that_says_what_is_wrong(tmp_path: Path, content: bytes, part: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DataError) as error:
        read_photo_list(tmp_path / "list.csv")
    assert part in str(error.value)
    with pytest.raises(DataError, match="cannot be read"):
        read_photo_list(tmp_path / "nothing.csv")


# The draw


def split_of_photos(photos: list[tuple[str, int, int]]) -> Split:
    """Photos with their part, cracked and uncracked patches."""
    return Split(
        tuple(
            Patch(f"{number}-{label}-{i}", label, f"p{number}", part)
            for number, (part, *counts) in enumerate(photos)
            for label, n in zip(LABELS, counts, strict=True)
            for i in range(n)
        )
    )


whole_splits = st.lists(
    st.tuples(st.sampled_from(PARTS), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12
).map(split_of_photos)


@given(whole_splits, st.integers(10, 60), st.integers(0, 3))
def test_labels_are_equal_in_every_part_and_no_photo_moves(whole: Split, per_label: int, seed: int) -> None:
    n_per_label = n_to_draw(whole, per_label)
    drawn = draw(whole, n_per_label, seed=seed)
    assert set(drawn.patches) <= set(whole.patches)
    assert len({patch.path for patch in drawn.patches}) == len(drawn.patches)
    counts = Counter((patch.part, patch.label) for patch in drawn.patches)
    for part in PARTS:
        assert counts[part, "crack"] == counts[part, "uncracked"] == n_per_label[part]
        available = whole.counts()[part]
        wanted = round({"train": 0.7, "val": 0.15, "test": 0.15}[part] * per_label)
        assert n_per_label[part] == min(wanted, available["crack"], available["uncracked"])


@given(whole_splits, st.integers(10, 60), st.integers(0, 3), st.randoms(use_true_random=False))
def test_neither_order_nor_number_changes_which_patches_come_first(
    whole: Split, per_label: int, seed: int, random: Any
) -> None:
    n_per_label = n_to_draw(whole, per_label)
    shuffled = list(whole.patches)
    random.shuffle(shuffled)
    drawn = draw(whole, n_per_label, seed=seed)
    assert draw(Split(tuple(shuffled)), n_per_label, seed=seed) == drawn
    fewer = draw(whole, {part: n // 2 for part, n in n_per_label.items()}, seed=seed)
    assert set(fewer.patches) <= set(drawn.patches)


def test_another_seed_draws_others() -> None:
    whole = split_of_photos([("train", 50, 50)])
    drawn = [draw(whole, {"train": 20}, seed=seed) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    assert {len(one.patches) for one in drawn} == {40}


# The matrix


def test_every_training_is_tested_on_every_set_with_every_seed(done: tuple[Transfer, Path]) -> None:
    found, _ = done
    sources = [*NAMES, *(f"all but {name}" for name in NAMES)]
    assert [(one.seed, one.source, one.target) for one in found.tests] == list(
        itertools.product((0, 1), sources, NAMES)
    )
    assert list(found.sources) == sources
    assert list(found.targets) == list(NAMES)
    kinds = Counter(one.kind for one in found.tests)
    assert kinds == {"own set": 6, "another set": 12, "all other sets": 6, None: 12}
    assert not found.leaky
    assert not found.refused


def test_numbers_are_those_of_the_protocol(done: tuple[Transfer, Path]) -> None:
    found, _ = done
    for one in found.tests:
        assert one.n_train <= 22  # 2 × 11 of 16 a label
        assert one.n_val == 4
        assert one.n_patches == 4
        assert one.n_photos
        assert one.photo_kind == "photos"
        assert one.always_crack_f1 == pytest.approx(2 / 3)
    for seed, name in itertools.product((0, 1), NAMES):
        (joint,) = {one.n_train for one in found.tests if (one.seed, one.source) == (seed, f"all but {name}")}
        single = [one.n_train for one in found.of(name, name)]
        others = [
            next(one.n_train for one in found.of(other, other) if one.seed == seed) for other in NAMES if other != name
        ]
        assert joint == 2 * 2 * min(max(others) // 2 // 2, *(n // 2 for n in others))
        assert len(single) == 2


def test_no_test_photo_was_trained_on_and_models_are_the_ones_that_were_judged(
    walls: list[Path], done: tuple[Transfer, Path]
) -> None:
    found, out = done
    (one,) = (test for test in found.of("all but north", "east") if test.seed == 1)
    model = crackscope.load(out / "models" / "all-but-north-1.onnx")
    assert model.sha256 == one.model_sha256
    assert model.card.patch.threshold == one.threshold
    east = next(each for each in read_sets(walls) if each.name == "east")
    parts = east.parts(1)
    drawn = draw(parts, n_to_draw(parts, 16), seed=1)
    judged = crackscope.evaluate(east.index, model, part="test", split=drawn, n_resamples=20, seed=1)
    assert judged.n_seen == 0
    for name in FIGURES:
        assert one.figures[name].value == pytest.approx(judged.metrics[name].value, nan_ok=True)


def test_means_are_over_seeds_of_values_and_of_ends(done: tuple[Transfer, Path]) -> None:
    found, _ = done
    tests = found.of("north", "south")
    mean = found.mean("north", "south")["auroc"]
    assert [one.seed for one in tests] == [0, 1]
    assert mean.value == pytest.approx(np.mean([one.figures["auroc"].value for one in tests]))
    assert mean.low == pytest.approx(np.mean([one.figures["auroc"].low for one in tests]), nan_ok=True)
    assert found.means_by_kind()["own set"]["mcc"] == pytest.approx(
        np.mean([one.figures["mcc"].value for name in NAMES for one in found.of(name, name)])
    )
    undefined = replace(tests[0], figures={**tests[0].figures, "precision_crack": Estimate(*(math.nan,) * 3)})
    other = replace(found, tests=(undefined, tests[1]))
    assert math.isnan(other.mean("north", "south")["precision_crack"].value)
    document = json.loads(json.dumps(other.document(), allow_nan=False))
    assert document["tests"][0]["precision_crack"]["value"] is None
    assert TransferTest.of_document(document["tests"][0]).document() == document["tests"][0]


def test_f1_no_better_than_always_crack_is_counted(done: tuple[Transfer, Path]) -> None:
    found, _ = done
    away = [one for one in found.tests if one.kind == "another set"]
    worse = sum(one.figures["f1_crack"].value <= 2 / 3 for one in away)
    assert found.n_no_better() == (worse, len(away))


def test_neither_order_of_the_sets_nor_threads_change_a_figure(
    walls: list[Path], backbone_file: Path, done: tuple[Transfer, Path], tmp_path: Path
) -> None:
    turned = [walls[2], walls[0], walls[1]]
    other = measure_transfer(turned, out=tmp_path / "out", backbone=backbone_file, **{**OPTIONS, "threads": 2})
    assert other.targets == ("east", "north", "south")
    for source, target in itertools.product(done[0].sources, NAMES):
        for one, same in zip(done[0].of(source, target), other.of(source, target), strict=True):
            assert same.figures == one.figures
            assert set(same.trained_on) == set(one.trained_on)


def test_two_sets_have_no_training_on_all_but_one(walls: list[Path], backbone_file: Path, tmp_path: Path) -> None:
    found = measure_transfer(walls[:2], out=tmp_path / "out", backbone=backbone_file, **{**OPTIONS, "seeds": [3]})
    assert found.sources == found.targets == ("north", "south")


def test_sets_whose_photos_are_not_known_are_split_into_groups(
    walls: list[Path], backbone_file: Path, tmp_path: Path
) -> None:
    places = []
    for place in walls[:2]:
        index = read_patches(place)
        places.append(index.select([replace(patch, photo=None) for patch in index.patches]))
    options = {**OPTIONS, "seeds": [0], "per_label": 12}
    found = measure_transfer(places, out=tmp_path / "out", backbone=backbone_file, **options)
    assert {one.photo_kind for one in found.tests} == {"similarity groups"}
    card = crackscope.load(tmp_path / "out" / "models" / "north-0.onnx").card
    assert card.split is not None
    assert card.split["by"] == "similarity"
    assert not found.leaky


def test_what_two_sets_share_is_marked(walls: list[Path], backbone_file: Path, tmp_path: Path) -> None:
    """The same photos under another name, as two collections of one archive have them."""
    index = read_patches(walls[0])
    renamed = [replace(patch, photo=f"photo-{99 - int((patch.photo or '')[-2:])}") for patch in index.patches]
    twin = replace(index, name="twin", patches=tuple(renamed))
    found = measure_transfer(
        [walls[0], walls[1], twin], out=tmp_path / "out", backbone=backbone_file, **{**OPTIONS, "per_label": 30}
    )
    assert any(one.leaky and one.n_leaks for one in found.of("north", "twin"))
    assert not any(one.leaky for one in found.of("north", "south"))
    assert not any(one.leaky for one in found.of("north", "north"))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Some figures are leaky" in page
    assert found.document()["leaky"] is True


def test_what_one_set_validates_on_another_does_not_learn_from(
    walls: list[Path], backbone_file: Path, tmp_path: Path
) -> None:
    """A part of one set's photos again, as its own collection: in a training on both they lie on either side."""
    index = read_patches(walls[0])
    names = sorted({str(patch.photo) for patch in index.patches})[:7]
    own = [patch for patch in index.patches if patch.photo in names]
    twin = replace(index, name="twin", patches=tuple(replace(one, photo=f"twin-{one.photo}") for one in own))
    options = {**OPTIONS, "per_label": 30, "seeds": (0, 1, 2)}
    found = measure_transfer([walls[0], walls[1], twin], out=tmp_path / "out", backbone=backbone_file, **options)
    both, alone = ([one for one in found.tests if one.source == name] for name in ("all but south", "north"))
    assert min(one.n_val for one in both) < alone[0].n_val


def test_a_photo_that_two_sets_share_is_not_learnt_and_validated_on() -> None:
    """Published photos keep their names, so two collections of them may hold other patches of one."""
    where = {"a": {"D-1": "train", "D-2": "val", "D-3": "val"}, "b": {"D-2": "train", "D-1": "val"}}
    sets = {
        name: tuple(
            Patch(path=f"{photo}-{label}.jpg", label=label, dataset="sdnet2018-D", photo=photo, part=part)
            for photo, part in photos.items()
            for label in LABELS
        )
        for name, photos in where.items()
    }
    joined = [replace(patch, path=f"{name}/{patch.path}") for name, patches in sets.items() for patch in patches]
    drawn = transfer_run._Drawn(
        PatchIndex("both", tuple(joined), None),  # type: ignore[arg-type]
        {name: Split(patches, "photo") for name, patches in sets.items()},
        {name: {"train": 2, "val": 4} for name in sets},
        (),
        (),
    )
    index = drawn.training_index(transfer_run._Training("all but c", ("a", "b"), 0))
    photos = {part: {patch.photo for patch in index.patches if patch.part == part} for part in PARTS}
    assert photos == {"train": {"D-1", "D-2"}, "val": {"D-3"}, "test": set()}


def test_the_least_number_of_patches_is_enough_for_all_sets_but_one(
    walls: list[Path], backbone_file: Path, tmp_path: Path
) -> None:
    options = {**OPTIONS, "per_label": LEAST_PER_LABEL, "seeds": (0,)}
    west = draw_dataset(tmp_path / "west", n_photos=10, patches_per_photo=6, side_px=48, seed=3).parent
    found = measure_transfer([*walls, west], out=tmp_path / "out", backbone=backbone_file, **options)
    assert {one.n_val for one in found.tests if one.source == "all but east"} == {6}


# The folder


def test_the_folder_holds_every_file_and_nothing_is_left_beside_it(done: tuple[Transfer, Path]) -> None:
    found, out = done
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert sorted(path.name for path in out.iterdir()) == sorted(set(FILES) - {"trainings"})
    stems = sorted(f"{source.replace(' ', '-')}-{seed}" for source in found.sources for seed in (0, 1))
    for folder in ("models", "figures"):
        assert sorted(path.stem for path in (out / folder).iterdir()) == stems
    document = json.loads((out / "transfer.json").read_text())
    assert document == json.loads(json.dumps(found.document()))
    assert document["sets"][0]["n_photos"] == 10
    assert len(document["means"]) == 18
    with (out / "transfer.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found.tests)
    assert float(rows[5]["auroc"]) == pytest.approx(found.tests[5].figures["auroc"].value, abs=1e-5)
    assert read_pixels(out / "transfer.png").std() > 10


def test_the_page_is_whole_and_fetches_nothing(done: tuple[Transfer, Path]) -> None:
    text = (done[1] / "report.html").read_text(encoding="utf-8")
    page = ReadPage(text)
    assert all(address.startswith("data:image/png") for address in page.fetched)
    for source in done[0].sources:
        assert source in text
    assert "leaky</span>" not in text


# Stopped and taken up


def stopping_at(n: int) -> Any:
    """Told of the n-th training, it stops the run."""
    count = itertools.count(1)

    def say(line: str) -> None:
        if line.startswith("training") and next(count) == n:
            raise Stopped

    return say


def test_a_run_that_was_stopped_goes_on_and_ends_alike(
    walls: list[Path], backbone_file: Path, done: tuple[Transfer, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    lines: list[str] = []
    with pytest.raises(Stopped):
        measure_transfer(walls, out=out, backbone=backbone_file, say=stopping_at(4), **OPTIONS)
    assert not out.exists()

    def killed(*_: Any, **__: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(transfer_run, "judge", killed)  # between training and figures
        with pytest.raises(Stopped):
            measure_transfer(walls, out=out, backbone=backbone_file, **OPTIONS)
    found = measure_transfer(walls, out=out, backbone=backbone_file, say=lines.append, **OPTIONS)
    assert "3 of 12 trainings are there already" in lines
    assert sum(line.startswith("training") for line in lines) == 9
    assert found.document() == done[0].document()
    assert without_times(contents_of(out)) == without_times(contents_of(done[1]))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_damaged_is_trained_again_and_other_seeds_are_tidied_away(
    walls: list[Path], backbone_file: Path, done: tuple[Transfer, Path], tmp_path: Path
) -> None:
    part = tmp_path / ".out.part"
    shutil.copytree(done[1], part)
    (part / "models" / "north-0.onnx").write_bytes(b"")
    (part / "models" / "east-0.onnx").unlink()
    (part / "figures" / "south-0.json").write_text('{"identity": ')
    (part / "figures" / ".south-0-0123456789ab.part.json").write_text("{")
    lines: list[str] = []
    options = {**OPTIONS, "seeds": [0]}
    found = measure_transfer(walls, out=tmp_path / "out", backbone=backbone_file, say=lines.append, **options)
    assert [line.split(": ")[1].split(";")[0] for line in lines if line.startswith("training")] == [
        f"{name}, seed 0" for name in NAMES
    ]
    assert [one.document() for one in found.tests] == [one.document() for one in done[0].tests if one.seed == 0]
    for folder in ("models", "figures"):
        assert sorted(path.stem for path in (tmp_path / "out" / folder).iterdir()) == sorted(
            f"{source.replace(' ', '-')}-0" for source in found.sources
        )


@pytest.mark.parametrize("changed", ["per_label", "data", "backbone"])
def test_what_another_run_left_is_neither_used_nor_thrown_away_unasked(
    walls: list[Path], backbone_file: Path, bundle_file: Path, done: tuple[Transfer, Path], tmp_path: Path, changed: str
) -> None:
    shutil.copytree(done[1], tmp_path / ".out.part")
    options = {**OPTIONS, "seeds": [0], "per_label": 14 if changed == "per_label" else 16}
    places = walls[1:] if changed == "data" else walls
    backbone = bundle_file if changed == "backbone" else backbone_file
    with pytest.raises(OutputError, match=r"12 trainings of other data or settings.*or say --overwrite"):
        measure_transfer(places, out=tmp_path / "out", backbone=backbone, **options)
    lines: list[str] = []
    found = measure_transfer(
        places, out=tmp_path / "out", backbone=backbone, say=lines.append, overwrite=True, **options
    )
    assert not any("already" in line for line in lines)
    assert sorted(path.stem for path in (tmp_path / "out" / "models").iterdir()) == sorted(
        f"{source.replace(' ', '-')}-0" for source in found.sources
    )


# What is refused


def test_wrong_wishes_fail_before_any_work(walls: list[Path], backbone_file: Path, tmp_path: Path) -> None:
    def fails(error: type[CrackscopeError], match: str, **wish: Any) -> None:
        lines: list[str] = []
        with pytest.raises(error, match=match):
            measure_transfer(walls, out=tmp_path / "out", **{"backbone": backbone_file, "say": lines.append, **wish})
        assert not any(line.startswith("training") for line in lines)
        assert list(tmp_path.iterdir()) == []

    fails(DataError, "seeds none: give different numbers", seeds=())
    fails(DataError, "seeds 1,1", seeds=(1, 1))
    fails(DataError, "seeds -1", seeds=(-1,))
    fails(DataError, "Ask for at least 10", per_label=9)
    fails(RecipeError, "the recipe 'head' has no settings", changes=["batch_size=2"])
    fails(RecipeError, "no-such", recipe="no-such")
    fails(RecipeError, "batch_sise", recipe="mobilenetv2-frozen", changes=["batch_sise=2"])
    taken = tmp_path / "out"
    taken.mkdir()
    with pytest.raises(OutputError, match="exists"):
        measure_transfer(walls, out=taken, backbone=backbone_file)
    (taken / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds 'notes\.txt'"):
        measure_transfer(walls, out=taken, backbone=backbone_file, overwrite=True)


def test_a_list_of_photos_that_are_in_no_set_is_told(walls: list[Path], backbone_file: Path, tmp_path: Path) -> None:
    photo = next(patch.photo for patch in read_patches(walls[0]).patches)
    (tmp_path / "list.csv").write_text("photo\nD-7001\n")
    with pytest.raises(DataError, match=r"1 of its 1 photos, such as D-7001, are in no set"):
        measure_transfer(walls, out=tmp_path / "out", backbone=backbone_file, without=tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text(f"photo\nD-7001\n{photo}\n")
    lines: list[str] = []
    with pytest.raises(Stopped):
        measure_transfer(
            walls,
            out=tmp_path / "out",
            backbone=backbone_file,
            without=tmp_path / "list.csv",
            say=lambda line: lines.append(line) or stopping_at(1)(line),  # type: ignore[func-returns-value]
        )
    assert any("1 of its 2 photos" in line for line in lines)


def test_the_report_alone_can_be_written_elsewhere(done: tuple[Transfer, Path], tmp_path: Path) -> None:
    found, out = done
    assert sorted(path.name for path in write_transfer(found, tmp_path / "report").iterdir()) == list(REPORT_FILES)
    for name in ("transfer.csv", "transfer.json", "transfer.png"):
        assert (tmp_path / "report" / name).read_bytes() == (out / name).read_bytes(), name
    assert "models/" in (out / "report.html").read_text(encoding="utf-8")
    assert "models/" not in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    with pytest.raises(OutputError, match="'figures', which was not written by this command"):
        write_transfer(found, out, overwrite=True)


def test_a_notebook_shows_the_matrix(done: tuple[Transfer, Path]) -> None:
    found, _ = done
    text = found._repr_html_()
    assert "<caption>head, mean of 2 seeds: AUROC / F1 of crack</caption>" in text
    assert "<th>Tested on north</th>" in text
    assert f"<td>{found.cell_text('south', 'north')}</td>" in text
    seen = replace(found, tests=tuple(replace(one, n_seen=1) for one in found.tests))
    assert "<td>leaky " in seen._repr_html_()


# The command


def test_the_command_tells_a_table_and_a_document(
    walls: list[Path],
    backbone_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    command = ("transfer", *walls[:2], "--backbone", backbone_file, "--seeds", "0", "--per-label", 12)
    command += ("--threads", 1, "--out", out)
    assert run(monkeypatch, *command) == 0
    captured = capsys.readouterr()
    assert "another set: AUROC" in captured.out
    assert str(out / "report.html") in captured.out
    assert "training 2 of 2: south, seed 0; about 1 min left" in captured.err
    assert run(monkeypatch, *command) == 1
    assert "exists" in capsys.readouterr().err
    assert run(monkeypatch, *command, "--overwrite", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["seeds"], len(document["tests"])) == ("done", [0], 4)
    assert run(monkeypatch, *command, "--seeds", "0;1") == 2
    assert "no list of numbers" in capsys.readouterr().err
    assert run(monkeypatch, *command, "--per-label", 3) == 2


def test_a_file_that_cannot_be_read_is_told_and_costs_nobody_else(
    walls: list[Path],
    backbone_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(walls[0], tmp_path / "north")
    broken = next((tmp_path / "north" / "crack").iterdir())
    broken.write_bytes(b"")
    command = ("transfer", tmp_path / "north", walls[1], "--backbone", backbone_file, "--seeds", "0", "--json")
    assert run(monkeypatch, *command, "--per-label", 12, "--out", tmp_path / "out") == 3
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["status"], document["n_refused"]) == ("refused", 1)
    assert document["refused"][0]["path"] == f"north/crack/{broken.name}"
    assert "the file is empty" in captured.err
    assert "the file is empty" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_an_index_is_data_too(walls: list[Path]) -> None:
    index = read_patches(walls[0])
    found = read_sets([index, walls[1]])
    assert isinstance(found[0].index, PatchIndex)
    assert len(found[0].index) == len(index)


@pytest.mark.slow
def test_a_recipe_that_trains_by_epochs_goes_on_too(walls: list[Path], mobilenet_folder: Path, tmp_path: Path) -> None:
    wish: dict[str, Any] = {
        "recipe": "mobilenetv2-frozen",
        "changes": ("frozen.epochs=2", "patch_px=64"),
        "backbone": mobilenet_folder,
    }
    wish |= {**OPTIONS, "seeds": [0]}
    whole = measure_transfer(walls, out=tmp_path / "whole", **wish)
    with pytest.raises(Stopped):
        measure_transfer(walls, out=tmp_path / "out", say=stopping_at(3), **wish)
    found = measure_transfer(walls, out=tmp_path / "out", **wish)
    assert found.document() == whole.document()
    assert found.changes == ("frozen.epochs=2", "patch_px=64")
    assert crackscope.load(tmp_path / "out" / "models" / "all-but-east-0.onnx").card.patch_px == 64


# In a browser


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_and_the_width_of_the_page(browser: Browser, done: tuple[Transfer, Path], width: int, scheme: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.goto((done[1] / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []


@pytest.mark.slow
def test_sets_are_split_by_scene_unless_photos_are_asked_for(backbone_file: Path, tmp_path: Path) -> None:
    photos = {surface: photos_of_scenes(surface, 8, most=2) for surface in "PW"}
    data = draw_sdnet(tmp_path / "sdnet2018", photos, patches_per_photo=4)
    options: dict[str, Any] = {"backbone": backbone_file, "seeds": [0], "per_label": 12, "n_resamples": 10}
    by_scene = crackscope.measure_transfer([data], out=tmp_path / "by scene", **options)
    assert [one["split_by"] for one in by_scene.sets] == ["scene", "scene"]
    assert [one["n_scenes"] for one in by_scene.sets] == [8, 8]
    assert not by_scene.leaky
    assert {one.photo_kind for one in by_scene.tests} == {"scenes"}
    by_photo = crackscope.measure_transfer([data], out=tmp_path / "by photo", by="photo", **options)
    assert [one["split_by"] for one in by_photo.sets] == ["photo", "photo"]
    assert {one.leaky for one in by_photo.tests if one.source == one.target} == {True}
    assert {one.leaky for one in by_photo.tests if one.source != one.target} == {False}
    with pytest.raises(DataError, match="by 'random' is none of scene, photo"):
        crackscope.measure_transfer([data], out=tmp_path / "at random", by="random", **options)
