"""What `crackscope` itself names is closed and documented: a reader needs no other module."""

from __future__ import annotations

import builtins
import functools
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crackscope
from shared.docstrings import entries, stands_alone

NAMES = {name: getattr(crackscope, name) for name in crackscope.__all__}
CLASSES = {name: one for name, one in NAMES.items() if inspect.isclass(one)}
FUNCTIONS = {name: one for name, one in NAMES.items() if inspect.isfunction(one)}
ALIASES = {
    "AnyImage",
    "AnyLine",
    "AnyModel",
    "AnyScale",
    "Fine",
    "NetworkScale",
    "Pattern",
    "Source",
    "Trace",
    "TracedBy",
}
"""Names of unions, for annotations; their meaning stands below them in the source."""

METHODS = {
    f"{name}.{key}": plain
    for name, one in CLASSES.items()
    for key, value in vars(one).items()
    if not key.startswith("_") and inspect.isfunction(plain := getattr(value, "__func__", value))
}
PROPERTIES = {
    f"{name}.{key}": getter
    for name, one in CLASSES.items()
    for key, value in vars(one).items()
    if not key.startswith("_") and (getter := getattr(value, "fget", None) or getattr(value, "func", None))
}
CALLABLES = FUNCTIONS | METHODS


def leaves(hint: Any) -> Iterator[type]:
    """Classes that an annotation is made of."""
    if isinstance(hint, list):  # the arguments of a Callable
        for one in hint:
            yield from leaves(one)
    elif (origin := typing.get_origin(hint)) is not None:
        yield from leaves(origin)
        for one in typing.get_args(hint):
            yield from leaves(one)
    elif inspect.isclass(hint):
        yield hint


def hints_of(one: Any) -> dict[str, Any]:
    return {name: hint for name, hint in typing.get_type_hints(one).items() if not name.startswith("_")}


def holds_array(hint: Any) -> bool:
    """Whether an annotation names an array; among the many forms of `AnyImage`, it is one of several."""
    met = set(leaves(hint))
    return np.ndarray in met and crackscope.Image not in met


def test_every_name_is_a_class_a_function_or_an_alias() -> None:
    assert set(NAMES) - set(CLASSES) - set(FUNCTIONS) == ALIASES
    assert crackscope.__all__ == sorted(crackscope.__all__)


@pytest.mark.parametrize("name", [*CALLABLES, *PROPERTIES, *CLASSES])
def test_every_type_that_is_taken_or_given_is_public(name: str) -> None:
    one = (CALLABLES | PROPERTIES | CLASSES)[name]
    met = {leaf for hint in hints_of(one).values() for leaf in leaves(hint)}
    own = {leaf for leaf in met if leaf.__module__.split(".")[0] == "crackscope"}
    assert {leaf.__name__ for leaf in own} <= set(crackscope.__all__)


@pytest.mark.parametrize("name", CALLABLES)
def test_every_parameter_is_explained(name: str) -> None:
    one = CALLABLES[name]
    hints = typing.get_type_hints(one)
    parameters = [key for key in inspect.signature(one).parameters if key not in ("self", "cls")]
    explained = entries(inspect.getdoc(one) or "", "Args")
    assert list(explained) == parameters
    assert [text for text in explained.values() if not stands_alone(text)] == []
    arrays = [key for key in parameters if holds_array(hints[key])]
    assert [key for key in arrays if not re.search(r"shape|\(H, W", explained[key])] == [], (
        "arrays without their shapes"
    )


@pytest.mark.parametrize("name", [*CALLABLES, *PROPERTIES])
def test_every_function_says_what_it_does_and_gives(name: str) -> None:
    one = (CALLABLES | PROPERTIES)[name]
    doc = inspect.getdoc(one) or ""
    summary = doc.split("\n\n")[0]
    assert stands_alone(summary), summary
    assert "\n" not in summary, "a summary takes one line"
    if holds_array(typing.get_type_hints(one).get("return")):
        assert "shape" in doc, "an array without its shape"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_says_what_goes_wrong(name: str) -> None:
    """But for functions that read nothing and take nothing that could be wrong."""
    doc = inspect.getdoc(FUNCTIONS[name]) or ""
    assert entries(doc, "Raises") or name in {"band_table_names", "keep_memory", "recipe_names"}


