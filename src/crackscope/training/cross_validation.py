"""Cross-validation: train on folds of whole groups, judge each fold by a model that has not seen it, pool the figures.

One test part may be lucky or unlucky. Here every patch is judged once. Each fold is a run of `crackscope.train` in the
folder ``fold-N``, with validation patches of its own for calibration and threshold. One more run learns from all folds:
its model is the one that is kept, and its card has the pooled figures. The folder is filled beside its place. If the
program is killed, the folds that are whole are taken up again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crackscope import __version__
from crackscope.data.folds import Folds, split_into_folds
from crackscope.data.patches import PatchIndex, content_digest, read_patches
from crackscope.data.splits import apply_split
from crackscope.errors import DataError, OutputError, RecipeError
from crackscope.files.output import require_free_folder, resumable_folder, write_text
from crackscope.files.streaming import Progress
from crackscope.measuring.evaluation import Evaluation, metrics_document
from crackscope.measuring.judging import judge
from crackscope.measuring.pooling import pool_evaluations
from crackscope.measuring.run_document import RunDocument, RunFolds, read_run_document, write_run_document
from crackscope.model.bundle import read_bundle
from crackscope.model.quantisation import with_card
from crackscope.reports.evaluation_report import write_evaluation
from crackscope.scanning.loaded_model import Model
from crackscope.training.cards import shown_figures
from crackscope.training.recipes import HEAD, Recipe
from crackscope.training.run_folder import FILES, FOLD_FILES
from crackscope.training.runs import Run, train

__all__ = ["cross_validate"]

Say = Callable[[str], None]

_STATE = "folds.json"
_FINAL = "final"
_ONLY_TO_GO_ON = ("model.onnx", "checkpoint.pt")  # of each fold, gone when the run ends: a run folder has one model


def cross_validate(
    data: str | Path | PatchIndex,
    *,
    out: str | Path,
    by: str = "scene",
    n_folds: int = 5,
    recipe: str | Recipe = HEAD,
    changes: Sequence[str] | Mapping[str, Any] = (),
    backbone: str | Path | None = None,
    patch_px: int | None = None,
    seed: int = 0,
    allow_leakage: bool = False,
    cache: bool = True,
    resume: bool = False,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    say: Say = lambda _: None,
) -> Run:
    """Train on folds of whole groups, and judge each fold by the model of the others; keep a model of all folds.

    Args:
        data: Labelled patches: a path that `crackscope.read_patches` takes, or the index that it returns. Parts that it
            names do not count.
        out: Path of the run folder.
        by: What stays together in one fold: ``scene``, ``photo`` or ``similarity``.
        n_folds: Number of folds, 2 to 20.
        recipe: Recipe, as for `crackscope.train`.
        changes: Settings of the recipe to change, as for `crackscope.train`.
        backbone: Backbone, as for `crackscope.train`.
        patch_px: Shorter side of a patch after the resize, in pixels, as for `crackscope.train`.
        seed: Seed of the folds, and of every training.
        allow_leakage: Whether training goes on although folds leak, such as folds by photo where photos overlap;
            figures are then marked leaky.
        cache: Whether the outputs of frozen blocks are kept on disk.
        resume: Whether an interrupted run goes on; where there is none, it begins.
        threads: Number of threads; all cores if left out.
        overwrite: Whether an existing run folder is replaced, and what an interrupted run left.
        progress: Called with (done, total) as work goes on.
        say: Called with a line of text as each step begins.

    Returns:
        The run folder, the pooled figures, and how the training of the kept model went. The folders ``fold-N`` hold the
        figures of each fold.

    Raises:
        DataError: If the data cannot be read, or a label is missing.
        SplitError: If scenes or photos are not known, there are too few groups, or folds leak.
        RecipeError: If there is no such recipe or setting, or the interrupted run had other data or settings.
        BundleError: If the backbone is none, or a model does not agree with torch.
        OutputError: If `out` is taken, or cannot be written.
        MissingExtraError: If the recipe needs the extra ``train`` and it is not installed.
    """
    place = Path(out)
    require_free_folder(place, ours=FOLD_FILES, overwrite=overwrite)
    _require_free_beside(place, resume=resume, overwrite=overwrite)
    index = read_patches(data)
    folds = split_into_folds(index, by=by, n_folds=n_folds, seed=seed, threads=threads, progress=progress)
    recipe_text = recipe if isinstance(recipe, str) else json.dumps(recipe.model_dump(mode="json"), sort_keys=True)
    asked = [__version__, recipe_text, repr(changes), str(backbone), patch_px, seed, allow_leakage]
    identity = _identity(index, folds, asked, threads, progress)
    options: dict[str, Any] = {
        **{"recipe": recipe, "changes": changes, "backbone": backbone, "patch_px": patch_px, "seed": seed},
        **{"allow_leakage": allow_leakage, "cache": cache, "threads": threads, "progress": progress, "say": say},
    }
    with resumable_folder(place, ours=FOLD_FILES, overwrite=overwrite) as folder:
        _require_same(folder, identity, place)
        judged: list[Evaluation] = []
        for number, split in enumerate(folds.splits, start=1):
            own = folder / f"fold-{number}"
            if (there := _finished(own)) is None:
                say(f"fold {number} of {n_folds}, by {by}")
                judged.append(_trained(index, own, split=split, **options).evaluation)
            else:
                say(f"fold {number} of {n_folds} is there already")
                parts = apply_split(index, split=split)
                judged.append(
                    judge(
                        parts.part("test"),
                        Model(read_bundle(own / "model.onnx"), threads=threads),
                        part="test",
                        split="split.csv",
                        n_leaks=there.split.n_leaks,
                        seed=seed,
                        threads=threads,
                        progress=progress,
                    )
                )
        final = folder / _FINAL
        if (document := _finished(final)) is None:
            say("training the model that is kept, on all folds")
            run = _trained(index, final, split=folds.whole, **options)
            document = run.document
        pooled, document = _assembled(folder, index, folds, judged, document, seed=seed)
    refused = dict([*folds.refused, *pooled.refused])
    return Run(place, pooled, document, tuple(refused.items()))


def _trained(index: PatchIndex, folder: Path, *, recipe: str | Recipe, **options: Any) -> Run:
    """One training; a recipe that trains by epochs goes on from its checkpoint."""
    goes_on = recipe != HEAD
    return train(index, out=folder, recipe=recipe, resume=goes_on, overwrite=not goes_on, **options)


def _finished(folder: Path) -> RunDocument | None:
    """How a training went that is whole; None where it is not."""
    if not (folder / "model.onnx").is_file():
        return None
    try:
        return read_run_document(folder / "run.json", remedy="Train anew.")
    except DataError:
        return None


def _assembled(
    folder: Path,
    index: PatchIndex,
    folds: Folds,
    judged: Sequence[Evaluation],
    document: RunDocument,
    *,
    seed: int,
) -> tuple[Evaluation, RunDocument]:
    """Make a run folder of the trainings: the model of all folds, and the pooled figures."""
    final = folder / _FINAL
    for entry in final.iterdir():
        if entry.name not in ("evaluation", *FILES):
            _copy(entry, folder / entry.name)
    _copy(final / "split.csv", folder / "split.csv")
    bundle = read_bundle(final / "model.onnx")
    pooled = pool_evaluations(judged, index, model=bundle.name, seed=seed)
    figures = {**bundle.card.figures, "folds": shown_figures(pooled)}
    kept = with_card(bundle, bundle.card.model_copy(update={"figures": figures}))
    (folder / "model.onnx").write_bytes(kept.content)
    kept = read_bundle(folder / "model.onnx")
    digest = content_digest(kept.content).hex()
    pooled = replace(pooled, model=kept.name, model_sha256=digest)
    told = RunFolds(
        by=folds.by,
        n_folds=len(judged),
        n_patches=[one.n_patches for one in judged],
        thresholds=[one.threshold for one in judged],
    )
    document = document.model_copy(update={"folds": told})
    write_evaluation(pooled, folder / "evaluation", overwrite=True)
    write_text(folder / "metrics.json", json.dumps(metrics_document(pooled), indent=2) + "\n", overwrite=True)
    write_run_document(document, folder / "run.json", overwrite=True)
    for number in range(1, len(judged) + 1):
        for name in _ONLY_TO_GO_ON:
            (folder / f"fold-{number}" / name).unlink(missing_ok=True)
    shutil.rmtree(final)
    (folder / _STATE).unlink()
    return pooled, document


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


# What an interrupted run left


def _beside(out: Path) -> Path:
    return out.absolute().parent / f".{out.name}.part"  # as `resumable_folder` names it


def _require_free_beside(out: Path, *, resume: bool, overwrite: bool) -> None:
    left = _beside(out)
    if not left.is_dir() or (resume and not overwrite):
        return
    if not overwrite:
        raise OutputError(f"{out} was begun and is not finished ({left}). Say --resume to go on, or --overwrite.")
    shutil.rmtree(left)


def _identity(index: PatchIndex, folds: Folds, asked: list[Any], threads: int | None, progress: Progress | None) -> str:
    """What tells one cross-validation from another: settings, folds, and the bytes of every file."""
    content = hashlib.sha256(json.dumps(asked).encode())
    for split in (*folds.splits, folds.whole):
        content.update(split.sha256().encode())
    for digest in index.digests(threads=threads, progress=progress):
        content.update(digest)
    return content.hexdigest()


def _require_same(folder: Path, identity: str, out: Path) -> None:
    """Note what is trained here, and refuse to mix it with what a run of other data or settings has trained."""
    state = folder / _STATE
    if not state.is_file():
        write_text(state, json.dumps({"identity": identity}) + "\n")
    elif json.loads(state.read_bytes()).get("identity") != identity:
        raise RecipeError(
            f"{out}: the run that was interrupted had other data or settings. Choose another --out, or say --overwrite."
        )
