"""Recipes: how a model is trained, as short TOML files in the package, read without torch.

A recipe has two phases, each of which may be missing. In ``frozen`` the head learns on features of a backbone that does
not change; in ``finetuning`` the blocks from ``from_block`` on learn as well. What stands before runs once.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crackscope.errors import RecipeError, did_you_mean
from crackscope.model.card import Pool
from crackscope.training.augmentation import Augmentation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "HEAD",
    "SCRATCH_CNN",
    "Finetuning",
    "HeadSettings",
    "Phase",
    "Plateau",
    "Recipe",
    "changed",
    "read_recipe",
    "recipe_names",
]

HEAD = "head"
"""The recipe of `crackscope.training.head`: no epochs, no torch, and no file here."""

SCRATCH_CNN = "scratch-cnn"
"""Name of the small network of `training.torch.scratch_cnn`, whose weights are random at first, as a backbone."""

Share = Annotated[float, Field(ge=0, lt=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Plateau(_Settings):
    """Lower the learning rate when the loss on ``val`` stands still.

    Attributes:
        factor: On the learning rate.
        patience: Epochs without a better loss before it is lowered.
    """

    factor: float = Field(gt=0, lt=1)
    patience: int = Field(ge=1)


class Phase(_Settings):
    """One stretch of training.

    Attributes:
        epochs: At most so many.
        optimiser: ``adam``, ``adamw`` (weight decay .01) or ``rmsprop``, with Keras' constants.
        learning_rate: At its start.
        schedule: ``constant``, or ``cosine``: it falls to zero along half a wave, an epoch at a time.
        early_stop: Epochs without a better loss on ``val`` after which it ends; 0 is never.
        reduce_on_plateau: Whether and how the learning rate falls.
        average: Decay of a running average of the weights, which is then judged and kept; 0 keeps those of a step.
    """

    epochs: int = Field(ge=1, le=10_000)
    optimiser: Literal["adam", "adamw", "rmsprop"] = "adam"
    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    early_stop: int = Field(default=0, ge=0)
    reduce_on_plateau: Plateau | None = None
    average: Share = 0.0


class Finetuning(Phase):
    """The phase in which blocks of the backbone learn too.

    Attributes:
        from_block: The first block that learns, by its number in the layer table; 0 is the whole backbone.
        frozen_layers: Layers with weights at the start of that block that stay as they are.
        batch_norm: ``inference`` keeps the statistics of the backbone, ``training`` learns them anew.
        precision: ``bf16`` computes convolutions so where the processor has instructions for it; weights stay fp32.
    """

    from_block: int = Field(default=0, ge=0)
    frozen_layers: int = Field(default=0, ge=0)
    batch_norm: Literal["inference", "training"] = "inference"
    precision: Literal["fp32", "bf16"] = "fp32"


class HeadSettings(_Settings):
    """What stands on the pooled features.

    Attributes:
        output: ``softmax`` over two classes or one ``sigmoid``. The bundle holds their difference, one logit.
        features_dropout: Share of the features dropped in training.
        hidden: Widths of fully connected layers with ReLU; none is a linear head, whose map is exact.
        hidden_dropout: Share dropped after each of them.
        pool: What the head stands on: ``mean``, the mean of the feature map; or ``logsumexp``, each of its cells, whose
            logits become one as `crackscope.model.card.Pool` says.
    """

    output: Literal["softmax", "sigmoid"] = "softmax"
    features_dropout: Share = 0.0
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = ()
    hidden_dropout: tuple[Share, ...] = ()
    pool: Pool = "mean"

    @model_validator(mode="after")
    def _paired(self) -> HeadSettings:
        if len(self.hidden) != len(self.hidden_dropout):
            raise ValueError(f"{len(self.hidden)} hidden layers need as many values of hidden_dropout")
        return self


class Recipe(_Settings):
    """All choices of a training but data, split and seed.

    Attributes:
        name: Its file's name.
        summary: One line.
        source: The project it follows.
        expected: The result to expect, with data and split.
        backbone: A hub id, a model folder, or `SCRATCH_CNN`.
        until: The block after which the backbone ends, or the first layer of a block, such as
            ``block_13.expand_1x1``; None keeps all of it.
        patch_px: Shorter side that patches are resized to.
        batch_size: Patches a step, in both phases.
        augmentation: Other views of the training patches; None shows each as it is.
        head: What stands on the features.
        frozen: The phase in which the head alone learns.
        finetuning: The phase in which blocks learn too, after the other.
    """

    name: str
    summary: str = ""
    source: str = ""
    expected: str = ""
    backbone: str
    until: str | None = None
    patch_px: int = Field(ge=32, le=4096)
    batch_size: int = Field(ge=1, le=65536)
    augmentation: Augmentation | None = None
    head: HeadSettings = HeadSettings()
    frozen: Phase | None = None
    finetuning: Finetuning | None = None

    @model_validator(mode="after")
    def _trains(self) -> Recipe:
        if self.batch_size < 2 and self.finetuning and self.finetuning.batch_norm == "training":
            raise ValueError("batch normalisation cannot learn from one patch a step: batch_size is 2 at least")
        if self.frozen is None and self.finetuning is None:
            raise ValueError("a recipe has a table 'frozen', 'finetuning', or both")
        held = self.finetuning is not None and (self.finetuning.from_block or self.finetuning.frozen_layers)
        if self.backbone == SCRATCH_CNN and (self.frozen is not None or held):
            raise ValueError(f"the weights of '{SCRATCH_CNN}' are random, so nothing of it can stay frozen")
        if self.backbone == SCRATCH_CNN and self.until is not None:
            raise ValueError(f"'{SCRATCH_CNN}' has no earlier end, so until cannot be '{self.until}'")
        if self.frozen is not None and self.head.pool != "mean":
            raise ValueError(f"a frozen phase learns from mean features, so head.pool cannot be '{self.head.pool}'")
        return self

    @property
    def first_block(self) -> int:
        """The first block that ever learns; 0 also where none does."""
        return self.finetuning.from_block if self.finetuning else 0

    @property
    def phases(self) -> tuple[tuple[str, Phase], ...]:
        """Name and settings of its phases, in order."""
        named = (("frozen", self.frozen), ("finetuning", self.finetuning))
        return tuple((name, phase) for name, phase in named if phase is not None)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes in the package, sorted."""
    return tuple(sorted(file.name[:-5] for file in _folder().iterdir() if file.name.endswith(".toml")))


