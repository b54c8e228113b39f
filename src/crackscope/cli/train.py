"""``crackscope train``: train a crack classifier."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crackscope.cli.console import (
    AsJson,
    CrackNames,
    Overwrite,
    PhotoFrom,
    Threads,
    UncrackedNames,
    class_words,
    emit,
    progress_bar,
    read_labelled,
    say,
)

if TYPE_CHECKING:
    from crackscope.training.runs import Run

__all__ = ["train"]


class FoldsBy(str, Enum):
    """What stays together in one fold."""

    scene = "scene"
    photo = "photo"
    similarity = "similarity"


class CacheUse(str, Enum):
    """Whether what is frozen is kept on disk."""

    disk = "disk"
    none = "none"


def train(
    data: Annotated[Path, typer.Argument(help="Folder, .tar, .zip or .csv of labelled patches.")],
    recipe: Annotated[
        str, typer.Option(help="A recipe; `crackscope recipes` lists them. `head` needs no torch.")
    ] = "head",
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable.")
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(help="A split file; if left out, the parts that DATA itself names, or else a split made here."),
    ] = None,
    cross_validate: Annotated[
        FoldsBy | None,
        typer.Option(
            help="Judge by cross-validation on folds of whole scenes, photos or groups, in place of one test."
        ),
    ] = None,
    without: Annotated[
        Path | None, typer.Option(help="A CSV of photos to leave out, with photo or surface,photo.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, max=20, help="Number of folds, with --cross-validate.")] = 5,
    backbone: Annotated[
        str | None,
        typer.Option(help="A model folder or hub id, for `head` also a bundle; the recipe's own if left out."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; runs/RECIPE if left out.")] = None,
    patch_px: Annotated[
        int | None,
        typer.Option(min=32, max=4096, help="Shorter side that patches are resized to; the recipe's own if left out."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of first weights, order, dropout and bootstrap.")] = 0,
    allow_leakage: Annotated[
        bool, typer.Option("--allow-leakage", help="Train on a leaking split; every figure is marked leaky.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a stopped run; begin it if there is none.")
    ] = False,
    cache: Annotated[
        CacheUse, typer.Option(help="Where the outputs of frozen blocks are kept; none computes them anew as needed.")
    ] = CacheUse.disk,
    crack: CrackNames = None,
    uncracked: UncrackedNames = None,
    photo_from: PhotoFrom = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train a crack classifier by transfer learning; what is frozen is computed once, and cached.

    `head` fits a linear head on a frozen backbone in seconds. The other recipes train by epochs, and compare the bundle
    with torch file by file. Every model is evaluated on the test part.

    Without --split, where DATA names no parts, a split is made with the shares of `crackscope split`: by scene where
    scenes are known, by photo where every patch tells its photo, else by similarity. The run folder keeps it as
    split.csv.

    --cross-validate trains one model for each fold, and judges the fold by it: every patch is judged once, by a model
    that has not seen its group. One more model learns from all folds and is kept, with the pooled figures.

    Example: `crackscope train metu.tar --split split.csv --recipe mobilenetv2-top10 --set finetuning.epochs=5`
    """
    from crackscope.measuring.transfer_sets import read_photo_list, without_photos
    from crackscope.measuring.wording import seen_text
    from crackscope.training.memory import keep_memory
    from crackscope.training.recipes import HEAD

    if cross_validate and split:
        raise typer.BadParameter("folds are dealt anew; leave --split out.", param_hint="--cross-validate")
    if recipe != HEAD:
        keep_memory()
    index = read_labelled(data, crack, uncracked, photo_from)
    if without:
        if split:
            raise typer.BadParameter("a split names what takes part; leave --without out.", param_hint="--without")
        index = without_photos(index, read_photo_list(without))
    with progress_bar("working") as progress:
        options: dict[str, Any] = {
            **{"out": out or Path("runs") / recipe, "recipe": recipe, "changes": changes or (), "backbone": backbone},
            **{"patch_px": patch_px, "seed": seed, "allow_leakage": allow_leakage, "cache": cache is CacheUse.disk},
            **{"resume": resume, "threads": threads, "overwrite": overwrite, "progress": progress, "say": say},
        }
        if cross_validate:
            from crackscope.training.cross_validation import cross_validate as run_folds

            run = run_folds(index, by=cross_validate.value, n_folds=folds, **options)
        else:
            from crackscope.training.runs import train as run_training

            run = run_training(index, split=split, **options)
    judged = run.evaluation
    refused = dict([*run.refused, *judged.refused])
    for path, why in list(refused.items())[:5]:
        say(f"{path}: {why}")
    if judged.n_seen:
        who = seen_text(judged.n_seen, judged.n_seen_by_backbone, judged.n_patches)
        say(
            f"{who}: all figures are leaky. For figures on patches that are new to it, start from another --backbone, "
            "such as google/mobilenet_v2_1.0_224."
        )
    if not run.document.gate.fitted and run.document.gate.reason:
        say(
            f"The model has no gate ({run.document.gate.reason}): blurred images, and images without concrete, are "
            "answered like any other."
        )
    emit(
        _document(run, len(refused)), as_json=as_json, text=_text(run, data, class_words(crack, uncracked, photo_from))
    )
    if refused:
        raise typer.Exit(3)


def _document(run: Run, n_refused: int) -> dict[str, Any]:
    from crackscope.measuring.evaluation import metrics_document

    judged = run.evaluation
    return {
        "status": "refused" if n_refused else "done",
        "model": str(run.model),
        "leaky": judged.leaky,
        judged.part or "all": metrics_document(judged),
        "n_refused": n_refused,
        "run": run.document.to_dict(),
    }


def _text(run: Run, data: Path, names: list[str]) -> str:
    """The outcome for people, and the commands that come next."""
    import math
    import shlex

    judged, told, model = run.evaluation, run.document, run.model
    mark = " (leaky)" if judged.leaky else ""
    baseline = judged.baseline["accuracy"]
    accuracy, auroc = judged.metrics["accuracy"], judged.metrics["auroc"]
    interval = "" if math.isnan(accuracy.low) else f" [{accuracy.low:.4f}, {accuracy.high:.4f}]"
    name = f"{told.folds.n_folds} folds by {told.folds.by}" if told.folds else judged.part
    text = f"{name}{mark}: accuracy {accuracy.value:.4f}{interval} "
    text += f"(always crack {baseline.value:.4f}), AUROC {auroc.value:.4f} (chance 0.5); "
    agreement = told.agreement_with_torch
    if agreement is None:
        text += f"C {told.chosen.penalty:g}, {told.n_computed} features computed, the others cached"
    else:
        text += f"weights of epoch {told.chosen.epoch} ({told.chosen.phase}); "
        text += f"torch says the same of {agreement.n} files within {agreement.greatest:.1e}"
    few = [f"{judged.few[0].upper()}{judged.few[1:]}."] if judged.few else []
    lines = [text, *few, f"written to {model}"]
    if (run.folder / "evaluation").is_dir():
        lines.append(f"report: {run.folder / 'evaluation' / 'report.html'}")
    if agreement is not None:
        lines.append(f"next: {shlex.join(['tensorboard', '--logdir', str(run.folder / 'tensorboard')])}")
    if told.folds:
        return "\n".join(lines)
    following = ["crackscope", "robustness", str(data), *names, "--model", str(model)]
    following += ["--split", str(run.folder / "split.csv")]
    following += ["--part", "val"] if judged.part == "val" else []
    return "\n".join([*lines, f"next: {shlex.join(following)}"])
