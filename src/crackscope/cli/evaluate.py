"""``crackscope evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crackscope.cli.console import AsJson, Overwrite, Threads, emit, progress_bar, say

if TYPE_CHECKING:
    from crackscope.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(
    data: Annotated[Path, typer.Argument(help="Folder, .tar, .zip or .csv of labelled patches.")],
    model: Annotated[Path | None, typer.Option(help="A bundle; the default one if left out.")] = None,
    split: Annotated[Path | None, typer.Option(help="A split file; with it, --part is judged.")] = None,
    part: Annotated[
        str | None,
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
    from crackscope.errors import SplitError
    from crackscope.evaluation import evaluate as measure
    from crackscope.evaluation import metrics_document
    from crackscope.images import decode_photo
    from crackscope.leaks import check_split
    from crackscope.output import require_free
    from crackscope.patches import read_patches
    from crackscope.prediction import load
    from crackscope.reports.evaluation_report import write_evaluation
    from crackscope.splits import apply_split, split_of

    require_free(out, overwrite=overwrite)
    classifier = load(model, threads=threads)
    index = read_patches(data)
    n_leaks, photo_kind = 0, "photos"
    if split is not None or part is not None:
        part = part or "test"
        assigned = split_of(index, split)
        with progress_bar("looking for leaks") as progress:
            leaks = check_split(apply_split(index, assigned), threads=threads, progress=progress)
        if len(leaks) and not allow_leakage:
            raise SplitError(f"{leaks.summary()} Rebuild the split, or say --allow-leakage to have all figures marked.")
        if classifier.card.split.get("sha256") not in (None, assigned.sha256()):
            say(
                "The model was trained with another split. If that was of this data, it may have seen part of this one."
            )
        n_leaks = len(leaks)
        photo_kind = "similarity groups" if assigned.grouped_by == "similarity" else "photos"
        index = apply_split(index, assigned, part=part)
    with progress_bar("predicting") as progress:
        evaluation = measure(
            index,
            classifier,
            part=part,
            split=split.name if split else None,
            photo_kind=photo_kind,
            n_leaks=n_leaks,
            seed=seed,
            progress=progress,
        )

    write_evaluation(
        evaluation, out, read_image=lambda path: decode_photo(index.files.read(path)).pixels, overwrite=overwrite
    )
    for path, why in evaluation.refused[:5]:
        say(f"{path}: {why}")
    document = {"status": "look" if evaluation.refused else "done", "out": str(out), **metrics_document(evaluation)}
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
    return "\n".join([*lines, f"report: {out / 'report.html'}"])
