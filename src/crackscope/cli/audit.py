"""``crackscope audit``: look for what is wrong with labelled patches."""

from __future__ import annotations

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
    from crackscope.auditing.kinds import Audit

__all__ = ["audit"]


def audit(
    data: Annotated[Path, typer.Argument(help="Folder, .tar, .zip or .csv of labelled patches.")],
    split: Annotated[
        Path | None,
        typer.Option(help="A split file to search for leaks; if left out, the parts that DATA itself names."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for audit.json, audit.csv and report.html.")] = Path("audit"),
    clean: Annotated[
        Path | None,
        typer.Option(help="Also write a .csv of the patches without faults, path,label,photo,part."),
    ] = None,
    backbone: Annotated[
        Path | None,
        typer.Option(help="Model file (bundle) whose features are used to judge labels; the default one if left out."),
    ] = None,
    crack: CrackNames = None,
    uncracked: UncrackedNames = None,
    photo_from: PhotoFrom = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong with labelled patches: wrong labels, copies, leaks, blur, damage.

    Exit code 3 says that something was found. Nothing is deleted. With --clean, a table is written that leaves out
    unreadable files, copies, doubtful labels and pictures that show nothing; every command takes it as DATA.

    Example: `crackscope audit patches/ --split split.csv --out audit --clean clean.csv`
    """
    from crackscope.auditing.audit import audit as examine
    from crackscope.auditing.cleaning import require_cleanable, write_clean_index
    from crackscope.auditing.kinds import left_out
    from crackscope.errors import OutputError
    from crackscope.files.output import require_free_folder
    from crackscope.reports.audit_report import FILES, write_audit

    require_free_folder(out, ours=FILES, overwrite=overwrite)
    if clean and out.resolve() in clean.resolve().parents:
        raise OutputError(f"{clean} lies in {out}, which is replaced as a whole. Write the index elsewhere.")
    index = read_labelled(data, crack, uncracked, photo_from)
    if clean:
        require_cleanable(index, data, clean, split=split, overwrite=overwrite)
    with progress_bar("reading") as progress:
        found = examine(index, split=split, backbone=backbone, threads=threads, progress=progress, say=say)
    write_audit(found, out, overwrite=overwrite)
    n_kept = write_clean_index(found, data, clean, overwrite=overwrite) if clean else None
    for kind, name in (("scene_leak", "scenes"), ("photo_leak", "photos")):
        if clean and (n := found.counts()[kind]):
            say(f"{n} {name} stand on two sides; no cleaned index mends that. Rebuild the split: crackscope split.")
    document = {
        "status": "findings" if found.findings else "clean",
        "out": str(out),
        "n_patches": len(found.index),
        "n_findings": len(found.findings),
        "counts": found.counts(),
        "skipped": found.skipped,
        "n_left_out": len(left_out(found)),
        "clean": str(clean) if clean else None,
        "n_kept": n_kept,
    }
    emit(document, as_json=as_json, text=_text(found, out, clean, n_kept))
    if found.findings:
        raise typer.Exit(3)


def _text(found: Audit, out: Path, clean: Path | None, n_kept: int | None) -> str:
    from crackscope.auditing.kinds import KINDS

    lines = [f"{n:8,}  {KINDS[kind].title.lower()}" for kind, n in found.counts().items() if n] or ["nothing found"]
    lines += [f"not checked: {KINDS[kind].title.lower()}: {why}" for kind, why in found.skipped.items()]
    if clean:
        lines.append(f"cleaned index: {clean} ({n_kept:,} of {len(found.index):,} patches)")
    return "\n".join([*lines, f"report: {out / 'report.html'}"])
