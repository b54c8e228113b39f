"""``crackscope bundle``: print what a model says of itself, or copy its file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crackscope.cli.console import AsJson, ModelFile, Precision, emit, read_model

if TYPE_CHECKING:
    from crackscope.model.bundle import Bundle
    from crackscope.model.card import Calibration, Card

__all__ = ["bundle"]

_MOST_DATA, _MOST_FIGURES = 4, 5  # lines: with them, the summary never has more than 20
_SHOWN = {"f1_crack": "F1 of crack", "recall_crack": "recall", "false_alarm_rate": "false alarm rate"}


def bundle(
    file: Annotated[Path | None, typer.Argument(help="A model file (bundle); the default one if left out.")] = None,
    precision: Precision = None,
    full: Annotated[bool, typer.Option("--full", help="Print the whole card, with every figure.")] = False,
    copy: Annotated[
        Path | None, typer.Option(help="Copy the model file here; the default one if FILE is left out.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that --copy names.")] = False,
    model: ModelFile = None,
    as_json: AsJson = False,
) -> None:
    """Print what a model is for, what it was trained on, how it decides, and its main figures.

    A bundle is a model file: one .onnx file that holds the network and its card, which says all this.

    Example: `crackscope bundle runs/metu/model.onnx`
    """
    from crackscope.files.output import new_file

    if file and model:
        raise typer.BadParameter("give the model file once: as FILE or as --model.", param_hint="--model")
    found = read_model(file or model, precision)
    document = {
        "status": "done",
        "file": found.name,
        "sha256": found.sha256,
        "card": found.card.model_dump(mode="json"),
    }
    if copy:
        with new_file(copy, overwrite=overwrite) as part:
            part.write_bytes(found.content)
        document["copy"] = str(copy)
    text = _full_text(document["card"], f"{found.name}  {_megabytes(found)}") if full else "\n".join(_summary(found))
    emit(document, as_json=as_json, text=f"{text}\nwritten to {copy}" if copy else text)


def _megabytes(found: Bundle) -> str:
    return f"{len(found.content) / 1e6:.1f} MB"


# The summary


def _summary(found: Bundle) -> Iterator[str]:
    card = found.card
    yield f"{found.name}: model {found.full_name}, {card.precision}, {_megabytes(found)}, {card.made_with}"
    yield "purpose: says whether a patch of concrete shows a crack, and where in a photo cracks are"
    scale = f", {card.mm_per_px:g} mm a pixel" if card.mm_per_px else ""
    yield f"patch: up to {card.source_px} px a side; its shorter side is resized to {card.patch_px} px{scale}"
    yield f"backbone: {card.backbone.name}; {card.backbone.origin}"
    yield from _data_lines(card)
    split = f"by {card.split.get('by', 'unknown')}" if card.split else "not stated"
    yield f"split: {split}{', leaky' if card.split.get('leaky') else ''}"
    patch = card.patch
    yield f"a patch is crack from probability {patch.crack_from:.3f}, {_unsure(patch)}"
    yield _photo_line(card)
    yield _gate_line(card)
    if card.fine_map is not None:
        yield (
            f"fine map: lines of cracks, in cells of {card.fine_map.stride_px} px; a cell belongs to a line from "
            f"probability {card.fine_map.threshold:.3f}"
        )
    yield from _figure_lines(card)
    yield "every figure and setting: add --full"


def _unsure(patch: Calibration) -> str:
    if patch.unsure_low == patch.unsure_high:
        return "and never unsure"
    return f"unsure from {patch.unsure_low:.3f}; figures count it as crack from {patch.threshold:.3f}"


def _data_lines(card: Card) -> Iterator[str]:
    n_more = len(card.training_data) - _MOST_DATA
    for i, one in enumerate(card.training_data[:_MOST_DATA], 1):
        photos = f" of {one.n_photos:,} photos" if one.n_photos else ""
        yield f"data: {one.name}, {one.n_crack:,} crack and {one.n_uncracked:,} uncracked{photos}; {one.licence}" + (
            f"; {n_more} more sets" if n_more > 0 and i == _MOST_DATA else ""
        )
    if not card.training_data:
        yield "data: not stated"


def _photo_line(card: Card) -> str:
    rule = card.verdict
    calibration = card.map_calibration
    least = "" if calibration.region_from is None else f" that reach {calibration.region_from:.3f}"
    start = f"a photo is drawn with regions from {calibration.threshold:.3f}{least}"
    if rule is None:
        return f"{start}; no verdict was fitted, so a photo is judged by the limits for patches"
    return (
        f"{start}, crack from {rule.threshold:.3f}, unsure from {rule.unsure_low:.3f}; "
        f"on stretches of {rule.stretch_px} px, {100 * rule.false_alarm_rate:.1f} % false alarms (of {rule.n_clean}), "
        f"{100 * rule.missed_rate:.1f} % missed (of {rule.n_cracked})"
    )


def _gate_line(card: Card) -> str:
    gate = card.gate
    if gate is None:
        return "gate: none; blurred or foreign images are answered like any other"
    rejected = gate.blurred_crack + gate.not_concrete_crack
    concrete = "" if gate.min_concrete is None else f", concrete below {gate.min_concrete:.3f}"
    return (
        f"gate: rejects clarity below {gate.min_clarity:.3f}{concrete} and novelty above {gate.max_novelty:.2f}, at "
        f"most {100 * rejected:.1f} % of cracked validation patches"
    )


def _figure_lines(card: Card) -> Iterator[str]:
    names = [name for name in card.figures if name.endswith(("test", "folds"))] or [*card.figures]
    leaky = "leaky " if card.split.get("leaky") else ""
    yield f"{leaky}figures [95 % interval], {len(names)} sets of test data:" if names else "figures: none"
    for name in names[:_MOST_FIGURES]:
        found = card.figures[name]
        told = [f"{title} {_estimate(found[key])}" for key, title in _SHOWN.items() if key in found]
        n_crack, n = found.get("n_crack"), found.get("n_patches")
        if told and n_crack and n and "f1_crack" in found:
            told[0] += f" (always crack {2 * n_crack / (n + n_crack):.3f})"  # recall 1, precision n_crack / n
        yield f"  {name}: {', '.join(told) or 'see --full'}"


def _estimate(found: dict[str, Any]) -> str:
    value, low, high = (found.get(part) for part in ("value", "low", "high"))
    interval = f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
    return f"{value:.3f}{interval}" if value is not None else "–"


# The whole card


def _full_text(card: object, title: str) -> str:
    lines = [title]

    def walk(value: object, depth: int, name: str) -> None:
        indent = "  " * depth
        if isinstance(value, dict) and {"value", "low", "high"} == set(value):
            shown = [
                f"{part:.4f}" if part is not None else "–" for part in (value["value"], value["low"], value["high"])
            ]
            lines.append(f"{indent}{name}: {shown[0]} [{shown[1]}, {shown[2]}]")
        elif isinstance(value, dict):
            lines.append(f"{indent}{name}:")
            for key, inner in value.items():
                walk(inner, depth + 1, key)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for inner in value:
                walk(inner, depth, name)
        elif name == "seen":
            lines.append(f"{indent}seen: marks of {len(str(value)) * 3 // 4 // 6:,} files and photos")
        elif value not in (None, "", [], {}):
            lines.append(f"{indent}{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")

    walk(card, 0, "card")
    return "\n".join(lines)