def read_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe of the package and change some of its settings.

    Args:
        name: One of `recipe_names`.
        changes: Each ``key=value``: a dotted key, a TOML value; a bare word counts as text, ``none`` takes a
            setting or a whole phase away.

    Raises:
        RecipeError: If there is no such recipe or key, or a value does not fit.

    Example:
        >>> recipe = read_recipe("mobilenetv2-frozen", ["frozen.epochs=3", "batch_size=64"])
        >>> recipe.frozen.epochs, recipe.batch_size
        (3, 64)
    """
    if name not in recipe_names():
        raise RecipeError(
            f"There is no recipe '{name}'.{did_you_mean(name, (HEAD, *recipe_names()))} `crackscope recipes` lists all."
        )
    document = tomllib.loads((_folder() / f"{name}.toml").read_text(encoding="utf-8"))
    return changed(_checked({"name": name, **document}, name), changes)


def changed(recipe: Recipe, changes: Sequence[str] | Mapping[str, Any]) -> Recipe:
    """A recipe with some settings changed.

    Args:
        recipe: The recipe.
        changes: Each ``key=value``, see `read_recipe`; or values by dotted key.

    Raises:
        RecipeError: If a key is unknown, or a value does not fit.

    Example:
        >>> plateau = {"factor": 0.5, "patience": 2}
        >>> changed(read_recipe("resnet101"), {"frozen.reduce_on_plateau": plateau}).frozen.reduce_on_plateau.patience
        2
    """
    document = recipe.model_dump(mode="json")
    for key, value in changes.items() if isinstance(changes, Mapping) else map(_read_change, changes):
        _put(document, key, value, f"{key}={value}")
    return _checked(document, recipe.name)


def _read_change(change: str) -> tuple[str, Any]:
    key, equals, value = change.partition("=")
    if not equals:
        raise RecipeError(f"--set {change}: no value. Write it as key=value, for example frozen.epochs=5.")
    return key.strip(), _value(value.strip())


def _folder() -> Any:
    return resources.files("crackscope") / "recipes"


def _value(text: str) -> Any:
    if text == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, a number of thousands of digits, thousands of brackets
        return text


def _put(document: dict[str, Any], key: str, value: Any, change: str) -> None:
    """Set one dotted key. A table that the recipe leaves out is begun; what it then lacks is told by the check."""
    known = [own for own in _keys(Recipe) if own != "name"]
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        near = near or [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]][:1]
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise RecipeError(f"--set {change}: a recipe has no setting '{key}'.{hint}")
    *tables, last = key.split(".")
    for table in tables:
        if document.get(table) is None:
            document[table] = {}
        document = document[table]
        if not isinstance(document, dict):
            raise RecipeError(f"--set {change}: '{table}' was made {document!r:.60} before. Leave out one of the two.")
    document[last] = value


def _keys(form: type[BaseModel], prefix: str = "") -> list[str]:
    """All dotted keys of a form and the forms inside it."""
    keys = []
    for name, field in form.model_fields.items():
        keys.append(prefix + name)
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                keys += _keys(inner, f"{prefix}{name}.")
    return keys


def _checked(document: Mapping[str, Any], name: str) -> Recipe:
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            why = f"'{key}' is missing. Give it with --set {key}=VALUE."
        elif first["type"] == "extra_forbidden":
            why = f"there is no setting '{key}'.{did_you_mean(key, _keys(Recipe))}"
        else:
            found = "" if isinstance(first["input"], dict) else f", not {first['input']!r:.60}"
            message = first["msg"].removeprefix("Value error, ")
            why = f"{key}: {message}{found}." if key else f"{message}."
        raise RecipeError(f"Recipe '{name}': {why}") from error
