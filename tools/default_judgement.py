"""Judge a default model beside the one before it, in one run: tiles, photos from elsewhere, lines, false regions.

    python tools/default_judgement.py BUNDLE --beside BEFORE \
        [--metu METU --sdnet2018 SDNET2018 --grid GRID.csv --reserved RESERVED.csv [--part val|test]] \
        [--stretches STRETCHES.csv] \
        [--traced TRACED --photos FOLDER --parts PARTS.csv [--rows kept-back|test]] \
        [--tunnel FOLDER --joints JOINTS.csv] [--leave-out SET ...]

Only what is named is judged. SDNET2018 is split by scene, and METU by similarity, as in `default_model.py`; with
--leave-out, a set counts whole. Of PARTS.csv, *kept-back* are the sources that no training learns from
(`line_material.sources_kept_back`); the rows *test* are looked at last. Tiles are judged alone, as crops, and as read
from the maps of their photos. Differences have 95 % intervals by bootstrap over scenes, or over photos.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, recall_score, roc_auc_score

import crackscope
from crackscope.data.groups import place_of
from crackscope.data.joined import join_indexes
from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid
from crackscope.data.patches import PatchIndex
from crackscope.files.images import read_image
from crackscope.measuring.joint_figures import PhotoJoints, compare_joints, measure_joints
from crackscope.measuring.line_figures import measure_lines
from crackscope.measuring.lines import PhotoLines, line_map_of
from crackscope.measuring.scanned_photos import ScannedPhoto, scan_labelled
from crackscope.model.bundle import read_bundle
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.photo_scan import Trace
from crackscope.scanning.scanner import photo_scale
from default_sets import METU, part_of, read_reserved, read_sets
from judged_sets import free_stretches, joint_paths, joint_points, photos_from_elsewhere
from line_material import sources_kept_back

N_RESAMPLES, N_BINS = 1000, 15
PER_MEGAPIXELS = 16
NEAR_PX = 4


@dataclass(frozen=True, eq=False)
class Judged:
    """Labels of tiles, and the probabilities that one model gives them.

    Attributes:
        labels: 1 for cracked, shape (n,).
        probabilities: Shape (n,), in [0, 1].
        groups: Scene or photo of each tile, n names.
        threshold: Probability from which the model calls a tile cracked.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    groups: Sequence[str]
    threshold: float


