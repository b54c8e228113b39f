"""``crackscope robustness``: measure a model on corrupted photographs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crackscope.cli.console import (
    AsJson,
    AsPatch,
    CrackNames,
    ModelFile,
    Overwrite,
    Part,
    PhotoFrom,
    Precision,
    TakenAsPatch,
    Threads,
    UncrackedNames,
    emit,
    progress_bar,
    read_labelled,
    read_model,
    say,
)

if TYPE_CHECKING:
    from crackscope.arrays import UInt8Array
    from crackscope.data.patches import PatchIndex
    from crackscope.measuring.robustness import Robustness

__all__ = ["robustness"]


def robustness(
    data: Annotated[Path, typer.Argument(help="Folder, .tar, .zip or .csv of labelled patches.")],
    model: ModelFile = None,
    precision: Precision = None,
    split: Annotated[
        Path | None, typer.Option(help="A split file; if left out, the parts that DATA itself names.")
    ] = None,
    part: Annotated[Part | None, typer.Option(help="Part to judge; test if there are parts, else all patches.")] = None,
    max_patches: Annotated[
        int, typer.Option(min=2, help="Greatest number of patches, half of them cracked if possible.")
    ] = 1000,
    out: Annotated[Path, typer.Option(help="Folder for figures, chart, samples and report.html.")] = Path("robustness"),
    allow_leakage: Annotated[
        bool,
        typer.Option(
            "--allow-leakage",
            help="Judge a leaking split, or what the model was trained on; every figure is marked leaky.",
        ),
    ] = False,
    taken_as: AsPatch = TakenAsPatch.auto,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of patches and of the bootstrap.")] = 0,
    crack: CrackNames = None,
    uncracked: UncrackedNames = None,
    photo_from: PhotoFrom = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure a model on corrupted photographs: blur, noise, JPEG, light, shadow, stain, distance, turning.

    Eleven corruptions at five strengths each: recall, false alarms, calibration error and share of unsure answers, with
    95 % intervals over photos, a chart, a picture of what each corruption looks like, and a page that holds it all.

    Example: `crackscope robustness metu.tar --model runs/metu/model.onnx --split split.csv --out robustness`
    """
    from crackscope.files.output import require_free_folder
    from crackscope.measuring.robustness import measure_robustness
    from crackscope.measuring.wording import seen_text
    from crackscope.reports.robustness_report import FILES, write_robustness
    from crackscope.scanning.loaded_model import load

    require_free_folder(out, ours=FILES, overwrite=overwrite)
    classifier = load(read_model(model, precision), threads=threads)
    index = read_labelled(data, crack, uncracked, photo_from)
    with progress_bar("corrupting and judging") as progress:
        found = measure_robustness(
            index,
            classifier,
            split=split,
            part=part.value if part else None,
            max_patches=max_patches,
            allow_leakage=allow_leakage,
            unit=taken_as.value,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    write_robustness(found, out, read_image=partial(_read_sample, index), overwrite=overwrite)
    if found.n_seen:
        who = seen_text(found.n_seen, found.n_seen_by_backbone, found.n_patches)
        say(f"{who}: all figures are leaky.")
    for path, why in found.refused[:5]:
        say(f"{path}: {why}")
    status = {"status": "refused" if found.refused else "done", "out": str(out)}
    emit(status | found.document(), as_json=as_json, text=_text(found, out))
    if found.refused:
        raise typer.Exit(3)


def _read_sample(index: PatchIndex, path: str) -> UInt8Array:
    """The patch to show corruptions on; if it went after it was judged, the figures stand without it."""
    from crackscope.errors import ImageError, reason_of

    try:
        return index.read_pixels(path)
    except (OSError, KeyError, ValueError, ImageError) as error:
        say(f"{path}: {reason_of(error)}; the pictures show no patch.")
        raise


def _text(found: Robustness, out: Path) -> str:
    from crackscope.drawing.corruptions import CORRUPTIONS, STRENGTHS
    from crackscope.measuring.robustness import ALWAYS_CRACK_ERROR

    mark = "leaky | " if found.leaky else ""
    lines = [
        f"{found.model} on {found.dataset}, {found.n_patches:,} patches ({found.n_crack:,} crack):",
        f"{mark}recall / false alarms",
        f"{mark}{'strength':14}" + "".join(f"{strength:>14}" for strength in STRENGTHS) + f"{'mean error':>13}",
    ]
    for name in CORRUPTIONS:
        cells = (
            f"{one.figures['recall_crack'].value:.3f} / {one.figures['false_alarm_rate'].value:.3f}"
            for one in found.of(name)
        )
        row = "".join(f"{cell:>14}" for cell in cells)
        lines.append(f"{mark}{name.replace('_', ' '):14}{row}{found.corruption_error(name):>13.3f}")
    clean = found.clean.figures
    lines.append(
        f"{mark}as they are: {clean['recall_crack'].value:.3f} / {clean['false_alarm_rate'].value:.3f}, error "
        f"{found.clean.error:.3f}; mean corruption error {found.mean_corruption_error:.3f}"
    )
    lines.append(f"calling everything crack: 1.000 / 1.000, error {ALWAYS_CRACK_ERROR:.3f} throughout")
    lines += [f"{found.few[0].upper()}{found.few[1:]}."] if found.few else []
    return "\n".join([*lines, f"report: {out / 'report.html'}"])
