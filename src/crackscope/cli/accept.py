"""``crackscope accept``: decide whether a model may be used on a site."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crackscope.cli.console import (
    AsJson,
    AsPatch,
    CrackNames,
    ModelFile,
    Overwrite,
    PhotoFrom,
    Precision,
    TakenAsPatch,
    Threads,
    UncrackedNames,
    class_words,
    emit,
    progress_bar,
    read_labelled,
    read_model,
    say,
)

if TYPE_CHECKING:
    from crackscope.acceptance.decision import Acceptance

__all__ = ["accept"]


def accept(
    data: Annotated[Path, typer.Argument(help="Folder, .tar, .zip or .csv of labelled patches of the site.")],
    model: ModelFile = None,
    precision: Precision = None,
    min_recall: Annotated[float, typer.Option(min=0, max=1, help="Share of cracked patches that must be found.")] = 0.9,
    max_false_alarms: Annotated[
        float, typer.Option(min=0, max=1, help="Share of uncracked patches that may be called crack.")
    ] = 0.1,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("acceptance"),
    taken_as: AsPatch = TakenAsPatch.auto,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the folds and of the bootstrap.")] = 0,
    crack: CrackNames = None,
    uncracked: UncrackedNames = None,
    photo_from: PhotoFrom = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Decide from a labelled sample whether a model may be used on a site: go, no-go, or how many more to label.

    Recall of crack and false alarm rate are compared with what is required. Their 95 % intervals take into account that
    patches of one photo are alike. The report also says what a threshold for this site, or a head adapted to it, would
    give. Exit 0 is go; 3 is no-go or undecided.

    Example: `crackscope accept site.csv --model crack.onnx --min-recall .9 --max-false-alarms .1 --out acceptance`
    """
    from crackscope.acceptance.decision import accept
    from crackscope.files.output import require_free_folder
    from crackscope.reports.acceptance_report import FILES, write_acceptance

    require_free_folder(out, ours=FILES, overwrite=overwrite)
    bundle = read_model(model, precision)
    index = read_labelled(data, crack, uncracked, photo_from)
    with progress_bar("judging") as progress:
        found = accept(
            index,
            bundle,
            min_recall=min_recall,
            max_false_alarms=max_false_alarms,
            unit=taken_as.value,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    chosen = ["--model", str(model)] if model else []
    chosen += ["--precision", precision.value] if precision else []
    limits = ["--min-recall", f"{min_recall:g}", "--max-false-alarms", f"{max_false_alarms:g}", "--seed", str(seed)]
    chosen += ["--as", taken_as.value] if taken_as is not TakenAsPatch.auto else []
    named = class_words(crack, uncracked, photo_from)
    command = shlex.join(["crackscope", "accept", str(data), *chosen, *named, *limits])
    write_acceptance(found, out, command=command, overwrite=overwrite)
    for path, why in found.evaluation.refused[:5]:
        say(f"{path}: {why}")
    emit({"status": found.decision, "out": str(out)} | found.document(), as_json=as_json, text=_text(found, out))
    if found.decision != "go":
        raise typer.Exit(3)


def _text(found: Acceptance, out: Path) -> str:
    from crackscope.measuring.wording import figure_text, method_text
    from crackscope.reports.acceptance_report import TITLES, advice, headline, verdicts

    sample, mark = found.evaluation, "leaky | " if found.leaky else ""
    told = dict(zip(("recall", "alarms"), verdicts(found), strict=True))
    photos = f" from {sample.n_photos:,} {sample.photo_kind}" if sample.n_photos is not None else ""
    lines = [
        headline(found),
        f"{sample.model} on {sample.dataset}, {sample.n_patches:,} patches ({sample.n_crack:,} crack){photos}:",
        f"{mark}recall of crack, at least {found.min_recall:g}: {told['recall']}",
        f"{mark}false alarm rate, at most {found.max_false_alarms:g}: {told['alarms']}",
        f"{mark}{'':34}{'recall of crack':24}false alarm rate",
    ]
    for name, one in found.variants.items():
        cells = (figure_text(share.estimate) for share in (one.recall, one.false_alarms))
        lines.append(f"{mark}{TITLES[name].lower():34}" + "".join(f"{cell:24}" for cell in cells).rstrip())
    lines.append(method_text(sample.photo_kind))
    lines += [f"{sample.few[0].upper()}{sample.few[1:]}."] if sample.few else []
    lines += [f"{TITLES[name].lower()}: not tried, {why}" for name, why in found.why_not.items()]
    return "\n".join([*lines, *advice(found), f"report: {out / 'report.html'}"])
