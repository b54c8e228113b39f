"""crackscope finds cracks in photographs of concrete, and measures how reliable its answers are.

- Look at images: `load`, `predict`, `scan`, `trace`, `write_predictions`, `write_scan`.
- Prepare labelled patches: `read_patches`, `audit`, `split`, `check_split`.
- Find a place of one photo in another: `register`.
- Measure the width of a crack: `measure`, `profile_width`.
- Measure the width of a crack: `profile_width`.
- Number the cracks of an inspection: `findings_of`, `apply_decisions`.
- Sort cracks into bands, and put them in order: `read_bands`, `read_elements`, `prioritise`, `sensitivity`.
- Tell millimetres per pixel: `Scale`, `ScaleSources`, `read_scales`, `write_markers`.
- Train a model: `train`, `cross_validate`, `recipe_names`, `export`.
- Measure a model: `evaluate`, `evaluate_photos`, `compare`, `measure_robustness`, `measure_transfer`, `accept`.
- Draw concrete to try things out: `draw_patch`, `draw_photo`, `draw_dataset`.

Results are written into a folder by functions such as `write_evaluation`.

Example:
    >>> import crackscope
    >>> image = crackscope.draw_patch(3).pixels
    >>> [row.label for row in crackscope.predict(image)]
    ['crack']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crackscope.acceptance.decision import Acceptance, accept
    from crackscope.acceptance.site_variants import SiteVariant
    from crackscope.auditing.audit import audit
    from crackscope.auditing.kinds import Audit, AuditFinding
    from crackscope.data.class_names import ClassNames
    from crackscope.data.labelled_photos import LabelledPhoto
    from crackscope.data.leaks import Leaks, check_split
    from crackscope.data.patches import Patch, PatchFile, PatchIndex, read_patches
    from crackscope.data.registration import Registration, register
    from crackscope.data.splits import Split, apply_split, read_split, split, write_split
    from crackscope.drawing.drawn_lines import DrawnCrack
    from crackscope.drawing.walls import Drawing, draw_dataset, draw_patch, draw_photo
    from crackscope.errors import (
        BundleError,
        CrackscopeError,
        DataError,
        DownloadError,
        ImageError,
        MissingExtraError,
        OutputError,
        RecipeError,
        SplitError,
    )
    from crackscope.files.archives import Files
    from crackscope.files.images import Image, read_image
    from crackscope.files.inputs import ImageFile
    from crackscope.files.lens_facts import LensFacts
    from crackscope.files.sources import AnyImage, Source
    from crackscope.geometry.cracks import Crack, Pattern
    from crackscope.geometry.markers import MarkerKind
    from crackscope.geometry.measured_line import AnyLine, measure
    from crackscope.geometry.planes import Plane
    from crackscope.geometry.profile_width import profile_width
    from crackscope.geometry.references import Reference
    from crackscope.geometry.scale import LocalScale, Scale
    from crackscope.geometry.scale_sources import AnyScale, ScaleNote, ScaleSources
    from crackscope.geometry.scale_table import ScaleTable, read_scales
    from crackscope.geometry.widths import BranchWidths, CrackMillimetres, CrackWidth, WidthEstimate, WidthMm
    from crackscope.inspection.band_files import Band, BandCase
    from crackscope.inspection.bands import BandAnswer, BandTable, band_table_names, read_bands
    from crackscope.inspection.decisions import DecidedLine, Decision, SetAside
    from crackscope.inspection.elements import Element, ElementRow, Elements, elements_by_folder, read_elements
    from crackscope.inspection.findings import Finding, Findings, Notice, RetiredFinding, Sighting
    from crackscope.inspection.levels import Rankable
    from crackscope.inspection.numbering import findings_of
    from crackscope.inspection.priority import Priority, prioritise
    from crackscope.inspection.review import apply_decisions
    from crackscope.inspection.rules import PriorityClass, PriorityRules, RuleStep, read_rules
    from crackscope.inspection.sensitivity import RankMoves, Sensitivity, sensitivity
    from crackscope.inspection.texts import Texts
    from crackscope.measuring.clustered_shares import Share
    from crackscope.measuring.comparison import Comparison, RunSummary, Speed, compare
    from crackscope.measuring.evaluation import Evaluation
    from crackscope.measuring.exporting import Export, export
    from crackscope.measuring.joint_figures import JointFigures, PhotoJoints
    from crackscope.measuring.judging import evaluate, evaluate_photos
    from crackscope.measuring.line_figures import LineFigures, LinesWithin
    from crackscope.measuring.lines import LineCounts, PhotoLines
    from crackscope.measuring.metrics import Estimate
    from crackscope.measuring.paired import PairedTest
    from crackscope.measuring.photo_evaluation import PhotoEvaluation, PhotoFigures
    from crackscope.measuring.robustness import Robustness, RobustnessCondition, measure_robustness
    from crackscope.measuring.run_document import (
        RunAgreement,
        RunChoice,
        RunCommit,
        RunComputed,
        RunData,
        RunDocument,
        RunFolds,
        RunGate,
        RunParameters,
        RunSeconds,
        RunSettings,
        RunSplit,
    )
    from crackscope.measuring.scanned_photos import ScannedPhoto
    from crackscope.measuring.transfer import Transfer, TransferTest
    from crackscope.model.bundle import Bundle, read_bundle
    from crackscope.model.card import BackboneCard, Calibration, Card, FineMapCard, Gate, TrainingData, Verdict
    from crackscope.reports.acceptance_report import write_acceptance
    from crackscope.reports.audit_report import write_audit
    from crackscope.reports.class_samples import write_class_samples
    from crackscope.reports.comparison_report import write_comparison
    from crackscope.reports.evaluation_report import write_evaluation
    from crackscope.reports.marker_sheets import write_markers
    from crackscope.reports.robustness_report import write_robustness
    from crackscope.reports.scan_folder import write_scan
    from crackscope.reports.transfer_report import write_transfer
    from crackscope.scanning.crack_map import CrackMap
    from crackscope.scanning.fine_map import Fine, FineMap
    from crackscope.scanning.loaded_model import AnyModel, Model, load, predict, scan, trace
    from crackscope.scanning.photo_scan import Trace
    from crackscope.scanning.prediction import Prediction, PredictionRow
    from crackscope.scanning.prediction_table import write_predictions
    from crackscope.scanning.regions import AcceptedPoint, Region, RejectedPoint
    from crackscope.scanning.results import PhotoResult, TracedBy
    from crackscope.scanning.scanner import NetworkScale
    from crackscope.scanning.summary import BatchSummary
    from crackscope.scanning.tracing import Tracing
    from crackscope.training.augmentation import Augmentation
    from crackscope.training.conversion import convert_backbone
    from crackscope.training.cross_validation import cross_validate
    from crackscope.training.memory import keep_memory
    from crackscope.training.recipes import Finetuning, HeadSettings, Phase, Plateau, Recipe, read_recipe, recipe_names
    from crackscope.training.runs import Run, train
    from crackscope.training.transfer_run import measure_transfer

__version__ = "0.1.0"

_HOMES = {
    "Acceptance": "acceptance.decision",
    "AcceptedPoint": "scanning.regions",
    "AnyImage": "files.sources",
    "AnyLine": "geometry.measured_line",
    "AnyModel": "scanning.loaded_model",
    "AnyScale": "geometry.scale_sources",
    "Audit": "auditing.kinds",
    "AuditFinding": "auditing.kinds",
    "Augmentation": "training.augmentation",
    "BackboneCard": "model.card",
    "Band": "inspection.band_files",
    "BandAnswer": "inspection.bands",
    "BandCase": "inspection.band_files",
    "BandTable": "inspection.bands",
    "BatchSummary": "scanning.summary",
    "BranchWidths": "geometry.widths",
    "Bundle": "model.bundle",
    "BundleError": "errors",
    "Calibration": "model.card",
    "Card": "model.card",
    "ClassNames": "data.class_names",
    "Comparison": "measuring.comparison",
    "Crack": "geometry.cracks",
    "CrackMap": "scanning.crack_map",
    "CrackMillimetres": "geometry.widths",
    "CrackWidth": "geometry.widths",
    "CrackscopeError": "errors",
    "DataError": "errors",
    "DecidedLine": "inspection.decisions",
    "Decision": "inspection.decisions",
    "DownloadError": "errors",
    "Drawing": "drawing.walls",
    "DrawnCrack": "drawing.drawn_lines",
    "Element": "inspection.elements",
    "ElementRow": "inspection.elements",
    "Elements": "inspection.elements",
    "Estimate": "measuring.metrics",
    "Evaluation": "measuring.evaluation",
    "Export": "measuring.exporting",
    "Files": "files.archives",
    "Finding": "inspection.findings",
    "Findings": "inspection.findings",
    "Fine": "scanning.fine_map",
    "FineMap": "scanning.fine_map",
    "FineMapCard": "model.card",
    "Finetuning": "training.recipes",
    "Gate": "model.card",
    "HeadSettings": "training.recipes",
    "Image": "files.images",
    "ImageError": "errors",
    "ImageFile": "files.inputs",
    "JointFigures": "measuring.joint_figures",
    "LabelledPhoto": "data.labelled_photos",
    "Leaks": "data.leaks",
    "LensFacts": "files.lens_facts",
    "LineCounts": "measuring.lines",
    "LineFigures": "measuring.line_figures",
    "LinesWithin": "measuring.line_figures",
    "LocalScale": "geometry.scale",
    "MarkerKind": "geometry.markers",
    "MissingExtraError": "errors",
    "Model": "scanning.loaded_model",
    "NetworkScale": "scanning.scanner",
    "Notice": "inspection.findings",
    "OutputError": "errors",
    "PairedTest": "measuring.paired",
    "Patch": "data.patches",
    "PatchFile": "data.patches",
    "PatchIndex": "data.patches",
    "Pattern": "geometry.cracks",
    "Phase": "training.recipes",
    "PhotoEvaluation": "measuring.photo_evaluation",
    "PhotoFigures": "measuring.photo_evaluation",
    "PhotoJoints": "measuring.joint_figures",
    "PhotoLines": "measuring.lines",
    "PhotoResult": "scanning.results",
    "Plane": "geometry.planes",
    "Plateau": "training.recipes",
    "Prediction": "scanning.prediction",
    "PredictionRow": "scanning.prediction",
    "Priority": "inspection.priority",
    "PriorityClass": "inspection.rules",
    "PriorityRules": "inspection.rules",
    "RankMoves": "inspection.sensitivity",
    "Rankable": "inspection.levels",
    "Recipe": "training.recipes",
    "RecipeError": "errors",
    "Reference": "geometry.references",
    "Region": "scanning.regions",
    "Registration": "data.registration",
    "RejectedPoint": "scanning.regions",
    "RetiredFinding": "inspection.findings",
    "Robustness": "measuring.robustness",
    "RobustnessCondition": "measuring.robustness",
    "RuleStep": "inspection.rules",
    "Run": "training.runs",
    "RunAgreement": "measuring.run_document",
    "RunChoice": "measuring.run_document",
    "RunCommit": "measuring.run_document",
    "RunComputed": "measuring.run_document",
    "RunData": "measuring.run_document",
    "RunDocument": "measuring.run_document",
    "RunFolds": "measuring.run_document",
    "RunGate": "measuring.run_document",
    "RunParameters": "measuring.run_document",
    "RunSeconds": "measuring.run_document",
    "RunSettings": "measuring.run_document",
    "RunSplit": "measuring.run_document",
    "RunSummary": "measuring.comparison",
    "Scale": "geometry.scale",
    "ScaleNote": "geometry.scale_sources",
    "ScaleSources": "geometry.scale_sources",
    "ScaleTable": "geometry.scale_table",
    "ScannedPhoto": "measuring.scanned_photos",
    "Sensitivity": "inspection.sensitivity",
    "SetAside": "inspection.decisions",
    "Share": "measuring.clustered_shares",
    "Sighting": "inspection.findings",
    "SiteVariant": "acceptance.site_variants",
    "Source": "files.sources",
    "Speed": "measuring.comparison",
    "Split": "data.splits",
    "SplitError": "errors",
    "Texts": "inspection.texts",
    "Trace": "scanning.photo_scan",
    "TracedBy": "scanning.results",
    "Tracing": "scanning.tracing",
    "TrainingData": "model.card",
    "Transfer": "measuring.transfer",
    "TransferTest": "measuring.transfer",
    "Verdict": "model.card",
    "WidthEstimate": "geometry.widths",
    "WidthMm": "geometry.widths",
    "accept": "acceptance.decision",
    "apply_decisions": "inspection.review",
    "apply_split": "data.splits",
    "audit": "auditing.audit",
    "band_table_names": "inspection.bands",
    "check_split": "data.leaks",
    "compare": "measuring.comparison",
    "convert_backbone": "training.conversion",
    "cross_validate": "training.cross_validation",
    "draw_dataset": "drawing.walls",
    "draw_patch": "drawing.walls",
    "draw_photo": "drawing.walls",
    "elements_by_folder": "inspection.elements",
    "evaluate": "measuring.judging",
    "evaluate_photos": "measuring.judging",
    "export": "measuring.exporting",
    "findings_of": "inspection.numbering",
    "keep_memory": "training.memory",
    "load": "scanning.loaded_model",
    "measure": "geometry.measured_line",
    "measure_robustness": "measuring.robustness",
    "measure_transfer": "training.transfer_run",
    "predict": "scanning.loaded_model",
    "prioritise": "inspection.priority",
    "profile_width": "geometry.profile_width",
    "read_bands": "inspection.bands",
    "read_bundle": "model.bundle",
    "read_elements": "inspection.elements",
    "read_image": "files.images",
    "read_patches": "data.patches",
    "read_recipe": "training.recipes",
    "read_rules": "inspection.rules",
    "read_scales": "geometry.scale_table",
    "read_split": "data.splits",
    "recipe_names": "training.recipes",
    "register": "data.registration",
    "scan": "scanning.loaded_model",
    "sensitivity": "inspection.sensitivity",
    "split": "data.splits",
    "trace": "scanning.loaded_model",
    "train": "training.runs",
    "write_acceptance": "reports.acceptance_report",
    "write_audit": "reports.audit_report",
    "write_class_samples": "reports.class_samples",
    "write_comparison": "reports.comparison_report",
    "write_evaluation": "reports.evaluation_report",
    "write_markers": "reports.marker_sheets",
    "write_predictions": "scanning.prediction_table",
    "write_robustness": "reports.robustness_report",
    "write_scan": "reports.scan_folder",
    "write_split": "data.splits",
    "write_transfer": "reports.transfer_report",
}

__all__ = [
    "Acceptance",
    "AcceptedPoint",
    "AnyImage",
    "AnyLine",
    "AnyModel",
    "AnyScale",
    "Audit",
    "AuditFinding",
    "Augmentation",
    "BackboneCard",
    "Band",
    "BandAnswer",
    "BandCase",
    "BandTable",
    "BatchSummary",
    "BranchWidths",
    "Bundle",
    "BundleError",
    "Calibration",
    "Card",
    "ClassNames",
    "Comparison",
    "Crack",
    "CrackMap",
    "CrackMillimetres",
    "CrackWidth",
    "CrackscopeError",
    "DataError",
    "DecidedLine",
    "Decision",
    "DownloadError",
    "Drawing",
    "DrawnCrack",
    "Element",
    "ElementRow",
    "Elements",
    "Estimate",
    "Evaluation",
    "Export",
    "Files",
    "Finding",
    "Findings",
    "Fine",
    "FineMap",
    "FineMapCard",
    "Finetuning",
    "Gate",
    "HeadSettings",
    "Image",
    "ImageError",
    "ImageFile",
    "JointFigures",
    "LabelledPhoto",
    "Leaks",
    "LensFacts",
    "LineCounts",
    "LineFigures",
    "LinesWithin",
    "LocalScale",
    "MarkerKind",
    "MissingExtraError",
    "Model",
    "NetworkScale",
    "Notice",
    "OutputError",
    "PairedTest",
    "Patch",
    "PatchFile",
    "PatchIndex",
    "Pattern",
    "Phase",
    "PhotoEvaluation",
    "PhotoFigures",
    "PhotoJoints",
    "PhotoLines",
    "PhotoResult",
    "Plane",
    "Plateau",
    "Prediction",
    "PredictionRow",
    "Priority",
    "PriorityClass",
    "PriorityRules",
    "RankMoves",
    "Rankable",
    "Recipe",
    "RecipeError",
    "Reference",
    "Region",
    "Registration",
    "RejectedPoint",
    "RetiredFinding",
    "Robustness",
    "RobustnessCondition",
    "RuleStep",
    "Run",
    "RunAgreement",
    "RunChoice",
    "RunCommit",
    "RunComputed",
    "RunData",
    "RunDocument",
    "RunFolds",
    "RunGate",
    "RunParameters",
    "RunSeconds",
    "RunSettings",
    "RunSplit",
    "RunSummary",
    "Scale",
    "ScaleNote",
    "ScaleSources",
    "ScaleTable",
    "ScannedPhoto",
    "Sensitivity",
    "SetAside",
    "Share",
    "Sighting",
    "SiteVariant",
    "Source",
    "Speed",
    "Split",
    "SplitError",
    "Texts",
    "Trace",
    "TracedBy",
    "Tracing",
    "TrainingData",
    "Transfer",
    "TransferTest",
    "Verdict",
    "WidthEstimate",
    "WidthMm",
    "accept",
    "apply_decisions",
    "apply_split",
    "audit",
    "band_table_names",
    "check_split",
    "compare",
    "convert_backbone",
    "cross_validate",
    "draw_dataset",
    "draw_patch",
    "draw_photo",
    "elements_by_folder",
    "evaluate",
    "evaluate_photos",
    "export",
    "findings_of",
    "keep_memory",
    "load",
    "measure",
    "measure_robustness",
    "measure_transfer",
    "predict",
    "prioritise",
    "profile_width",
    "read_bands",
    "read_bundle",
    "read_elements",
    "read_image",
    "read_patches",
    "read_recipe",
    "read_rules",
    "read_scales",
    "read_split",
    "recipe_names",
    "register",
    "scan",
    "sensitivity",
    "split",
    "trace",
    "train",
    "write_acceptance",
    "write_audit",
    "write_class_samples",
    "write_comparison",
    "write_evaluation",
    "write_markers",
    "write_predictions",
    "write_robustness",
    "write_scan",
    "write_split",
    "write_transfer",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package is instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'crackscope' has no attribute '{name}'")
    return getattr(import_module(f"crackscope.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