def tile_rows(name: str, mine: Judged, before: Judged | None) -> list[str]:
    """Cells of a row: counts, figures of the model, and how much better it is than the one before."""
    labels, groups = mine.labels, np.unique(np.array(mine.groups), return_inverse=True)[1]
    n_groups = int(groups.max()) + 1
    cells = [name, f"{len(labels):,} ({int(labels.sum()):,}; {n_groups})"]
    rng = np.random.default_rng(0)
    drawn = [rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups))[groups] for _ in range(N_RESAMPLES)]
    drawn = [weight for weight in drawn if weight[labels == 1].any() and weight[labels == 0].any()]
    for score in (average_precision_score, roc_auc_score):
        values = [float(score(labels, one.probabilities)) for one in (mine, before) if one is not None]
        own = [score(labels, mine.probabilities, sample_weight=weight) for weight in drawn]
        low, high = np.quantile(own, [0.025, 0.975])
        cells += [f"{values[0]:.4f} [{low:.4f}, {high:.4f}]", f"{values[1]:.4f}" if before else ""]
        gains = []
        for weight in drawn if before else ():
            assert before is not None
            pair = [score(labels, one.probabilities, sample_weight=weight) for one in (mine, before)]
            gains.append(pair[0] - pair[1])
        if gains:
            low, high = np.quantile(gains, [0.025, 0.975])
            cells.append(f"{values[0] - values[1]:+.4f} [{low:+.4f}, {high:+.4f}]")
        else:
            cells.append("")
    said = mine.probabilities >= mine.threshold
    cells += [f"{f1_score(labels, said):.4f}", f"{recall_score(labels, said):.4f}", f"{np.mean(said == labels):.4f}"]
    errors = [calibration_error(labels, mine.probabilities, weight) for weight in drawn]
    low, high = np.quantile(errors, [0.025, 0.975])
    return [*cells, f"{calibration_error(labels, mine.probabilities):.4f} [{low:.4f}, {high:.4f}]"]


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Expected calibration error over bins of equal width."""
    weight = np.ones(len(labels)) if weight is None else weight
    rows = np.minimum((probabilities * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(rows, weight * (probabilities - labels), N_BINS)
    return float(np.abs(gaps).sum() / weight.sum())


def print_tiles(title: str, rows: Iterable[list[str]]) -> None:
    """Write a table of tiles."""
    columns = (
        title, "tiles (cracked; groups)", "AP", "AP before", "gain", "AUROC", "AUROC before", "gain", "F1", "recall",
        "accuracy", "ECE",
    )  # fmt: skip
    print(f"\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def crops_alone(index: PatchIndex, model: Model) -> Judged:
    """Judge each patch alone."""
    found = crackscope.evaluate(index, model, allow_leakage=True)
    return Judged(found.labels, found.probabilities, found.photos or found.paths, found.threshold)


def from_maps(scanned: Sequence[ScannedPhoto], model: Model) -> Judged:
    """Judge each tile as read from the map of its photo."""
    return Judged(
        np.concatenate([one.photo.labels for one in scanned]),
        np.concatenate([one.probabilities for one in scanned]),
        [" ".join(place_of(one.group) or ()) for one in scanned for _ in one.photo.tiles],
        model.card.map_calibration.threshold,
    )


def crops_of_photos(photos: Sequence[LabelledPhoto], model: Model) -> Judged:
    """Judge each tile of photos alone, as a crop."""
    probabilities = []
    for photo in photos:
        pixels, _ = photo.load()
        height, width = pixels.shape[:2]
        boxes = [[round(at) for at in box] for box in photo.boxes_xyxy((height, width))]
        crops = [np.ascontiguousarray(pixels[top:below, left:right]) for left, top, right, below in boxes]
        probabilities.append(model.probabilities(crops))
    return Judged(
        np.concatenate([photo.labels for photo in photos]),
        np.concatenate(probabilities),
        [photo.name for photo in photos for _ in photo.tiles],
        model.card.patch.threshold,
    )


def paired(judge: Mapping[str, Judged], name: str) -> list[str]:
    """A row of a table from what one or two models found."""
    both = list(judge.values())
    return tile_rows(name, both[0], both[1] if len(both) > 1 else None)


def judge_sets(sets: Mapping[str, PatchIndex], grid: str, models: Mapping[str, Model]) -> None:
    """Judge METU, and the surfaces of SDNET2018 one by one and together."""
    print_tiles(
        "alone", (paired({own: crops_alone(index, model) for own, model in models.items()}, name)
                  for name, index in with_all(sets).items()),
    )  # fmt: skip
    maps: dict[str, dict[str, list[ScannedPhoto]]] = {}
    for name, index in sets.items():
        if name != METU:
            photos = photos_by_grid(index, grid)
            maps[name] = {own: scan_labelled(photos, model)[0] for own, model in models.items()}
    if len(maps) > 1:
        maps["all surfaces"] = {own: [one for found in maps.values() for one in found[own]] for own in models}
    print_tiles(
        "from maps", (paired({own: from_maps(found[own], model) for own, model in models.items()}, name)
                      for name, found in maps.items()),
    )  # fmt: skip


def with_all(sets: Mapping[str, PatchIndex]) -> dict[str, PatchIndex]:
    """The sets, and all surfaces together if there are several."""
    surfaces = {name: index for name, index in sets.items() if name != METU}
    return {**sets, **({"all surfaces": join_indexes(surfaces)} if len(surfaces) > 1 else {})}


def judge_elsewhere(kinds: Mapping[str, list[LabelledPhoto]], models: Mapping[str, Model]) -> None:
    """Judge photos from elsewhere: their tiles and their lines."""
    every = {**kinds, "all": [photo for photos in kinds.values() for photo in photos]}
    maps = {own: scan_labelled(every["all"], model)[0] for own, model in models.items()}
    names = {kind: {photo.name for photo in photos} for kind, photos in every.items()}
    print_tiles(
        "alone", (paired({own: crops_of_photos(photos, model) for own, model in models.items()}, kind)
                  for kind, photos in every.items()),
    )  # fmt: skip

    def mine(own: str, kind: str) -> list[ScannedPhoto]:
        return [one for one in maps[own] if one.photo.name in names[kind]]

    print_tiles(
        "from maps", (paired({own: from_maps(mine(own, kind), model) for own, model in models.items()}, kind)
                      for kind in every),
    )  # fmt: skip
    for own, model in models.items():
        if model.card.fine_map is None:
            continue
        for kind in every:
            print(f"\n{own}, {kind}: line of the fine map at threshold {model.card.fine_map.threshold:.3f}")
            print_lines([one.lines for one in mine(own, kind) if one.lines is not None], model.card.fine_map.threshold)
            print(f"{own}, {kind}: traced lines")
            print_lines([one.traced for one in mine(own, kind) if one.traced is not None])


def print_lines(lines: Sequence[PhotoLines], threshold: float | None = None) -> None:
    """Write line figures of photos; traced lines have no threshold, and no cells whose calibration can be told."""
    found = measure_lines(lines, threshold=threshold)
    for one in found.within:
        print(
            f"{len(lines)} photos, within {one.tolerance_px:g} px: F1 {one.f1.value:.3f} "
            f"[{one.f1.low:.3f}, {one.f1.high:.3f}], precision {one.precision.value:.3f}, "
            f"recall {one.recall.value:.3f}, mean of photos {one.mean_f1.value:.3f}"
        )
    if threshold is not None:
        print(f"ECE of cells {found.ece.value:.4f} [{found.ece.low:.4f}, {found.ece.high:.4f}]", flush=True)


def judge_stretches(
    sets: Mapping[str, PatchIndex], grid: str, stretches: Path, models: Mapping[str, Model], *, reserved: bool
) -> None:
    """Count regions in stretches without a crack, and traced lines that do not look like joints."""
    surfaces = {name: index for name, index in sets.items() if name != METU}
    totals: dict[tuple[str, str], np.ndarray] = {}
    for stretch in free_stretches(surfaces, grid, stretches, reserved=reserved):
        megapixels = stretch.pixels.shape[0] * stretch.pixels.shape[1] / 1e6
        for own, model in models.items():
            scale = photo_scale(model.card, stretch.photo_hw)
            trace: Trace = "found" if model.card.fine_map else None
            found = model.scan(stretch.pixels, network_scale=scale, trace=trace)
            cracks = found.counted_cracks
            for surface in (stretch.surface, "all"):
                before = totals.get((own, surface), np.zeros(5))
                length_px = sum(crack.length_px for crack in cracks)
                totals[own, surface] = before + np.array([1, megapixels, len(found.regions), len(cracks), length_px])
    print()
    for (own, surface), (n, megapixels, n_regions, n_cracks, length_px) in sorted(totals.items()):
        share = PER_MEGAPIXELS / megapixels
        print(
            f"{own}, {surface}: {int(n)} stretches of {megapixels:.0f} megapixels; {int(n_regions)} false regions, "
            f"{share * n_regions:.3f} in {PER_MEGAPIXELS}; {int(n_cracks)} cracks of {length_px:.0f} px in all, "
            f"{share * n_cracks:.3f} in {PER_MEGAPIXELS}",
            flush=True,
        )


def judge_joints(tunnel: Path, joints: Path, models: Mapping[str, Model]) -> None:
    """Tell which share of the joints' length the lines of the fine map follow, and which share is traced as cracks."""
    from scipy.spatial import KDTree

    for own, model in models.items():
        if model.card.fine_map is None:
            continue
        near = {edges: np.zeros(2) for edges in (False, True)}
        traced = {edges: list[PhotoJoints]() for edges in near}
        for image in sorted((tunnel / "images").iterdir()):
            photo = read_image(image)
            hw = photo.pixels.shape[0], photo.pixels.shape[1]
            found = model.scan(photo, network_scale=photo_scale(model.card, hw), fine=True, trace="all")
            assert found.map is not None
            line_map = line_map_of(found.map)
            assert line_map is not None
            line = np.argwhere(line_map.line(model.card.fine_map.threshold))[:, ::-1]
            for edges in near:
                points = joint_points(joints, image.name, edges=edges)
                off = KDTree(line).query(points)[0] if len(line) else np.full(len(points), np.inf)
                near[edges] += ((off <= NEAR_PX).sum(), len(points))
                if len(points):
                    paths = joint_paths(joints, image.name, edges=edges)
                    traced[edges].append(compare_joints(image.name, paths, found.cracks, hw))
        for edges, (n_near, n) in near.items():
            kind, lengths = "joints and edges" if edges else "joints", measure_joints(traced[edges])
            print(f"{own}: {n_near / n:.1%} of {n:,.0f} px of {kind} have a line of the fine map within {NEAR_PX} px")
            print(
                f"{own}: {lengths.in_cracks.value:.1%} of them are traced as cracks, {lengths.in_joint_like.value:.1%} "
                f"as joint-like; {lengths.cracks_at_joints.value:.1%} of {lengths.crack_px:,.0f} px of traced cracks "
                "lie at them",
                flush=True,
            )


