"""The card: the description of a model, as JSON inside the model file."""

from __future__ import annotations

import json
import math
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
    "TOO_SMALL",
    "BackboneCard",
    "Calibration",
    "Card",
    "FineMapCard",
    "Gate",
    "Pool",
    "TrainingData",
    "Verdict",
]


CARD_VERSION: Final = 1

Pool = Literal["mean", "logsumexp"]
"""Pooling of the logits of cells: their mean, or ``log(mean(exp(logit)))``, which a few strong cells decide."""


NOT_CONCRETE, BLURRED, TOO_SMALL = "not concrete", "blurred", "too small to judge"
REASONS: Final = (BLURRED, NOT_CONCRETE, TOO_SMALL)
"""Reasons why a patch or a photo is ``rejected``."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> str:
        """Write compact JSON with sorted keys, so the same card gives the same bytes. Not-a-number becomes null."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8", "replace").decode()  # a lone surrogate from a file name cannot be written as UTF-8


class TrainingData(_Part):
    """Images of one data set that weights were fitted to.

    Attributes:
        name: Name of the data set.
        n_crack: Number of patches labelled crack.
        n_uncracked: Number of patches labelled uncracked.
        n_photos: Number of photos that the patches were cut from; None where it is not known.
        licence: Licence of the images.
        attribution: Names to give credit to.
        sha256: SHA-256 over the digests and labels of all files, in hexadecimal.
        seen: Marks of the training data, sorted, in base64: six bytes of each file's SHA-256, and in published sets six
            bytes of the SHA-256 of each photo's name. They tell whether a model was trained on a patch that it judges.
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
    """What is known of a backbone, the part of a network that turns pixels into features.

    Attributes:
        name: Architecture, for example ``mobilenet_v2``.
        origin: Where the first weights came from, with licence.
        feature_dim: Number of channels d of the last feature map.
        pixel_scale: Factor on raw pixels 0 to 255, for red, green and blue.
        pixel_shift: Summand after the factor, for red, green and blue.
        trained_on: Data sets that crackscope fitted the weights to, after their origin.
        sha256: SHA-256 of the backbone's graph, in hexadecimal.
    """

    name: str
    origin: str
    feature_dim: int
    pixel_scale: tuple[float, float, float]
    pixel_shift: tuple[float, float, float]
    trained_on: tuple[TrainingData, ...] = ()
    sha256: str = ""


class Calibration(_Part):
    """How logits become probabilities and labels, for patches or for footprints inside photos.

    Attributes:
        temperature: Temperature above 0 in ``probability = sigmoid((logit + shift) / temperature)``.
        threshold: Probability from which the label is ``crack``, in [0, 1].
        unsure_low: Probability from which the label is ``unsure``, in [0, 1].
        unsure_high: Probability from which the label is no longer ``unsure``, in [0, 1]; no patch is unsure if it
            equals `unsure_low`.
        shift: Summand on the logit; 0 for patches, whose shift is in the head's bias.
        region_from: Probability that at least one footprint of a region reaches, in [0, 1]; `threshold` if None. A
            region reaches as far as footprints do that are cracked by `threshold`, but it needs one that is surely so.
        fitted_on: Data and part that the calibration was fitted on.
    """

    temperature: float = Field(gt=0)
    threshold: float = Field(ge=0, le=1)
    unsure_low: float = Field(ge=0, le=1)
    unsure_high: float = Field(ge=0, le=1)
    shift: float = 0.0
    region_from: float | None = Field(default=None, ge=0, le=1, exclude_if=lambda value: value is None)
    fitted_on: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Calibration:
        if self.unsure_low > self.unsure_high:
            raise ValueError(f"unsure_low {self.unsure_low:g} lies above unsure_high {self.unsure_high:g}")
        return self

    @property
    def crack_from(self) -> float:
        """Probability from which the answer is ``crack``, in [0, 1]: the upper end of an unsure band."""
        return self.threshold if self.unsure_low == self.unsure_high else max(self.threshold, self.unsure_high)

    def probability(self, logits: Float64Array) -> Float64Array:
        """Calibrate logits.

        Args:
            logits: Logits, an array of any shape.

        Returns:
            Probabilities in [0, 1], an array of the same shape.

        Example:
            >>> calibration = Calibration(temperature=0.5, threshold=0.5, unsure_low=0.4, unsure_high=0.6)
            >>> calibration.probability(np.array([-1.0, 0.0, 1.0])).round(3).tolist()
            [0.119, 0.5, 0.881]
        """
        found: Float64Array = 0.5 + 0.5 * np.tanh((logits + self.shift) / (2 * self.temperature))  # the sigmoid
        return found

    def logit(self, probability: float) -> float:
        """Give the logit that becomes a probability; infinite for 0 and 1.

        Args:
            probability: Calibrated probability, in [0, 1].

        Example:
            >>> calibration = Calibration(temperature=0.5, threshold=0.5, unsure_low=0.4, unsure_high=0.6)
            >>> round(calibration.logit(0.881), 2), calibration.logit(0.0)
            (1.0, -inf)
        """
        if probability in (0, 1):
            return math.inf if probability else -math.inf
        return self.temperature * math.log(probability / (1 - probability)) - self.shift

    def label(self, probability: float) -> str:
        """Name the label of a probability.

        Args:
            probability: Calibrated probability, in [0, 1].

        Returns:
            ``unsure`` inside the band, else ``crack`` from the threshold on, else ``uncracked``.

        Example:
            >>> calibration = Calibration(temperature=0.5, threshold=0.5, unsure_low=0.4, unsure_high=0.6)
            >>> [calibration.label(probability) for probability in (0.3, 0.4, 0.6)]
            ['uncracked', 'unsure', 'crack']
        """
        if self.unsure_low <= probability < self.unsure_high:
            return "unsure"
        return "crack" if probability >= self.threshold else "uncracked"


class Verdict(_Part):
    """Rule that gives a photo its verdict, by the greatest probability of any footprint in it, and its error rates.

    The two rates were measured on square stretches of photos that were laid together from labelled tiles. In a larger
    photo, a wrong answer is more likely.

    Attributes:
        threshold: Probability from which the photo is called ``crack``, in [0, 1].
        unsure_low: Probability from which the photo is called ``unsure``, in [0, 1]; below it is called ``uncracked``.
        stretch_px: Side of a stretch, in photo pixels.
        n_clean: Number of stretches without a cracked tile.
        false_alarm_rate: Share of the stretches without a cracked tile that were called crack.
        n_cracked: Number of stretches with a cracked tile.
        missed_rate: Share of the stretches with a cracked tile that were called uncracked.
        fitted_on: Data and part that `threshold` and `unsure_low` were fitted on.
        measured_on: Data and part that the two rates were measured on.
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

    @property
    def crack_from(self) -> float:
        """Probability from which the verdict is ``crack``, in [0, 1]."""
        return self.threshold

    def label(self, peak_probability: float) -> str:
        """Name the verdict of a photo.

        Args:
            peak_probability: Greatest probability of any footprint in the photo, in [0, 1].

        Returns:
            ``crack``, ``unsure`` or ``uncracked``.
        """
        if peak_probability >= self.threshold:
            return "crack"
        return "unsure" if peak_probability >= self.unsure_low else "uncracked"


