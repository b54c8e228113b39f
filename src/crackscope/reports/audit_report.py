"""A folder on what is wrong with a set of patches: every finding as a table and as JSON, the worst ones on a page.

Nothing in it depends on the clock or on where it was written: the same audit gives the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from crackscope import __version__
from crackscope.arrays import UInt8Array
from crackscope.auditing.kinds import KINDS, Audit, Finding, left_out
from crackscope.errors import CrackscopeError
from crackscope.files.output import new_folder, write_text
from crackscope.reports.contact_sheet import fit_square
from crackscope.reports.page import data_uri, environment, picture_bytes

__all__ = ["FILES", "FILES_APART", "write_audit"]


FILES = ("audit.json", "audit.csv", "report.html")
"""What `write_audit` writes."""

FILES_APART = " | "
"""What stands between the files of one finding in ``audit.csv``; ``audit.json`` has them as a list."""

_N_SHOWN = 12  # findings of a kind on the page
_N_PICTURES = 4  # of one finding
_N_LISTED = 50
_SIDE_PX = 200
_JPEG_QUALITY = 82
_WITHOUT_PICTURE = ("unreadable", "unlabelled", "rare_label")


def write_audit(found: Audit, out: Path, *, read_image: Callable[[str], UInt8Array], overwrite: bool = False) -> Path:
    """Write findings, facts and the page of an audit into a folder, which appears whole.

    Args:
        found: From `crackscope.audit`.
        out: The folder.
        read_image: From a path of the index to RGB uint8 pixels; called for what the page shows. A picture that it
            refuses is shown as an empty tile.
        overwrite: Replace a folder that holds nothing but an older audit.

    Returns:
        ``out``, holding the `FILES`.

    Raises:
        OutputError: If ``out`` is taken, holds anything else, or cannot be written.
    """
    out = Path(out)
    without = left_out(found)
    document = {"made_with": f"crackscope {__version__}"} | found.document()
    with new_folder(out, ours=FILES, overwrite=overwrite) as part:
        write_text(part / "audit.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
        write_text(part / "audit.csv", _table(found, without))
        write_text(part / "report.html", _page(found, without, read_image))
    return out


def _table(found: Audit, without: dict[str, str]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("kind", "files", "score", "why", "left_out"))
    for finding in found.findings:
        dropped = [path for path in finding.files if path in without]
        files = (FILES_APART.join(paths) for paths in (finding.files, dropped))
        writer.writerow((finding.kind, next(files), f"{finding.score:.6g}", finding.why, next(files)))
    return stream.getvalue()


def _page(found: Audit, without: dict[str, str], read_image: Callable[[str], UInt8Array]) -> str:
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


def _card(
    finding: Finding, labels: dict[str, tuple[str, str | None]], read_image: Callable[[str], UInt8Array]
) -> dict[str, Any]:
    """What the page shows of one finding: the pictures side by side, each with its label, part and path."""
    pictures = []
    for path in finding.files[:_N_PICTURES]:
        content = picture_bytes(fit_square(_pixels(path, read_image), _SIDE_PX), ".jpg", quality=_JPEG_QUALITY)
        label, part = labels[path]
        pictures.append({"path": path, "label": label, "part": part, "source": data_uri(content, "jpeg")})
    return {
        "pictures": pictures,
        "why": finding.why,
        "n_more": len(finding.files) - len(pictures),
    }


def _pixels(path: str, read_image: Callable[[str], UInt8Array]) -> UInt8Array:
    try:
        return read_image(path)
    except (OSError, KeyError, ValueError, CrackscopeError):
        return np.full((2, 2, 3), 200, dtype=np.uint8)  # the file went after it was judged; the finding stands
