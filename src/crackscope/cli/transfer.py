"""``crackscope transfer``: train on each set and test on each."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from crackscope.measuring.transfer import Transfer

__all__ = ["transfer"]


class KeptTogether(str, Enum):
    """Widest group that stays in one part."""

    scene = "scene"
    photo = "photo"


def transfer(
    data: Annotated[list[Path], typer.Argument(help="Folders, .tar, .zip or .csv of labelled patches.")],
    recipe: Annotated[
        str, typer.Option(help="A recipe; `crackscope recipes` lists them. `head` needs no torch.")
    ] = "head",
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="A model folder or hub id, for `head` also a bundle; the recipe's own if left out."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds; each gives a split and a training of its own.")] = "0,1,2",
    per_label: Annotated[
        int,
        typer.Option(min=10, help="Patches of each label taken from each set, for train, val and test together."),
    ] = 2000,
    without: Annotated[
        Path | None,
        typer.Option(help="A .csv of photos that take no part, with the column photo, or surface and photo."),
    ] = None,
    by: Annotated[
        KeptTogether,
        typer.Option(help="What stays in one part: scene where known, or photo to compare with figures by photo."),
    ] = KeptTogether.scene,
    out: Annotated[Path, typer.Option(help="Folder for figures, picture, page and all models.")] = Path("transfer"),
    crack: CrackNames = None,
    uncracked: UncrackedNames = None,
    photo_from: PhotoFrom = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train on each data set and test on each: does a model trained on one set work on another?

    DATA that holds several published sets, such as the three surfaces of SDNET2018, is divided. With three sets or
    more, there are also trainings on all but one, with as many patches as one set gives. The test set
    decides nothing, not even the threshold. After an interruption, the same command goes on and repeats at most one
    training.

    Example: `crackscope transfer metu.tar sdnet2018.tar --backbone mobilenet_v2_1.0_224 --out transfer`
    """
    from crackscope.training.memory import keep_memory
    from crackscope.training.recipes import HEAD
    from crackscope.training.transfer_run import measure_transfer

    if recipe != HEAD:
        keep_memory()
    indexes = [read_labelled(each, crack, uncracked, photo_from) for each in data]
    with progress_bar("working") as progress:
        found = measure_transfer(
            indexes,
            out=out,
            recipe=recipe,
            changes=changes or (),
            backbone=backbone,
            seeds=_numbers(seeds),
            per_label=per_label,
            without=without,
            by=by.value,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
            say=say,
        )
    if found.leaky:
        say("Some models, or their backbone, were trained on what they are tested on: figures marked leaky flatter.")
    for path, why in found.refused[:5]:
        say(f"{path}: {why}")
    status = {"status": "refused" if found.refused else "done", "out": str(out)}
    emit(status | found.document(), as_json=as_json, text=_text(found, out))
    if found.refused:
        raise typer.Exit(3)


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is no list of numbers such as 0,1,2.", param_hint="--seeds") from error


def _text(found: Transfer, out: Path) -> str:
    from crackscope.measuring.wording import number_text

    n = len(found.seeds)
    lines = [f"{found.recipe}, {f'mean of {n} seeds' if n > 1 else f'seed {found.seeds[0]}'}: AUROC / F1 of crack"]
    left = max(len("trained on"), *map(len, found.sources)) + 2
    width = max(16, *(len(target) + 2 for target in found.targets))
    lines.append(f"{'trained on':{left}}" + "".join(f"{target:>{width}}" for target in found.targets))
    for source in found.sources:
        cells = (found.cell_text(source, target) for target in found.targets)
        lines.append(f"{source:{left}}" + "".join(f"{cell:>{width}}" for cell in cells))
    bases = "".join(f"{number_text(found.always_crack_f1(target)):>{width}}" for target in found.targets)
    lines.append(f"{'F1 of always crack':{left}}{bases}" if left > 18 else f"{'always':{left}}{bases}")
    for kind, means in found.means_by_kind().items():
        told = ", ".join(
            f"{word} {number_text(means[name])}"
            for word, name in (
                *(("AUROC", "auroc"), ("balanced accuracy", "balanced_accuracy"), ("MCC", "mcc"), ("F1", "f1_crack")),
                *(("precision", "precision_crack"), ("recall", "recall_crack")),
            )
        )
        lines.append(f"{kind}: {told}")
    return "\n".join([*lines, *found.few, f"report: {out / 'report.html'}"])
