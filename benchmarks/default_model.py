"""From METU and SDNET2018 to the default bundles: train, calibrate, gate, round to int8, measure.

    python benchmarks/default_model.py --metu METU --sdnet2018 SDNET2018 --grid GRID.csv --reserved RESERVED.csv \
        --backbone MODEL_FOLDER --work WORK [--masks FOLDER] [--leave-out SET ...] [--set KEY=VALUE ...] [--test] \
        [--out FOLDER] [--round BUNDLE]

Both folders hold the full sets; photos in RESERVED.csv (surface,photo) are never read. METU is split by similarity,
SDNET2018 by photo, seed 0, 70:15:15. Killed, the same command goes on from WORK. It writes WORK/default.onnx and
WORK/default-int8.onnx, prints figures on the validation parts, by which everything was chosen, and with --test those on
the test parts, which go into the cards. --leave-out trains without METU or a surface (decks, pavements, walls), to see
how the recipe does on what it has never seen: then the whole of what was left out is judged. --masks names a folder
with images/ and masks/, photos from elsewhere that are judged and never learnt from. --out gets both bundles.
--round BUNDLE trains nothing: the int8 bundle is made of that one, and both are judged.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import crackscope
from crackscope.data.joined import join_indexes
from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid, photos_by_masks
from crackscope.data.patches import PatchIndex
from crackscope.data.similarity import fingerprints
from crackscope.data.splits import Split
from crackscope.files.output import new_file
from crackscope.files.streaming import default_threads
from crackscope.measuring.calibration import fit_shift
from crackscope.measuring.evaluation import metrics_document
from crackscope.measuring.metrics import METRICS
from crackscope.measuring.photo_calibration import fit_photo_calibration, fit_verdict, measured_verdict
from crackscope.measuring.photo_evaluation import ScannedPhoto, measure_photos, scan_labelled
from crackscope.model.bundle import Backbone, Bundle, compose, read_bundle, write_model
from crackscope.model.card import Card
from crackscope.model.graphs import graph_digest
from crackscope.model.quantisation import match_gate, match_temperature, quantise, with_card
from crackscope.scanning.scanner import Scanner
from crackscope.training.cards import calibrated_card
from crackscope.training.gates import gate_of, gated, spread_patches
from crackscope.training.torch.backbones import load_backbone
from crackscope.training.torch.export import export_backbone, torch_logits
from crackscope.training.torch.network import keep_memory
from default_training import (
    METU,
    SURFACES,
    Network,
    Settings,
    Source,
    Training,
    changed,
    new_network,
    part_of,
    read_sets,
)

TILE_PX = 256  # of SDNET2018, and of what is cut from photos with masks
TILE_MM = 60  # what a tile of SDNET2018 shows, seen at patch_px
KEPT = (*METRICS, "n_patches", "n_photos", "n_crack")
OF_PHOTOS = ("recall_at_one_false_region", "pointing_accuracy")
SHOWN = {  # by the heads of their columns
    "accuracy": "accuracy",
    "recall": "recall_crack",
    "precision": "precision_crack",
    "F1": "f1_crack",
    "AUROC": "auroc",
    "average precision": "average_precision",
    "ECE": "ece",
}
SHOWN_OF_PHOTOS = {"recall at 1 false region": OF_PHOTOS[0], "pointing": OF_PHOTOS[1]}
Figures = dict[str, dict[str, Any]]
N_ROUNDED = 600  # patches that int8 takes its ranges and its temperature from


def trained(settings: Settings, given: argparse.Namespace, learnt: PatchIndex, learns: tuple[str, ...]) -> Path:
    """The bundle of the mean of several runs' weights; they begin alike, so that their mean is a good network too."""
    states = []
    for run in range(settings.runs):
        network = new_network(settings, given.backbone).eval()
        training = Training(settings, network, given.work / f"run-{run}.pt", learns=learns)
        training.run(Source(settings, part_of(learnt, "train"), run=run))
        states.append(training.average.average)
    network.load_state_dict({name: torch.stack([one[name] for one in states]).float().mean(0) for name in states[0]})
    return bundle_of(network, settings, given, learnt)