class Gate(_Part):
    """Limits from which a patch is ``rejected``: it shows something else than concrete, or is too blurred to be judged.

    *Novelty* is an output of the graph. The features of training patches lie near a plane; novelty is the squared
    distance to this plane, 1 on average for training patches. *Concrete* is another output, in [0, 1]: what a linear
    classifier says of the features that was fitted to concrete and to other things. A gate that was fitted without
    pictures of other things has none. *Clarity* is the sharpness of the patch as the network sees it, in [0, 1]. The
    limits were set so that almost no cracked patch is rejected.

    Attributes:
        max_novelty: Novelty above which a patch is ``not concrete``.
        min_clarity: Clarity below which a patch is ``blurred``, in [0, 1].
        min_concrete: Value of *concrete* below which a patch is ``not concrete``, in [0, 1]; None if the gate has no
            such classifier.
        rank: Number of dimensions of the plane.
        n_crack: Number of cracked validation patches.
        n_uncracked: Number of uncracked validation patches.
        not_concrete_crack: Share of the cracked validation patches that are ``not concrete``.
        not_concrete_uncracked: Share of the uncracked validation patches that are ``not concrete``.
        blurred_crack: Share of the cracked validation patches below `min_clarity`.
        blurred_uncracked: Share of the uncracked validation patches below `min_clarity`.
        fitted_on: Data and part that the gate was fitted on.
    """

    max_novelty: float = Field(gt=0)
    min_clarity: float = Field(ge=0, le=1)
    min_concrete: float | None = Field(default=None, ge=0, le=1)
    rank: int = Field(ge=1)
    n_crack: int = Field(ge=1)
    n_uncracked: int = Field(ge=0)
    not_concrete_crack: float = Field(ge=0, le=1)
    not_concrete_uncracked: float = Field(ge=0, le=1)
    blurred_crack: float = Field(ge=0, le=1)
    blurred_uncracked: float = Field(ge=0, le=1)
    fitted_on: str = ""

    def reason(self, novelty: float, clarity: float, concrete: float | None = None) -> str | None:
        """Say why a patch is rejected.

        Blur is checked first, since a blurred patch may look unlike concrete for that reason alone.

        Args:
            novelty: Novelty of the patch, from 0.
            clarity: Clarity of the patch, in [0, 1].
            concrete: What the gate's classifier says of the patch, in [0, 1]; left out for a gate without one.

        Returns:
            ``blurred`` or ``not concrete``; None if the patch is not rejected.
        """
        if not clarity >= self.min_clarity:  # so written, not-a-number is rejected too
            return BLURRED
        known = novelty <= self.max_novelty
        if self.min_concrete is not None:
            known = known and concrete is not None and concrete >= self.min_concrete
        return None if known else NOT_CONCRETE


