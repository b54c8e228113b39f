"""Make the default bundles from METU and SDNET2018: train, calibrate, fit the gate, round to int8, measure.

    python tools/default_model.py --metu METU --sdnet2018 SDNET2018 --grid GRID.csv --reserved RESERVED.csv \
        --backbone MODEL_FOLDER --work WORK [--traced TRACED --parts PARTS.csv [--photos FOLDER]] [--second] \
        [--stretches STRETCHES.csv] \
        [--masks FOLDER] [--leave-out SET ...] [--set KEY=VALUE ...] [--test] [--out FOLDER] [--round BUNDLE]

Both folders hold the full sets; photos in RESERVED.csv (surface,photo) are never read. METU is split by similarity,
SDNET2018 by scene, with seed 0 and 70:15:15. If the program is killed, the same command goes on from WORK. It writes
WORK/default.onnx and WORK/default-int8.onnx, and prints figures on the validation parts, on which everything was
chosen. With --test it also prints figures on the test parts, which go into the cards.

The fine map is learnt from crops with traced lines: TRACED holds real/, drawn/ and styled/ with images/ and masks/, and
FOLDER photos/ with the same. PARTS.csv (set,file,source,part) says which of their photos may be learnt (`train`). Every
fourth source of these is kept back: temperature and threshold of the fine map are fitted on it. Half-way the network
teaches itself (`default_teacher.py`): from then on it also learns the lines that it found in TRACED/unlabelled, and its
own doubts about labels. --second trains by the recipe of the second default model instead, which has no fine map.

With STRETCHES.csv (docs/development/sdnet2018_stretches.csv), what a region must reach is chosen on validation photos
without a crack (`default_regions.py`), and a photo is *crack* if it has a region.

--leave-out trains without METU or a surface (decks, pavements, walls), and judges all of the set that was left out.
This shows how the recipe does on a set that it has never seen. --masks names a folder with images/ and masks/ of photos
from other sites, which are judged and never trained on. --out gets both bundles. --round BUNDLE trains nothing: the
int8 bundle is made from this bundle, and both are judged.

This program differs from `crackscope train`. A recipe trains on one index, epoch by epoch, and ends with a run folder.
Here a step mixes patches and crops of several sets in fixed shares (`default_source.py`), and the weights of several
runs are averaged. The bundle is calibrated for patches and for photos, and then gets its gate, its verdict, its fine
map and its int8 form. Settings are read and checked like those of recipes. Network, export, card and gate are those of
the package.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch

from crackscope.data.joined import join_indexes
from crackscope.data.labelled_photos import photos_by_grid, photos_by_masks
from crackscope.data.patches import PatchIndex
from crackscope.data.similarity import fingerprints
from crackscope.data.splits import Split
from crackscope.files.output import new_file
from crackscope.files.streaming import default_threads
from crackscope.measuring.calibration import fit_shift
from crackscope.measuring.photo_calibration import fit_photo_calibration, fit_verdict, measured_verdict
from crackscope.measuring.scanned_photos import scan_labelled
from crackscope.model.bundle import Backbone, Bundle, FineDecoder, compose, read_bundle, write_model
from crackscope.model.card import Card
from crackscope.model.graphs import Head, graph_digest
from crackscope.model.quantisation import match_fine_map, match_gate, match_temperature, quantise, with_card
from crackscope.scanning.loaded_model import Model
from crackscope.training.cards import calibrated_card
from crackscope.training.gates import gate_of, gated, spread_patches
from crackscope.training.memory import keep_memory
from crackscope.training.recipes import changed
from crackscope.training.torch.backbones import load_backbone
from crackscope.training.torch.export import export_backbone, torch_logits
from crackscope.training.torch.fine_head import DEFAULT_BLOCKS
from default_figures import Figures, patch_figures, photo_figures, photos_of, print_figures
from default_lines import with_lines
from default_network import Network, new_network
from default_regions import with_sure_regions
from default_sets import METU, SURFACES, part_of, read_sets
from default_settings import SECOND, Settings
from default_source import Material, Source, Taught
from default_teacher import teach, untraced
from default_training import Training
from line_material import TracedPhoto, learnt_pictures, read_traced, sources_kept_back
from tile_material import FreeGround, LabelledSquares

TILE_PX = 256  # side of the tiles of SDNET2018, and of tiles cut from photos with masks
TILE_MM = 60  # side in millimetres of the surface that a tile of SDNET2018 shows, seen at patch_px
N_ROUNDED = 600  # number of patches that ranges and temperature of the int8 bundle are taken from


def trained(settings: Settings, given: argparse.Namespace, learnt: PatchIndex, learns: tuple[str, ...]) -> Path:
    """Average the weights of several runs. They start from the same weights, so the mean is a good network, too."""
    states = []
    for run in range(settings.runs):
        network = new_network(settings, given.backbone).eval()
        training = Training(settings, network, given.work / f"run-{run}.pt", learns=learns)
        source = Source(settings, part_of(learnt, "train"), material_of(settings, given, learnt), run=run)
        if settings.teaches:
            training.run(source, until=settings.taught_from)
            source.taught = told_by(training, given, learnt, given.work / f"taught-{run}")
        training.run(source)
        states.append(training.average.average)
    network.load_state_dict({name: torch.stack([one[name] for one in states]).float().mean(0) for name in states[0]})
    return bundle_of(network, settings, given, learnt)


def told_by(training: Training, given: argparse.Namespace, learnt: PatchIndex, folder: Path) -> Taught:
    """Let the half trained network tell about tiles and untraced photos; read it where it told before."""
    settings = training.settings
    if training.n_steps > settings.taught_from and not folder.exists():
        raise SystemExit(f"{folder} is gone, which the training needs to go on. Give another --work.")
    images = untraced(given.traced, given.parts, without=sources_kept_back(given.parts)) if settings.n_taught else []
    card = load_backbone(given.backbone, until=settings.until)[1]
    with training.average.applied():
        return teach(training.network, card, settings, part_of(without_metu(learnt), "train"), images, folder)


def material_of(settings: Settings, given: argparse.Namespace, learnt: PatchIndex) -> Material | None:
    """What crops are cut from; None where the settings want none. Every fourth source is kept back."""
    if not settings.n_crops and not settings.n_squares:
        return None
    kept_back = sources_kept_back(given.parts) if settings.n_crops else ()

    def read(folder: Path, *kinds: str) -> list[list[TracedPhoto]]:
        if not settings.n_crops:
            return []
        return [read_traced(folder, [kind], given.parts, part="train", without=kept_back) for kind in kinds]

    real = read(given.traced, "real") + (read(given.photos, "photos") if given.photos else [])
    tiles = part_of(without_metu(learnt), "train")
    squares = [LabelledSquares(surface, Path(given.grid)) for surface in by_surface(tiles).values()]
    return Material(real, read(given.traced, "drawn", "styled"), FreeGround(tiles, Path(given.grid)), squares)


def kept_back(given: argparse.Namespace) -> list[TracedPhoto]:
    """Traced photos of the sources that are kept back."""
    only = sources_kept_back(given.parts)
    places = [(given.traced, "real"), *([(given.photos, "photos")] if given.photos else [])]
    return [
        photo for folder, kind in places for photo in read_traced(folder, [kind], given.parts, part="train", only=only)
    ]


def calibrated(
    network: Network, settings: Settings, backbone_place: str, learnt: PatchIndex, *, by: str = "scene"
) -> tuple[Backbone, Head, Card]:
    """Calibrate the network for patches, on those of val; SDNET2018 is split by `by`."""
    own = load_backbone(backbone_place, until=settings.until)[1]
    model = export_backbone(network.blocks, own, inner=DEFAULT_BLOCKS if network.fine is not None else ())
    backbone = Backbone(model.graph, own.model_copy(update={"sha256": graph_digest(model.graph)}))
    val = part_of(learnt, "val")
    logits = torch_logits(val, network.blocks, network.head, own, patch_px=settings.patch_px)
    labels = np.array([patch.label == "crack" for patch in val.patches], np.int64)
    shift = fit_shift(logits, labels)  # a training step holds a greater share of cracks than a photo
    used = learnt.select([patch for patch in learnt.patches if patch.part in ("train", "val")])
    card, _ = calibrated_card(
        used,
        fingerprints(used).digests,
        logits + shift,
        backbone=own,
        name="default",
        patch_px=settings.patch_px,
        recipe=settings.model_dump(mode="json"),
        split=Split(learnt.patches, by),
        n_leaks=0,
        refused=(),
        seed=settings.seed,
        pool="logsumexp",
    )
    card = card.model_copy(update={"mm_per_px": TILE_MM / settings.patch_px, "figures": {}})
    head = network.head.exported(temperature=card.patch.temperature)
    head.bias[:] += np.float32(shift)
    return backbone, head, card


def bundle_of(network: Network, settings: Settings, given: argparse.Namespace, learnt: PatchIndex) -> Path:
    """Make the fp32 bundle: calibrated on patches and photos of val, with a gate."""
    backbone, head, card = calibrated(network, settings, given.backbone, learnt)
    val, used = part_of(learnt, "val"), learnt.select([p for p in learnt.patches if p.part in ("train", "val")])
    card, plane, _ = gated(card, gate_of(used, backbone, card))
    out: Path = given.work / "default.onnx"
    write_model(compose(backbone, head, card, plane), out, overwrite=True)
    scanned, _ = scan_labelled(photos_by_grid(without_metu(val), given.grid), Model(read_bundle(out)))
    on = f"{len(scanned)} photos of SDNET2018, part val"
    photo = fit_photo_calibration(scanned, fitted_on=on)
    verdict = fit_verdict(scanned, photo, fitted_on=on)
    if given.stretches:
        write_model(compose(backbone, head, card.model_copy(update={"photo": photo}), plane), out, overwrite=True)
        surfaces = by_surface(without_metu(val))
        photo = with_sure_regions(photo, Model(read_bundle(out)), surfaces, given.grid, given.stretches)
        crack_from = max(verdict.threshold, photo.region_from or 0.0)
        verdict = measured_verdict(verdict.model_copy(update={"threshold": crack_from}), scanned, photo, measured_on=on)
    card = card.model_copy(update={"photo": photo, "verdict": verdict})

    def make(card: Card, decoder: FineDecoder | None) -> onnx.ModelProto:
        return compose(backbone, head, card, plane, decoder=decoder)

    if settings.n_crops:
        learnt_untraced = untraced(given.traced, given.parts, without=sources_kept_back(given.parts))
        pictures = learnt_pictures(
            given.traced, given.photos, given.parts, learnt_untraced if settings.n_taught and settings.teaches else []
        )
        card = card.model_copy(update={"training_data": (*card.training_data, *pictures)})
    photos = kept_back(given) if network.fine is not None else []
    write_model(with_lines(network, backbone, make, card, photos), out, overwrite=True)
    return out


def without_metu(index: PatchIndex) -> PatchIndex:
    """Select the surfaces of SDNET2018, whose photos are known."""
    return index.select([patch for patch in index.patches if patch.dataset != METU])


def by_surface(index: PatchIndex) -> dict[str, PatchIndex]:
    """Part an index of SDNET2018 into its surfaces."""
    names = sorted({patch.dataset or "" for patch in index.patches})
    return {name: index.select([patch for patch in index.patches if patch.dataset == name]) for name in names}


def rounded(exact: Bundle, learnt: PatchIndex) -> Bundle:
    """Make the int8 bundle: its ranges are taken from train, its temperature and gate are fitted on val."""
    train, val = (
        [learnt.read_pixels(patch.path) for patch in spread_patches(part_of(learnt, part).patches, N_ROUNDED)]
        for part in ("train", "val")
    )
    return match_fine_map(match_gate(match_temperature(quantise(exact, train), exact, val), exact, val), exact, val)


def judged(bundle: Bundle, sets: Mapping[str, PatchIndex], given: argparse.Namespace) -> tuple[Figures, Card]:
    """Measure figures on val, and with --test on test; the card's verdict then states its error rates on test."""
    figures, card = patch_figures(bundle, sets, "val"), bundle.card
    figures |= photo_figures(bundle, photos_of(sets, given.grid, "val"), "val")[0]
    if given.test:
        of_photos, scanned = photo_figures(bundle, photos_of(sets, given.grid, "test"), "test")
        figures |= patch_figures(bundle, sets, "test") | of_photos
        on = f"{len(scanned)} photos of SDNET2018, part test"
        assert card.verdict is not None
        assert card.photo is not None
        verdict = measured_verdict(card.verdict, scanned, card.photo, measured_on=on)
        card = card.model_copy(update={"verdict": verdict})
    return figures, card


