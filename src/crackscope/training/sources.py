"""Sources: model folders and hub ids that backbones come from, and what is known of them without torch or a network."""

from __future__ import annotations

import json
import re
from pathlib import Path

from crackscope.errors import DataError, did_you_mean, reason_of

__all__ = ["MODEL_TYPES", "require_known_folder", "require_model_type"]

MODEL_TYPES = ("mobilenet_v2", "resnet")
"""Kinds of backbone that can be used, as ``model_type`` in ``config.json`` names them."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def require_known_folder(source: str) -> None:
    """Refuse a model folder of a kind that is not known, and what is neither a folder nor a hub id.

    Raises:
        DataError: With what was found, and what to give.
    """
    folder = Path(source)
    if folder.is_dir():
        require_model_type(source, _model_type_of(folder))
    elif folder.exists():
        raise DataError(f"{source}: a file. Give a model folder or a hub id; only the recipe head also takes a bundle.")
    elif not _HUB_ID.fullmatch(source):
        raise DataError(f"{source}: no such folder, and no hub id, which has the form owner/name. Check the path.")


def require_model_type(source: str, model_type: str) -> None:
    """Refuse a kind of backbone that is not known.

    Raises:
        DataError: With the kinds that are known.
    """
    if model_type not in MODEL_TYPES:
        raise DataError(
            f"{source}: backbones of type '{model_type}' are not known; known are {', '.join(MODEL_TYPES)}."
            f"{did_you_mean(model_type, MODEL_TYPES)}"
        )


def _model_type_of(folder: Path) -> str:
    path = folder / "config.json"
    if not path.is_file():
        raise DataError(f"{folder}: the folder has no config.json. Give a model folder as the hub lays it out.")
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder}: config.json cannot be used: {reason_of(error).rstrip('.')}. Fetch it again."
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("model_type"), str):
        raise DataError(f"{folder}: config.json cannot be used: it names no model_type. Fetch it again.")
    return str(found["model_type"])
