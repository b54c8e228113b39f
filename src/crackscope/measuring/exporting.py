"""Exporting: a bundle is rounded to int8, compared with what it was made of, and written only if it is as good."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crackscope.arrays import UInt8Array
from crackscope.data.patches import LABELS, PatchIndex, read_patches
from crackscope.data.splits import Split, apply_split
from crackscope.errors import BundleError, DataError, SplitError, did_you_mean
from crackscope.files.html import html_table
from crackscope.files.output import new_file, require_free
from crackscope.files.streaming import Progress
from crackscope.measuring.evaluation import Evaluation, metrics_document
from crackscope.measuring.judging import evaluate
from crackscope.measuring.metrics import Estimate
from crackscope.measuring.paired import Answers, compare_pair
from crackscope.measuring.wording import LEAKY, figure_text
from crackscope.model.bundle import Bundle, read_bundle
from crackscope.model.card import Card
from crackscope.model.quantisation import (
    match_fine_map,
    match_gate,
    match_temperature,
    quantise,
    require_float,
    with_card,
)
from crackscope.model.sessions import open_bundle, run_patches
from crackscope.scanning.loaded_model import AnyModel, Model
from crackscope.scanning.prediction import unit_of

__all__ = ["MAX_LOSS", "PRECISIONS", "Export", "export"]


PRECISIONS = ("int8",)
"""What a bundle can be exported to."""

MAX_LOSS = 0.003
"""Accuracy that an export may cost, unless it is allowed to cost more: 0.3 points."""

_N_MATCHED = 1000  # patches of val for one number, the temperature
_TURN_PATCHES, _TURNS = 10, 21  # to measure speed
_SHOWN = {
    *("accuracy", "balanced_accuracy", "f1_crack", "auroc", "average_precision", "mcc"),
    *("n_patches", "n_photos", "n_crack", "leaky"),
}


@dataclass(frozen=True, eq=False)
class Export:
    """Outcome of an export: the bundle that was written, compared with the one it was made of.

    Attributes:
        out: Path of the bundle that was written.
        before: Evaluation of the model as it was, on the part that was judged.
        after: Evaluation of the model that was written, on the same patches.
        loss: Accuracy before minus accuracy after, in [-1, 1], with its 95 % interval over photos; paired by patch.
        n_changed: Number of patches that one model calls crack and the other uncracked.
        n_bytes: Size of the two files in bytes, before and after.
        latency_ms: Median time for a patch in milliseconds on one thread, resize included, before and after.
        temperature: Temperature of the patch calibration, before and after.
        n_calibration: Number of training patches that value ranges were taken from.
    """

    out: Path
    before: Evaluation
    after: Evaluation
    loss: Estimate
    n_changed: int
    n_bytes: tuple[int, int]
    latency_ms: tuple[float, float]
    temperature: tuple[float, float]
    n_calibration: int

    def _repr_html_(self) -> str:
        mark = f" ({LEAKY})" if self.before.leaky else ""
        return html_table(
            f"{self.out}: accuracy lost {figure_text(self.loss)}{mark}",
            ("", "Before", "After"),
            [
                (f"Accuracy{mark}", *(figure_text(one.metrics["accuracy"]) for one in (self.before, self.after))),
                ("Size, MB", *(f"{n / 1e6:.2f}" for n in self.n_bytes)),
                ("A patch, ms", *(f"{ms:.2f}" for ms in self.latency_ms)),
            ],
        )

    @property
    def speedup(self) -> float:
        """Factor by which the written model is faster."""
        return self.latency_ms[0] / self.latency_ms[1]

    def document(self) -> dict[str, Any]:
        """Figures before and after, ready for JSON."""
        first, second = self.before.metrics["accuracy"], self.after.metrics["accuracy"]
        return {
            "accuracy": {
                "before": first.document(),
                "after": second.document(),
                "loss": self.loss.document(),
            },
            "n_labels_changed": self.n_changed,
            **{key: value for key, value in metrics_document(self.before).items() if key in _CIRCUMSTANCES},
            "model": {"before": self.before.model, "after": self.after.model},
            "bytes": _before_and_after(self.n_bytes),
            "latency_ms": {**_before_and_after(self.latency_ms), "speedup": self.speedup},
            "temperature": _before_and_after(self.temperature),
            "n_calibration_patches": self.n_calibration,
        }


_CIRCUMSTANCES = {"dataset", "split", "part", "n_patches", "n_photos", "n_crack", "n_refused", "resampled", "leaky"}


def export(
    data: str | Path | PatchIndex,
    model: AnyModel = None,
    *,
    out: str | Path,
    precision: str = "int8",
    split: str | Path | Split | None = None,
    part: str = "test",
    calibration_patches: int = 300,
    allow_loss: bool = False,
    allow_leakage: bool = False,
    seed: int = 0,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Export:
    """Round a bundle to int8, compare the two on labelled patches, and write it unless it is worse.

    Value ranges are taken from ``train``, the temperature is fitted on ``val``, and the accuracy on `part` decides. By
    default that is ``test``: nothing was chosen there, and its figures are the ones that are quoted, so a loss must
    show there. Choose ``val`` to leave ``test`` untouched.

    The same arguments give the same bytes.

    Args:
        data: Labelled patches like those that the model will meet: a path that `crackscope.read_patches` takes, or the
            index that it returns.
        model: A model from `crackscope.load`, a bundle, or the path of a bundle; the default bundle if left out.
        out: Path of the bundle that is written.
        precision: Precision of the new bundle; ``int8`` is the only one.
        split: A split from `crackscope.split`, or its file; if left out, the parts that the data itself names, if any.
        part: Part that decides, ``test`` or ``val``.
        calibration_patches: Number of training patches that value ranges are taken from, at least 1; half of them are
            cracked where there are enough.
        allow_loss: Whether the bundle is written even if it loses more than 0.003 of accuracy.
        allow_leakage: Whether a leaking split is judged all the same; every figure is then marked leaky.
        seed: Seed of the choice of patches, and of the bootstrap resamples.
        threads: Number of threads; all cores if left out.
        overwrite: Whether an existing file is replaced.
        progress: Called with (done, total) as work goes on.

    Returns:
        Figures, size and speed before and after.

    Raises:
        BundleError: If the model is no fp32 bundle, or the new one loses more accuracy than is allowed; then nothing is
            written.
        SplitError: If the split leaks, does not fit the data, or has no patches in a part that is needed.
        DataError: If no patch can be read.
        OutputError: If the file exists and `overwrite` is false, or it cannot be written.
    """
    if precision not in PRECISIONS:
        raise BundleError(
            f"precision '{precision}' is none of {', '.join(PRECISIONS)}.{did_you_mean(precision, PRECISIONS)}"
        )
    if part not in ("val", "test"):
        raise SplitError(f"part '{part}' cannot be judged, ranges are taken from train. Judge on val or test.")
    place = Path(out)
    require_free(place, overwrite=overwrite)
    bundle = _bundle_of(model)
    require_float(bundle)
    index = read_patches(data)
    parts = apply_split(index, split=split)
    train = _read_some(parts, "train", calibration_patches, bundle.card, seed=seed)
    val = _read_some(parts, "val", _N_MATCHED, bundle.card, seed=seed)
    rounded = match_temperature(quantise(bundle, train), bundle, val)
    rounded = match_fine_map(match_gate(rounded, bundle, val), bundle, val)

    before, after = (
        evaluate(
            index,
            Model(one, threads=threads),
            split=split,
            part=part,
            allow_leakage=allow_leakage,
            seed=seed,
            threads=threads,
            progress=progress,
        )
        for one in (bundle, rounded)
    )
    loss = _loss(before, after, seed=seed)
    if loss.value > MAX_LOSS and not allow_loss:
        raise BundleError(_too_much(bundle, before, after, loss))
    figures = {part: {key: value for key, value in metrics_document(after).items() if key in _SHOWN}}
    steps = {"from_sha256": bundle.sha256, "calibrated_on": f"{len(train)} patches of part train", "seed": seed}
    recipe = {**rounded.card.recipe, precision: steps}
    written = with_card(rounded, rounded.card.model_copy(update={"figures": figures, "recipe": recipe}))
    latency_ms = _latency_ms(bundle, written, train[:_TURN_PATCHES])
    with new_file(place, overwrite=overwrite) as beside:
        beside.write_bytes(written.content)
    return Export(
        out=place,
        before=before,
        after=after,
        loss=loss,
        n_changed=int((before.predictions != after.predictions).sum()),
        n_bytes=(len(bundle.content), len(written.content)),
        latency_ms=latency_ms,
        temperature=(bundle.card.patch.temperature, written.card.patch.temperature),
        n_calibration=len(train),
    )


def _bundle_of(model: AnyModel) -> Bundle:
    if isinstance(model, Model):
        return model.bundle
    return model if isinstance(model, Bundle) else read_bundle(model)


def _read_some(index: PatchIndex, part: str, n: int, card: Card, *, seed: int) -> list[UInt8Array]:
    """Up to `n` readable patches of a part, half of them cracked where there are enough."""
    rng = np.random.default_rng(seed)
    mine = sorted(index.part(part).patches, key=lambda patch: patch.path)
    shuffled = [mine[i] for i in rng.permutation(len(mine))]
    by_label = [[patch.path for patch in shuffled if patch.label == label] for label in LABELS]
    first, second = sorted(by_label, key=len)
    n_first = min(len(first), n // 2)
    found: list[UInt8Array] = []
    for path in (*first[:n_first], *second, *first[n_first:]):
        if len(found) == n:
            break
        try:
            pixels = index.read_pixels(path)
        except (OSError, DataError):
            continue
        if unit_of((pixels.shape[0], pixels.shape[1]), card) == "patch":
            found.append(pixels)
    if not found:
        raise SplitError(
            f"{index.name}: no readable patch in part {part}. Export needs train, val and a part to judge."
        )
    return found


def _loss(before: Evaluation, after: Evaluation, *, seed: int) -> Estimate:
    """Accuracy before minus accuracy after, on the same resamples of the photos."""
    first, second = (
        Answers(run, one.dataset, one.paths, one.photos, one.labels, one.predictions != one.labels)
        for run, one in (("after", after), ("before", before))
    )
    return compare_pair(first, second, seed=seed).accuracy_gain


def _too_much(bundle: Bundle, before: Evaluation, after: Evaluation, loss: Estimate) -> str:
    old, new = (100 * one.metrics["accuracy"].value for one in (before, after))
    n_wrong = round(loss.value * before.n_patches)
    return (
        f"{bundle.name}: in int8 it loses {100 * loss.value:.2f} points of accuracy on part {before.part} "
        f"({old:.2f} to {new:.2f} %, {n_wrong} of {before.n_patches:,} patches), and {100 * MAX_LOSS:g} are allowed; "
        "nothing was written. Judge on more patches, try other --calibration-patches, or say --allow-loss."
    )


def _latency_ms(before: Bundle, after: Bundle, patches: Sequence[UInt8Array]) -> tuple[float, float]:
    """Median time of both models for a patch on one thread, taking turns of `_TURN_PATCHES`."""
    patch_px = before.card.patch_px
    sessions = [open_bundle(bundle) for bundle in (before, after)]
    times: list[list[float]] = [[], []]
    for _ in range(_TURNS):
        for session, mine in zip(sessions, times, strict=True):
            run_patches(
                session, patches[:1], "probability", patch_px=patch_px
            )  # brings its weights back into the cache
            start = time.perf_counter()
            run_patches(session, patches, "probability", patch_px=patch_px)
            mine.append(1000 * (time.perf_counter() - start) / len(patches))
    return float(np.median(times[0])), float(np.median(times[1]))


def _before_and_after(pair: tuple[float, float]) -> dict[str, float]:
    return {"before": pair[0], "after": pair[1]}