def main() -> None:
    """Train or read the fp32 bundle, round it, and judge and write both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--metu", "--sdnet2018", "--grid", "--reserved", "--backbone"):
        parser.add_argument(name, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--masks", type=Path, help="folder with images/ and masks/, judged and never trained on")
    parser.add_argument("--traced", type=Path, help="the traced set: folder with real/, drawn/ and styled/")
    parser.add_argument("--photos", type=Path, help="folder with photos/images and photos/masks")
    parser.add_argument("--parts", type=Path, help="CSV with the part of each traced photo")
    parser.add_argument("--stretches", type=Path, help="CSV of stretches without a crack, by which regions are chosen")
    parser.add_argument("--leave-out", action="append", default=[], choices=[METU, *SURFACES])
    parser.add_argument("--second", action="store_true", help="train by the recipe of the second default model")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--test", action="store_true", help="judge the test parts")
    parser.add_argument("--out", type=Path, help="folder for both bundles")
    parser.add_argument("--round", type=Path, help="fp32 bundle that the int8 bundle is made from; nothing is trained")
    given = parser.parse_args()
    settings = changed(Settings(), [*(SECOND if given.second else ()), *given.set])
    if settings.n_crops and not (given.traced and given.parts) and not given.round:
        parser.error("crops need --traced and --parts; or --set n_real=0 and so on for a model without a fine map")
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
