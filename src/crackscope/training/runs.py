"""A run folder: the model, how it came about, and its figures on ``val``."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import crackscope
from crackscope.bundle import default_bundle, read_backbone, read_bundle, write_model
from crackscope.cache import Progress
from crackscope.errors import SplitError
from crackscope.evaluation import Evaluation, metrics_document
from crackscope.leaks import check_split
from crackscope.output import new_folder, require_free_folder
from crackscope.patches import PatchIndex, read_patches
from crackscope.splits import Split, apply_split, split_of, write_split
from crackscope.training.head import HeadRun, train_head

__all__ = ["FILES", "Run", "train"]

FILES = ("metrics.json", "model.onnx", "run.json", "split.csv")
"""What a run folder holds."""

_DEFAULT_PATCH_PX = 160


@dataclass(frozen=True)
class Run:
    """What a training gave.

    Attributes:
        folder: Holds ``model.onnx``, ``run.json``, ``metrics.json`` (on ``val``) and ``split.csv``.
        evaluation: On ``val``, with the patches that could not be read.
        penalty: The head's chosen C.
        n_computed: Features that were not in the cache.
    """

    folder: Path
    evaluation: Evaluation
    penalty: float
    n_computed: int


def train(
    data: str | Path,
    out: str | Path,
    *,
    split: str | Path | None = None,
    backbone: str | Path | None = None,
    patch_px: int | None = None,
    seed: int = 0,
    allow_leakage: bool = False,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train the recipe ``head`` from files to a run folder.

    Args:
        data: Labelled patches, see `crackscope.patches.read_patches`.
        out: The run folder, written beside and renamed.
        split: A split file; left out, the parts that the data itself names.
        backbone: A bundle, a model folder or a hub id; left out, the default bundle.
        patch_px: Shorter side after the resize; left out, the bundle's own or 160.
        seed: Of the bootstrap.
        allow_leakage: Train although the split leaks; figures are marked.
        threads: Thread budget.
        overwrite: Replace the run folder.
        progress: Called as images are read.

    Raises:
        CrackscopeError: With file, value and remedy.
    """
    folder = Path(out)
    require_free_folder(folder, ours=FILES, overwrite=overwrite)
    index = read_patches(data)
    assigned = split_of(index, split)
    parts = apply_split(index, assigned)
    leaks = check_split(parts, threads=threads, progress=progress)
    if len(leaks) and not allow_leakage:
        raise SplitError(f"{leaks.summary()} Rebuild the split, or say --allow-leakage and have every figure marked.")
    path, own_patch_px = _backbone_file(backbone)
    patch_px = patch_px or own_patch_px
    head = train_head(
        parts,
        read_backbone(path),
        split=assigned,
        patch_px=patch_px,
        seed=seed,
        n_leaks=len(leaks),
        threads=threads,
        progress=progress,
    )
    settings = {"recipe": "head", "patch_px": patch_px, "seed": seed, "backbone": str(backbone or "default bundle")}
    with new_folder(folder, ours=FILES, overwrite=overwrite) as part:
        write_model(head.model, part / "model.onnx")
        write_split(assigned, part / "split.csv")
        _write_json(part / "run.json", _run_document(index, assigned, settings, head, n_leaks=len(leaks)))
        _write_json(part / "metrics.json", metrics_document(head.evaluation))
    return Run(folder, head.evaluation, head.penalty, head.n_computed)


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


def _run_document(
    index: PatchIndex, assigned: Split, settings: dict[str, Any], head: HeadRun, *, n_leaks: int
) -> dict[str, Any]:
    packages = ("numpy", "onnx", "onnxruntime", "scikit-learn")
    return {
        "settings": settings,
        "chosen": {"penalty": head.penalty},
        "data": {"name": index.name, "counts": index.counts(), "n_refused": len(head.refused)},
        "split": {"by": assigned.grouped_by, "sha256": assigned.sha256(), "n_leaks": n_leaks},
        "versions": {
            "crackscope": crackscope.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
