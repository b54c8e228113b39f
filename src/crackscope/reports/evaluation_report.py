"""One folder that holds everything about one evaluation, and one page that can be sent to someone.

Nothing in it depends on the clock or on where it was written: the same evaluation gives the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import classification_report

from crackscope.arrays import UInt8Array
from crackscope.data.patches import LABELS
from crackscope.errors import CrackscopeError
from crackscope.files.output import new_folder, write_text
from crackscope.measuring.evaluation import Evaluation, least_certain, metrics_document, worst_mistakes
from crackscope.measuring.metrics import N_CALIBRATION_BINS
from crackscope.measuring.photo_evaluation import PhotoEvaluation
from crackscope.reports.contact_sheet import contact_sheet, fit_square
from crackscope.reports.look import png_bytes
from crackscope.reports.map_sheet import map_sheet
from crackscope.reports.page import data_uri, environment, picture_bytes
from crackscope.reports.plots import PLOTS
from crackscope.reports.wording import (
    FIGURES,
    LEAKY,
    interval_text,
    number_text,
    origin_text,
    resampling_text,
)

__all__ = ["FILES", "PHOTO_FILES", "write_evaluation"]


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

_HEADLINES = ("recall_crack", "precision_crack", "false_alarm_rate", "accuracy", "auroc", "mcc")
_N_SHOWN = 24
_N_REFUSED_LISTED = 50
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
    evaluation: Evaluation,
    out: Path,
    *,
    read_image: Callable[[str], UInt8Array],
    photos: PhotoEvaluation | None = None,
    overwrite: bool = False,
) -> Path:
    """Write figures, tables, plots and the page of an evaluation into a folder.

    All is written beside the folder first and renamed at the end, so nobody ever sees half of it. If training
    has seen what is judged, every figure carries the mark "leaky".

    Args:
        evaluation: What to write.
        out: The folder; its parents are made as needed.
        read_image: From a path of the evaluation to RGB uint8 pixels (h, w, 3). Called for the patches
            shown, at most 24. One that it refuses with a `CrackscopeError` is shown as an empty tile.
        photos: Where what is judged are tiles of photos: their figures and maps.
        overwrite: Replace a folder that holds nothing but an older evaluation.

    Returns:
        ``out``, holding the `FILES`, or the `PHOTO_FILES`.

    Raises:
        OutputError: If ``out`` is taken, holds anything else, or cannot be written.
    """
    out = Path(out)
    with new_folder(out, ours=PHOTO_FILES, overwrite=overwrite) as part:
        _write_files(evaluation, part, read_image, photos)
    return out


def _write_files(
    evaluation: Evaluation, folder: Path, read_image: Callable[[str], UInt8Array], photos: PhotoEvaluation | None
) -> None:
    document = metrics_document(evaluation) | (photos.figures.document() if photos else {})
    maps = picture_bytes(map_sheet(photos), ".png") if photos else None
    if maps:
        (folder / "maps.png").write_bytes(maps)
    write_text(folder / "metrics.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
    write_text(folder / "classification_report.txt", _classification_text(evaluation))
    write_text(folder / "predictions.csv", _predictions_text(evaluation))
    plots = {name: png_bytes(draw(evaluation)) for name, draw in PLOTS.items()}
    for name, content in plots.items():
        (folder / f"{name}.png").write_bytes(content)
    heading, shown = _worth_looking_at(evaluation, read_image)
    items = [(patch.pixels, patch.caption) for patch in shown]
    title = f"{heading} ({LEAKY})" if evaluation.leaky else heading
    sheet = contact_sheet(items, title=title, alert=evaluation.leaky)
    (folder / "mistakes.png").write_bytes(picture_bytes(sheet, ".png"))
    write_text(folder / "report.html", _page(evaluation, plots, heading, shown, photos, maps))


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
    lines += ["", f"Intervals: bootstrap, {evaluation.photo_kind} resampled."]
    if evaluation.leaky:
        lines = [f"Training has seen what is judged here ({_leaks_text(evaluation)}).", "", *lines]
        lines = [f"{LEAKY} | {line}".rstrip() for line in lines]
    return "\n".join(lines) + "\n"


def _predictions_text(evaluation: Evaluation) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("path", "label", "photo", "crack_probability", "predicted"))
    photos = evaluation.photos or ("",) * evaluation.n_patches
    labels, probabilities = evaluation.labels.tolist(), evaluation.probabilities.tolist()
    for path, label, photo, probability, said in zip(
        evaluation.paths, labels, photos, probabilities, evaluation.predictions.tolist(), strict=True
    ):
        writer.writerow((path, LABELS[label], photo, repr(probability), LABELS[said]))
    return stream.getvalue()


def _worth_looking_at(evaluation: Evaluation, read_image: Callable[[str], UInt8Array]) -> tuple[str, list[_Shown]]:
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
        shown.append(_Shown(path, truth, float(evaluation.probabilities[row]), _pixels(path, read_image)))
    return heading, shown


def _pixels(path: str, read_image: Callable[[str], UInt8Array]) -> UInt8Array:
    try:
        return read_image(path)
    except CrackscopeError:
        return np.full((2, 2, 3), 200, dtype=np.uint8)  # the file went after it was judged; the figures stand


def _page(
    evaluation: Evaluation,
    plots: dict[str, bytes],
    heading: str,
    shown: list[_Shown],
    photos: PhotoEvaluation | None,
    maps: bytes | None,
) -> str:
    return (
        environment()
        .get_template("evaluation.html")
        .render(
            evaluation=evaluation,
            counts=evaluation.confusion_counts.tolist(),
            figures=FIGURES,
            n_bins=N_CALIBRATION_BINS,
            headlines=_HEADLINES,
            leaks=_leaks_text(evaluation),
            sample=resampling_text(evaluation),
            plots={name: data_uri(content, "png") for name, content in plots.items()},
            plot_notes=_PLOT_NOTES,
            heading=heading,
            shown=[(patch, _thumbnail(patch.pixels)) for patch in shown],
            refused=evaluation.refused[:_N_REFUSED_LISTED],
            photo_figures=photos.figures if photos else None,
            calibrated=photos.calibrated if photos else True,
            maps=data_uri(maps, "png") if maps else None,
        )
    )


def _leaks_text(evaluation: Evaluation) -> str:
    """What was seen, for people."""
    leaks = "1 leak of the split" if evaluation.n_leaks == 1 else f"{evaluation.n_leaks:,} leaks of the split"
    seen = f"{evaluation.n_seen:,} of {evaluation.n_patches:,} patches, or their photos, were trained on"
    return "; ".join(text for text, n in ((leaks, evaluation.n_leaks), (seen, evaluation.n_seen)) if n)


def _thumbnail(pixels: UInt8Array) -> str:
    return data_uri(picture_bytes(fit_square(pixels, _THUMBNAIL_PX), ".jpg"), "jpeg")
