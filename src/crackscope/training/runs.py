"""Runs: train from files to a run folder, which holds the model, how it came about, and its figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crackscope.data.patches import PatchIndex
from crackscope.data.splits import Split, write_split
from crackscope.errors import RecipeError
from crackscope.files.output import new_folder, require_free_folder, write_text
from crackscope.files.streaming import Progress, default_threads
from crackscope.measuring.evaluation import Evaluation, metrics_document
from crackscope.measuring.judging import judge
from crackscope.measuring.run_document import (
    RunChoice,
    RunData,
    RunDocument,
    RunGate,
    RunParameters,
    RunSettings,
    RunSplit,
    write_run_document,
)
from crackscope.model.bundle import default_bundle, read_backbone, read_bundle, write_model
from crackscope.scanning.loaded_model import Model
from crackscope.training.conversion import convert_backbone, require_convertible
from crackscope.training.head import HeadRun, train_head
from crackscope.training.parts import TrainingParts, divide_for_training
from crackscope.training.recipes import HEAD, SCRATCH_CNN, Recipe, changed, read_recipe
from crackscope.training.run_folder import RECIPE_FILES, leftovers, remove, require_free_run
from crackscope.training.surroundings import own_commit, package_versions

__all__ = ["Run", "train"]

_DEFAULT_PATCH_PX = 160
Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """Outcome of a training.

    Attributes:
        folder: Path of the run folder. It holds ``model.onnx``, ``run.json``, ``metrics.json``, ``split.csv`` and the
            folder ``evaluation``; with a recipe that trains by epochs also history, checkpoint, TensorBoard events and
            pictures.
        evaluation: Evaluation of the model on ``test``. Where the split has no test part, it is on ``val``; with the
            recipe ``head`` there is then no folder ``evaluation``.
        document: How the training went, as ``run.json`` keeps it.
        refused: Path and reason of training and validation patches that could not be read, and of all that a split made
            here leaves out for that reason.
    """

    folder: Path
    evaluation: Evaluation
    document: RunDocument
    refused: tuple[tuple[str, str], ...]

    @property
    def model(self) -> Path:
        """Path of the bundle, for `crackscope.load`."""
        return self.folder / "model.onnx"


def train(
    data: str | Path | PatchIndex,
    *,
    out: str | Path,
    recipe: str | Recipe = HEAD,
    changes: Sequence[str] | Mapping[str, Any] = (),
    split: str | Path | Split | None = None,
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
    """Train a model on labelled patches, and write it into a run folder.

    The recipe ``head`` fits a linear head on the features of a frozen backbone, in seconds. All other recipes train by
    epochs, and need PyTorch (extra ``train``). What a recipe leaves frozen is computed once. In the end, every model
    is evaluated on the test part.

    Where no split is given and the data names no parts, a split is made, with the shares of `crackscope.split` and seed
    0: by scene where scenes are known, else by photo where every patch tells its photo, else by similarity. The run
    folder keeps it as ``split.csv``.

    When it returns, torch's number of threads, its random numbers and the log level of its libraries are as before. On
    Linux, a program that fine-tunes should first call `crackscope.keep_memory`, as `crackscope train` does: it can save
    half of the time.

    Args:
        data: Labelled patches: a path that `crackscope.read_patches` takes, or the index that it returns.
        out: Path of the run folder.
        recipe: ``head``, one of `crackscope.recipe_names`, or a recipe of your own.
        changes: Settings of the recipe to change: values by dotted key, such as ``{"finetuning.epochs": 5}``, in which
            None takes a setting away; or texts ``key=value``.
        split: A split from `crackscope.split`, or its file. If left out, the parts that the data itself names; if it
            names none, a split is made. With `resume`, it is the one that the run folder keeps.
        backbone: Path of a model folder, or a hub id; for ``head`` also the path of a bundle. If left out, the recipe's
            own (for ``head`` the default bundle).
        patch_px: Shorter side of a patch after the resize, in pixels, 32 to 4096. If left out, the recipe's own (for
            ``head`` the bundle's, or 160).
        seed: Seed of first weights, order, dropout and bootstrap.
        allow_leakage: Whether training goes on although the split leaks; figures are then marked leaky.
        cache: Whether the outputs of frozen blocks are kept on disk.
        resume: Whether a stopped run in `out` goes on; where there is none, it begins.
        threads: Number of threads; all cores if left out. Another number rounds sums otherwise, so a stopped run only
            goes on with the same number.
        overwrite: Whether an existing run folder is replaced.
        progress: Called with (done, total) as work goes on.
        say: Called with a line of text as each step begins.

    Returns:
        The run folder, the figures of the model, and how the training went.

    Raises:
        DataError: If the data cannot be read, or ``train`` or ``val`` lacks a label.
        SplitError: If the split leaks, or does not fit the data; or if the data is too small to be split.
        RecipeError: If there is no such recipe or setting, the run in `out` belongs to another training, or the loss is
            no longer a number.
        BundleError: If the backbone is none, or the model does not agree with torch.
        OutputError: If `out` is taken, or cannot be written.
        MissingExtraError: If the recipe needs the extra ``train`` and it is not installed.
    """
    folder = Path(out)
    settings = _settings(recipe, changes, backbone, patch_px)
    if settings is None and resume:
        raise RecipeError(
            "--resume: the recipe 'head' trains in one go, so there is nothing to go on with. Leave it out."
        )
    if settings is None:
        require_free_folder(folder, ours=RECIPE_FILES, overwrite=overwrite)
    else:
        require_free_run(folder, resume=resume, overwrite=overwrite)
    fresh = overwrite or not (folder / "checkpoint.pt").is_file()
    if settings is None:
        backbone_file = _backbone_file(backbone)
    else:
        import crackscope.training.torch  # noqa: F401  # says which package of the extra is missing

        if settings.backbone != SCRATCH_CNN:
            require_convertible(settings.backbone)
    divided = divide_for_training(
        data,
        split,
        kept=folder / "split.csv",
        resume=resume and not fresh,
        allow_leakage=allow_leakage,
        threads=threads,
        progress=progress,
        say=say,
    )
    ran: dict[str, Any] = {"versions": package_versions(), "git": own_commit()}  # a clone may change while we train
    if not len(divided.parts.part("test")):
        say("the split has no test part: figures are of val, on which the model is chosen, and so are optimistic")
    if settings is None:
        return _train_head(
            folder,
            divided,
            backbone_file,
            patch_px,
            backbone=str(backbone or "default bundle"),
            ran=ran,
            overwrite=overwrite,
            seed=seed,
            on_disk=cache,
            threads=threads,
            progress=progress,
        )
    from crackscope.training.torch.recipe_run import run_recipe

    done = run_recipe(
        divided.parts,
        divided.split,
        settings,
        folder,
        begin=lambda: remove(folder, (*(RECIPE_FILES if fresh else ()), *leftovers(folder))),
        seed=seed,
        n_leaks=divided.n_leaks,
        on_disk=cache,
        threads=threads,
        progress=progress,
        say=say,
    )
    refused = (*divided.refused, *done.refused)
    document = _document(
        divided,
        n_refused=len(refused),
        no_gate=done.no_gate,
        settings=RunSettings(recipe=settings.name, seed=seed, threads=threads or default_threads(), cache=cache),
        recipe=settings.model_dump(mode="json"),
        chosen=RunChoice(epoch=done.best.number, phase=done.best.phase, val_loss=done.best.val_loss),
        parameters=RunParameters(
            total=sum(layer.n_parameters for layer in done.layers),
            trainable=sum(layer.trainable for layer in done.layers),
        ),
        computed=done.computed,
        seconds=done.seconds,
        agreement_with_torch=done.agreement,
        **ran,
    )
    write_run_document(document, folder / "run.json", overwrite=True)
    return Run(folder, done.evaluation, document, refused)


def _document(divided: TrainingParts, *, n_refused: int, no_gate: str | None, **facts: Any) -> RunDocument:
    """How a training went; `facts` are all else that there is to state."""
    split = divided.split
    return RunDocument(
        gate=RunGate(fitted=no_gate is None, reason=no_gate),
        data=RunData(name=divided.index.name, counts=divided.index.counts(), n_refused=n_refused),
        split=RunSplit(by=split.grouped_by, sha256=split.sha256(), n_leaks=divided.n_leaks, made=divided.made),
        **facts,
    )


def _settings(
    recipe: str | Recipe, changes: Sequence[str] | Mapping[str, Any], backbone: str | Path | None, patch_px: int | None
) -> Recipe | None:
    """The resolved recipe; None for ``head``, which knows no settings but the backbone and its size."""
    changes = [changes] if isinstance(changes, str) else changes
    if recipe == HEAD:
        for first in changes:
            raise RecipeError(f"--set {first}: the recipe 'head' has no settings. Choose another with --recipe.")
        return None
    own = {"backbone": str(backbone) if backbone is not None else None, "patch_px": patch_px}
    chosen = read_recipe(recipe) if isinstance(recipe, str) else recipe
    return changed(changed(chosen, {key: value for key, value in own.items() if value is not None}), changes)


def _train_head(
    folder: Path,
    divided: TrainingParts,
    backbone_file: tuple[Path, int],
    patch_px: int | None,
    *,
    backbone: str,
    ran: dict[str, Any],
    overwrite: bool,
    seed: int,
    **options: Any,
) -> Run:
    path, own_patch_px = backbone_file
    patch_px = patch_px or own_patch_px
    options |= {"seed": seed, "n_leaks": divided.n_leaks}
    head = train_head(divided.parts, read_backbone(path), split=divided.split, patch_px=patch_px, **options)
    refused = (*divided.refused, *head.refused)
    document = _document(
        divided,
        n_refused=len(refused),
        no_gate=head.no_gate,
        settings=RunSettings(recipe=HEAD, patch_px=patch_px, seed=seed, backbone=backbone),
        chosen=RunChoice(penalty=head.penalty),
        n_computed=head.n_computed,
        **ran,
    )
    with new_folder(folder, ours=RECIPE_FILES, overwrite=overwrite) as part:
        write_model(head.model, part / "model.onnx")
        evaluation = _judged_head(head, divided, part, **options)
        write_split(divided.split, part / "split.csv")
        write_run_document(document, part / "run.json")
        write_text(part / "metrics.json", json.dumps(metrics_document(evaluation), indent=2) + "\n")
    return Run(folder, evaluation, document, refused)


def _judged_head(
    head: HeadRun,
    divided: TrainingParts,
    folder: Path,
    *,
    seed: int,
    n_leaks: int,
    threads: int | None,
    progress: Progress | None,
    **_: Any,
) -> Evaluation:
    """Judge the bundle on ``test``, and write the evaluation beside it; on ``val`` the head has its figures already."""
    judged = divided.parts.part("test")
    if not len(judged):
        return head.evaluation
    model = Model(read_bundle(folder / "model.onnx"), threads=threads)
    evaluation = judge(
        judged,
        model,
        part="test",
        split="split.csv",
        n_leaks=n_leaks,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    from crackscope.reports.evaluation_report import write_evaluation

    write_evaluation(evaluation, folder / "evaluation")
    return evaluation


def _backbone_file(backbone: str | Path | None) -> tuple[Path, int]:
    """The ONNX file of a backbone, and the patch size it was made for."""
    if backbone is None or Path(backbone).is_file():
        path = Path(backbone) if backbone is not None else default_bundle()
        try:
            return path, read_bundle(path).card.patch_px
        except Exception:
            return path, _DEFAULT_PATCH_PX  # a backbone file; if it is none either, reading it says so
    return convert_backbone(str(backbone)), _DEFAULT_PATCH_PX
