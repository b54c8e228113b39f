"""``crackscope evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crackscope.cli.console import (
    AsJson,
    ModelFile,
    Overwrite,
    Part,
    Precision,
    Threads,
    emit,
    progress_bar,
    read_model,
    say,
    scale_number,
)

if TYPE_CHECKING:
    from crackscope.measuring.evaluation import Evaluation
    from crackscope.measuring.photo_evaluation import PhotoEvaluation

__all__ = ["evaluate"]


def evaluate(
    data: Annotated[
        Path, typer.Argument(help="Folder, .tar, .zip or .csv of labelled patches; photos with --tiles or --masks.")
    ],
    model: ModelFile = None,
    precision: Precision = None,
    split: Annotated[Path | None, typer.Option(help="A split file; with it, --part is judged.")] = None,
    part: Annotated[
        Part | None,
        typer.Option(help="train, val or test, of --split or of the data's own folders; test if --split is given."),
    ] = None,
    tiles: Annotated[
        Path | None, typer.Option(help="Judge photos: a CSV with photo,row,col,label (and surface,tile) of each tile.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Judge photos: a folder of masks named as they are, cracks in white.")
    ] = None,
    mm_per_px: Annotated[
        float | None, typer.Option("--mm-per-px", help="Of all photos, as in `crackscope scan`.")
    ] = None,
    scale: Annotated[str, typer.Option(help="Of all photos, as in `crackscope scan`.")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder for figures, plots and report.html.")] = Path("evaluation"),
    allow_leakage: Annotated[
        bool, typer.Option("--allow-leakage", help="Judge on a leaking split; every figure is marked leaky.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap over photos.")] = 0,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure a model on labelled patches or photos: figures with 95 % intervals, plots, worst mistakes, a report.

    With --tiles, patches that are tiles of photos are laid together, the photos are scanned, and every tile is judged
    by its place in the map; with --masks, tiles are cut by pixel masks. A sheet shows the best and the worst maps.

    Example: `crackscope evaluate metu.tar --model runs/metu/model.onnx --split split.csv --part test --out figures`
    """
    from crackscope.data.patches import read_patches
    from crackscope.files.output import require_free_folder
    from crackscope.measuring.evaluation import metrics_document
    from crackscope.measuring.judging import evaluate as judge
    from crackscope.measuring.judging import evaluate_photos
    from crackscope.measuring.photo_evaluation import tile_reader
    from crackscope.reports.evaluation_report import PHOTO_FILES, write_evaluation
    from crackscope.scanning.prediction import load

    if tiles and masks:
        raise typer.BadParameter("give --tiles or --masks, not both.", param_hint="--masks")
    if masks and (split or part):
        raise typer.BadParameter("photos with masks have no split; leave --split and --part out.", param_hint="--split")
    require_free_folder(out, ours=PHOTO_FILES, overwrite=overwrite)
    chosen, number = part.value if part else None, scale_number(scale, mm_per_px)
    bundle = read_model(model, precision)
    with progress_bar("judging") as progress:
        if tiles or masks:
            photos = evaluate_photos(
                data,
                bundle,
                tiles=tiles,
                masks=masks,
                split=split,
                part=chosen,
                scale=number,
                mm_per_px=mm_per_px,
                allow_leakage=allow_leakage,
                seed=seed,
                threads=threads,
                progress=progress,
            )
            evaluation, read_image = photos.tiles, tile_reader(photos)
        else:
            photos, index = None, read_patches(data)
            evaluation = judge(
                index,
                load(bundle, threads=threads),
                split=split,
                part=chosen,
                allow_leakage=allow_leakage,
                seed=seed,
                threads=threads,
                progress=progress,
            )
            read_image = index.read_pixels
    write_evaluation(evaluation, out, read_image=read_image, photos=photos, overwrite=overwrite)
    document = metrics_document(evaluation) | (photos.figures.document() if photos else {})
    if evaluation.n_seen:
        say(f"The model was trained on {evaluation.n_seen} of these patches, or their photos: all figures are leaky.")
    for path, why in evaluation.refused[:5]:
        say(f"{path}: {why}")
    status = {"status": "refused" if evaluation.refused else "done", "out": str(out)}
    emit(status | document, as_json=as_json, text=_table(evaluation, photos, out))
    if evaluation.refused:
        raise typer.Exit(3)


def _table(evaluation: Evaluation, photos: PhotoEvaluation | None, out: Path) -> str:
    from crackscope.reports.wording import FIGURES, interval_text, number_text, origin_text

    mark = "leaky | " if evaluation.leaky else ""
    lines = [origin_text(evaluation), f"{mark}{'':24}{'model':>8}  {'95 % interval':<18}always crack"]
    for name, figure in evaluation.metrics.items():
        baseline = number_text(evaluation.baseline[name].value)
        title = FIGURES[name].title
        lines.append(f"{mark}{title:24}{number_text(figure.value):>8}  {interval_text(figure):<18}{baseline}")
    if photos:
        figures = photos.figures
        for title, figure in (
            ("Recall, 1 false region", figures.recall_at_one_false_region),
            ("Pointing accuracy", figures.pointing_accuracy),
        ):
            lines.append(f"{mark}{title:24}{number_text(figure.value):>8}  {interval_text(figure):<18}")
    if evaluation.reasons is not None:
        shares = " and ".join(
            f"{100 * evaluation.rejected_share(label):.1f} % of {name}"
            for label, name in ((1, "crack"), (0, "uncracked"))
            if (evaluation.labels == label).any()
        )
        lines.append(f"{mark}Rejected: {shares}; counted like the others.")
    lines.append(f"Intervals: bootstrap, {evaluation.photo_kind} resampled.")
    return "\n".join([*lines, f"report: {out / 'report.html'}"])
