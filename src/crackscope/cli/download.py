"""``crackscope download``: fetch a published data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crackscope.cli.console import AsJson, Overwrite

if TYPE_CHECKING:
    import rich.progress

    from crackscope.files.downloads import DownloadResult, DownloadSource, StageProgress
    from crackscope.files.streaming import Progress

__all__ = ["download"]


def download(
    name: Annotated[str, typer.Argument(help="Name of the data set: metu.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the images; data/NAME if left out.")] = None,
    archive: Annotated[Path | None, typer.Option(help="Unpack this zip, tar or rar instead of downloading.")] = None,
    url: Annotated[str | None, typer.Option(help="Another address to fetch the archive from.")] = None,
    sha256: Annotated[str | None, typer.Option(help="SHA-256 that the archive must have.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a published data set, verify it, unpack it and count its images.

    A stopped download goes on where it stopped when the same command is run again.

    Where the host cannot be reached, the error says how to get the archive by hand.

    Exit 3: the number of images differs from what was published.

    Example: `crackscope download metu --out data/metu`
    """
    from rich.console import Console
    from rich.progress import Progress as Bars

    from crackscope.files.downloads import DATASETS
    from crackscope.files.downloads import download as fetch

    folder = out or Path("data", name)
    with Bars(console=Console(stderr=True)) as bars:
        result = fetch(
            name,
            folder,
            url=url,
            archive=archive,
            sha256=sha256,
            overwrite=overwrite,
            progress=_shown_on(bars),
            say=lambda text: bars.console.print(text, highlight=False),
        )
    typer.echo(_as_json(DATASETS[name], result) if as_json else _as_text(DATASETS[name], result))
    if result.warnings:
        raise typer.Exit(3)


def _shown_on(bars: rich.progress.Progress) -> StageProgress:
    """One bar a stage, which appears once there is something to show."""
    tasks: dict[str, rich.progress.TaskID] = {}

    def bar_of(stage: str) -> Progress:
        def show(done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, completed=done)
            amount = f"{done:,} files" if stage == "unpack" else f"{done / 1e6:,.1f} MB"
            bars.update(tasks[stage], completed=done, total=total or None, description=f"{stage} {amount}")

        return show

    return bar_of


def _as_json(source: DownloadSource, result: DownloadResult) -> str:
    import json
    from dataclasses import asdict

    about = {key: getattr(source, key) for key in ("name", "title", "doi", "licence", "attribution")}
    document = {"status": "miscounted" if result.warnings else "done", **about, **asdict(result)}
    return json.dumps(document, indent=2, default=str)


def _as_text(source: DownloadSource, result: DownloadResult) -> str:
    lines = [
        f"{result.folder}: {', '.join(f'{n:,} {label}' for label, n in result.n_images.items())}",
        f"archive {result.archive}, sha256 {result.sha256}",
        f"{source.licence}; cite: {source.attribution}",
        *(f"Look: {warning}" for warning in result.warnings),
    ]
    return "\n".join(lines)
