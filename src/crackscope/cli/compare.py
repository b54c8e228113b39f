"""``crackscope compare``: compare training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crackscope.cli.console import AsJson, Overwrite, emit

__all__ = ["compare"]


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders; the first is the reference.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for comparison.csv, .json and .png; nothing is written if left out.")
    ] = None,
    speed: Annotated[
        bool, typer.Option("--speed/--skip-speed", help="Measure images per second here, in about 2 seconds.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap over photos.")] = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Compare training runs: accuracy, F1 of crack, log loss, McNemar's test, training time, size and speed.

    A run folder needs an evaluation; a run that has none says which command writes it.

    Exit 3: the figures cannot be compared fairly (other splits, other patches, a leak); the lines say why.

    Example: `crackscope compare runs/head runs/finetune --out comparison`
    """
    if len(runs) < 2:
        raise typer.BadParameter("Give at least two run folders.", param_hint="RUNS")

    from crackscope.files.output import require_free_folder
    from crackscope.measuring.comparison import compare as compare_runs
    from crackscope.reports.comparison_report import FILES, comparison_document, comparison_text, write_comparison

    if out is not None:
        require_free_folder(out, ours=FILES, overwrite=overwrite)
    comparison = compare_runs(runs, measure_speed=speed, seed=seed)
    text = comparison_text(comparison)
    if out is not None:
        write_comparison(comparison, out, overwrite=overwrite)
        text += f"\nwritten to {out}"
    document = {
        "status": "warnings" if comparison.warnings else "done",
        "out": None if out is None else str(out),
        **comparison_document(comparison),
    }
    emit(document, as_json=as_json, text=text)
    if comparison.warnings:
        raise typer.Exit(3)
