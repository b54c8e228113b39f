"""The audit: faults in a set of labelled patches, found before a model is trained on it.

`audit` reads every patch and lists findings, the gravest kind first: copies with opposite labels, leaks across a split,
labels that are probably wrong, files that cannot be read, copies, pictures that show nothing or are blurred, and files
unlike the rest. Nothing is ever deleted; `crackscope.auditing.cleaning` writes a table of the remaining patches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crackscope.arrays import Float64Array, Int64Array
from crackscope.auditing.kinds import KINDS, Audit, AuditFinding
from crackscope.auditing.label_errors import LabelErrors, find_label_errors
from crackscope.auditing.quality import NUMBERS, Quality, WatchedFiles, find_faults, quality_kind
from crackscope.data.cache import Rows, compute_rows
from crackscope.data.grouping import is_group
from crackscope.data.groups import place_of
from crackscope.data.leaks import leaks_in
from crackscope.data.patches import LABELS, PARTS, Patch, PatchIndex, read_patches
from crackscope.data.similarity import connected, duplicate_pairs, fingerprint_kind, look_alike_groups
from crackscope.data.splits import Split, apply_split
from crackscope.data.turned_copies import thumbnail_kind, turned_pairs
from crackscope.errors import BundleError, DataError
from crackscope.files.images import ImageForm
from crackscope.files.streaming import Progress
from crackscope.model.bundle import Backbone, default_bundle, read_backbone, read_bundle
from crackscope.model.features import feature_kind
from crackscope.model.provenance import count_seen

__all__ = ["audit"]

Say = Callable[[str], None]

_DEFAULT_PATCH_PX = 160
_USUAL = 0.9  # a form that at least this share of the files has is the usual one; other files are odd
_RARE_LABEL = 0.01  # below this share, even a thousand patches hold too few of a label to train and to measure with
_UPRIGHT = 1


def audit(
    data: str | Path | PatchIndex,
    *,
    split: str | Path | Split | None = None,
    backbone: str | Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    say: Say = lambda _: None,
) -> Audit:
    """Search labelled patches for faults.

    The findings depend neither on the order of the patches nor on the number of threads.

    Args:
        data: Labelled patches: a path that `crackscope.read_patches` takes, or the index that it returns.
        split: A split from `crackscope.split`, or its file, that is searched for leaks. If left out, the parts that the
            data itself names are searched, if any.
        backbone: Path of a bundle or a backbone file; labels are judged with its features. The default bundle if left
            out.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as files are read, and as turned copies are looked for.
        say: Called with a line of text as each step begins.

    Returns:
        The findings, with counts and other facts of the set. `crackscope.write_audit` writes them into a folder.

    Raises:
        DataError: If the data cannot be read, no image is labelled, or none of the files is there.
        SplitError: If the split does not fit the data.
        BundleError: If the backbone's file is neither a bundle nor a backbone.
    """
    extractor, patch_px = _read_backbone(backbone)
    index = read_patches(data)
    index = index.select(sorted(_with_parts(index, split).patches, key=lambda patch: patch.path))
    say(f"{index.name}: reading {len(index):,} patches")
    files = WatchedFiles(index.files)
    kinds = {"quality": quality_kind(), "print": fingerprint_kind(), "thumbnail": thumbnail_kind()}
    if all(index.counts().values()):  # labels can be judged only if both occur; features take longest
        kinds["features"] = feature_kind(extractor, patch_px=patch_px)
    computed = compute_rows(replace(index, files=files), list(kinds.values()), threads=threads, progress=progress)
    rows = dict(zip(kinds, computed, strict=True))
    quality = Quality(kinds["quality"].filled(rows["quality"]), tuple(map(files.forms.get, index.paths)))
    prints = kinds["print"].filled(rows["print"])
    say("looking for copies")
    turned = turned_pairs(kinds["thumbnail"].filled(rows["thumbnail"]), threads=threads, progress=progress)
    pairs = np.unique(np.concatenate([duplicate_pairs(prints, threads=threads), turned]), axis=0)
    groups = _kept_together(index, prints, pairs)
    refused, digests = {**quality.rows.refused, **prints.refused}, prints.digests
    if len(refused) == len(index) and not any(index.digests(threads=threads)):  # missing, not damaged
        path, why = index.paths[min(refused)], refused[min(refused)]
        raise DataError(f"{index.name}: none of {len(index)} files can be read; {path}: {why}. Check the paths.")
    del prints  # 2 kB a patch
    say(f"judging labels by patches of {_others(index)}")
    features = kinds["features"].filled(rows["features"]) if "features" in kinds else None
    judged = _judge_labels(index, features, groups, refused)
    del features
    copies = _copies(index, digests, connected(len(index), pairs), judged)
    contradictory = {path for one in copies if one.kind == "contradictory_duplicate" for path in one.files}
    found = [
        *_unreadable(index, refused),
        *copies,
        *_leaks(index, digests, pairs),
        *(one for one in _label_errors(index, judged) if one.files[0] not in contradictory),  # listed above
        *_faults(index, quality),
        *_odd_files(index, quality.forms, judged.refused),
        *(AuditFinding("unlabelled", (path,), 1.0, "no folder in its path names a label") for path in index.ignored),
        *_rare_labels(index),
    ]
    order = {kind: i for i, kind in enumerate(KINDS)}
    found.sort(key=lambda finding: (order[finding.kind], -finding.score, finding.files, finding.why))
    facts = _facts(index, quality, digests, refused)
    if judged.errors is not None:
        facts["label_error"] = {
            "backbone": extractor.card.name,
            "n_judged": len(judged.places),
            "n_groups": judged.errors.n_groups,
            "accuracy": judged.errors.accuracy,
            "thresholds": dict(zip(LABELS, judged.errors.thresholds, strict=True)),
            "n_seen_by_backbone": count_seen(index, digests, extractor.card.trained_on),
        }
    return Audit(index, tuple(found), facts, {"label_error": judged.why_not} if judged.why_not else {})


def _read_backbone(place: str | Path | None) -> tuple[Backbone, int]:
    """Read a backbone file, or the backbone of a bundle; return it with the patch size that it was made for."""
    path = default_bundle() if place is None else Path(place)
    try:
        patch_px = read_bundle(path).card.patch_px
    except BundleError:  # perhaps a backbone file; if it is none either, `read_backbone` raises the error
        patch_px = _DEFAULT_PATCH_PX
    return read_backbone(path), patch_px


def _with_parts(index: PatchIndex, split: str | Path | Split | None) -> PatchIndex:
    """Give each patch its part of a split; patches that the split does not name have no part."""
    if split is None:
        return index
    named = {patch.path: patch for patch in apply_split(index, split=split).patches}
    return index.select([named.get(patch.path, replace(patch, part=None)) for patch in index.patches])


def _knows_photos(index: PatchIndex) -> bool:
    """Whether the photo of each patch is known; a split by similarity names groups in place of photos."""
    return index.knows_photos and not all(is_group(patch.photo or "") for patch in index.patches)


def _others(index: PatchIndex) -> str:
    """What labels are judged by: other scenes, photos or groups."""
    if index.knows_scenes:
        return "other scenes"
    return "other photos" if _knows_photos(index) else "other groups that look alike"


def _kept_together(index: PatchIndex, prints: Rows, pairs: Int64Array) -> Int64Array:
    """Number the groups of patches that must not judge each other, shape (n,).

    A group holds the scenes, or else the photos, that share copies; where photos are not known, it holds patches that
    look alike.
    """
    number: dict[Hashable, int] = {}
    known = [number.setdefault(place, len(number)) for patch in index.patches if (place := place_of(patch))]
    if len(known) == len(index):
        places = np.array(known, np.int64)
        return np.asarray(connected(len(number), places[pairs])[places], np.int64)
    first: dict[
        Hashable, int
    ] = {}  # first readable patch of each photo or scene; an unreadable one has no fingerprint to link
    together = [
        (first.setdefault(place, i), i)
        for i, patch in enumerate(index.patches)
        if (place := place_of(patch)) and i not in prints.refused
    ]
    return look_alike_groups(prints, pairs=pairs, together=np.array(together, np.int64).reshape(-1, 2))


@dataclass(frozen=True, eq=False)
class _Judged:
    """Patches whose labels were judged, with the outcome, or the reason why they were not judged."""

    places: Int64Array
    errors: LabelErrors | None
    refused: dict[int, str]  # images that can be read, but are not of patch size
    why_not: str = ""


def _judge_labels(index: PatchIndex, rows: Rows | None, groups: Int64Array, unreadable: Mapping[int, str]) -> _Judged:
    if rows is None:
        counts = index.counts()
        return _Judged(np.empty(0, np.int64), None, {}, f"no patch is labelled {min(LABELS, key=counts.__getitem__)}")
    places = np.array([i for i in range(len(index)) if i not in rows.refused and i not in unreadable], np.int64)
    refused = {i: why for i, why in rows.refused.items() if i not in unreadable}
    labels = index.labels[places]
    features = rows.values if len(places) == len(index) else rows.values[places]
    try:
        return _Judged(places, find_label_errors(features, labels, groups[places]), refused)
    except DataError as error:
        return _Judged(places, None, refused, str(error))


# Findings, kind by kind


def _unreadable(index: PatchIndex, refused: Mapping[int, str]) -> list[AuditFinding]:
    return [AuditFinding("unreadable", (index.patches[i].path,), 1.0, why) for i, why in sorted(refused.items())]


def _copies(index: PatchIndex, digests: Sequence[bytes], same: Int64Array, judged: _Judged) -> list[AuditFinding]:
    """Make one finding for each group of copies, linked directly or through other copies."""
    members: dict[int, list[int]] = {}
    for i, thing in enumerate(same.tolist()):
        members.setdefault(thing, []).append(i)
    beliefs = (
        dict(zip(judged.places.tolist(), judged.errors.probabilities.tolist(), strict=True)) if judged.errors else {}
    )
    found = []
    for places in members.values():
        if len(places) < 2:
            continue
        patches = [index.patches[i] for i in places]
        files, n_contents = tuple(patch.path for patch in patches), len({digests[i] for i in places})
        what = (
            "the same file" if n_contents == 1 else "the same picture, re-encoded, resized, turned, mirrored or zoomed"
        )
        if len({patch.label for patch in patches}) > 1:
            n_crack = sum(patch.label == "crack" for patch in patches)
            why = f"{what}; {n_crack} labelled crack, {len(places) - n_crack} uncracked"
            if (belief := beliefs.get(places[0])) is not None:
                why += f"; judging by other patches, it is {_said(belief)}"
            found.append(AuditFinding("contradictory_duplicate", files, float(len(files)), why))
        else:
            kind = "exact_duplicate" if n_contents == 1 else "near_duplicate"
            found.append(AuditFinding(kind, files, float(len(files)), f"{what}, all labelled {patches[0].label}"))
    return found


def _said(probability: float) -> str:
    label = LABELS[int(probability >= 0.5)]
    return f"{label} (probability {max(probability, 1 - probability):.3f})"


def _leaks(index: PatchIndex, digests: Sequence[bytes], pairs: Int64Array) -> list[AuditFinding]:
    found = []
    sizes = {
        "photo": Counter((patch.photo, patch.part) for patch in index.patches),
        "scene": Counter((patch.scene, patch.part) for patch in index.patches),
    }
    for leak in leaks_in(index, digests, pairs):
        # A leak of copies names two files; another finding already lists the whole group of copies.
        of_groups = leak.kind in sizes
        patches = [index.patches[i] for i in (leak.places if of_groups else leak.places[:2])]
        in_parts = [sizes[leak.kind][getattr(patch, leak.kind), patch.part] for patch in patches] if of_groups else []
        score = float(sum(in_parts) - max(in_parts)) if of_groups else 1.0
        found.append(AuditFinding(f"{leak.kind}_leak", tuple(patch.path for patch in patches), score, leak.sentence))
    return found


def _label_errors(index: PatchIndex, judged: _Judged) -> list[AuditFinding]:
    if judged.errors is None:
        return []
    found = []
    others = _others(index).removesuffix(" that look alike")
    doubts = judged.errors.doubt(index.labels[judged.places])
    for at in np.flatnonzero(judged.errors.wrong).tolist():
        patch = index.patches[judged.places[at]]
        said = _said(float(judged.errors.probabilities[at]))
        why = f"labelled {patch.label}; judging by {others}, it is {said}"
        found.append(AuditFinding("label_error", (patch.path,), float(doubts[at]), why))
    return found


def _faults(index: PatchIndex, quality: Quality) -> list[AuditFinding]:
    faults = find_faults(quality)
    brightest, white, contrast, sharpness, evenness = np.asarray(quality.rows.values, np.float64).T
    told: tuple[tuple[str, Float64Array, Callable[[int], str]], ...] = (
        ("low_information", faults.blank, lambda i: f"contrast of {contrast[i]:.2f} grey levels"),
        ("dark", faults.dark, lambda i: f"95 % of its pixels are no brighter than {brightest[i]:.0f} of 255"),
        ("overexposed", faults.white, lambda i: f"{white[i]:.0%} of its pixels are white"),
        (
            "blurred",
            faults.blurred,
            lambda i: f"sharpness {sharpness[i]:.3f} (0.25 is the least possible), evenness {evenness[i]:.2f}",
        ),
    )
    return [
        AuditFinding(kind, (index.patches[i].path,), float(scores[i]), why(i))
        for kind, scores, why in told
        for i in np.flatnonzero(scores).tolist()
    ]


def _odd_files(index: PatchIndex, forms: Sequence[ImageForm | None], refused: Mapping[int, str]) -> list[AuditFinding]:
    known = [form for form in forms if form is not None]
    if not known:
        return []
    (usual_hw, n_usual), *_ = Counter((form.height_px, form.width_px) for form in known).most_common()
    middle_hw: list[float] = np.median([(form.height_px, form.width_px) for form in known], 0).tolist()
    modes = Counter(form.mode for form in known)
    found = []
    for i, form in enumerate(forms):
        if form is None:
            continue
        hw = (form.height_px, form.width_px)
        oddities = [refused[i]] if i in refused else []
        if n_usual >= _USUAL * len(known):
            if hw != usual_hw:
                oddities.append(f"{_size(hw)}, while {n_usual / len(known):.1%} of the files have {_size(usual_hw)}")
        elif any(not 0.5 <= side / middle <= 2 for side, middle in zip(hw, middle_hw, strict=True)):
            oddities.append(f"{_size(hw)}, while the median is {_size(middle_hw)}")
        if modes[form.mode] < (1 - _USUAL) * len(known):
            oddities.append(f"colour mode {form.mode}, while most files have {modes.most_common(1)[0][0]}")
        if form.orientation != _UPRIGHT:
            oddities.append(f"EXIF orientation {form.orientation}: some programs will show it turned or mirrored")
        if oddities:
            found.append(AuditFinding("odd_file", (index.patches[i].path,), float(len(oddities)), "; ".join(oddities)))
    return found


def _size(hw: Sequence[float]) -> str:
    return f"{hw[1]:.0f}×{hw[0]:.0f} px"


def _rare_labels(index: PatchIndex) -> list[AuditFinding]:
    """Find labels that are rare among all patches, or in a part of the split."""
    found = []
    parts = {f"part {part}": own for part in PARTS if len(own := index.part(part))}
    for where, own in ({"the set": index} | parts).items():
        for label, n_labelled in own.counts().items():
            share = n_labelled / len(own)
            if share < _RARE_LABEL:
                n = f"{n_labelled:,} of {len(own):,} patches" if n_labelled else "no patch"
                found.append(AuditFinding("rare_label", (), 1 - share, f"in {where}, {n} is labelled {label}"))
    return found


# Facts


def _facts(index: PatchIndex, quality: Quality, digests: Sequence[bytes], refused: Mapping[int, str]) -> dict[str, Any]:
    patches_of_photo = Counter(patch.photo for patch in index.patches if patch.photo is not None)
    knows_photos = _knows_photos(index)
    readable = [i for i in range(len(index)) if i not in refused]
    sizes = Counter(_size((form.height_px, form.width_px)) for form in quality.forms if form is not None)
    modes = Counter(form.mode for form in quality.forms if form is not None)
    middle = np.median(quality.rows.values[readable], 0).tolist() if readable else None
    return {
        "name": index.name,
        "n_patches": len(index),
        "n_readable": len(readable),
        "n_contents": len({digests[i] for i in readable}),
        "labels": index.counts(),
        "datasets": _tally(index.patches, lambda patch: patch.dataset),
        "parts": _tally(index.patches, lambda patch: patch.part),
        "n_photos": len(patches_of_photo) if knows_photos else None,
        "n_scenes": len({place_of(patch) for patch in index.patches}) if index.knows_scenes else None,
        "patches_a_photo": (
            [
                min(patches_of_photo.values()),
                float(np.median([*patches_of_photo.values()])),
                max(patches_of_photo.values()),
            ]
            if knows_photos
            else None
        ),
        "sizes": dict(sizes.most_common(10)),
        "modes": dict(modes.most_common()),
        "median_quality": (dict(zip(NUMBERS, middle, strict=True)) if middle else None),
    }


def _tally(patches: Sequence[Patch], key: Callable[[Patch], str | None]) -> dict[str, dict[str, int]]:
    """Count the patches of each label by another key, such as the data set, where the key is known."""
    found: dict[str, Counter[str]] = {}
    for patch in patches:
        if (name := key(patch)) is not None:
            found.setdefault(name, Counter())[patch.label] += 1
    return {name: {label: labels[label] for label in LABELS} for name, labels in sorted(found.items())}
