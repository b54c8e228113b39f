"""The run document, ``run.json``: how a training went, as one value that its run folder keeps.

A training writes it, `crackscope.compare` reads it. What a training does not state is left out of the file: the recipe
``head`` has no epochs, and older run folders know less. Read back, it has the default.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crackscope.errors import DataError
from crackscope.files.forms import first_fault
from crackscope.files.output import write_text

__all__ = [
    *(
        "RunAgreement",
        "RunChoice",
        "RunComputed",
        "RunGate",
        "RunCommit",
        "RunParameters",
        "RunData",
        "RunDocument",
        "RunFolds",
        "RunSettings",
    ),
    *("RunSplit", "RunSeconds", "Stated", "read_document", "read_run_document", "write_run_document"),
]


class Stated(BaseModel):
    """What a JSON file states: its keys are the attributes; keys that are not known are left alone."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


Form = TypeVar("Form", bound=Stated)


class RunSettings(Stated):
    """Settings that were asked for, besides data and split.

    Attributes:
        recipe: Name of the recipe.
        patch_px: Shorter side of a patch after the resize, in pixels; None where the recipe's own settings state it.
        seed: Seed of first weights, order, dropout and bootstrap.
        backbone: Path of the file that frozen features came from; None where the recipe's own settings state it.
        threads: Number of threads.
        cache: Whether the outputs of frozen blocks were kept on disk.
    """

    recipe: str = "not stated"
    patch_px: int | None = None
    seed: int | None = None
    backbone: str | None = None
    threads: int | None = None
    cache: bool | None = None


class RunChoice(Stated):
    """Weights that validation chose.

    Attributes:
        epoch: Number of the epoch whose weights the model has, from 1, counted over all phases.
        phase: Phase of that epoch, ``frozen`` or ``finetuning``.
        val_loss: Mean loss on ``val`` after that epoch.
        penalty: C of scikit-learn's logistic regression, for the recipe ``head``.
    """

    epoch: int | None = None
    phase: str | None = None
    val_loss: float | None = None
    penalty: float | None = None


class RunParameters(Stated):
    """Number of weights and biases of the network.

    Attributes:
        total: Number of all weights and biases.
        trainable: Number of those that training changed.
    """

    total: int | None = Field(default=None, ge=0)
    trainable: int | None = Field(default=None, ge=0)


class RunComputed(Stated):
    """Device and precision of the training.

    Attributes:
        device: Device, ``cpu`` or ``cuda``.
        precision: Precision that convolutions were trained in, ``fp32`` or ``bf16``.
    """

    device: str | None = None
    precision: str | None = None


class RunSeconds(Stated):
    """Wall-clock time of the training, in seconds.

    Attributes:
        epochs: Seconds spent on epochs, in all sessions together.
        total: Seconds of all that the last session did, and of the epochs of the sessions before.
    """

    epochs: float | None = Field(default=None, ge=0)
    total: float | None = Field(default=None, ge=0)


class RunAgreement(Stated):
    """How far a bundle's answers lie from those of torch, on the same files.

    Attributes:
        n: Number of files compared.
        greatest: Greatest difference of two probabilities.
        n_labels_changed: Number of files whose two probabilities lie on different sides of the threshold, by rounding.
    """

    n: int = 0
    greatest: float | None = None
    n_labels_changed: int = 0


class RunGate(Stated):
    """Whether the model got a gate.

    Attributes:
        fitted: Whether a gate was fitted.
        reason: Reason why there is no gate; None where there is one.
    """

    fitted: bool = False
    reason: str | None = None


class RunData(Stated):
    """Data that the model was trained on.

    Attributes:
        name: Name of the data.
        counts: Number of patches of each label, over all parts.
        n_refused: Number of training and validation patches that could not be read.
    """

    name: str = "not stated"
    counts: dict[str, int] = {}
    n_refused: int = 0


