"""Kinds of findings of an audit, the gravest first, and the patches that a cleaned index leaves out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from crackscope.data.patches import PatchIndex
from crackscope.files.html import html_table

__all__ = ["KINDS", "Audit", "AuditFinding", "Kind", "left_out"]


@dataclass(frozen=True)
class Kind:
    """A kind of finding: its title, its meaning, and what its score counts. A greater score is worse."""

    title: str
    meaning: str
    score: str


KINDS: dict[str, Kind] = {
    "contradictory_duplicate": Kind(
        "Copies with opposite labels",
        "The same pixels are labelled both crack and uncracked, so at least one label is wrong. "
        "Look at them and correct the label. A cleaned index leaves out all copies.",
        "files",
    ),
    "exact_leak": Kind(
        "Copies across the split",
        "The same file stands in two parts of the split, so figures measure what the model remembers. "
        "Rebuild the split. A cleaned index keeps one copy: in test, else in val, else in train.",
        "1",
    ),
    "near_leak": Kind(
        "Near copies across the split",
        "The same picture, re-encoded, resized, turned, mirrored or zoomed, stands in two parts of the split. "
        "Rebuild the split. A cleaned index keeps one copy: in test, else in val, else in train.",
        "1",
    ),
    "scene_leak": Kind(
        "Scenes on two sides of the split",
        "Photos that show the same place stand in two parts of the split, so figures measure what the model remembers. "
        "Leaving out single patches does not help. Rebuild the split by scene.",
        "patches outside the scene's main part",
    ),
    "photo_leak": Kind(
        "Photos on two sides of the split",
        "Patches of one photo share light and texture, so a model that was trained on some recognises the rest. "
        "Leaving out single patches does not help. Rebuild the split.",
        "patches outside the photo's main part",
    ),
    "label_error": Kind(
        "Labels that are probably wrong",
        "A model that has seen neither the patch nor its photo finds the other label as probable as it does for "
        "patches that carry that label. Look before you correct a label: the model errs too, most often on faint "
        "cracks.",
        "probability of the other label",
    ),
    "unreadable": Kind(
        "Files that cannot be read",
        "The file is missing, empty, cut short, or no image. Training leaves it out. Fetch or export it again.",
        "1",
    ),
    "exact_duplicate": Kind(
        "Copies",
        "The same file has several names. Training counts it several times, and intervals become too narrow.",
        "files",
    ),
    "near_duplicate": Kind(
        "Near copies",
        "One picture was re-encoded, resized, turned, mirrored or zoomed. Copies must stay in one part of a split. "
        "The command split keeps them together.",
        "files",
    ),
    "low_information": Kind(
        "Pictures that show nothing",
        "The contrast is so low that neither label can be decided. A cleaned index leaves these patches out.",
        "distance of the contrast below 1 grey level",
    ),
    "blurred": Kind(
        "Blurred",
        "The patch is less sharp than the rest of the set, and too blurred to show a fine crack.",
        "robust standard deviations below the median",
    ),
    "dark": Kind(
        "Dark",
        "The patch is darker than the rest of the set; its brightest pixels lie two stops or more below white.",
        "robust standard deviations below the median",
    ),
    "overexposed": Kind(
        "Overexposed",
        "More than a fifth of the pixels are white, and a crack there would not show.",
        "share of white pixels",
    ),
    "odd_file": Kind(
        "Files unlike the rest",
        "The file has another size, another colour mode (grey, CMYK, 16 bits), or an EXIF orientation that some "
        "programs ignore. If one label has more of these files, a model learns the format in place of the crack.",
        "number of odd properties",
    ),
    "unlabelled": Kind(
        "Images without a label",
        "The images lie in no folder that names a label, so no command uses them.",
        "1",
    ),
    "rare_label": Kind(
        "Labels missing or very rare",
        "A label that hardly occurs can be neither learnt nor measured.",
        "share of the other label",
    ),
}
"""Kinds of findings, the gravest first."""


@dataclass(frozen=True)
class AuditFinding:
    """One fault in a set of patches.

    Attributes:
        kind: Kind of the finding, such as ``label_error``; `Audit.counts` lists all kinds, and the report explains
            them.
        files: Paths of the patches in the index; empty for a finding about the whole set.
        score: Severity within the kind; greater is worse. ``audit.json`` says in ``scores`` what it counts.
        why: One sentence on what was found.
    """

    kind: str
    files: tuple[str, ...]
    score: float
    why: str


@dataclass(frozen=True, eq=False)
class Audit:
    """Outcome of an audit: the faults of a set of patches.

    Attributes:
        index: Patches in the order of their paths, with the parts of the split.
        findings: Findings, the gravest kind first, and the worst first within a kind.
        facts: Counts of labels, photos, data sets, parts and sizes; medians of quality; how labels were judged.
        skipped: Reason for each kind of finding that could not be searched for, by kind.
    """

    index: PatchIndex
    findings: tuple[AuditFinding, ...]
    facts: dict[str, Any]
    skipped: dict[str, str] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        n = len(self.findings)
        return html_table(
            f"{n:,} {'finding' if n == 1 else 'findings'} in {self.index.name}, {len(self.index):,} patches",
            ("Kind", "Findings", "The worst"),
            [
                (KINDS[kind].title, f"{n:,}", next(one.why for one in self.findings if one.kind == kind))
                for kind, n in self.counts().items()
                if n
            ],
        )

    def counts(self) -> dict[str, int]:
        """Count the findings of each kind; a kind without a finding has 0."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS}

    def document(self) -> dict[str, Any]:
        """Findings, counts and facts as ``audit.json`` holds them, ready for JSON."""
        return {
            "status": "findings" if self.findings else "clean",
            "facts": self.facts,
            "skipped": self.skipped,
            "counts": self.counts(),
            "scores": {kind: KINDS[kind].score for kind in KINDS},
            "left_out": left_out(self),
            "findings": [vars(finding) | {"files": list(finding.files)} for finding in self.findings],
        }


def left_out(found: Audit) -> dict[str, str]:
    """List the files that a cleaned index leaves out, by path, each with the kind of finding that is the reason.

    Where copies have one label, the first is kept, in test before val before train. Where copies have opposite labels,
    none is kept.
    A photo or scene on two sides of a split is no reason: leaving out single patches does not mend it.
    """
    reasons: dict[str, str] = {}
    of_kind: dict[str, list[AuditFinding]] = {kind: [] for kind in KINDS}
    for finding in found.findings:
        of_kind[finding.kind].append(finding)
    for kind in ("unreadable", "low_information", "contradictory_duplicate", "label_error"):
        for finding in of_kind[kind]:
            for path in finding.files:
                reasons.setdefault(path, kind)
    parts = {patch.path: patch.part for patch in found.index.patches}
    kept_first = ("test", "val", "train", None)
    for kind in ("exact_duplicate", "near_duplicate"):
        for finding in of_kind[kind]:
            remaining = [path for path in finding.files if path not in reasons]
            for path in sorted(remaining, key=lambda path: (kept_first.index(parts[path]), path))[1:]:
                reasons[path] = kind
    return dict(sorted(reasons.items()))
