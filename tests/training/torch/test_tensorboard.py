"""What is logged can be read back by TensorBoard, once a step, also after a kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from crackscope.drawing.walls import draw_patch
from crackscope.errors import DataError
from crackscope.measuring.history import Epoch
from crackscope.training.augmentation import Augmentation, view_of
from crackscope.training.torch.tensorboard import RunLog

CURVES = {"loss", "accuracy", "recall_crack", "f1_crack"}
SCALARS = {"train": {*CURVES, "learning_rate"}, "val": CURVES}


def make_epoch(number: int, *, val_loss: float = 0.25) -> Epoch:
    return Epoch(number, "frozen", 0.5 / number, 0.75, val_loss, 0.875, 2.0**-10, 3.0, 0.5, 0.625, 0.25, 0.375)


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "tensors": 0}).Reload()


def steps(log: EventAccumulator) -> dict[str, list[int]]:
    tags = log.Tags()
    found = {tag: [event.step for event in log.Scalars(tag)] for tag in tags["scalars"]}
    found |= {tag: [event.step for event in log.Images(tag)] for tag in tags["images"]}
    return found | {tag: [event.step for event in log.Tensors(tag)] for tag in tags["tensors"]}


def test_train_and_val_are_two_curves_of_each_chart_at_the_number_of_their_epoch(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        for number in (1, 2, 4):
            log.epoch(make_epoch(number))
    train, val = read(tmp_path / "train"), read(tmp_path / "val")
    assert {"train": set(train.Tags()["scalars"]), "val": set(val.Tags()["scalars"])} == SCALARS
    assert [(event.step, event.value) for event in train.Scalars("loss")] == [(1, 0.5), (2, 0.25), (4, 0.125)]
    values = [{tag: log.Scalars(tag)[0].value for tag in sorted(CURVES)} for log in (train, val)]
    assert values == [
        {"accuracy": 0.75, "f1_crack": 0.625, "loss": 0.5, "recall_crack": 0.5},
        {"accuracy": 0.875, "f1_crack": 0.375, "loss": 0.25, "recall_crack": 0.25},
    ]
    assert train.Scalars("learning_rate")[0].value == 2.0**-10
    assert read(tmp_path).Tags()["scalars"] == []


def test_a_figure_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.epoch(Epoch(1, "frozen", 0.5, 0.75, 0.25, 0.875, 2.0**-10, 3.0))
    assert set(read(tmp_path / "val").Tags()["scalars"]) == {"loss", "accuracy"}


def test_pictures_and_the_recipe_are_logged_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    patches = [draw_patch(seed, side_px=64, crack=seed % 2 == 0).pixels for seed in range(8)]
    figure = Figure(figsize=(3, 2), dpi=100)
    sheet = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    with RunLog(tmp_path) as log:
        log.recipe("name = 'finetune'\nepochs = 10\n")
        log.sample_patches(patches, ["crack", "uncracked"] * 4)
        log.augmented_views(patches[0], [view_of(patches[0], Augmentation(light=1), view=i)[0] for i in range(1, 5)])
        log.predictions(sheet, step=9)
        log.confusion_matrix(figure, step=9)
    found = read(tmp_path)
    sizes = {tag: (found.Images(tag)[0].width, found.Images(tag)[0].height) for tag in found.Tags()["images"]}
    assert sizes["test/predictions"] == (70, 50)
    assert sizes["test/confusion_matrix"] == (300, 200)
    assert sizes["patches/samples"][0] == 6 * 172 + 12
    assert sizes["patches/augmented_views"][0] == 5 * 172 + 12
    assert len(sizes) == 4
    text = found.Tensors("run/recipe/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text == "    name = 'finetune'\n    epochs = 10"
    assert steps(found)["test/predictions"] == [9]


def test_a_run_that_goes_on_after_a_kill_leaves_no_step_twice(tmp_path: Path) -> None:
    patch = draw_patch(0, side_px=64).pixels

    def begin(log: RunLog) -> None:
        log.recipe("epochs = 5")
        log.sample_patches([patch], ["crack"])

    killed = RunLog(tmp_path)  # not closed until all is read
    begin(killed)
    for number in (1, 2, 3, 4):
        killed.epoch(make_epoch(number))
    for session in (3, 4):  # the second goes on from what the first did anew
        with RunLog(tmp_path, resume_from_step=session) as log:
            begin(log)
            log.augmented_views(patch, [patch])  # new after the kill
            for number in range(session, 6):
                log.epoch(make_epoch(number, val_loss=session))
            log.predictions(patch, step=5)
    with RunLog(tmp_path, resume_from_step=6) as log:  # killed between the last epoch and the end
        log.predictions(patch, step=5)
    for part, tags in SCALARS.items():
        assert steps(read(tmp_path / part)) == {tag: [1, 2, 3, 4, 5] for tag in tags}
    assert [event.value for event in read(tmp_path / "val").Scalars("loss")] == [0.25, 0.25, 3, 4, 4]
    assert steps(read(tmp_path)) == {
        "run/recipe/text_summary": [0],
        "patches/samples": [0],
        "patches/augmented_views": [0],
        "test/predictions": [5],
    }
    killed.close()


def test_all_is_on_the_disk_when_a_method_returns_and_a_cut_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.recipe("epochs = 2")
    log.epoch(make_epoch(1))
    assert steps(read(tmp_path / "val"))["loss"] == [1]
    log.epoch(make_epoch(2))
    log.close()
    for folder in (tmp_path, tmp_path / "train", tmp_path / "val"):
        (file,) = folder.glob("events.*")
        file.write_bytes(file.read_bytes()[: -9 if folder != tmp_path else None])
    with RunLog(tmp_path, resume_from_step=2) as log:
        log.recipe("epochs = 2")
        log.epoch(make_epoch(2))
    assert steps(read(tmp_path)) == {"run/recipe/text_summary": [0]}
    for part, tags in SCALARS.items():
        assert steps(read(tmp_path / part)) == {tag: [1, 2] for tag in tags}


def test_what_is_no_picture_is_an_error(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        with pytest.raises(DataError, match=r"test/predictions: shape \(4, 4\), type float64"):
            log.predictions(np.zeros((4, 4)), step=1)  # type: ignore[arg-type]
        with pytest.raises(DataError, match="1 patches and 2 labels"):
            log.sample_patches([np.zeros((4, 4, 3), np.uint8)], ["crack", "crack"])


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("tensorflow", "logged"),
        ("tensorboard", "needs tensorboard, which is not installed. In the repository's folder: pip install torch"),
        ("torch", "needs torch, which is not installed. In the repository's folder: pip install torch"),
    ],
)
def test_tensorflow_is_not_needed_and_a_missing_extra_is_named(tmp_path: Path, missing: str, expected: str) -> None:
    code = (
        f"import pathlib, sys; sys.modules['{missing}'] = None\n"
        "from crackscope.errors import MissingExtraError\n"
        "try:\n"
        "    from crackscope.training.torch.tensorboard import RunLog\n"
        "    with RunLog(pathlib.Path(sys.argv[1])) as log: log.recipe('epochs = 1'); print('logged')\n"
        "except MissingExtraError as error: print(error)"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "log")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert expected in found.stdout
    assert found.stderr == ""
