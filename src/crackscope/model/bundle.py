"""The bundle: one ONNX file that holds the whole model and its card.

The graph takes raw ``pixels`` (n, H, W, 3), uint8, RGB. It pads an image at its right and lower edge to a multiple of
32, by repeating the edge, and normalises the pixels. It returns ``probability`` (n, k), ``logits`` (n, k),
``logit_map`` (n, k, h, w) and ``features`` (n, d). If the card has a gate, it also returns ``novelty`` (n,), and
``concrete`` (n,) if the gate has a limit of it. If the card has a part ``fine_map``, the graph has an output of that
name, too (`crackscope.model.fine_graph`). The card is JSON in the metadata of the file, with its digest. It holds
all that a caller of the graph must know; `Card` is its form.

Two kinds of file have this form. A *backbone* ends at ``feature_map`` (n, d, h, w) and ``features``. A *bundle* is a
backbone with a head. `compose` puts a head on a backbone, which may also be the backbone of another bundle.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TypeVar

import onnx
from pydantic import BaseModel, ValidationError

from crackscope.errors import BundleError, did_you_mean
from crackscope.files.forms import first_fault
from crackscope.files.output import new_file
from crackscope.model.agreement import disagreement, is_unchanged
from crackscope.model.card import CARD_VERSION, BackboneCard, Card
from crackscope.model.fine_graph import FineDecoder, decoder_of
from crackscope.model.gate_graph import Material, Plane, material_of, plane_of
from crackscope.model.graphs import (
    BACKBONE_KEY,
    CARD_KEY,
    MULTIPLE_PX,
    OPSET,
    Backbone,
    Head,
    Inherited,
    backbone_graph,
    compose,
    graph_digest,
    make_backbone,
)

__all__ = [
    "MULTIPLE_PX",
    "OPSET",
    "PRECISIONS",
    "Backbone",
    "Bundle",
    "FineDecoder",
    "Head",
    "Inherited",
    "Material",
    "Plane",
    "compose",
    "default_bundle",
    "graph_digest",
    "make_backbone",
    "read_backbone",
    "read_bundle",
    "require_precision",
    "write_model",
]

CardForm = TypeVar("CardForm", bound=BaseModel)

PRECISIONS = ("fp32", "int8")
"""Precisions of the default bundle; int8 has 47 % of the size and is 1.55 to 1.75 times as fast on CPUs."""

_MAX_BYTES = 2**31  # limit of protobuf


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model file that was read and checked, or made in memory.

    Attributes:
        content: Bytes of the file, ready for ONNX Runtime.
        card: Card of the model: labels, sizes, calibration, training data, figures.
        name: Name of the file, for messages.
        path: Path of the file; None for a bundle that was made in memory.
    """

    content: bytes
    card: Card
    name: str
    path: Path | None = None

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the whole file, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def full_name(self) -> str:
        """Name from the card and first digits of the SHA-256, as tables and reports name the model."""
        return f"{self.card.name}@{self.sha256[:12]}"


def default_bundle(precision: str = "fp32") -> Path:
    """Give the path of the default bundle, which comes with the package, in one of its `PRECISIONS`."""
    name = "default.onnx" if precision == "fp32" else f"default-{precision}.onnx"
    return Path(str(resources.files("crackscope") / "assets" / name))


def read_bundle(path: str | Path | None = None, *, precision: str | None = None) -> Bundle:
    """Read a bundle (a model file) and check it.

    Args:
        path: Path of the file; the default bundle, which comes with the package, if left out.
        precision: Precision, ``fp32`` or ``int8``. With a path, a file of another precision is refused. Without a path,
            it chooses one of the two default bundles (``fp32`` if left out).

    Returns:
        The bundle. `crackscope.load` makes it ready for prediction.

    Raises:
        BundleError: If the file is missing, damaged, a foreign ONNX file, of another version, or of another precision.

    Example:
        >>> card = read_bundle().card
        >>> card.labels, card.patch_px, card.precision
        (('crack',), 160, 'fp32')
    """
    if precision is not None and precision not in PRECISIONS:
        raise BundleError(
            f"precision '{precision}' is none of {', '.join(PRECISIONS)}.{did_you_mean(precision, PRECISIONS)}"
        )
    place = Path(path) if path is not None else default_bundle(precision or "fp32")
    if path is None and not place.is_file():
        raise BundleError(f"{place}: the default bundle is not installed. Install crackscope again, or give a --model.")
    content, model = _load(place)
    card = _checked_card(model, place)
    require_precision(card, precision, str(place))
    return Bundle(content, card, place.name, place)


def require_precision(card: Card, precision: str | None, name: str) -> None:
    """Refuse a bundle whose precision differs from the one asked for, if any.

    Raises:
        BundleError: If the precisions differ.
    """
    if precision not in (None, card.precision):
        raise BundleError(
            f"{name}: it is {card.precision}, and {precision} was asked for. Leave the precision out, or make an int8 "
            "bundle with `crackscope export --precision int8`."
        )