def main() -> None:
    """Judge what is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--beside", help="bundle of the model before")
    for name in ("--metu", "--sdnet2018", "--grid", "--reserved"):
        parser.add_argument(name)
    parser.add_argument("--part", default="val", choices=("train", "val", "test", "reserved"))
    parser.add_argument("--leave-out", action="append", default=[])
    for name in ("--traced", "--photos", "--parts", "--stretches", "--tunnel", "--joints"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--rows", default="kept-back", choices=("kept-back", "test"))
    given = parser.parse_args()
    models = {"model": Model(read_bundle(given.bundle))}
    if given.beside:
        models["before"] = Model(read_bundle(given.beside))
    if given.sdnet2018:
        sets = sets_of(given)
        judge_sets(sets, given.grid, models)
        if given.stretches:
            judge_stretches(sets, given.grid, given.stretches, models, reserved=given.part == "reserved")
    if given.traced:
        part, only = ("test", None) if given.rows == "test" else ("train", sources_kept_back(given.parts))
        judge_elsewhere(photos_from_elsewhere(given.traced, given.photos, given.parts, part=part, only=only), models)
    if given.tunnel:
        judge_joints(given.tunnel, given.joints, models)


def sets_of(given: argparse.Namespace) -> dict[str, PatchIndex]:
    """The part of each set that is judged, or the whole set where it was left out of the training."""
    if given.part == "reserved":
        return read_reserved(given.sdnet2018, given.reserved)
    every = read_sets(given.metu, given.sdnet2018, given.reserved)
    return {name: index if name in given.leave_out else part_of(index, given.part) for name, index in every.items()}


if __name__ == "__main__":
    main()
