"""crackscope finds cracks in concrete from photographs, and says how far it can be trusted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crackscope.acceptance import Acceptance, accept
    from crackscope.auditing import audit
    from crackscope.bundle import Bundle, read_bundle
    from crackscope.comparison import Comparison, compare
    from crackscope.crack_map import CrackMap, Region
    from crackscope.drawing import draw_dataset, draw_patch, draw_photo
    from crackscope.errors import CrackscopeError
    from crackscope.evaluation import Evaluation
    from crackscope.exporting import Export, export
    from crackscope.findings import Audit
    from crackscope.images import Photo, read_photo
    from crackscope.judging import evaluate, evaluate_photos
    from crackscope.leaks import check_split
    from crackscope.patches import PatchIndex, read_patches
    from crackscope.prediction import Classifier, Prediction, PredictionRow, load
    from crackscope.reports.comparison_report import write_comparison
    from crackscope.reports.evaluation_report import write_evaluation
    from crackscope.robustness import Robustness, measure_robustness
    from crackscope.rows import predict
    from crackscope.scanning import scan
    from crackscope.splits import Split, apply_split, read_split, split, write_split
    from crackscope.training.recipes import Recipe, read_recipe, recipe_names
    from crackscope.training.runs import Run, train
    from crackscope.training.transfer_run import measure_transfer
    from crackscope.transfer import Transfer

__version__ = "0.1.0"

_HOMES = {
    "Acceptance": "acceptance",
    "Audit": "findings",
    "Bundle": "bundle",
    "Classifier": "prediction",
    "Comparison": "comparison",
    "CrackMap": "crack_map",
    "CrackscopeError": "errors",
    "Evaluation": "evaluation",
    "Export": "exporting",
    "PatchIndex": "patches",
    "Photo": "images",
    "Prediction": "prediction",
    "PredictionRow": "prediction",
    "Recipe": "training.recipes",
    "Region": "crack_map",
    "Robustness": "robustness",
    "Run": "training.runs",
    "Split": "splits",
    "Transfer": "transfer",
    "accept": "acceptance",
    "apply_split": "splits",
    "audit": "auditing",
    "check_split": "leaks",
    "compare": "comparison",
    "draw_dataset": "drawing",
    "draw_patch": "drawing",
    "draw_photo": "drawing",
    "evaluate": "judging",
    "evaluate_photos": "judging",
    "export": "exporting",
    "load": "prediction",
    "measure_robustness": "robustness",
    "measure_transfer": "training.transfer_run",
    "predict": "rows",
    "read_bundle": "bundle",
    "read_patches": "patches",
    "read_photo": "images",
    "read_recipe": "training.recipes",
    "read_split": "splits",
    "recipe_names": "training.recipes",
    "scan": "scanning",
    "split": "splits",
    "train": "training.runs",
    "write_comparison": "reports.comparison_report",
    "write_evaluation": "reports.evaluation_report",
    "write_split": "splits",
}

__all__ = [
    "Acceptance",
    "Audit",
    "Bundle",
    "Classifier",
    "Comparison",
    "CrackMap",
    "CrackscopeError",
    "Evaluation",
    "Export",
    "PatchIndex",
    "Photo",
    "Prediction",
    "PredictionRow",
    "Recipe",
    "Region",
    "Robustness",
    "Run",
    "Split",
    "Transfer",
    "accept",
    "apply_split",
    "audit",
    "check_split",
    "compare",
    "draw_dataset",
    "draw_patch",
    "draw_photo",
    "evaluate",
    "evaluate_photos",
    "export",
    "load",
    "measure_robustness",
    "measure_transfer",
    "predict",
    "read_bundle",
    "read_patches",
    "read_photo",
    "read_recipe",
    "read_split",
    "recipe_names",
    "scan",
    "split",
    "train",
    "write_comparison",
    "write_evaluation",
    "write_split",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package is instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'crackscope' has no attribute '{name}'")
    return getattr(import_module(f"crackscope.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
