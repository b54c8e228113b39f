"""``crackscope recipes``: list the recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from crackscope.cli.console import AsJson, emit

__all__ = ["recipes"]


_HEAD_SUMMARY = "frozen backbone, logistic regression on its features, seconds, no torch"


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print all settings of one recipe.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the recipes, each with the result to expect.

    Example: `crackscope recipes mobilenetv2-top10`
    """
    import json

    from crackscope.training.recipes import HEAD, read_recipe, recipe_names

    if name == HEAD:
        emit({"status": "done", "recipes": []}, as_json=as_json, text=f"{HEAD}: {_HEAD_SUMMARY}; it has no settings")
        return
    known = [read_recipe(each) for each in ([name] if name else recipe_names())]
    document = {"status": "done", "recipes": [recipe.model_dump(mode="json") for recipe in known]}
    if name:
        text = json.dumps(known[0].model_dump(mode="json"), indent=2)
    else:
        width = max(len(recipe.name) for recipe in known)
        lines = [f"{HEAD:{width}}  {_HEAD_SUMMARY} (the default)"]
        for recipe in known:
            lines += [f"{recipe.name:{width}}  {recipe.summary}", f"{'':{width}}  expect: {recipe.expected}"]
        text = "\n".join([*lines, "next: crackscope train DATA --split split.csv --recipe NAME"])
    emit(document, as_json=as_json, text=text)
