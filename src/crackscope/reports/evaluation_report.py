"""Evaluation reports: one folder that holds everything about an evaluation, and one page that can be sent to someone.

Nothing in it depends on the clock or on where it was written: the same evaluation gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import classification_report

from crackscope.arrays import UInt8Array
from crackscope.data.patches import LABELS
from crackscope.errors import DataError
from crackscope.files.output import json_text, write_folder
from crackscope.files.tables import table_text
from crackscope.measuring.evaluation import (
    Evaluation,
    least_certain,
    metrics_document,
    origin_text,
    resampling_text,
    worst_mistakes,
)
from crackscope.measuring.joint_figures import PhotoJoints
from crackscope.measuring.metrics import N_CALIBRATION_BINS
from crackscope.measuring.photo_evaluation import PhotoEvaluation, tile_reader
from crackscope.measuring.wording import (
    FIGURES,
    HEADLINES,
    JOINT_FIGURES,
    LEAKY,
    LINE_FIGURES,
    interval_text,
    method_text,
    number_text,
    seen_text,
)
from crackscope.reports.contact_sheet import contact_sheet, fit_square
from crackscope.reports.line_sheet import line_sheet, line_table
from crackscope.reports.look import png_bytes
from crackscope.reports.map_sheet import map_sheet
from crackscope.reports.page import ReadImage, data_uri, environment, picture_bytes, pixels_or_blank
from crackscope.reports.plots import PLOTS

__all__ = ["FILES", "LINE_FILES", "PHOTO_FILES", "write_evaluation"]


FILES = (
    "metrics.json",
    "classification_report.txt",
    "predictions.csv",
    *(f"{name}.png" for name in PLOTS),
    "mistakes.png",
    "report.html",
)
"""What `write_evaluation` writes."""

PHOTO_FILES = (*FILES, "maps.png")
"""What it writes where tiles of photos are judged."""

LINE_FILES = (*PHOTO_FILES, "lines.png", "lines.csv")
"""What it writes where lines are compared, too."""

_N_SHOWN = 24
_N_REFUSED_LISTED = 50
_N_JOINT_PHOTOS = 50
_THUMBNAIL_PX = 240  # shown at half that width or less, so sharp on a phone
_PLOT_NOTES = {
    "roc": "Every threshold at once: cracks found against false alarms. The further into the upper left "
    "corner, the better; the dot is the threshold in use.",
    "precision_recall": "How far the alarms can be trusted when ever more of the cracks are to be found. The "
    "dashed line is what calling everything crack would reach.",
    "reliability": "Whether a probability of 0.8 means 8 in 10. Points on the diagonal keep their word; the "
    "columns below say how many patches each point stands for.",
    "confusion_matrix": "Every patch once: its true label by row, the answer by column. Right answers lie on "
    "the falling diagonal.",
}


@dataclass(frozen=True)
class _Shown:
    """A patch worth looking at."""

    path: str
    truth: str
    probability: float
    pixels: UInt8Array

    @property
    def caption(self) -> str:
        return f"{self.path}\nis {self.truth}, p {self.probability:.3f}"


def write_evaluation(
    found: Evaluation | PhotoEvaluation,
    out: str | Path,
    *,
    read_image: ReadImage | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an evaluation into a folder: figures, tables, plots and the page. The folder appears whole.

    If training has seen what is judged, every figure carries the mark "leaky".

    Args:
        found: Evaluation from `crackscope.evaluate`, from a training, or from `crackscope.evaluate_photos`, whose maps
            are then shown.
        out: Path of the folder; missing parent folders are made.
        read_image: Function from a path of the evaluation to RGB pixels, uint8, shape (h, w, 3), for at most 24 patches
            that the page shows; they are read from the data that was judged if left out. A patch that cannot be read is
            shown as a grey square.
        overwrite: Whether an older evaluation is replaced; a folder that holds anything else never is.

    Returns:
        The path of the folder, with ``metrics.json``, ``classification_report.txt``, ``predictions.csv``, four plots,
        ``mistakes.png`` and ``report.html``; of photos also ``maps.png``, and where lines are compared ``lines.png``
        and ``lines.csv``.

    Raises:
        DataError: If `read_image` is left out, and the evaluation does not know its patches.
        OutputError: If `out` is taken, holds anything else, or cannot be written.
    """
    photos = found if isinstance(found, PhotoEvaluation) else None
    evaluation = found.tiles if isinstance(found, PhotoEvaluation) else found
    files = _files(evaluation, photos, read_image or _reader_of(found))
    return write_folder(out, files, ours=LINE_FILES, overwrite=overwrite)


