"""``crackscope bundle``: print the card of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crackscope.cli.console import AsJson, emit

__all__ = ["bundle"]


def bundle(
    file: Annotated[Path | None, typer.Argument(help="A bundle; the default one if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a bundle's card: what the model is, what it was trained on, and how far it was measured.

    Example: `crackscope bundle runs/metu/model.onnx`
    """
    from crackscope.model.bundle import read_bundle

    found = read_bundle(file)
    document = {
        "status": "done",
        "file": found.name,
        "sha256": found.sha256,
        "card": found.card.model_dump(mode="json"),
    }
    emit(document, as_json=as_json, text=_text(document["card"], f"{found.name}  {len(found.content) / 1e6:.1f} MB"))


def _text(card: object, title: str) -> str:
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
