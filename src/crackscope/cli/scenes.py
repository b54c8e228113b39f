"""``crackscope scenes``: find photos that show the same place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crackscope.cli.console import (
    AsJson,
    CrackNames,
    Overwrite,
    Threads,
    UncrackedNames,
    class_names,
    emit,
    progress_bar,
    say,
)

if TYPE_CHECKING:
    from crackscope.data.scene_search import SceneSearch

__all__ = ["scenes"]


def scenes(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTOS|TILES", help="Photos, folders, globs, lists or archives; with --grid, one set of tiles."
        ),
    ],
    grid: Annotated[
        Path | None, typer.Option(help="A CSV with photo,row,col,label[,tile] that says where each tile of TILES lies.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for scenes.csv, pairs.csv and index.html.")] = Path("scenes"),
    ignore_order: Annotated[
        bool, typer.Option("--ignore-order", help="Choose pairs without the order of the photos' names.")
    ] = False,
    crack: CrackNames = None,
    uncracked: UncrackedNames = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Find photos that show the same place, wholly or in part.

    Photos that overlap show the same concrete. If one is trained on and the other is tested on, the figures are too
    good. The photos of a scene belong into one part of a split. scenes.csv names the scene of each photo. pairs.csv
    lists each pair that overlaps. index.html shows each pair laid over each other, the doubtful ones first.

    Only pixels decide whether two photos match. The order of the names, and the time and place that cameras noted, only
    choose which pairs are compared first. After an interruption, the same command goes on where it stopped.

    Example: `crackscope scenes bridge/ --out bridge-scenes`
    """
    from crackscope.data.scene_photos import photos_for_scenes
    from crackscope.reports.scenes_report import write_scenes

    photos = photos_for_scenes(paths, grid=grid, names=class_names(crack, uncracked))
    with progress_bar("comparing photos") as progress:
        found = write_scenes(
            photos, out, by_names=not ignore_order, threads=threads, overwrite=overwrite, progress=progress
        )
    for path, why in found.refused[:5]:
        say(f"{path}: {why}")
    emit(_document(found, out), as_json=as_json, text=_text(found, out))
    if found.refused:
        raise typer.Exit(3)


def _document(found: SceneSearch, out: Path) -> dict[str, object]:
    sizes = Counter(found.scenes.values())
    return {
        "status": "refused" if found.refused else "done",
        "out": str(out),
        "n_photos": len(found.photos),
        "n_refused": len(found.refused),
        "refused": [{"path": path, "reason": why} for path, why in found.refused],
        "n_scenes": len(sizes),
        "n_shared_scenes": sum(n > 1 for n in sizes.values()),
        "n_photos_in_shared_scenes": sum(n for n in sizes.values() if n > 1),
        "n_pairs": len(found.pairs),
        "n_compared": found.n_compared,
    }


def _text(found: SceneSearch, out: Path) -> str:
    document = _document(found, out)
    lines = [
        f"{document['n_photos']:,} photos in {document['n_scenes']:,} scenes; {document['n_pairs']:,} pairs overlap, "
        f"of {document['n_compared']:,} compared",
        f"{document['n_photos_in_shared_scenes']:,} photos share {document['n_shared_scenes']:,} scenes with others: "
        "keep each scene in one part of a split",
        f"page: {out / 'index.html'}",
    ]
    return "\n".join(lines)
