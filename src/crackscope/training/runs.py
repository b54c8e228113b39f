"""A run folder: the model, how it came about, and its figures."""

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
    """What a training gave.

    Attributes:
        folder: Holds ``model.onnx``, ``run.json``, ``metrics.json``, ``split.csv``, and with a recipe that trains by
            epochs their history, checkpoint, TensorBoard events, pictures and an evaluation.
        evaluation: On ``val``, or with such a recipe on ``test`` where there is one.
        document: What ``run.json`` holds.
        refused: Path and reason of training and validation patches that could not be read.
    """

    folder: Path
    evaluation: Evaluation
    document: dict[str, Any]
    refused: tuple[tuple[str, str], ...]

    @property
    def model(self) -> Path:
        """The bundle, for `crackscope.load`."""
        return self.folder / "model.onnx"


def train(
    data: str | Path | PatchIndex,
    out: str | Path,
    *,
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
    """Train from files to a run folder.

    Args:
        data: Labelled patches, see `crackscope.data.patches.read_patches`.
        out: The run folder.
        recipe: ``head``, one of `crackscope.training.recipes.recipe_names`, or a recipe of your own.
        changes: Settings of the recipe to change: ``{"finetuning.epochs": 5}`` (None takes one away), or each
            ``key=value``.
        split: A split, or its file; left out, the parts that the data itself names.
        backbone: A model folder or a hub id, for ``head`` also a bundle; left out, the recipe's own (for ``head`` the
            default bundle).
        patch_px: Shorter side after the resize; left out, the recipe's own (for ``head`` the bundle's, or 160).
        seed: Of first weights, order, dropout and bootstrap.
        allow_leakage: Train although the split leaks; figures are marked.
        cache: Keep on disk what frozen blocks give.
        resume: Go on with the run that `out` holds; begin it where there is none.
        threads: Thread budget. With another one, sums round otherwise and a resumed run is refused.
        overwrite: Replace the run folder.
        progress: Called as work goes on.
        say: Told a line at a time how it goes.

    Raises:
        CrackscopeError: With file, value and remedy.
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
    index = data if isinstance(data, PatchIndex) else read_patches(data)
    assigned = split_of(index, split)
    parts = apply_split(index, assigned)
    leaks = check_split(parts, threads=threads, progress=progress)
    if len(leaks) and not allow_leakage:
        raise SplitError(f"{leaks.summary()} Rebuild the split, or say --allow-leakage and have every figure marked.")
    common: dict[str, Any] = {
        "data": {"name": index.name, "counts": index.counts()},
        "split": {"by": assigned.grouped_by, "sha256": assigned.sha256(), "n_leaks": len(leaks)},
        "versions": _versions(),
        "git": _git_state(),
    }
    if settings is None:
        options: dict[str, Any] = {"n_leaks": len(leaks), "on_disk": cache, "threads": threads, "progress": progress}
        return _train_head(
            folder, parts, assigned, backbone, patch_px, common, overwrite=overwrite, seed=seed, **options
        )
    from crackscope.training.torch.recipe_run import run_recipe

    fresh = overwrite or not (folder / "checkpoint.pt").is_file()
    done = run_recipe(
        parts,
        assigned,
        settings,
        folder,
        begin=lambda: _remove(folder, (*(RECIPE_FILES if fresh else ()), *_leftovers(folder))),
        seed=seed,
        n_leaks=len(leaks),
        on_disk=cache,
        threads=threads,
        progress=progress,
        say=say,
    )
    trainable = sum(layer.trainable for layer in done.layers)
    document: dict[str, Any] = {
        "settings": {"recipe": settings.name, "seed": seed, "threads": threads or default_threads(), "cache": cache},
        "recipe": settings.model_dump(mode="json"),
        "chosen": {"epoch": done.best.number, "phase": done.best.phase, "val_loss": done.best.val_loss},
        "parameters": {"total": sum(layer.n_parameters for layer in done.layers), "trainable": trainable},
        "computed": done.computed,
        "seconds": done.seconds,
        "agreement_with_torch": vars(done.agreement),
        "gate": {"fitted": done.no_gate is None, "reason": done.no_gate},
        **common,
    }
    document["data"]["n_refused"] = len(done.refused)
    write_text(folder / "run.json", json.dumps(document, indent=2) + "\n", overwrite=True)
    return Run(folder, done.evaluation, document, done.refused)


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
    parts: PatchIndex,
    assigned: Split,
    backbone: str | Path | None,
    patch_px: int | None,
    common: dict[str, Any],
    *,
    overwrite: bool,
    seed: int,
    **options: Any,
) -> Run:
    path, own_patch_px = _backbone_file(backbone)
    patch_px = patch_px or own_patch_px
    head = train_head(parts, read_backbone(path), split=assigned, patch_px=patch_px, seed=seed, **options)
    settings = {"recipe": HEAD, "patch_px": patch_px, "seed": seed, "backbone": str(backbone or "default bundle")}
    document = {"settings": settings, "chosen": {"penalty": head.penalty}, "n_computed": head.n_computed, **common}
    document["gate"] = {"fitted": head.no_gate is None, "reason": head.no_gate}
    document["data"]["n_refused"] = len(head.refused)
    with new_folder(folder, ours=RECIPE_FILES, overwrite=overwrite) as part:
        write_model(head.model, part / "model.onnx")
        write_split(assigned, part / "split.csv")
        write_text(part / "run.json", json.dumps(document, indent=2) + "\n")
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
    from crackscope.training.conversion import backbone_file

    return backbone_file(str(backbone)), _DEFAULT_PATCH_PX


def _versions() -> dict[str, str]:
    found = {"crackscope": __version__, "python": platform.python_version()}
    for name in ("numpy", "onnx", "onnxruntime", "scikit-learn", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git_state() -> dict[str, Any] | None:
    """Commit of the crackscope that ran, and whether it was changed since; None outside a clone."""
    source = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        found = subprocess.run(["git", "-C", str(source), *arguments], capture_output=True, text=True, check=True)
        return found.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not a clone of something else that we are installed in
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.CalledProcessError):
        return None