class FineMapCard(_Part):
    """How the output ``fine_map`` is read: the probability that a crack's line passes through a small cell.

    Attributes:
        stride_px: Distance of neighbouring cells, in pixels of the network: 2 or 4.
        temperature: Temperature above 0 in ``probability = sigmoid(logit / temperature)``; the graph applies it.
        threshold: Probability from which a cell belongs to a line, in [0, 1].
        fitted_on: Data and part that temperature and threshold were fitted on.
    """

    stride_px: Literal[2, 4]
    temperature: float = Field(gt=0)
    threshold: float = Field(ge=0, le=1)
    fitted_on: str = ""


class Card(_Part):
    """Description of a model: all that a caller of its graph must know, and all that an auditor will ask.

    Attributes:
        card_version: Version of the card's form.
        name: Name of the model.
        made_with: Version of crackscope that made the model.
        labels: Labels in the order of the graph's outputs, each an independent sigmoid; ``crack`` is one of them.
        patch_px: Shorter side of a patch after the resize, in pixels; the network was trained at this size.
        source_px: Longest side of a training patch before the resize, in pixels; patches and photos are told apart by
            it.
        resize: Rule of the resize, in words; there is only one.
        mm_per_px: Millimetres per pixel of a training patch after the resize; None if they are not known.
        pool: How the logits of cells are pooled to one: ``mean``, or ``logsumexp``, log(mean(exp(logit))), which a few
            strong cells decide.
        map: Relation of the map to the logit of a patch: ``exact`` if pooling the map gives the logit, else
            ``approximate``.
        patch: Calibration for patches.
        photo: Calibration for footprints inside a photo; None if it was not fitted.
        verdict: Rule that gives a photo its verdict; None if it was not fitted.
        gate: Limits from which a patch is rejected; None if there is no gate.
        fine_map: How the fine map is read; None if the graph has no output of this name.
        backbone: Card of the backbone.
        training_data: Data sets that the head, or the whole network, was trained on.
        recipe: Settings of the training, and of later changes to the model.
        split: Facts of the split of the data: ``by``, ``sha256``, ``leaky``.
        figures: Measured figures, by the data and part that they were measured on, each with its value and 95 %
            interval.
        precision: Kind of numbers that the graph computes with: ``fp32``, or ``int8`` after `crackscope.export`.
        graph_sha256: SHA-256 of the graph without metadata, in hexadecimal.
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
    fine_map: FineMapCard | None = None
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
        json.dumps(free, allow_nan=False)  # JSON has no NaN, but Python's json module accepts it
        return free

    @property
    def map_calibration(self) -> Calibration:
        """Calibration for footprints inside photos; the calibration for patches if no other was fitted."""
        return self.photo or self.patch

    @property
    def verdict_rule(self) -> Verdict | Calibration:
        """Rule that gives a photo its verdict; the calibration of maps if no such rule was fitted."""
        return self.verdict or self.map_calibration

    @staticmethod
    def version_of(text: str) -> int:
        """Read the version that a card states, whatever else it holds.

        Args:
            text: The card as JSON.

        Raises:
            ValueError: If the card states no version, or is no JSON object.
        """
        try:
            card = json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        version = card.get("card_version") if isinstance(card, dict) else None
        if type(version) is not int:
            raise ValueError("no card_version")
        return version
