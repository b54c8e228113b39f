"""The pictures of a training run: drawn for short, long and odd runs, deterministic, and true to their data."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from crackscope.data.patches import PatchIndex, read_patches
from crackscope.drawing.walls import draw_patch
from crackscope.errors import DataError, OutputError
from crackscope.measuring.evaluation import Evaluation, evaluate_predictions
from crackscope.measuring.history import Epoch
from crackscope.reports import batch_sheet as batch_module
from crackscope.reports.augmented_views import draw_augmented_views, write_augmented_views
from crackscope.reports.batch_sheet import draw_test_batch, write_test_batch
from crackscope.reports.contact_sheet import contact_sheet
from crackscope.reports.history_plot import draw_history
from crackscope.reports.look import png_bytes
from crackscope.training.augmentation import Augmentation, view_of
from shared.pictures import read_pixels

ALERT = np.array([213, 94, 0], np.uint8)


def make_epochs(n: int, *, n_frozen: int = 0, worst: float = 0.1, best: float = 0.002) -> list[Epoch]:
    """Errors fall from `worst` to `best`, and the loss on val rises again after three quarters."""
    epochs = []
    for i in range(n):
        error = worst * (best / worst) ** (i / max(1, n - 1))
        rise = 1 + max(0, i - 3 * n // 4)
        phase = "frozen" if i < n_frozen else "finetuning"
        epochs.append(Epoch(i + 1, phase, 2 * error, 1 - error, 3 * error * rise, 1 - 1.2 * error, 1e-4, 5.0))
    return epochs


@pytest.mark.parametrize(
    "epochs",
    [
        make_epochs(1),
        make_epochs(30, n_frozen=10),
        make_epochs(5, n_frozen=5, worst=0.7, best=0.3),
        make_epochs(3, worst=1e-9, best=1e-12),
        [Epoch(i, "finetuning", 0.0, 1.0, 0.0, 1.0, 1e-4, 5.0) for i in (1, 2)],
        [replace(epoch, val_loss=math.nan, val_accuracy=math.nan) for epoch in make_epochs(2)],
        [replace(make_epochs(1)[0], train_loss=math.inf, train_accuracy=math.nan, val_loss=math.nan)],
        [replace(epoch, train_accuracy=0.0, val_accuracy=1.0) for epoch in make_epochs(2)],
    ],
    ids=["one", "thirty", "hard", "nearly perfect", "perfect", "no val", "diverged", "all there is"],
)
def test_a_history_of_any_length_can_be_drawn_and_repeats_itself(epochs: list[Epoch]) -> None:
    pictures = [png_bytes(draw_history(epochs, title="walls $ and 桥")) for _ in range(2)]
    assert pictures[0] == pictures[1]
    pixels = np.asarray(cv2.imdecode(np.frombuffer(pictures[0], np.uint8), cv2.IMREAD_COLOR))
    assert pixels.shape == (1080, 792, 3)


def test_a_history_without_epochs_is_an_error() -> None:
    with pytest.raises(DataError, match="No epoch to draw"):
        draw_history([], title="walls")


def test_the_upper_hundredth_of_accuracy_has_room_and_marks() -> None:
    below = draw_history(make_epochs(30, worst=0.4, best=0.001), title="walls").axes[1]
    ticks = below.get_yticks()
    assert sum(0.99 <= tick <= 1 for tick in ticks) >= 3
    heights = below.transAxes.inverted().transform(below.transData.transform([(1, 0.9), (1, 0.99), (1, 0.999)]))[:, 1]
    assert np.all(np.diff(heights) > 0.2)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        *((0.0, 0.02), (0.0, 0.8), (0.0, 1.0), (0.3, 0.42), (0.5, 0.9985), (0.75, 0.8), (0.75, 0.93), (0.9, 0.93)),
        *((0.9, 1.0), (0.985, 0.99), (0.985, 0.9985), (0.997, 0.9985), (0.997, 1.0), (0.9991, 0.9993)),
    ],
)
def test_marks_of_accuracy_are_round_and_apart(low: float, high: float) -> None:
    epochs = [Epoch(1, "frozen", 1, low, 1, high, 1e-4, 1), Epoch(2, "frozen", 1, high, 1, high, 1e-4, 1)]
    below = draw_history(epochs, title="walls").axes[1]
    ticks = below.get_yticks()
    assert 2 <= len(ticks) <= 12
    bottom, top = below.get_ylim()
    assert np.all((bottom <= ticks) & (ticks <= top))
    assert bottom < low < high < top


def test_phases_and_the_best_epoch_are_marked() -> None:
    epochs = make_epochs(12, n_frozen=4)
    above, below = draw_history(epochs, title="walls").axes
    for axes, quantity in ((above, "val_loss"), (below, "val_accuracy")):
        lines = {line.get_label(): line for line in axes.get_lines()}
        (boundary,) = [line for line in axes.get_lines() if np.array_equal(np.asarray(line.get_xdata()), [4.5, 4.5])]
        assert boundary.get_linestyle() == ":"
        best = min(epochs, key=lambda epoch: epoch.val_loss)
        ring = lines["best epoch: least loss on val"]
        found = (np.asarray(ring.get_xdata())[0], np.asarray(ring.get_ydata())[0])
        assert found == (best.number, getattr(best, quantity))
        assert lines["train"].get_linestyle() != lines["val"].get_linestyle()
    assert above.get_title(loc="left") == "frozen ┊ fine-tuning"


@pytest.fixture(scope="module")
def index(drawn: Path) -> PatchIndex:
    return read_patches(drawn)


def judged(index: PatchIndex, *, n_wrong: int = 20, n_leaks: int = 0) -> Evaluation:
    """A model that is wrong about the first patches and right about all others."""
    labels = index.labels
    probabilities = np.where(labels == 1, 0.97, 0.04)
    probabilities[:n_wrong] = 1 - probabilities[:n_wrong]
    return evaluate_predictions(
        labels,
        probabilities,
        paths=index.paths,
        photos=None,
        threshold=0.5,
        unsure_band=(0.4, 0.6),
        dataset="walls",
        model="tiny",
        model_sha256="",
        n_leaks=n_leaks,
        n_resamples=10,
    )


def captions(index: PatchIndex, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch, **choices: int) -> list[str]:
    """What stands below each patch, and before all of them the title."""
    found: list[str] = []
    draw = contact_sheet

    def note(items: Any, *, title: Any, **others: Any) -> Any:
        found.extend([title, *(caption for _, caption in items)])
        return draw(items, title=title, **others)

    with monkeypatch.context() as patched:
        patched.setattr(batch_module, "contact_sheet", note)
        draw_test_batch(index, evaluation, **choices)
    return found


def test_a_batch_says_truth_answer_and_probability(index: PatchIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    title, *below = captions(index, judged(index), monkeypatch, n=len(index))
    assert title.startswith(f"{len(index)} of {len(index)} patches, chosen at random: {len(index) - 20} right.")
    wrong = [caption for caption in below if caption.endswith("\nWRONG")]
    assert len(wrong) == 20
    assert set(wrong) <= {"true crack · says uncracked .03\nWRONG", "true uncracked · says crack .96\nWRONG"}
    assert set(below) - set(wrong) == {"true crack · says crack .97", "true uncracked · says uncracked .04"}


def test_a_batch_follows_from_its_seed_and_is_no_larger_than_the_data(
    index: PatchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = judged(index)
    one, other = (draw_test_batch(index, evaluation, n=8, seed=seed) for seed in (1, 2))
    assert np.array_equal(one, draw_test_batch(index, evaluation, n=8, seed=1))
    assert not np.array_equal(one, other)
    assert one.shape[1] == 4 * 268 + 12
    few = index.select(index.patches[:3])
    assert len(captions(few, judged(few, n_wrong=1), monkeypatch)) == 1 + 3
    with pytest.raises(DataError, match="batch of 0 patches"):
        draw_test_batch(index, evaluation, n=0)


def test_wrong_answers_are_framed_and_a_leak_is_told(index: PatchIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    few = index.select(index.patches[:4])
    sheets = [draw_test_batch(few, judged(few, n_wrong=n)) for n in (0, 1, 4)]
    in_alert = [int(np.all(sheet == ALERT, axis=2).sum()) for sheet in sheets]
    frame = 256**2 - (256 - 2 * 6) ** 2
    assert in_alert[0] == 0
    assert frame <= in_alert[1] <= 1.1 * frame
    assert in_alert[2] == 4 * in_alert[1]
    assert captions(few, judged(few, n_leaks=2), monkeypatch)[0].startswith("leaky | 4 of 4 patches")


def test_a_batch_is_written_whole_and_not_over_another(index: PatchIndex, tmp_path: Path) -> None:
    evaluation = judged(index)
    write_test_batch(index, evaluation, tmp_path / "test_batch.png", n=4)
    found = read_pixels(tmp_path / "test_batch.png")
    assert np.array_equal(found, draw_test_batch(index, evaluation, n=4))
    with pytest.raises(OutputError, match="exists"):
        write_test_batch(index, evaluation, tmp_path / "test_batch.png")
    write_test_batch(index, evaluation, tmp_path / "test_batch.png", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["test_batch.png"]


def test_views_are_a_grid_with_the_original_first(tmp_path: Path) -> None:
    originals = [draw_patch(seed, side_px=160).pixels for seed in range(3)]
    changes = Augmentation(light=1, quarter_turns=True)
    views = [[view_of(original, changes, view=i)[0] for i in range(1, 6)] for original in originals]
    sheet = draw_augmented_views(originals, views)
    assert sheet.shape[1] == 6 * 172 + 12
    for row, original in enumerate(originals):
        places = [y for y in range(len(sheet) - 160) if np.array_equal(sheet[y : y + 160, 12:172], original)]
        assert len(places) == 1, row
    write_augmented_views(originals, views, tmp_path / "views.png")
    assert np.array_equal(read_pixels(tmp_path / "views.png"), sheet)
    with pytest.raises(OutputError, match="exists"):
        write_augmented_views(originals, views, tmp_path / "views.png")


@pytest.mark.parametrize("n_views", [[2], [2, 3], []])
def test_views_that_make_no_grid_are_an_error(n_views: list[int]) -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(DataError, match="make no grid"):
        draw_augmented_views([picture] * 2, [[picture] * n for n in n_views])