def _reader_of(found: Evaluation | PhotoEvaluation) -> ReadImage:
    if isinstance(found, PhotoEvaluation):
        return tile_reader(found)
    if found.index is None:
        raise DataError(f"{found.dataset}: this evaluation does not know where its patches lie. Give read_image.")
    return found.index.read_pixels


def _files(
    evaluation: Evaluation, photos: PhotoEvaluation | None, read_image: ReadImage
) -> Iterator[tuple[str, str | bytes]]:
    maps = picture_bytes(map_sheet(photos), ".png") if photos else None
    if maps:
        yield "maps.png", maps
    lines = line_sheet(photos) if photos and photos.traced else None
    if photos and lines is not None:
        yield "lines.png", picture_bytes(lines, ".png")
        yield "lines.csv", line_table(photos)
    yield "metrics.json", json_text(photos.document() if photos else metrics_document(evaluation))
    yield "classification_report.txt", _classification_text(evaluation)
    yield "predictions.csv", _predictions_text(evaluation)
    plots = {name: png_bytes(draw(evaluation)) for name, draw in PLOTS.items()}
    for name, content in plots.items():
        yield f"{name}.png", content
    heading, shown = _worth_looking_at(evaluation, read_image)
    items = [(patch.pixels, patch.caption) for patch in shown]
    title = f"{heading} ({LEAKY})" if evaluation.leaky else heading
    sheet = contact_sheet(items, title=title, alert=evaluation.leaky)
    yield "mistakes.png", picture_bytes(sheet, ".png")
    yield "report.html", _page(evaluation, plots, heading, shown, photos, maps, lines)


def _classification_text(evaluation: Evaluation) -> str:
    """scikit-learn's report, and below it every figure with its interval."""
    report = classification_report(
        evaluation.labels,
        evaluation.predictions,
        labels=[0, 1],
        target_names=list(LABELS),
        digits=4,
        zero_division=np.nan,
    )
    lines = [
        f"{evaluation.model} on {origin_text(evaluation)}, {evaluation.n_crack:,} of them crack",
        f"threshold {evaluation.threshold:.6g}",
        "",
        *str(report).rstrip().split("\n"),
        "",
        f"{'figure':<26}{'value':>10}  {'95 % interval':<20}{'always crack':>12}",
    ]
    for name, figure in FIGURES.items():
        estimate, baseline = evaluation.metrics[name], evaluation.baseline[name]
        value, trivial = number_text(estimate.value), number_text(baseline.value)
        lines.append(f"{figure.title:<26}{value:>10}  {interval_text(estimate):<20}{trivial:>12}")
    lines += ["", method_text(evaluation.photo_kind)]
    if evaluation.leaky:
        lines = [f"Training has seen what is judged here ({_leaks_text(evaluation)}).", "", *lines]
        lines = [f"{LEAKY} | {line}".rstrip() for line in lines]
    return "\n".join(lines) + "\n"


def _predictions_text(evaluation: Evaluation) -> str:
    labels = [LABELS[label] for label in evaluation.labels.tolist()]
    said = [LABELS[label] for label in evaluation.predictions.tolist()]
    photos = evaluation.photos or ("",) * evaluation.n_patches
    rows = zip(evaluation.paths, labels, photos, evaluation.probabilities.tolist(), said, strict=True)
    return table_text(("path", "true_label", "photo", "crack_probability", "label"), rows)


