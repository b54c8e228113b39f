"""``crackscope evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crackscope.cli.console import AsJson, Overwrite, Part, Threads, emit, progress_bar, say

if TYPE_CHECKING:
    from crackscope.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder, .tar, .zip or .csv of labelled patches.")],
    model: Annotated[Path | None, typer.Option(help="A bundle; the default one if left out.")] = None,
    split: Annotated[Path | None, typer.Option(help="A split file; with it, --part is judged.")] = None,
    part: Annotated[
        Part | None,
        typer.Option(help="train, val or test, of --split or of the data's own folders; test if --split is given."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for figures, plots and report.html.")] = Path("evaluation"),
    allow_leakage: Annotated[
        bool, typer.Option("--allow-leakage", help="Judge on a leaking split; every figure is marked leaky.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the bootstrap over photos.")] = 0,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure a model on labelled patches: figures with 95 % intervals over photos, plots, worst mistakes, a report.

    Example: `crackscope evaluate metu.tar --model runs/metu/model.onnx --split split.csv --part test --out figures`
    """
    from crackscope.evaluation import metrics_document
    from crackscope.images import decode_photo
    from crackscope.judging import evaluate as judge
    from crackscope.output import require_free_folder
    from crackscope.patches import read_patches
    from crackscope.prediction import load
    from crackscope.reports.evaluation_report import FILES, write_evaluation

    require_free_folder(out, ours=FILES, overwrite=overwrite)
    classifier = load(model, threads=threads)
    index = read_patches(data)
    with progress_bar("judging") as progress:
        evaluation = judge(
            index,
            classifier,
            split=split,
            part=part.value if part else None,
            allow_leakage=allow_leakage,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    write_evaluation(
        evaluation, out, read_image=lambda path: decode_photo(index.files.read(path)).pixels, overwrite=overwrite
    )
    if evaluation.n_seen:
        say(f"The model was trained on {evaluation.n_seen} of these patches, or their photos: all figures are leaky.")
    for path, why in evaluation.refused[:5]:
        say(f"{path}: {why}")
    document = {"status": "refused" if evaluation.refused else "done", "out": str(out), **metrics_document(evaluation)}
    emit(document, as_json=as_json, text=_table(evaluation, out))
    if evaluation.refused:
        raise typer.Exit(3)


def _table(evaluation: Evaluation, out: Path) -> str:
    from crackscope.reports.wording import FIGURES, interval_text, number_text, origin_text

    mark = "leaky | " if evaluation.leaky else ""
    lines = [origin_text(evaluation), f"{mark}{'':24}{'model':>8}  {'95 % interval':<18}always crack"]
    for name, figure in evaluation.metrics.items():
        baseline = number_text(evaluation.baseline[name].value)
        title = FIGURES[name].title
        lines.append(f"{mark}{title:24}{number_text(figure.value):>8}  {interval_text(figure):<18}{baseline}")
    lines.append(f"Intervals: bootstrap, {evaluation.photo_kind} resampled.")
    return "\n".join([*lines, f"report: {out / 'report.html'}"])
