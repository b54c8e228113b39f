"""crackscope finds cracks in concrete from photographs, and says how far it can be trusted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crackscope.acceptance.decision import Acceptance, accept
    from crackscope.auditing.audit import audit
    from crackscope.auditing.kinds import Audit
    from crackscope.data.leaks import check_split
    from crackscope.data.patches import PatchIndex, read_patches
    from crackscope.data.splits import Split, apply_split, read_split, split, write_split
    from crackscope.drawing.walls import draw_dataset, draw_patch, draw_photo
    from crackscope.errors import CrackscopeError
    from crackscope.files.images import Image, read_image
    from crackscope.measuring.comparison import Comparison, compare
    from crackscope.measuring.evaluation import Evaluation
    from crackscope.measuring.exporting import Export, export
    from crackscope.measuring.judging import evaluate, evaluate_photos
    from crackscope.measuring.robustness import Robustness, measure_robustness
    from crackscope.measuring.transfer import Transfer
    from crackscope.model.bundle import Bundle, read_bundle
    from crackscope.reports.comparison_report import write_comparison
    from crackscope.reports.evaluation_report import write_evaluation
    from crackscope.scanning.crack_map import CrackMap
    from crackscope.scanning.prediction import Classifier, Prediction, PredictionRow, load
    from crackscope.scanning.regions import Region
    from crackscope.scanning.rows import predict
    from crackscope.scanning.scanner import scan
    from crackscope.training.recipes import Recipe, read_recipe, recipe_names
    from crackscope.training.runs import Run, train
    from crackscope.training.transfer_run import measure_transfer

__version__ = "0.1.0"

_HOMES = {
    "Acceptance": "acceptance.decision",
    "Audit": "auditing.kinds",
    "Bundle": "model.bundle",
    "Classifier": "scanning.prediction",
    "Comparison": "measuring.comparison",
    "CrackMap": "scanning.crack_map",
    "CrackscopeError": "errors",
    "Evaluation": "measuring.evaluation",
    "Export": "measuring.exporting",
    "PatchIndex": "data.patches",
    "Image": "files.images",
    "Prediction": "scanning.prediction",
    "PredictionRow": "scanning.prediction",
    "Recipe": "training.recipes",
    "Region": "scanning.regions",
    "Robustness": "measuring.robustness",
    "Run": "training.runs",
    "Split": "data.splits",
    "Transfer": "measuring.transfer",
    "accept": "acceptance.decision",
    "apply_split": "data.splits",
    "audit": "auditing.audit",
    "check_split": "data.leaks",
    "compare": "measuring.comparison",
    "draw_dataset": "drawing.walls",
    "draw_patch": "drawing.walls",
    "draw_photo": "drawing.walls",
    "evaluate": "measuring.judging",
    "evaluate_photos": "measuring.judging",
    "export": "measuring.exporting",
    "load": "scanning.prediction",
    "measure_robustness": "measuring.robustness",
    "measure_transfer": "training.transfer_run",
    "predict": "scanning.rows",
    "read_bundle": "model.bundle",
    "read_patches": "data.patches",
    "read_image": "files.images",
    "read_recipe": "training.recipes",
    "read_split": "data.splits",
    "recipe_names": "training.recipes",
    "scan": "scanning.scanner",
    "split": "data.splits",
    "train": "training.runs",
    "write_comparison": "reports.comparison_report",
    "write_evaluation": "reports.evaluation_report",
    "write_split": "data.splits",
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
    "Image",
    "PatchIndex",
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
    "read_image",
    "read_patches",
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