def _worth_looking_at(evaluation: Evaluation, read_image: ReadImage) -> tuple[str, list[_Shown]]:
    """The worst mistakes, or where there are none, what the model was least certain of; and which it is."""
    n_mistakes = int((evaluation.predictions != evaluation.labels).sum())
    if n_mistakes:
        rows = worst_mistakes(evaluation, limit=_N_SHOWN)
        which = f"All {len(rows)}" if len(rows) == n_mistakes else f"{len(rows)} of {n_mistakes:,}"
        heading = "The only mistake" if n_mistakes == 1 else f"{which} mistakes, the most confident first"
    else:
        rows = least_certain(evaluation, limit=_N_SHOWN)
        which = f"the {len(rows)} patches nearest to the threshold" if len(rows) > 1 else "the only patch"
        heading = f"No mistakes; {which}"
    shown = []
    for row in rows.tolist():
        path, truth = evaluation.paths[row], LABELS[int(evaluation.labels[row])]
        shown.append(_Shown(path, truth, float(evaluation.probabilities[row]), pixels_or_blank(path, read_image)))
    return heading, shown


def _page(
    evaluation: Evaluation,
    plots: dict[str, bytes],
    heading: str,
    shown: list[_Shown],
    photos: PhotoEvaluation | None,
    maps: bytes | None,
    lines: UInt8Array | None,
) -> str:
    return (
        environment()
        .get_template("evaluation.html")
        .render(
            evaluation=evaluation,
            counts=evaluation.confusion_counts.tolist(),
            figures=FIGURES,
            n_bins=N_CALIBRATION_BINS,
            headlines=HEADLINES,
            leaks=_leaks_text(evaluation),
            sample=resampling_text(evaluation),
            method=method_text(evaluation.photo_kind),
            plots={name: data_uri(content, "png") for name, content in plots.items()},
            plot_notes=_PLOT_NOTES,
            heading=heading,
            shown=[(patch, _thumbnail(patch.pixels)) for patch in shown],
            refused=evaluation.refused[:_N_REFUSED_LISTED],
            photo_figures=photos.figures if photos else None,
            calibrated=photos.calibrated if photos else True,
            maps=data_uri(maps, "png") if maps else None,
            traced=photos.traced if photos else None,
            traced_by=photos.traced_by if photos else None,
            map_lines=photos.lines if photos else None,
            line_figures=LINE_FIGURES,
            joints=photos.joints if photos else None,
            joint_figures=JOINT_FIGURES,
            joint_photos=_worst_joints(photos) if photos else [],
            lines=None if lines is None else data_uri(picture_bytes(lines, ".jpg"), "jpeg"),
        )
    )


def _worst_joints(photos: PhotoEvaluation) -> list[PhotoJoints]:
    """The photos that the page lists, those with the greatest share of joints traced as cracks first."""
    found = photos.joints.photos if photos.joints else ()
    return sorted(found, key=lambda one: (-one.in_cracks, one.photo))[:_N_JOINT_PHOTOS]


def _leaks_text(evaluation: Evaluation) -> str:
    """What was seen, for people."""
    leaks = "1 leak of the split" if evaluation.n_leaks == 1 else f"{evaluation.n_leaks:,} leaks of the split"
    seen = seen_text(evaluation.n_seen, evaluation.n_seen_by_backbone, evaluation.n_patches)
    seen = seen[0].lower() + seen[1:]
    return "; ".join(text for text, n in ((leaks, evaluation.n_leaks), (seen, evaluation.n_seen)) if n)


def _thumbnail(pixels: UInt8Array) -> str:
    return data_uri(picture_bytes(fit_square(pixels, _THUMBNAIL_PX), ".jpg"), "jpeg")
