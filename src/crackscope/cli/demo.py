"""``crackscope demo``: show what crackscope does, on drawn walls."""

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
    """See what crackscope does, on drawn walls: scan a photo, then train and judge a model of your own.

    The demo draws a photo and scans it with the default model. Then it draws labelled patches, splits them by photo,
    trains a head, evaluates it and predicts a folder. Nothing is downloaded. Nothing is written outside --out, but for
    the cache of features.

    Example: `crackscope demo`
    """
    from crackscope.demo import run_demo

    with progress_bar("reading") as progress:
        document = run_demo(out, seed=seed, overwrite=overwrite, tell=say, progress=progress)
    emit(
        document,
        as_json=as_json,
        text=f"\nOpen in a browser:\n  {document['scan_report']}  the scanned photo\n"
        f"  {document['report']}  figures of the trained model\nand in a table: {document['predictions']}",
    )
