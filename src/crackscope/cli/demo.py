"""``crackscope demo``: show the whole story on drawn walls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crackscope.cli.console import AsJson, Overwrite, emit, progress_bar, say

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("crackscope-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the drawn walls.")] = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """See the whole story on drawn walls: draw, split by photo, train a head, evaluate, predict, report.

    Nothing is downloaded, and nothing is written outside --out (and the feature cache).

    Example: `crackscope demo`
    """
    from crackscope.demo import run_demo

    with progress_bar("reading") as progress:
        document = run_demo(out, seed=seed, overwrite=overwrite, tell=say, progress=progress)
    emit(
        document,
        as_json=as_json,
        text=f"\nLook at the report: {document['report']}\nand at the predictions: {document['predictions']}",
    )