def bundle_of(network: Network, settings: Settings, given: argparse.Namespace, learnt: PatchIndex) -> Path:
    """The fp32 bundle: calibrated on val patches and photos, with a gate."""
    own = load_backbone(given.backbone, until=settings.until or None)[1]
    model = export_backbone(network.blocks, own)
    backbone = Backbone(model.graph, own.model_copy(update={"sha256": graph_digest(model.graph)}))
    val = part_of(learnt, "val")
    logits = torch_logits(val, network.blocks, network.head, own, patch_px=settings.patch_px)
    labels = np.array([patch.label == "crack" for patch in val.patches], np.int64)
    shift = fit_shift(logits, labels)  # a step holds more cracks than a photo does
    used = learnt.select([patch for patch in learnt.patches if patch.part in ("train", "val")])
    card, _ = calibrated_card(
        used,
        fingerprints(used).digests,
        logits + shift,
        backbone=own,
        name="default",
        patch_px=settings.patch_px,
        recipe={"name": "default_model", **asdict(settings)},
        split=Split(learnt.patches, "photo"),
        n_leaks=0,
        refused=(),
        seed=settings.seed,
        pool="logsumexp",
    )
    card = card.model_copy(update={"mm_per_px": TILE_MM / settings.patch_px, "figures": {}})
    card, plane, _ = gated(card, gate_of(used, backbone, card))
    head = network.head.exported(temperature=card.patch.temperature)
    head.bias[:] += np.float32(shift)
    out = given.work / "default.onnx"
    write_model(compose(backbone, head, card, plane), out, overwrite=True)
    scanned, _ = scan_labelled(photos_by_grid(without_metu(val), given.grid), Scanner(read_bundle(out)))
    on = f"{len(scanned)} photos of SDNET2018, part val"
    photo = fit_photo_calibration(scanned, fitted_on=on)
    card = card.model_copy(update={"photo": photo, "verdict": fit_verdict(scanned, photo, fitted_on=on)})
    write_model(compose(backbone, head, card, plane), out, overwrite=True)
    return out


def without_metu(index: PatchIndex) -> PatchIndex:
    return index.select([patch for patch in index.patches if patch.dataset != "metu"])


def rounded(exact: Bundle, learnt: PatchIndex) -> Bundle:
    train, val = (
        [learnt.read_pixels(patch.path) for patch in spread_patches(part_of(learnt, part).patches, N_ROUNDED)]
        for part in ("train", "val")
    )
    return match_gate(match_temperature(quantise(exact, train), exact, val), exact, val)


def patch_figures(bundle: Bundle, sets: Mapping[str, PatchIndex], part: str | None) -> Figures:
    """Of every set alone, and of the surfaces together."""
    model, found = crackscope.load(bundle), {}
    surfaces = {name: index for name, index in sets.items() if name != METU}
    if len(surfaces) > 1:
        sets = {**sets, "sdnet2018": join_indexes(surfaces)}
    for name, index in sets.items():
        document = metrics_document(crackscope.evaluate(index, model, part=part))
        found[f"{name}, {part or 'all'}"] = {key: document[key] for key in KEPT}
    return found


def photo_figures(
    bundle: Bundle, sets: Mapping[str, list[LabelledPhoto]], part: str
) -> tuple[Figures, list[ScannedPhoto]]:
    """Of tiles, read from the maps of photos: of every set alone, and of all together; and those maps."""
    scanner, every, found = Scanner(bundle), [], {}
    for name, photos in sets.items():
        scanned, _ = scan_labelled(photos, scanner)
        every += scanned
        found |= _of_maps(scanned, scanner, f"{name}, photos, {part}")
    return found | (_of_maps(every, scanner, f"sdnet2018, photos, {part}") if len(sets) > 1 else {}), every


