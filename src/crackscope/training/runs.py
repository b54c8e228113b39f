"""Runs: train from files to a run folder, which holds the model, how it came about, and its figures."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from crackscope import __version__
from crackscope.data.leaks import check_split
from crackscope.data.patches import PatchIndex, read_patches
from crackscope.data.splits import Split, apply_split, split_of, write_split
from crackscope.errors import OutputError, RecipeError, SplitError
from crackscope.files.output import new_folder, require_free_folder, write_text
from crackscope.files.streaming import Progress, default_threads
from crackscope.measuring.evaluation import Evaluation, metrics_document
from crackscope.measuring.run_document import (
    RunChoice,
    RunCommit,
    RunData,
    RunDocument,
    RunGate,
    RunParameters,
    RunSettings,
    RunSplit,
    write_run_document,
)
from crackscope.model.bundle import default_bundle, read_backbone, read_bundle, write_model
from crackscope.training.head import train_head
from crackscope.training.recipes import HEAD, Recipe, changed, read_recipe

__all__ = ["FILES", "Run", "train"]

FILES = ("metrics.json", "model.onnx", "run.json", "split.csv")
"""What a run folder of the recipe ``head`` holds."""

RECIPE_FILES = (
    *FILES,
    *("checkpoint.pt", "evaluation", "history.csv", "history.png", "layers.csv"),
    *("tensorboard", "test_batch.png", "views.png"),
)
"""What a run folder of the other recipes holds."""

_DEFAULT_PATCH_PX = 160
Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """Outcome of a training.

    Attributes:
        folder: Path of the run folder. It holds ``model.onnx``, ``run.json``, ``metrics.json`` and ``split.csv``; with
            a recipe that trains by epochs also history, checkpoint, TensorBoard events, pictures and an evaluation.
        evaluation: Evaluation on ``val``; with a recipe that trains by epochs on ``test``, where there is one.
        document: How the training went, as ``run.json`` keeps it.
        refused: Path and reason of training and validation patches that could not be read.
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
    epochs, and need PyTorch (extra ``train``). What a recipe leaves frozen is computed once.

    When it returns, torch's number of threads, its random numbers and the log level of its libraries are as before. On
    Linux, a program that fine-tunes should first call `crackscope.keep_memory`, as `crackscope train` does: it can save
    half of the time.

    Args:
        data: Labelled patches: a path that `crackscope.read_patches` takes, or the index that it returns.
        out: Path of the run folder.
        recipe: ``head``, one of `crackscope.recipe_names`, or a recipe of your own.
        changes: Settings of the recipe to change: values by dotted key, such as ``{"finetuning.epochs": 5}``, in which
            None takes a setting away; or texts ``key=value``.
        split: A split from `crackscope.split`, or its file; if left out, the parts that the data itself names, if any.
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
        SplitError: If the split leaks, or does not fit the data.
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
        _require_free_run(folder, resume=resume, overwrite=overwrite)
    checked = _checked(data, split, allow_leakage=allow_leakage, threads=threads, progress=progress)
    if settings is None:
        return _train_head(
            folder,
            checked,
            backbone,
            patch_px,
            overwrite=overwrite,
            seed=seed,
            on_disk=cache,
            threads=threads,
            progress=progress,
        )
    from crackscope.training.torch.recipe_run import run_recipe

    fresh = overwrite or not (folder / "checkpoint.pt").is_file()
    done = run_recipe(
        checked.parts,
        checked.split,
        settings,
        folder,
        begin=lambda: _remove(folder, (*(RECIPE_FILES if fresh else ()), *_leftovers(folder))),
        seed=seed,
        n_leaks=checked.n_leaks,
        on_disk=cache,
        threads=threads,
        progress=progress,
        say=say,
    )
    document = checked.document(
        n_refused=len(done.refused),
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
    )
    write_run_document(document, folder / "run.json", overwrite=True)
    return Run(folder, done.evaluation, document, done.refused)


@dataclass(frozen=True, eq=False)
class _Checked:
    """Data whose split was looked at, and what ran when it was."""

    index: PatchIndex  # all of the data
    parts: PatchIndex  # the patches that the split names
    split: Split
    n_leaks: int
    versions: dict[str, str]
    git: RunCommit | None

    def document(self, *, n_refused: int, no_gate: str | None, **facts: Any) -> RunDocument:
        """How a training on it went; `facts` are what else its recipe has to tell."""
        return RunDocument(
            gate=RunGate(fitted=no_gate is None, reason=no_gate),
            data=RunData(name=self.index.name, counts=self.index.counts(), n_refused=n_refused),
            split=RunSplit(by=self.split.grouped_by, sha256=self.split.sha256(), n_leaks=self.n_leaks),
            versions=self.versions,
            git=self.git,
            **facts,
        )


