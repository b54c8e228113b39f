"""Audit reports: all findings on a set of patches as a table and as JSON, and the worst ones on a page.

A report depends neither on the clock nor on its folder: the same audit gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crackscope import __version__
from crackscope.auditing.kinds import KINDS, Audit, AuditFinding, left_out
from crackscope.files.output import json_text, write_folder
from crackscope.files.tables import table_text
from crackscope.reports.contact_sheet import fit_square
from crackscope.reports.page import ReadImage, data_uri, environment, picture_bytes, pixels_or_blank

__all__ = ["FILES", "FILES_APART", "write_audit"]


FILES = ("audit.json", "audit.csv", "report.html")
"""What `write_audit` writes."""

FILES_APART = " | "
"""Separator of the files of one finding in ``audit.csv``; ``audit.json`` has them as a list."""

_N_SHOWN = 12  # findings of a kind on the page, with pictures
_N_PICTURES = 4  # pictures of one finding
_N_LISTED = 50  # findings of a kind without pictures
_SIDE_PX = 200
_JPEG_QUALITY = 82
_WITHOUT_PICTURE = ("unreadable", "unlabelled", "rare_label")


def write_audit(found: Audit, out: str | Path, *, read_image: ReadImage | None = None, overwrite: bool = False) -> Path:
    """Write an audit into a folder: findings, facts and the page. The folder appears whole.

    Args:
        found: Outcome from `crackscope.audit`.
        out: Path of the folder; missing parent folders are made.
        read_image: Function from a path of the index to RGB pixels, uint8, shape (h, w, 3), for the patches that the
            page shows; they are read from the index if left out. A patch that cannot be read is shown as a grey square.
        overwrite: Whether an older audit is replaced; a folder that holds anything else never is.

    Returns:
        The path of the folder, with ``audit.json``, ``audit.csv`` and ``report.html``.

    Raises:
        OutputError: If `out` is taken, holds anything else, or cannot be written.
    """
    files = _files(found, read_image or found.index.read_pixels)
    return write_folder(out, files, ours=FILES, overwrite=overwrite)


def _files(found: Audit, read_image: ReadImage) -> Iterator[tuple[str, str | bytes]]:
    without = left_out(found)
    yield "audit.json", json_text({"made_with": f"crackscope {__version__}"} | found.document())
    yield "audit.csv", _table(found, without)
    yield "report.html", _page(found, without, read_image)


def _table(found: Audit, without: dict[str, str]) -> str:
    rows = []
    for finding in found.findings:
        dropped = [path for path in finding.files if path in without]
        files, left = (FILES_APART.join(paths) for paths in (finding.files, dropped))
        rows.append((finding.kind, files, f"{finding.score:.6g}", finding.why, left))
    return table_text(("kind", "files", "score", "why", "left_out"), rows)


def _page(found: Audit, without: dict[str, str], read_image: ReadImage) -> str:
    labels = {patch.path: (patch.label, patch.part) for patch in found.index.patches}
    sections = []
    for kind, n in found.counts().items():
        findings = [finding for finding in found.findings if finding.kind == kind]
        pictured = kind not in _WITHOUT_PICTURE
        shown = findings[: _N_SHOWN if pictured else _N_LISTED]
        cards = [_card(finding, labels, read_image) for finding in shown] if pictured else []
        if n:
            sections.append({"kind": kind, **vars(KINDS[kind]), "n": n, "shown": shown, "cards": cards})
    return (
        environment()
        .get_template("audit.html")
        .render(
            facts=found.facts,
            skipped={KINDS[kind].title: why for kind, why in found.skipped.items()},
            counts={KINDS[kind].title: (kind, n) for kind, n in found.counts().items()},
            n_findings=len(found.findings),
            n_left_out=len(without),
            sections=sections,
            made_with=f"crackscope {__version__}",
        )
    )


def _card(finding: AuditFinding, labels: dict[str, tuple[str, str | None]], read_image: ReadImage) -> dict[str, Any]:
    """Make the card of one finding: its pictures side by side, each with label, part and path."""
    pictures = []
    for path in finding.files[:_N_PICTURES]:
        content = picture_bytes(fit_square(pixels_or_blank(path, read_image), _SIDE_PX), ".jpg", quality=_JPEG_QUALITY)
        label, part = labels[path]
        pictures.append({"path": path, "label": label, "part": part, "source": data_uri(content, "jpeg")})
    return {
        "pictures": pictures,
        "why": finding.why,
        "n_more": len(finding.files) - len(pictures),
    }