def judged(bundle: Bundle, sets: Mapping[str, PatchIndex], given: argparse.Namespace) -> tuple[Figures, Card]:
    """Figures of val, and with --test of test; the card, whose verdict then says how often it errs on test."""
    figures, card = patch_figures(bundle, sets, "val"), bundle.card
    figures |= photo_figures(bundle, photos_of(sets, given.grid, "val"), "val")[0]
    if given.test:
        of_photos, scanned = photo_figures(bundle, photos_of(sets, given.grid, "test"), "test")
        figures |= patch_figures(bundle, sets, "test") | of_photos
        on = f"{len(scanned)} photos of SDNET2018, part test"
        verdict = measured_verdict(card.verdict, scanned, card.photo, measured_on=on)
        card = card.model_copy(update={"verdict": verdict})
    return figures, card


def _of_maps(scanned: list[ScannedPhoto], scanner: Scanner, name: str) -> Figures:
    found = measure_photos(scanned, scanner, dataset=name)
    document = metrics_document(found.tiles) | found.figures.document()
    return {name: {key: document[key] for key in (*KEPT, *OF_PHOTOS)}}


def photos_of(sets: Mapping[str, PatchIndex], grid: str, part: str | None) -> dict[str, list[LabelledPhoto]]:
    """The surfaces' photos, laid together from their tiles."""
    parts = {name: index if part is None else part_of(index, part) for name, index in sets.items() if name != METU}
    return {name: photos_by_grid(index, grid) for name, index in parts.items()}


def print_figures(figures: Figures, title: str) -> None:
    """A table of what was judged alone, and one of what was read from maps."""
    of_photos = {name: found for name, found in figures.items() if OF_PHOTOS[0] in found}
    alone = {name: found for name, found in figures.items() if name not in of_photos}
    for rows, columns in ((alone, SHOWN), (of_photos, SHOWN | SHOWN_OF_PHOTOS)):
        print(f"\n| {title} | patches (cracked) | " + " | ".join(columns) + " |")
        print("| --- " * (2 + len(columns)) + "|")
        for name, found in rows.items():
            cells = [shown(found[key]) for key in columns.values()]
            print(f"| {name} | {found['n_patches']:,} ({found['n_crack']:,}) | " + " | ".join(cells) + " |", flush=True)


def shown(figure: dict[str, float | None]) -> str:
    """A figure with its interval; not all are defined where there is one label only."""
    value, low, high = ("n/a" if figure[end] is None else f"{figure[end]:.4f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--metu", "--sdnet2018", "--grid", "--reserved", "--backbone"):
        parser.add_argument(name, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--masks", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--leave-out", action="append", default=[], choices=["metu", *SURFACES])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--test", action="store_true", help="judge the test parts")
    parser.add_argument("--out", type=Path, help="folder for both bundles")
    parser.add_argument("--round", type=Path, help="a bundle in fp32 to make the int8 one of, in place of training")
    given = parser.parse_args()
    settings = changed(Settings(), given.set)
    given.work.mkdir(parents=True, exist_ok=True)
    keep_memory()
    torch.set_num_threads(default_threads())
    every = read_sets(given.metu, given.sdnet2018, given.reserved)
    sets = {name: index for name, index in every.items() if name not in given.leave_out}
    learnt = join_indexes(sets)
    exact = read_bundle(given.round or trained(settings, given, learnt, tuple(sets)))
    for precision, bundle in (("fp32", exact), ("int8", rounded(exact, learnt))):
        figures, card = judged(bundle, sets, given)
        for name in given.leave_out:
            whole = every[name].select([replace(patch, part=None) for patch in every[name].patches])
            figures |= patch_figures(bundle, {name: whole}, None)
            figures |= photo_figures(bundle, photos_of({name: whole}, given.grid, None), "all")[0]
        if given.masks:
            elsewhere = photos_by_masks(given.masks / "images", given.masks / "masks", tile_px=TILE_PX)
            figures |= photo_figures(bundle, {"elsewhere": elsewhere}, "all")[0]
        print_figures(figures, f"{precision}, {len(bundle.content) / 1e6:.2f} MB")
        bundle = with_card(bundle, card.model_copy(update={"figures": figures}))
        name = "default.onnx" if precision == "fp32" else f"default-{precision}.onnx"
        for folder in filter(None, () if precision == "fp32" and given.round else (given.work, given.out)):
            with new_file(folder / name, overwrite=True) as place:
                place.write_bytes(bundle.content)


if __name__ == "__main__":
    main()
