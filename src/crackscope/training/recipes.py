"""Recipes: how a model is trained, as short TOML files in the package, read without torch.

A recipe has two phases, each of which may be missing. In ``frozen`` the head learns on features of a backbone that does
not change; in ``finetuning`` the blocks from ``from_block`` on learn as well. What stands before runs once.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from crackscope.errors import RecipeError, did_you_mean
from crackscope.files.forms import Fault, SettingsForm
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
    "NamedSettings",
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


class _Settings(SettingsForm):
    fault_error = RecipeError


class Plateau(_Settings):
    """Lower the learning rate when the loss on ``val`` stands still.

    Attributes:
        factor: Factor on the learning rate, in (0, 1).
        patience: Number of epochs without a better loss before the learning rate is lowered, at least 1.
    """

    factor: float = Field(gt=0, lt=1)
    patience: int = Field(ge=1)


class Phase(_Settings):
    """Settings of one phase of a training.

    Attributes:
        epochs: Greatest number of epochs, 1 to 10,000.
        optimiser: ``adam``, ``adamw`` (weight decay .01) or ``rmsprop``, with Keras' constants.
        learning_rate: Learning rate at the start, above 0.
        schedule: ``constant``; or ``cosine``, by which the learning rate falls to zero along half a wave, epoch by
            epoch.
        early_stop: Number of epochs without a better loss on ``val`` after which the phase ends; 0 never ends it early.
        reduce_on_plateau: When and how the learning rate falls; None leaves it to the schedule.
        average: Decay of a running average of the weights, in [0, 1), which is then judged and kept; 0 keeps the
            weights themselves.
    """

    epochs: int = Field(ge=1, le=10_000)
    optimiser: Literal["adam", "adamw", "rmsprop"] = "adam"
    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    early_stop: int = Field(default=0, ge=0)
    reduce_on_plateau: Plateau | None = None
    average: Share = 0.0


class Finetuning(Phase):
    """Settings of the phase in which blocks of the backbone learn too.

    It has the settings of `Phase`, and these.

    Attributes:
        from_block: Number of the first block that learns, as the layer table counts; 0 is the whole backbone.
        frozen_layers: Number of layers with weights that stay as they are, at the start of that block.
        batch_norm: ``inference`` keeps the statistics of the backbone; ``training`` learns them anew.
        precision: ``fp32``; or ``bf16``, which computes convolutions in bfloat16 where the device can. Weights stay in
            fp32.
    """

    from_block: int = Field(default=0, ge=0)
    frozen_layers: int = Field(default=0, ge=0)
    batch_norm: Literal["inference", "training"] = "inference"
    precision: Literal["fp32", "bf16"] = "fp32"


class HeadSettings(_Settings):
    """Settings of the head, the layers that turn features into a logit.

    Attributes:
        output: ``softmax`` over two classes, or one ``sigmoid``. The bundle holds one logit either way, for ``softmax``
            the difference of the two.
        features_dropout: Share of the features that are dropped in training, in [0, 1).
        hidden: Widths of fully connected layers with ReLU; none makes a linear head, whose map is exact.
        hidden_dropout: Share dropped in training after each of these layers, in [0, 1); as many as there are layers.
        pool: ``mean``: the head works on the mean of the feature map. ``logsumexp``: it works on each cell, and the
            logits of the cells become one by log(mean(exp(logit))).
    """

    output: Literal["softmax", "sigmoid"] = "softmax"
    features_dropout: Share = 0.0
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = ()
    hidden_dropout: tuple[Share, ...] = ()
    pool: Pool = "mean"

    def require_fitting(self) -> None:
        """Refuse another number of dropouts than of hidden layers."""
        if len(self.hidden) != len(self.hidden_dropout):
            raise ValueError(f"{len(self.hidden)} hidden layers need as many values of hidden_dropout")


class NamedSettings(_Settings):
    """Settings that `changed` can change; their name stays.

    Attributes:
        name: Name of the settings in errors.
    """

    name: str

    @classmethod
    def fault_text(cls, fault: Fault, given: Any) -> str:
        """What does not fit in which recipe, and how to mend it."""
        if fault.kind == "missing":
            why = f"'{fault.key}' is missing. Give it with --set {fault.key}=VALUE."
        elif fault.kind == "extra_forbidden":
            why = f"there is no setting '{fault.key}'.{did_you_mean(fault.key, _keys(cls))}"
        else:
            why = f"{fault.text}."
        name = given.get("name") if isinstance(given, Mapping) else None
        return f"Recipe '{name}': {why}" if name else f"{cls.__name__}: {why}"


Named = TypeVar("Named", bound=NamedSettings)


class Recipe(NamedSettings):
    """All settings of a training but data, split and seed.

    Attributes:
        name: Name of the recipe, which is that of its file.
        summary: What the recipe does, in one line.
        source: Project or paper that the recipe follows.
        expected: Result to expect, with data and split.
        backbone: Backbone to start from: a hub id, the path of a model folder, or ``scratch-cnn``, a small network with
            random weights.
        until: Name of the last block of the backbone to keep, or the first layer of a block, such as
            ``block_13.expand_1x1``; None keeps all of it.
        patch_px: Shorter side that patches are resized to, in pixels, 32 to 4096.
        batch_size: Number of patches a step, in both phases.
        augmentation: Other views of the training patches; None shows each patch as it is.
        head: Settings of the head.
        frozen: Settings of the phase in which the head alone learns; None leaves that phase out.
        finetuning: Settings of the phase in which blocks learn too, which comes after the other; None leaves it out.
    """

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

    def require_fitting(self) -> None:
        """Refuse a recipe that could not be trained."""
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

    @property
    def first_block(self) -> int:
        """Number of the first block that ever learns; 0 also where none does."""
        return self.finetuning.from_block if self.finetuning else 0

    @property
    def phases(self) -> tuple[tuple[str, Phase], ...]:
        """Name and settings of each phase, in order."""
        named = (("frozen", self.frozen), ("finetuning", self.finetuning))
        return tuple((name, phase) for name, phase in named if phase is not None)


def recipe_names() -> tuple[str, ...]:
    """List the names of the recipes in the package, sorted.

    Example:
        >>> "mobilenetv2-frozen" in recipe_names()
        True
    """
    return tuple(sorted(file.name[:-5] for file in _folder().iterdir() if file.name.endswith(".toml")))


def read_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe of the package and change some of its settings.

    Args:
        name: Name of the recipe, one of `recipe_names`.
        changes: Changes, each ``key=value`` with a dotted key and a TOML value. A bare word counts as text; ``none``
            takes a setting or a whole phase away.

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
    return changed(Recipe.model_validate({"name": name, **document}), changes)


def changed(recipe: Named, changes: Sequence[str] | Mapping[str, Any]) -> Named:
    """A recipe with some settings changed.

    Args:
        recipe: The recipe, or other settings under a name.
        changes: Changes, each ``key=value``, see `read_recipe`; or values by dotted key.

    Raises:
        RecipeError: If a key is unknown, or a value does not fit.

    Example:
        >>> plateau = {"factor": 0.5, "patience": 2}
        >>> changed(read_recipe("resnet101"), {"frozen.reduce_on_plateau": plateau}).frozen.reduce_on_plateau.patience
        2
    """
    document = recipe.model_dump(mode="json")
    for key, value in changes.items() if isinstance(changes, Mapping) else map(_read_change, changes):
        _put(type(recipe), document, key, value, f"{key}={value}")
    return type(recipe).model_validate(document)


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


def _put(form: type[NamedSettings], document: dict[str, Any], key: str, value: Any, change: str) -> None:
    """Set one dotted key. A table that the recipe leaves out is begun; what it then lacks is told by the check."""
    known = [own for own in _keys(form) if own != "name"]
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