def read_backbone(path: str | Path) -> Backbone:
    """Read the backbone of a bundle, or a backbone file.

    The card's ``trained_on`` names all data that the weights were fitted to. For a bundle, this includes the training
    data of its head. Gate and decoder of a bundle are in ``inherited``.

    Raises:
        BundleError: If the file is neither a bundle nor a backbone.
    """
    place = Path(path)
    _, model = _load(place)
    text = _metadata(model).get(BACKBONE_KEY)
    if text is not None:
        _require_unchanged(BACKBONE_KEY, model, place, "Export the backbone again.")
        own = _parsed(BackboneCard, text, place)
        if graph_digest(model.graph) != own.sha256:
            raise BundleError(f"{place}: the graph is not the one its card describes. Export the backbone again.")
        return Backbone(model.graph, own)
    card = _checked_card(model, place)
    graph = backbone_graph(model.graph, feature_dim=card.backbone.feature_dim)
    lineage = tuple(dict.fromkeys((*card.backbone.trained_on, *card.training_data)))
    changes = {"trained_on": lineage, "sha256": graph_digest(graph)}
    inherited = Inherited(
        card.gate, plane_of(model.graph), material_of(model.graph), card.fine_map, decoder_of(model.graph)
    )
    return Backbone(graph, card.backbone.model_copy(update=changes), inherited)


def write_model(model: onnx.ModelProto, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a bundle or a backbone: to a temporary file first, which is then renamed.

    Raises:
        OutputError: If the file exists, or cannot be written.
    """
    with new_file(Path(path), overwrite=overwrite) as part:
        part.write_bytes(model.SerializeToString(deterministic=True))


def _load(place: Path) -> tuple[bytes, onnx.ModelProto]:
    try:
        status = place.stat()
        if stat.S_ISDIR(status.st_mode):
            inside = place / "model.onnx"
            remedy = f"Give {inside}." if inside.is_file() else "Give a model.onnx that `crackscope train` wrote."
            raise BundleError(f"{place}: a folder, not a bundle. {remedy}")
        if not stat.S_ISREG(status.st_mode) or status.st_size >= _MAX_BYTES:
            raise BundleError(f"{place}: not an ONNX file. Give a model.onnx that `crackscope train` wrote.")
        content = place.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte inside the path
        why = getattr(error, "strerror", None) or error
        raise BundleError(f"{place}: cannot be read ({why}). Give a bundle with --model, or leave it out.") from error
    try:
        model = onnx.load_model_from_string(content)
        _metadata(model)  # protobuf finds text that is no UTF-8 only when it is read
    except Exception as error:  # protobuf raises its own kinds
        raise BundleError(f"{place}: not an ONNX file, or damaged. Fetch or train the bundle again.") from error
    if not model.graph.node or not model.graph.output:
        raise BundleError(f"{place}: not an ONNX file, or damaged. Fetch or train the bundle again.")
    return content, model


def _metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _checked_card(model: onnx.ModelProto, place: Path) -> Card:
    """Read the card of a bundle, and check that it describes the bundle's graph."""
    metadata = _metadata(model)
    if CARD_KEY not in metadata:
        if BACKBONE_KEY in metadata:
            raise BundleError(
                f"{place}: a backbone without a head. Train one: crackscope train DATA --backbone {place.name}"
            )
        raise BundleError(
            f"{place}: an ONNX file, but not a crackscope bundle (it has no card). "
            "Give a model.onnx that `crackscope train` wrote."
        )
    _require_version(metadata[CARD_KEY], place)
    card = _parsed(Card, metadata[CARD_KEY], place)
    _require_unchanged(CARD_KEY, model, place, "Fetch or train the bundle again.")
    if graph_digest(model.graph) != card.graph_sha256:
        raise BundleError(f"{place}: the graph is not the one its card describes. Fetch or train the bundle again.")
    if why := disagreement(card, model.graph):
        raise BundleError(f"{place}: {why}. Fetch or train the bundle again.")
    return card


def _require_unchanged(key: str, model: onnx.ModelProto, place: Path, remedy: str) -> None:
    if not is_unchanged(key, _metadata(model)):
        raise BundleError(f"{place}: the card was changed after the file was written. {remedy}")


def _require_version(text: str, place: Path) -> None:
    try:
        version = Card.version_of(text)
    except ValueError as error:
        raise BundleError(f"{place}: damaged card: {_one_line(error)}. Fetch or train the bundle again.") from error
    if version != CARD_VERSION:
        raise BundleError(
            f"{place}: its card has version {version}, this crackscope reads version {CARD_VERSION}. "
            f"{'Upgrade crackscope' if version > CARD_VERSION else 'Train the bundle again'}."
        )


def _parsed(form: type[CardForm], text: str, place: Path) -> CardForm:
    try:
        return form.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{place}: damaged card: {first_fault(error).text}. Train the bundle again.") from error


def _one_line(text: object) -> str:
    return " ".join(str(text).split()).rstrip(".")