@pytest.mark.parametrize("name", [*CALLABLES, *PROPERTIES, *CLASSES])
def test_every_error_is_public_or_pythons_own(name: str) -> None:
    doc = inspect.getdoc((CALLABLES | PROPERTIES | CLASSES)[name]) or ""
    for raised, when in entries(doc, "Raises").items():
        assert raised in crackscope.__all__ or hasattr(builtins, raised), raised
        assert when.startswith("If "), when
        assert when.endswith("."), when


@pytest.mark.parametrize("name", CLASSES)
def test_every_attribute_is_explained(name: str) -> None:
    one, doc = CLASSES[name], inspect.getdoc(CLASSES[name]) or ""
    assert stands_alone(doc.split("\n\n")[0])
    hints = typing.get_type_hints(one)
    own = [key for key in inspect.get_annotations(one) if not key.startswith("_")]
    explained = entries(doc, "Attributes")
    assert [key for key in own if key not in explained] == []
    for key, text in explained.items():
        assert stands_alone(text), f"{key}: {text}"
        assert key in hints or not own, f"{key}: no such attribute"
        if holds_array(hints.get(key)):
            assert "shape" in text, f"{key}: an array without its shape"


@functools.cache
def aliases_source() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in Path(crackscope.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_every_alias_is_explained(name: str) -> None:
    assert re.search(rf'^{name}: TypeAlias = .*\n"""\w', aliases_source(), re.MULTILINE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_data_comes_first_then_the_model_and_the_rest_by_keyword(name: str) -> None:
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    positional = [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    if {"data", "source"} & {one.name for one in parameters}:
        assert positional[0] in ("data", "source")
        assert positional[1:] in ([], ["model"], *([["out"]] if name.startswith("write_") else []))
    assert len(positional) <= 2


def test_users_code_is_checked_against_the_package(tmp_path: Path) -> None:
    """`py.typed` ships, so mypy reads our annotations; a user's file passes its strictest setting."""
    wrong = USER_CODE.replace("row.crack_probability", "row.probability")
    (tmp_path / "right.py").write_text(USER_CODE, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", "cache"]
    done = subprocess.run([*command, "right.py", "wrong.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    (line,) = done.stdout.splitlines()
    assert line.startswith("wrong.py:")
    assert '"PredictionRow" has no attribute "probability"' in line


USER_CODE = '''
"""A user's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

import crackscope
from crackscope import CrackMap, Model, PatchIndex, PhotoResult, PredictionRow, Scale


def cracked(source: crackscope.Source, model: Model) -> list[str]:
    """Paths of the cracked ones."""
    rows: Iterator[PredictionRow] = model.predict(source)
    return [row.path for row in rows if (row.crack_probability or 0) > 0.5]


def largest(photo: crackscope.AnyImage, model: Model) -> int:
    """Area of the largest region."""
    result: PhotoResult = model.scan(photo, network_scale=0.5, scale=Scale(0.3))
    found: CrackMap | None = result.map
    assert found is not None
    found.save("map.npz")
    pixels: npt.NDArray[np.uint8] = crackscope.read_image(Path("a.jpg")).pixels
    shown: npt.NDArray[np.uint8] = found.overlay(pixels, longest_px=800)
    assert shown.ndim == 3
    return max((region.area_px for region in result.regions), default=0)


def judged(data: str) -> float:
    """Accuracy on the test part."""
    index: PatchIndex = crackscope.read_patches(data)
    assigned: crackscope.Split = crackscope.split(index, by="photo")
    run: crackscope.Run = crackscope.train(index, out="run", split=assigned)
    try:
        evaluation = crackscope.evaluate(index, crackscope.load(run.model), split=assigned)
    except crackscope.SplitError:
        return float("nan")
    crackscope.write_evaluation(evaluation, "figures")
    accuracy: crackscope.Estimate = evaluation.metrics["accuracy"]
    return accuracy.value
'''
