"""``crackscope split``: divide labelled patches into train, val and test."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from crackscope.cli.console import (
    AsJson,
    CrackNames,
    Overwrite,
    PhotoFrom,
    Threads,
    UncrackedNames,
    emit,
    progress_bar,
    read_labelled,
    say,
)

__all__ = ["split"]


class Way(str, Enum):
    """What stays together."""

    scene = "scene"
    photo = "photo"
    similarity = "similarity"
    random = "random"


def split(
    data: Annotated[Path, typer.Argument(help="Folder, .tar, .zip or .csv of labelled patches.")],
    by: Annotated[
        Way,
        typer.Option(
            help="What stays in one part: scene (photos of the same place), photo, or similarity (look-alike patches) "
            "where photos are not known."
        ),
    ] = Way.photo,
    scenes: Annotated[
        Path | None,
        typer.Option(help="A CSV with photo,scene from `crackscope scenes`; SDNET2018 needs none."),
    ] = None,
    without: Annotated[
        Path | None, typer.Option(help="A CSV of photos to leave out, with photo or surface,photo.")
    ] = None,
    val: Annotated[float, typer.Option(min=0, max=1, help="Share of the patches for validation.")] = 0.15,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of the patches for the test.")] = 0.15,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order in which photos are dealt to the parts.")] = 0,
    out: Annotated[Path, typer.Option(help="The split file, a CSV with path,label,photo,part[,scene].")] = Path(
        "split.csv"
    ),
    pictures: Annotated[
        Path | None, typer.Option(help="Also write a picture with samples of each class (.png).")
    ] = None,
    crack: CrackNames = None,
    uncracked: UncrackedNames = None,
    photo_from: PhotoFrom = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Divide labelled patches into train, val and test without leaks.

    A photo stays in one part, and so do duplicates: the same picture re-encoded, resized, turned, mirrored or zoomed.
    Copies turned by other angles than 90°, and zoomed ones, are looked for in sets of up to 10,000 patches; in larger
    ones, `crackscope audit` finds them.

    Photos may overlap: they then show the same place, a *scene*. Where scenes are known, keep them together by
    --by scene. Those of SDNET2018 are known; `crackscope scenes` finds those of other photos.

    Files that are missing or cannot be read are left out and counted; the exit code is then 3. It is 3 too if the split
    leaks.

    Example: `crackscope split sdnet2018.tar --by scene --out split.csv`
    """
    from crackscope.data.groups import overlap_text, with_scenes
    from crackscope.data.leaks import check_split
    from crackscope.data.splits import apply_split, write_split
    from crackscope.data.splits import split as make_split
    from crackscope.files.output import require_free
    from crackscope.measuring.evaluation import refused_documents
    from crackscope.measuring.transfer_sets import read_photo_list, without_photos
    from crackscope.reports.class_samples import write_class_samples

    require_free(out, overwrite=overwrite)
    if pictures:
        require_free(pictures, overwrite=overwrite)
    index = read_labelled(data, crack, uncracked, photo_from)
    if scenes:
        index = with_scenes(index, scenes)
    if without:
        index = without_photos(index, read_photo_list(without))
    counts = index.counts()
    say(f"{index.name}: {counts['crack']} crack, {counts['uncracked']} uncracked")
    if by is Way.photo and (overlap := overlap_text(index)):
        say(f"{overlap}: photos overlap, so figures by photo are too good. Split with --by scene.")
    with progress_bar("reading") as progress:
        result = make_split(index, by=by.value, val=val, test=test, seed=seed, threads=threads, progress=progress)
        leaks = check_split(apply_split(index, split=result), threads=threads, progress=progress)
    write_split(result, out, overwrite=overwrite)
    if pictures:
        write_class_samples(index, pictures, overwrite=overwrite)
    if len(leaks):
        say(f"This split leaks: {leaks.summary()}")
    parts = result.counts()
    n_refused = len(result.refused)
    document = {
        "status": "leaks" if len(leaks) else "refused" if n_refused else "done",
        "out": str(out),
        "by": by.value,
        "seed": seed,
        "parts": parts,
        "n_refused": n_refused,
        "first_error": refused_documents(result.refused[:1])[0] if n_refused else None,
        "n_leaks": len(leaks),
    }
    groups = "groups that look alike" if by is Way.similarity else "photos"
    lines = [
        f"{part:5}  {found['crack']:6} crack  {found['uncracked']:6} uncracked  {found['photos']:4} {groups}"
        + (f" of {found['scenes']} scenes" if by is Way.scene else "")
        for part, found in parts.items()
    ]
    if n_refused:
        path, why = result.refused[0]
        say(f"{path}: {why}" + (f" (and {n_refused - 1} more)" if n_refused > 1 else ""))
        lines.append(f"{n_refused} files that are missing or cannot be read were left out")
    emit(document, as_json=as_json, text="\n".join([*lines, f"written to {out}"]))
    if document["status"] != "done":
        raise typer.Exit(3)
