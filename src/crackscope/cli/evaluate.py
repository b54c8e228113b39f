"""``crackscope evaluate``: measure a model on labelled patches or photos."""

from __future__ import annotations

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
    class_names,
    emit,
    network_scale,
    progress_bar,
    read_labelled,
    read_model,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crackscope.measuring.estimates import Estimate
    from crackscope.measuring.evaluation import Evaluation
    from crackscope.measuring.photo_evaluation import PhotoEvaluation

__all__ = ["evaluate"]


def evaluate(
    data: Annotated[
        Path, typer.Argument(help="Folder, .tar, .zip or .csv of labelled patches; photos with --tiles or --masks.")
    ],
    model: ModelFile = None,
    precision: Precision = None,
    split: Annotated[
        Path | None, typer.Option(help="A split file; if left out, the parts that DATA itself names.")
    ] = None,
    part: Annotated[
        Part | None,
        typer.Option(help="Part to judge; test if there are parts, else all patches."),
    ] = None,
    tiles: Annotated[
        Path | None, typer.Option(help="Judge photos: a CSV with photo,row,col,label (and surface,tile) of each tile.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Judge photos: a folder of masks with the photos' names, cracks in white.")
    ] = None,
    masks_inverted: Annotated[
        bool, typer.Option("--masks-inverted", help="Cracks are black in the masks, and everything else is white.")
    ] = False,
    joints: Annotated[
        Path | None,
        typer.Option(help="With --masks: a CSV with photo,joint,point,x,y that says where joints run in the photos."),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="Pixels of the network per pixel of a photo, as for `crackscope scan`.")
    ] = "auto",
    out: Annotated[Path, typer.Option(help="Folder for figures, plots and report.html.")] = Path("evaluation"),
    allow_leakage: Annotated[
        bool,
        typer.Option(
            "--allow-leakage",
            help="Judge a leaking split, or what the model was trained on; every figure is marked leaky.",
        ),
    ] = False,
    taken_as: AsPatch = TakenAsPatch.auto,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap over photos.")] = 0,
    crack: CrackNames = None,
    uncracked: UncrackedNames = None,
    photo_from: PhotoFrom = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure a model on labelled patches or photos: figures with 95 % intervals, plots, worst mistakes, a report.

    With --tiles, patches that are tiles of photos are laid together, the photos are scanned, and every tile is judged
    by its part of the map. With --masks, tiles are labelled by pixel masks. A sheet shows the best and the worst maps.
    With --masks, cracks are traced and compared with the lines of the masks, and so is the fine map, if the model has
    one; a sheet shows all. With --joints, it is told how much of the joints in the photos is traced.

    Example: `crackscope evaluate metu.tar --model runs/metu/model.onnx --split split.csv --part test --out figures`
    """
    from crackscope.files.output import require_free_folder
    from crackscope.measuring.evaluation import metrics_document
    from crackscope.measuring.judging import evaluate as judge
    from crackscope.measuring.judging import evaluate_photos
    from crackscope.measuring.photo_evaluation import PhotoEvaluation
    from crackscope.measuring.wording import seen_text
    from crackscope.reports.evaluation_report import LINE_FILES, write_evaluation
    from crackscope.scanning.loaded_model import load

    if tiles and masks:
        raise typer.BadParameter("give --tiles or --masks, not both.", param_hint="--masks")
    if masks and (split or part):
        raise typer.BadParameter("photos with masks have no split; leave --split and --part out.", param_hint="--split")
    if masks_inverted and not masks:
        raise typer.BadParameter("it says how masks are drawn; give --masks too.", param_hint="--masks-inverted")
    if joints and not masks:
        raise typer.BadParameter("only photos with masks are traced; give --masks too.", param_hint="--joints")
    if (tiles or masks) and photo_from is not None:
        raise typer.BadParameter("it is for patches; leave it out with --tiles or --masks.", param_hint="--photo-from")
    if (tiles or masks) and taken_as is not TakenAsPatch.auto:
        raise typer.BadParameter("it is for patches; leave it out with --tiles or --masks.", param_hint="--as")
    require_free_folder(out, ours=LINE_FILES, overwrite=overwrite)
    chosen = part.value if part else None
    chosen_scale = network_scale(scale)
    bundle = read_model(model, precision)
    with progress_bar("judging") as progress:
        if tiles or masks:
            found: Evaluation | PhotoEvaluation = evaluate_photos(
                data,
                bundle,
                tiles=tiles,
                masks=masks,
                masks_inverted=masks_inverted,
                joints=joints,
                names=class_names(crack, uncracked),
                split=split,
                part=chosen,
                network_scale=chosen_scale,
                allow_leakage=allow_leakage,
                seed=seed,
                threads=threads,
                progress=progress,
            )
        else:
            found = judge(
                read_labelled(data, crack, uncracked, photo_from),
                load(bundle, threads=threads),
                split=split,
                part=chosen,
                unit=taken_as.value,
                allow_leakage=allow_leakage,
                seed=seed,
                threads=threads,
                progress=progress,
            )
    write_evaluation(found, out, overwrite=overwrite)
    photos = found if isinstance(found, PhotoEvaluation) else None
    evaluation = found.tiles if isinstance(found, PhotoEvaluation) else found
    document = photos.document() if photos else metrics_document(evaluation)
    if evaluation.n_seen:
        who = seen_text(evaluation.n_seen, evaluation.n_seen_by_backbone, evaluation.n_patches)
        say(f"{who}: all figures are leaky.")
    for told in _left_out(data, masks) if masks else ():
        say(told)
    if photos and photos.traced_by == "ridges":
        say(f"{evaluation.model}: this model has no fine map, so cracks are traced by dark ridges in its regions.")
    if photos and photos.joints and photos.joints.not_judged:
        say(_not_judged(photos.joints.not_judged, joints))
    for path, why in evaluation.refused[:5]:
        say(f"{path}: {why}")
    status = {"status": "refused" if evaluation.refused else "done", "out": str(out)}
    emit(status | document, as_json=as_json, text=_table(evaluation, photos, out))
    if evaluation.refused:
        raise typer.Exit(3)


def _left_out(photos: Path, masks: Path) -> list[str]:
    """What is said of photos that have no mask, and of masks that have no photo."""
    from crackscope.data.labelled_photos import left_out_by_masks

    without_mask, without_photo = left_out_by_masks(photos, masks)
    return [
        f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: no {other} of this name, so left out."
        for paths, other in ((without_mask, "mask"), (without_photo, "photo"))
        if paths
    ]


def _not_judged(names: Sequence[str], joints: Path | None) -> str:
    """What is said of photos whose joints are labelled, and that are not judged."""
    more, whose = (f" and {len(names) - 1} more", "their") if len(names) > 1 else ("", "its")
    return f"{joints}: {names[0]}{more}: not judged, so {whose} joints are left out."


def _table(evaluation: Evaluation, photos: PhotoEvaluation | None, out: Path) -> str:
    from crackscope.measuring.evaluation import origin_text
    from crackscope.measuring.wording import FIGURES, interval_text, method_text, number_text

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
        lines += [f"{mark}{line}" for line in _lines_table(photos)]
    if evaluation.reasons is not None:
        shares = " and ".join(
            f"{100 * evaluation.rejected_share(label):.1f} % of {name}"
            for label, name in ((1, "crack"), (0, "uncracked"))
            if (evaluation.labels == label).any()
        )
        lines.append(f"{mark}Rejected: {shares}; counted like all other patches.")
    lines.append(method_text(evaluation.photo_kind))
    lines += [f"{evaluation.few[0].upper()}{evaluation.few[1:]}."] if evaluation.few else []
    return "\n".join([*lines, f"report: {out / 'report.html'}"])


def _lines_table(photos: PhotoEvaluation) -> list[str]:
    """Figures of lines and of joints: the line of the fine map and the traced lines stand side by side."""
    from crackscope.measuring.joint_figures import joint_rows
    from crackscope.measuring.line_figures import line_rows
    from crackscope.measuring.wording import interval_text, number_text

    def cell(figure: Estimate | None) -> str:
        return "" if figure is None else f"{number_text(figure.value):>8}  {interval_text(figure):<18}"

    kinds = {name: one for name, one in (("fine map", photos.lines), ("traced", photos.traced)) if one}
    rows = {name: dict(line_rows(one)) for name, one in kinds.items()}
    heads = "".join(f"{name:>8}  {'95 % interval':<18}" for name in kinds)
    lines = [f"{'Lines against the masks':28}{heads}"] if kinds else []
    for title in next(iter(rows.values()), {}):
        lines.append(f"{title:28}" + "".join(cell(own.get(title)) for own in rows.values()))
    if photos.joints:
        lines.append(f"{'Labelled joints':28}{'share':>8}  95 % interval")
        lines += [f"{title:28}{cell(figure)}" for title, figure in joint_rows(photos.joints)]
    fews = [one.few for one in (photos.traced, photos.joints) if one and one.few]
    return [line.rstrip() for line in (*lines, *(f"{few[0].upper()}{few[1:]}." for few in fews))]