class RunSplit(Stated):
    """How the data was split.

    Attributes:
        by: What was kept together, as `crackscope.Split.grouped_by` says.
        sha256: SHA-256 of the split, in hexadecimal; empty where it is not stated.
        n_leaks: Number of photos and duplicates that stand on two sides.
        made: Whether the training made the split, since none was given and the data names no parts.
    """

    by: str | None = None
    sha256: str = ""
    n_leaks: int = 0
    made: bool = False


class RunFolds(Stated):
    """Cross-validation that the figures of a run come from.

    Attributes:
        by: What stays together in one fold: ``scene``, ``photo`` or ``similarity``.
        n_folds: Number of folds.
        n_patches: Number of judged patches of each fold.
        thresholds: Threshold of the model of each fold.
    """

    by: str = "not stated"
    n_folds: int = 0
    n_patches: list[int] = []
    thresholds: list[float] = []


class RunCommit(Stated):
    """Commit of the clone that crackscope ran from.

    Attributes:
        commit: Digest of the commit.
        changed: Whether the package was changed since the commit.
    """

    commit: str
    changed: bool


class RunDocument(Stated):
    """How a training went, as ``run.json`` keeps it; None is what was not stated.

    Attributes:
        settings: Settings that were asked for.
        recipe: All settings of the recipe as they were resolved; None for ``head``, which has none.
        chosen: Weights that validation chose.
        n_computed: Number of patches whose features were not in the cache, for the recipe ``head``.
        parameters: Number of weights and biases of the network.
        computed: Device and precision of the training.
        seconds: Wall-clock time of the training.
        agreement_with_torch: How far the model's answers lie from those of torch; None for ``head``, which needs no
            torch.
        gate: Whether the model got a gate.
        data: Data that the model was trained on.
        split: How the data was split.
        folds: Cross-validation that the figures come from; None where one part was judged.
        versions: Version of each package by its name.
        git: Commit of the clone that crackscope ran from; None where it ran from none.
    """

    settings: RunSettings = RunSettings()
    recipe: dict[str, Any] | None = None
    chosen: RunChoice = RunChoice()
    n_computed: int | None = None
    parameters: RunParameters = RunParameters()
    computed: RunComputed = RunComputed()
    seconds: RunSeconds = RunSeconds()
    agreement_with_torch: RunAgreement | None = None
    gate: RunGate = RunGate()
    data: RunData = RunData()
    split: RunSplit = RunSplit()
    folds: RunFolds | None = None
    versions: dict[str, str] = {}
    git: RunCommit | None = None

    def to_dict(self) -> dict[str, Any]:
        """What is stated, by name, ready for JSON; what was not stated is left out."""
        return self.model_dump(mode="json", exclude_unset=True)


def write_run_document(document: RunDocument, path: Path, *, overwrite: bool = False) -> None:
    """Write ``run.json``.

    Raises:
        OutputError: If the file exists, or cannot be written.
    """
    write_text(path, json.dumps(document.to_dict(), indent=2) + "\n", overwrite=overwrite)


def read_run_document(path: Path, *, remedy: str) -> RunDocument:
    """Read ``run.json``.

    Args:
        path: Path of the file.
        remedy: Sentence that says what to do if the file cannot be used.

    Raises:
        DataError: If it is missing or damaged.
    """
    return read_document(path, RunDocument, remedy=remedy)


def read_document(path: Path, form: type[Form], *, remedy: str) -> Form:
    """Read a JSON file of a run folder.

    Args:
        path: Path of the file.
        form: Form that the file has to fit.
        remedy: Sentence that says what to do if the file cannot be used.

    Raises:
        DataError: If it is missing or damaged, with the first key that does not fit.
    """
    try:
        return form.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. {remedy}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). {remedy}") from error
    except ValidationError as error:
        fault = first_fault(error)
        why = fault.text if fault.key else "not a JSON object, or cut off"
        raise DataError(f"{path}: damaged ({why}). {remedy}") from error
