"""``crackscope export``: round a model to int8."""

from __future__ import annotations

import math
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crackscope.cli.console import (
    AsJson,
    CrackNames,
    ModelFile,
    Overwrite,
    PhotoFrom,
    Threads,
    UncrackedNames,
    emit,
    progress_bar,
    read_labelled,
    say,
)

if TYPE_CHECKING:
    from crackscope.measuring.exporting import Export
    from crackscope.measuring.metrics import Estimate

__all__ = ["export"]


class Precision(str, Enum):
    """What a model can be exported to, as an option."""

    int8 = "int8"


class JudgedPart(str, Enum):
    """A part that decides on an export, as an option."""

    val = "val"
    test = "test"


def export(
    data: Annotated[
        Path,
        typer.Argument(help="Folder, .tar, .zip or .csv of labelled patches like those that the model will judge."),
    ],
    model: ModelFile = None,
    precision: Annotated[
        Precision,
        typer.Option(help="Precision of the new model file; int8 has about half the size, at 1.6 times the speed."),
    ] = Precision.int8,
    split: Annotated[
        Path | None, typer.Option(help="A split file; if left out, the parts that DATA itself names.")
    ] = None,
    part: Annotated[
        JudgedPart, typer.Option(help="Part that decides whether the export is good enough.")
    ] = JudgedPart.test,
    out: Annotated[Path, typer.Option(help="The new model file (bundle).")] = Path("model-int8.onnx"),
    calibration_patches: Annotated[
        int, typer.Option(min=1, help="Number of training patches that value ranges are taken from.")
    ] = 300,
    allow_loss: Annotated[
        bool,
        typer.Option("--allow-loss", help="Write the model file even if it loses more than 0.3 points of accuracy."),
    ] = False,
    allow_leakage: Annotated[
        bool, typer.Option("--allow-leakage", help="Judge on a leaking split; every figure is marked leaky.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of patches and of the bootstrap.")] = 0,
    crack: CrackNames = None,
    uncracked: UncrackedNames = None,
    photo_from: PhotoFrom = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Round a model to int8, compare the two on labelled patches, and write it unless it is worse.

    Value ranges are taken from train, and the temperature is fitted on val. If more than 0.3 points of accuracy are
    lost on --part, the command ends with an error and writes nothing.

    Example: `crackscope export metu.tar --model runs/metu/model.onnx --split split.csv --out crack-int8.onnx`
    """
    from crackscope.measuring.exporting import export as run_export
    from crackscope.measuring.wording import seen_text

    index = read_labelled(data, crack, uncracked, photo_from)
    with progress_bar("judging") as progress:
        done = run_export(
            index,
            model,
            out=out,
            precision=precision.value,
            split=split,
            part=part.value,
            calibration_patches=calibration_patches,
            allow_loss=allow_loss,
            allow_leakage=allow_leakage,
            seed=seed,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
        )
    judged = done.before
    if judged.n_seen:
        who = seen_text(judged.n_seen, judged.n_seen_by_backbone, judged.n_patches)
        say(f"{who}: accuracy is leaky.")
    document = {"status": "done", "out": str(out), "precision": precision.value, **done.document()}
    emit(document, as_json=as_json, text=_table(done))


def _table(done: Export) -> str:
    from crackscope.measuring.evaluation import origin_text

    mark = "leaky | " if done.before.leaky else ""
    accuracies = [_per_cent(one.metrics["accuracy"], " %") for one in (done.before, done.after)]
    rows = [
        ("", "fp32", "int8"),
        (f"{mark}accuracy", *accuracies),
        ("always crack", _per_cent(done.before.baseline["accuracy"], " %"), ""),
        ("size, MB", *(f"{value / 1e6:.2f}" for value in done.n_bytes)),
        ("a patch, ms", *(f"{value:.2f}" for value in done.latency_ms)),
        ("temperature", *(f"{value:.4f}" for value in done.temperature)),
    ]
    lines = [origin_text(done.before), *("{:24}{:>26}{:>26}".format(*row) for row in rows)]
    lines += [
        f"accuracy lost: {_per_cent(done.loss, ' points')}; "
        f"{done.n_changed:,} of {done.before.n_patches:,} labels changed",
        f"{done.speedup:.2f} times as fast: medians on one thread, taking turns, resize included",
        f"ranges from {done.n_calibration} patches of part train; temperature matched on part val; intervals of 95 %",
        f"written to {done.out}",
    ]
    return "\n".join(lines)


def _per_cent(share: Estimate, unit: str) -> str:
    interval = "" if math.isnan(share.low) else f" [{100 * share.low:.2f}, {100 * share.high:.2f}]"
    return f"{100 * share.value:.2f}{unit}{interval}"
