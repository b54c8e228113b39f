"""The card: what a model file says of itself, as JSON inside it."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from crackscope.arrays import Float64Array
from crackscope.model.preprocessing import RESIZE_RULE

__all__ = [
    "BLURRED",
    "CARD_VERSION",
    "NOT_CONCRETE",
    "REASONS",
    "BackboneCard",
    "Calibration",
    "Card",
    "Gate",
    "Pool",
    "TrainingData",
    "Verdict",
]


CARD_VERSION: Final = 1

Pool = Literal["mean", "logsumexp"]
"""How the logits of cells become one: their mean, or ``log(mean(exp(logit)))``, which a few strong cells decide."""


NOT_CONCRETE, BLURRED = "not concrete", "blurred"
REASONS: Final = (BLURRED, NOT_CONCRETE)
"""Why a patch or a photo is ``rejected``."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> str:
        """Compact JSON with sorted keys: the same card gives the same bytes. What is no number becomes null."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8", "replace").decode()  # half a surrogate, from a file name, has no UTF-8


class TrainingData(_Part):
    """Images that weights were fitted to.

    Attributes:
        name: Of the data set.
        n_crack: Patches labelled crack.
        n_uncracked: The others.
        n_photos: Photos they were cut from; None where that is not known.
        licence: Of the images.
        attribution: Whom to name.
        sha256: Of the digests and labels of all files.
        seen: Six bytes of each file's SHA-256, and of each photo's name where the set is a published one, in order and
            base64: whoever judges the model can tell what it was trained on. See
                `crackscope.model.provenance.count_seen`.
    """

    name: str
    n_crack: int
    n_uncracked: int
    n_photos: int | None = None
    licence: str = "not stated"
    attribution: str = ""
    sha256: str = ""
    seen: str = ""


class BackboneCard(_Part):
    """What is known of a feature extractor.

    Attributes:
        name: Architecture, for example ``mobilenet_v2``.
        origin: Where its first weights came from, with licence.
        feature_dim: Channels d of the last feature map.
        pixel_scale: Factor on raw pixels 0 to 255, per channel RGB.
        pixel_shift: Added after the factor.
        trained_on: Data sets that its weights were fitted to here, after their origin.
        sha256: Of the backbone's graph.
    """

    name: str
    origin: str
    feature_dim: int
    pixel_scale: tuple[float, float, float]
    pixel_shift: tuple[float, float, float]
    trained_on: tuple[TrainingData, ...] = ()
    sha256: str = ""


class Calibration(_Part):
    """From logits to probabilities and labels, for one unit.

    Attributes:
        temperature: ``probability = sigmoid((logit + shift) / temperature)``.
        threshold: Probability from which we say ``crack``.
        unsure_low: From here to `unsure_high` we say ``unsure``.
        unsure_high: Upper end of the band.
        shift: Added to the logit; that of patches is in the head's bias, so theirs is 0.
        fitted_on: Data and part it was fitted on.
    """

    temperature: float = Field(gt=0)
    threshold: float = Field(ge=0, le=1)
    unsure_low: float = Field(ge=0, le=1)
    unsure_high: float = Field(ge=0, le=1)
    shift: float = 0.0
    fitted_on: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Calibration:
        if self.unsure_low > self.unsure_high:
            raise ValueError(f"unsure_low {self.unsure_low:g} lies above unsure_high {self.unsure_high:g}")
        return self

    def probability(self, logits: Float64Array) -> Float64Array:
        """Calibrated probabilities of logits, of any shape."""
        found: Float64Array = 0.5 + 0.5 * np.tanh((logits + self.shift) / (2 * self.temperature))  # the sigmoid
        return found

    def label(self, probability: float) -> str:
        """``unsure`` inside the band, else ``crack`` from the threshold on, else ``uncracked``."""
        if self.unsure_low <= probability < self.unsure_high:
            return "unsure"
        return "crack" if probability >= self.threshold else "uncracked"


class Verdict(_Part):
    """What a whole photo is called, from the greatest probability of any of its footprints, and how often that errs.

    Measured on square stretches of photos that were laid together from labelled tiles. A larger photo has more places
    to err in.

    Attributes:
        threshold: From here on the photo is called ``crack``.
        unsure_low: From here to the threshold ``unsure``, below ``uncracked``.
        stretch_px: Side of a stretch, in photo pixels.
        n_clean: Stretches without a cracked tile.
        false_alarm_rate: Share of these called crack.
        n_cracked: Stretches with at least one.
        missed_rate: Share of these called uncracked.
        fitted_on: Data and part that threshold and band were set on.
        measured_on: Data and part that the two rates are of.
    """

    threshold: float = Field(ge=0, le=1)
    unsure_low: float = Field(ge=0, le=1)
    stretch_px: int = Field(ge=1)
    n_clean: int = Field(ge=0)
    false_alarm_rate: float = Field(ge=0, le=1)
    n_cracked: int = Field(ge=0)
    missed_rate: float = Field(ge=0, le=1)
    fitted_on: str = ""
    measured_on: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Verdict:
        if self.unsure_low > self.threshold:
            raise ValueError(f"unsure_low {self.unsure_low:g} lies above threshold {self.threshold:g}")
        return self

    def label(self, peak_probability: float) -> str:
        """``crack``, ``unsure`` or ``uncracked``."""
        if peak_probability >= self.threshold:
            return "crack"
        return "unsure" if peak_probability >= self.unsure_low else "uncracked"


class Gate(_Part):
    """When a patch is ``rejected``: it shows what training never saw, or is too blurred to be judged.

    Novelty is an output of the graph: the squared distance of the features to a plane in which those of training
    patches lie, 1 on average there. Clarity is that of `crackscope.model.gate.patch_clarity`. Both limits were set on
    cracked validation patches, of which next to none may be rejected.

    Attributes:
        max_novelty: Above, a patch is ``not concrete``.
        min_clarity: Below, it is ``blurred``.
        rank: Axes of the plane.
        n_crack: Cracked validation patches.
        n_uncracked: The others.
        not_concrete_crack: Share of cracked validation patches above `max_novelty`.
        not_concrete_uncracked: Share of the others.
        blurred_crack: Share of cracked validation patches below `min_clarity`.
        blurred_uncracked: Share of the others.
        fitted_on: Data and part it was fitted on.
    """

    max_novelty: float = Field(gt=0)
    min_clarity: float = Field(ge=0, le=1)
    rank: int = Field(ge=1)
    n_crack: int = Field(ge=1)
    n_uncracked: int = Field(ge=0)
    not_concrete_crack: float = Field(ge=0, le=1)
    not_concrete_uncracked: float = Field(ge=0, le=1)
    blurred_crack: float = Field(ge=0, le=1)
    blurred_uncracked: float = Field(ge=0, le=1)
    fitted_on: str = ""

    def reason(self, novelty: float, clarity: float) -> str | None:
        """Why a patch is rejected, None where it is not. What is blurred may seem foreign for that alone."""
        if clarity < self.min_clarity:
            return BLURRED
        return NOT_CONCRETE if novelty > self.max_novelty else None


class Card(_Part):
    """Everything that a caller of the graph must know, and what an auditor will ask.

    Attributes:
        labels: In the order of the k axis, each an independent sigmoid.
        patch_px: Shorter side, in pixels, of what the network was trained to see.
        source_px: Longest side of a training patch before the resize; tells patches from photos.
        resize: The one resize rule.
        mm_per_px: Scale of a training patch after the resize, as far as known.
        pool: How the map becomes a logit.
        map: Whether the map explains the logit exactly or approximately.
        patch: Calibration for patches.
        photo: Calibration for a patch's footprint inside a photo; None until one was fitted.
        verdict: What a whole photo is called; None until it was fitted.
        gate: When a patch is rejected; None where too little was known to fit one.
        split: How the data was divided: ``by``, ``sha256``, ``leaky``.
        figures: Measured figures by name of the data, each with value, low, high.
        precision: Numbers that the graph computes with; ``int8`` of one that `crackscope export` rounded.
        graph_sha256: Of the graph without metadata.
    """

    card_version: Literal[1] = CARD_VERSION
    name: str
    made_with: str
    labels: tuple[str, ...] = ("crack",)
    patch_px: int = Field(ge=32, le=4096)
    source_px: int = Field(ge=16, le=65536)
    resize: Literal["shorter side to patch_px, aspect kept, cv2.INTER_LINEAR, below half cv2.INTER_AREA"] = RESIZE_RULE
    mm_per_px: float | None = Field(default=None, gt=0)
    pool: Pool = "mean"
    map: Literal["exact", "approximate"] = "exact"
    patch: Calibration
    photo: Calibration | None = None
    verdict: Verdict | None = None
    gate: Gate | None = None
    backbone: BackboneCard
    training_data: tuple[TrainingData, ...] = ()
    recipe: dict[str, Any] = {}
    split: dict[str, Any] = {}
    figures: dict[str, dict[str, Any]] = {}
    precision: Literal["fp32", "int8"] = "fp32"
    graph_sha256: str = ""

    @field_validator("labels")
    @classmethod
    def _with_crack(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if labels.count("crack") != 1 or len(set(labels)) != len(labels):
            raise ValueError("each label stands once, and one of them is 'crack'")
        return labels

    @field_validator("recipe", "split", "figures")
    @classmethod
    def _finite(cls, free: dict[str, Any]) -> dict[str, Any]:
        json.dumps(free, allow_nan=False)  # JSON itself knows no NaN, Python's does
        return free

    @staticmethod
    def version_of(text: str) -> int:
        """The version a card claims, whatever else is in it.

        Raises:
            ValueError: If it claims none, or is no JSON object.
        """
        try:
            card = json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        version = card.get("card_version") if isinstance(card, dict) else None
        if type(version) is not int:
            raise ValueError("no card_version")
        return version