def _checked(
    data: str | Path | PatchIndex,
    split: str | Path | Split | None,
    *,
    allow_leakage: bool,
    threads: int | None,
    progress: Progress | None,
) -> _Checked:
    index = read_patches(data)
    assigned = split_of(index, split)
    parts = apply_split(index, split=assigned)
    leaks = check_split(parts, threads=threads, progress=progress)
    if len(leaks) and not allow_leakage:
        raise SplitError(f"{leaks.summary()} Rebuild the split, or say --allow-leakage and have every figure marked.")
    return _Checked(index, parts, assigned, len(leaks), _versions(), _git_state())


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


def _require_free_run(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a place that is taken, unless it holds a run that is to go on or to be replaced."""
    begun, finished = (folder / "checkpoint.pt").is_file(), (folder / "run.json").is_file()
    if resume and begun and not overwrite:
        return
    if begun and not finished and not overwrite:
        raise OutputError(f"{folder} holds a run that is not finished. Say --resume to go on, or --overwrite.")
    ours = (*RECIPE_FILES, *_leftovers(folder))
    require_free_folder(folder, ours=ours, overwrite=overwrite or (resume and not finished))


def _leftovers(folder: Path) -> list[str]:
    """Names of what a kill left half written in a run folder, see `crackscope.files.output`."""
    stems = "|".join(re.escape(Path(name).stem) for name in RECIPE_FILES)
    form = re.compile(rf"\.({stems})-[0-9a-f]{{12}}\.(part|old)(\..*)?")
    return sorted(place.name for place in folder.glob(".*") if form.fullmatch(place.name))


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Take away what an earlier run left, and nothing else."""
    for place in (folder / name for name in names):
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _train_head(
    folder: Path,
    checked: _Checked,
    backbone: str | Path | None,
    patch_px: int | None,
    *,
    overwrite: bool,
    seed: int,
    **options: Any,
) -> Run:
    path, own_patch_px = _backbone_file(backbone)
    patch_px = patch_px or own_patch_px
    options |= {"patch_px": patch_px, "seed": seed, "n_leaks": checked.n_leaks}
    head = train_head(checked.parts, read_backbone(path), split=checked.split, **options)
    document = checked.document(
        n_refused=len(head.refused),
        no_gate=head.no_gate,
        settings=RunSettings(recipe=HEAD, patch_px=patch_px, seed=seed, backbone=str(backbone or "default bundle")),
        chosen=RunChoice(penalty=head.penalty),
        n_computed=head.n_computed,
    )
    with new_folder(folder, ours=RECIPE_FILES, overwrite=overwrite) as part:
        write_model(head.model, part / "model.onnx")
        write_split(checked.split, part / "split.csv")
        write_run_document(document, part / "run.json")
        write_text(part / "metrics.json", json.dumps(metrics_document(head.evaluation), indent=2) + "\n")
    return Run(folder, head.evaluation, document, head.refused)


def _backbone_file(backbone: str | Path | None) -> tuple[Path, int]:
    """The ONNX file of a backbone, and the patch size it was made for."""
    if backbone is None or Path(backbone).is_file():
        path = Path(backbone) if backbone is not None else default_bundle()
        try:
            return path, read_bundle(path).card.patch_px
        except Exception:
            return path, _DEFAULT_PATCH_PX  # a backbone file; if it is none either, reading it says so
    from crackscope.training.conversion import convert_backbone

    return convert_backbone(str(backbone)), _DEFAULT_PATCH_PX


def _versions() -> dict[str, str]:
    found = {"crackscope": __version__, "python": platform.python_version()}
    for name in ("numpy", "onnx", "onnxruntime", "scikit-learn", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git_state() -> RunCommit | None:
    """Commit of the crackscope that ran, and whether it was changed since; None outside a clone."""
    source = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        found = subprocess.run(["git", "-C", str(source), *arguments], capture_output=True, text=True, check=True)
        return found.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not a clone of something else that we are installed in
        return RunCommit(commit=git("rev-parse", "HEAD"), changed=bool(git("status", "--porcelain", "--", ".")))
    except (OSError, subprocess.CalledProcessError):
        return None
