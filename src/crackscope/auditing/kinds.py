"""Kinds of findings of an audit, the gravest first, and what a cleaned index leaves out of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from crackscope.data.patches import PatchIndex
from crackscope.files.html import html_table

__all__ = ["KINDS", "Audit", "AuditFinding", "Kind", "left_out"]


@dataclass(frozen=True)
class Kind:
    """What a kind of finding is called, what it means, and what its score counts: the greater, the worse."""

    title: str
    meaning: str
    score: str


KINDS: dict[str, Kind] = {
    "contradictory_duplicate": Kind(
        "Copies with opposite labels",
        "The same pixels are labelled crack and uncracked: at least one label is wrong, whatever a model says. "
        "Look, and correct the label; a cleaned index leaves out all of them.",
        "files",
    ),
    "exact_leak": Kind(
        "Copies across the split",
        "The same file stands in two parts: what is measured there is memory. "
        "Rebuild the split; a cleaned index keeps one, in test before val before train.",
        "1",
    ),
    "near_leak": Kind(
        "Near copies across the split",
        "The same pixels, re-encoded, resized or flipped, stand in two parts. "
        "Rebuild the split; a cleaned index keeps one, in test before val before train.",
        "1",
    ),
    "photo_leak": Kind(
        "Photos on two sides of the split",
        "Patches of one photo share light and texture, so a model that has seen some knows the others. "
        "Leaving out single patches does not mend it: rebuild the split.",
        "patches outside the photo's main part",
    ),
    "label_error": Kind(
        "Labels that are probably wrong",
        "A model that has seen neither the patch nor its photo is as sure of the other label as it is of patches that "
        "carry it. Look before you correct: the model errs too, most of all where a crack is faint.",
        "probability of the other label",
    ),
    "unreadable": Kind(
        "Files that cannot be read",
        "Missing, empty, cut short, or no image. Training leaves them out; fetch or export them again.",
        "1",
    ),
    "exact_duplicate": Kind(
        "Copies",
        "The same file under several names: it counts as often when a model learns, and narrows intervals unduly.",
        "files",
    ),
    "near_duplicate": Kind(
        "Near copies",
        "The same pixels, re-encoded, resized or flipped. They must stay on one side of a split, as "
        "the command split sees to.",
        "files",
    ),
    "low_information": Kind(
        "Pictures that show nothing",
        "So little contrast that neither label can be told. A cleaned index leaves them out.",
        "how far contrast lies below 1 grey level",
    ),
    "blurred": Kind(
        "Blurred",
        "Softer than the rest of the set, and too soft to show a fine crack.",
        "robust standard deviations below the median",
    ),
    "dark": Kind(
        "Dark",
        "Darker than the rest of the set; the brightest pixels lie two stops below white.",
        "robust standard deviations below the median",
    ),
    "overexposed": Kind(
        "Overexposed",
        "More than a fifth of the pixels are white: what was there is gone.",
        "share of white pixels",
    ),
    "odd_file": Kind(
        "Files unlike the rest",
        "Another size, other samples (grey, CMYK, 16 bits), or an EXIF orientation that other programs may not heed. "
        "If one label has more of them, a model learns the format in place of the crack.",
        "oddities",
    ),
    "unlabelled": Kind(
        "Images without a label",
        "They lie in no folder that names a label, so no command uses them.",
        "1",
    ),
    "rare_label": Kind(
        "Labels missing or very rare",
        "Nothing can be learnt, or measured, of a label that hardly occurs.",
        "share of the other label",
    ),
}
"""Kinds of findings, the gravest first."""


@dataclass(frozen=True)
class AuditFinding:
    """One thing that is wrong with a set of patches.

    Attributes:
        kind: Kind of the finding, such as ``label_error``; `Audit.counts` lists all kinds, and the report explains
            them.
        files: Paths of the patches in the index; none where the finding is about the whole set.
        score: Severity within the kind, the greater the worse; ``audit.json`` says in ``scores`` what it counts.
        why: One sentence on what was found.
    """

    kind: str
    files: tuple[str, ...]
    score: float
    why: str


@dataclass(frozen=True, eq=False)
class Audit:
    """Outcome of an audit: what is wrong with a set of patches.

    Attributes:
        index: Patches in the order of their paths, with the parts of the split.
        findings: Findings, the gravest kind first, and the worst first within a kind.
        facts: Counts of labels, photos, data sets, parts and sizes; medians of quality; what labels were judged with.
        skipped: Reason for each kind of finding that could not be looked for, by kind.
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
    """List the files that a cleaned index leaves out, each with the kind of finding that is the reason, by path.

    Where copies have one label, the first is kept, in test before val before train. Where copies have opposite labels,
    none is kept.
    A photo on two sides of a split is no reason: leaving out single patches does not mend it.
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
