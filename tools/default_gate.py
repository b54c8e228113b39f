"""Fit the gate of the default bundles anew, and tell how it does on what it was not fitted to.

    python tools/default_gate.py --metu METU --sdnet2018 SDNET2018 --grid GRID.csv --scenes SCENES.csv \
        --reserved RESERVED.csv --photos PHOTOS --traced TRACED --tunnel TUNNEL --parts PARTS.csv --pictures PICTURES \
        --work WORK [--bundle BUNDLE ...] [--test [--pictures-part PART]]

The gate rejects what is no concrete by two signs (docs/gate.md): novelty, whose plane stays as it is, and a linear
classifier of the bundle's own features, which is fitted here. Weights, calibrations and answers of the network stay.

*Concrete* is: patches of METU's and SDNET2018's parts train and val; SDNET2018's photos of these parts, laid together
and reduced to a shorter side of 900, 600, 450 and 300 px; and the rows ``train`` of PARTS.csv (photos with masks,
traced photos, photos of the traced set that nobody traced), at full, half, third and quarter size. Reserved scenes are
never read. *Something else* is the part ``fit`` of PICTURES (tools/foreign_pictures.py), at full and half size. Each
image gives crops on a grid, and the footprints in which the network sees a crack.

Five folds by source: scene, source of a photo, picture. In each fold the classifier and both limits are fitted to the
other folds, and judge whole images of this one by the package's own rules. The tables tell shares over all folds.

Each BUNDLE (both default bundles if left out) is then written with the gate fitted to all of it. With --test, nothing
is fitted: the rows ``test`` of PARTS.csv and the part ``test`` of PICTURES are judged, or with ``--pictures-part last``
its part ``last``, once, when all else is decided. Patches, drawn things and blur are judged by benchmarks/gate.py.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import pickle
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from sklearn.linear_model import LogisticRegression

from crackscope.data.class_names import LABELS
from crackscope.data.labelled_photos import photos_by_grid
from crackscope.data.patches import PatchIndex
from crackscope.files.images import Image, read_image
from crackscope.files.output import new_file
from crackscope.model.bundle import Bundle, Material, Plane, default_bundle, read_bundle
from crackscope.model.card import Card, Gate
from crackscope.model.gate import gate_crops
from crackscope.model.gate_graph import material_of, plane_of, regated
from crackscope.model.graphs import make_model
from crackscope.model.preprocessing import resize_patch
from crackscope.model.quantisation import match_gate, with_card
from crackscope.model.sessions import GateSigns, Network, open_session
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.rejection import MAX_JUDGED, footprint_pixels
from crackscope.scanning.results import verdict_of
from crackscope.scanning.scanner import PreparedPhoto, map_of, prepare_photo
from crackscope.training.gates import spread_patches
from default_sets import METU, part_of, read_sets

SIZES = {"full": 1.0, "half": 0.5, "third": 1 / 3, "quarter": 0.25}
SHORTER_PX = (900, 600, 450, 300)
LEAST_PX = 150  # shorter side of an image that is judged
N_GRID, N_PATCHES, N_PHOTOS = 8, 1500, 90
FOLDS = 5
PENALTY = 0.01  # C of the logistic regression; .001 to .1 do about the same
CRACKED_REJECTED = 0.004  # share of the cracked footprints of concrete that each limit may reject


@dataclass(frozen=True, eq=False)
class Case:
    """An image that the gate is fitted to or judged on.

    Attributes:
        kind: Where it comes from, as the tables name it.
        source: Scene, source of a photo or picture; all images of a source lie in the same fold.
        size: Size, as the tables name it.
        concrete: Whether it shows concrete.
        cracked: Whether it shows a crack; None where it is not known.
        load: Reads its pixels, RGB, uint8, shape (H, W, 3).
    """

    kind: str
    source: str
    size: str
    concrete: bool
    cracked: bool | None
    load: Callable[[], np.ndarray]

    @property
    def fold(self) -> int:
        """Number of the fold that holds the image."""
        return int(hashlib.sha256(self.source.encode()).hexdigest(), 16) % FOLDS


class StoredNetwork(Network):
    """The network of a bundle, whose maps and features are computed once; the gate comes from outside."""

    def __init__(self, bundle: Bundle, place: Path) -> None:
        super().__init__(bundle, threads=1)
        self.place, self.material = place, None
        self.plane: Plane = plane_of(onnx.load_model_from_string(bundle.content).graph)  # type: ignore[assignment]
        self.session = open_session(bundle.content)
        self.kept: dict[bytes, np.ndarray] = pickle.loads(place.read_bytes()) if place.exists() else {}
        self.saved_at = time.monotonic()

    material: Material | None

    def features(self, crop: np.ndarray) -> np.ndarray:
        """Features of a crop, shape (d,)."""
        found: np.ndarray = self._stored(crop, "features")[0]
        return found

    def signs(self, crop: np.ndarray) -> GateSigns:
        """Signs of a crop by the plane and the classifier that are set."""
        found = self.features(crop)[None]
        concrete = None if self.material is None else float(self.material.concrete(found)[0])
        return GateSigns(float(self.plane.novelty(found)[0]), concrete)

    def logit_map(self, pixels: np.ndarray, *, window_px: int | None = None) -> np.ndarray:
        """Map of an image, from the store where it is known."""
        found: np.ndarray = self._stored(pixels, "logit_map")[0, self._label]
        return found

    def _stored(self, pixels: np.ndarray, output: str) -> np.ndarray:
        key = hashlib.sha1(output.encode() + repr(pixels.shape).encode() + pixels.tobytes()).digest()
        if key not in self.kept:
            self.kept[key] = self.session.run([output], {"pixels": np.ascontiguousarray(pixels)[None]})[0]
            if time.monotonic() - self.saved_at > 120:
                self.save()
        return self.kept[key]

    def save(self) -> None:
        """Write the store, so that the next run goes on from it."""
        with new_file(self.place, overwrite=True) as part:
            part.write_bytes(pickle.dumps(dict(self.kept)))
        self.saved_at = time.monotonic()


# Images


def reduced(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Reduce an image as a mail program does."""
    return pixels if factor == 1 else cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def reduced_file(place: Path, factor: float) -> np.ndarray:
    """Read a photo and reduce it."""
    return reduced(read_image(place).pixels, factor)


def rows_of_parts(given: argparse.Namespace, part: str) -> Iterator[Case]:
    """Photos of concrete from other sources, in each size at which the shorter side is long enough."""
    folders = {
        "photos": given.photos / "images",
        "traced/real": given.traced / "real" / "images",
        "traced/unlabelled": given.traced / "unlabelled" / "images",
        "tunnel": given.tunnel / "images",
    }
    with given.parts.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == part and row["set"] in folders]
    for row in rows:
        (place,) = folders[row["set"]].glob(Path(row["file"]).stem + ".*")
        shorter = min(read_image(place).pixels.shape[:2])
        cracked = True if row["set"] in ("photos", "traced/real") else None
        for size, factor in SIZES.items():
            if round(shorter * factor) >= LEAST_PX:
                yield Case(row["set"], row["source"], size, True, cracked, partial(reduced_file, place, factor))


def pictures(given: argparse.Namespace, part: str) -> Iterator[Case]:
    """Pictures of something else than concrete, at full and half size."""
    for place in sorted((given.pictures / part).glob("*/*")):
        for size in ("full", "half"):

            def load(place: Path = place, factor: float = SIZES[size]) -> np.ndarray:
                pixels = read_image(place).pixels
                return reduced(pixels, factor * min(1.0, 1536 / max(pixels.shape[:2])))

            if min(load().shape[:2]) >= LEAST_PX:
                yield Case(place.parent.name, place.name, size, False, False, load)


def reduced_photos(given: argparse.Namespace, sdnet: PatchIndex, scenes: dict[str, str]) -> Iterator[Case]:
    """Whole photos of SDNET2018, reduced to several shorter sides."""
    photos = photos_by_grid(sdnet, given.grid)
    for photo in random.Random(0).sample(photos, min(N_PHOTOS, len(photos))):
        whole: list[np.ndarray] = []
        for shorter in SHORTER_PX:

            def load(photo: Any = photo, shorter: int = shorter, whole: list[np.ndarray] = whole) -> np.ndarray:
                if not whole:
                    pixels = photo.load()[0]
                    whole.append(reduced(pixels, SHORTER_PX[0] / min(pixels.shape[:2])))
                return reduced(whole[0], shorter / min(whole[0].shape[:2]))

            cracked = bool(photo.labels.any())
            yield Case("SDNET2018, photos", scenes[photo.name], f"{shorter} px", True, cracked, load)


def patches_of(name: str, index: PatchIndex, scenes: dict[str, str]) -> Iterator[Case]:
    """Patches, half of them cracked."""
    for patch in spread_patches(index.patches, N_PATCHES):
        source = scenes.get(patch.photo or "", patch.path)
        load = lambda path=patch.path: index.read_pixels(path)  # noqa: E731
        yield Case(name, source, "patch", True, patch.label == "crack", load)


def read_scenes(place: Path) -> dict[str, str]:
    """Scene of each photo that is not reserved."""
    with place.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {f"{row['surface']}-{row['photo']}": row["scene"] for row in rows if row["reserved"] == "0"}


def fitting_cases(given: argparse.Namespace) -> list[Case]:
    """All images that the gate is fitted to."""
    scenes = read_scenes(given.scenes)
    sets = read_sets(given.metu, given.sdnet2018, given.reserved)
    learnt = {
        name: index.select([p for p in index.patches if p.part != "test" and (name == METU or p.photo in scenes)])
        for name, index in sets.items()
    }
    found = [*rows_of_parts(given, "train"), *pictures(given, "fit")]
    found += patches_of("METU, patches", learnt[METU], scenes)
    for name, index in learnt.items():
        if name != METU:
            found += patches_of("SDNET2018, patches", index, scenes)
            found += reduced_photos(given, index, scenes)
    return found


# The gate


def ungated(card: Card) -> Card:
    """A card without its gate."""
    return card.model_copy(update={"gate": None})


def crops_of(prepared: PreparedPhoto, found: CrackMap, card: Card) -> list[tuple[np.ndarray, float]]:
    """Crops of an image on a grid, and the footprints of its regions, each with its crack probability."""
    if prepared.unit == "patch":
        return [(prepared.pixels, found.peak_probability)]
    crops = gate_crops(prepared.pixels, card)
    chosen = [crops[i] for i in np.unique(np.linspace(0, len(crops) - 1, min(N_GRID, len(crops))).round().astype(int))]
    cells = [found.likeliest_cell(cells) for cells in found.region_cells(MAX_JUDGED)] if crops else []
    seen = [footprint_pixels(found, prepared.pixels, card.patch_px, *cell) for cell in cells]
    probable = [float(found.probabilities[cell]) for cell in cells]
    return [*((crop, 0.0) for crop in chosen), *zip(seen, probable, strict=True)]


@dataclass(frozen=True, eq=False)
class Fitting:
    """Features of crops, and what is known of each crop.

    Attributes:
        features: Features, shape (n, d).
        concrete: Whether it shows concrete, shape (n,).
        probable: Crack probability of a footprint, 0 for a crop of the grid, shape (n,).
        fold: Fold of its image, shape (n,).
        kind: Kind of its image, shape (n,).
    """

    features: np.ndarray
    concrete: np.ndarray
    probable: np.ndarray
    fold: np.ndarray
    kind: np.ndarray

    def part(self, chosen: np.ndarray) -> Fitting:
        """Select some of the crops."""
        return Fitting(*(values[chosen] for values in vars(self).values()))


def gathered(cases: Sequence[Case], network: StoredNetwork, card: Card) -> Fitting:
    """Compute the features of the crops of all images."""
    rows: list[tuple[np.ndarray, bool, float, int, str]] = []
    for i, case in enumerate(cases):
        prepared = prepare_photo(Image(case.load()), card)
        found = map_of(prepared, network, ungated(card))
        for crop, probability in crops_of(prepared, found, card):
            rows.append((network.features(crop), case.concrete, probability, case.fold, case.kind))
        if i % 200 == 0:
            print(f"  {i} of {len(cases)} images, {len(rows)} crops", flush=True)
    network.save()
    features, concrete, probable, fold, kind = zip(*rows, strict=True)
    return Fitting(np.stack(features), *(np.array(one) for one in (concrete, probable, fold, kind)))


def fitted_material(crops: Fitting) -> Material:
    """Fit the classifier; each kind of image weighs the same within concrete, and within other things."""
    weights = np.zeros(len(crops.kind))
    for concrete in (True, False):
        kinds = np.unique(crops.kind[crops.concrete == concrete])
        for kind in kinds:
            mine = (crops.kind == kind) & (crops.concrete == concrete)
            weights[mine] = len(crops.kind) / (2 * len(kinds) * mine.sum())
    mean, spread = crops.features.mean(0), crops.features.std(0) + 1e-6
    fit = LogisticRegression(C=PENALTY, max_iter=3000).fit(
        (crops.features - mean) / spread, crops.concrete, sample_weight=weights
    )
    weight = fit.coef_[0] / spread
    return Material(weight.astype(np.float32), float(fit.intercept_[0] - mean @ weight))


def fitted_limits(crops: Fitting, plane: Plane) -> tuple[float, float]:
    """Choose both limits on crops that the classifier was not fitted to: least *concrete*, greatest novelty.

    Each is passed by all but `CRACKED_REJECTED` of the footprints of concrete in which the network sees a crack. Each
    kind of image weighs the same.
    """
    concrete = np.zeros(len(crops.kind))
    for fold in np.unique(crops.fold):
        mine = crops.fold == fold
        concrete[mine] = fitted_material(crops.part(~mine)).concrete(crops.features[mine])
    cracked = crops.concrete & (crops.probable >= 0.5)
    kinds = crops.kind[cracked]
    weights = np.array([1 / (len(np.unique(kinds)) * (kinds == kind).sum()) for kind in kinds])

    def beyond(values: np.ndarray) -> float:
        order = np.argsort(values)
        return float(values[order][np.searchsorted(np.cumsum(weights[order]), CRACKED_REJECTED)])

    return beyond(concrete[cracked]), -beyond(-plane.novelty(crops.features[cracked]))


def fitted(crops: Fitting, plane: Plane, gate: Gate) -> tuple[Material, Gate]:
    """Fit the classifier and both limits."""
    least, greatest = fitted_limits(crops, plane)
    return fitted_material(crops), gate.model_copy(update={"min_concrete": least, "max_novelty": greatest})


# Tables


@dataclass(frozen=True)
class Answer:
    """Verdict on an image, with the gate and without."""

    verdict: str
    ungated: str


def answers(cases: Sequence[Case], network: StoredNetwork, card: Card) -> list[Answer]:
    """Judge whole images by the package's own rules."""
    found = []
    for case in cases:
        prepared = prepare_photo(Image(case.load()), card)
        with_gate, without = (map_of(prepared, network, one) for one in (card, ungated(card)))
        found.append(Answer(verdict_of(with_gate, card), verdict_of(without, card)))
    return found


def print_table(cases: Sequence[Case], said: Sequence[Answer]) -> None:
    """Print shares of verdicts for each kind and size."""
    head = ("images", "size", "number", "rejected", "crack", "crack without gate", "unsure", "uncracked")
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    groups: dict[tuple[str, str, str], list[Answer]] = {}
    for case, one in zip(cases, said, strict=True):
        mark = "" if case.cracked is None or not case.concrete else ", cracked" if case.cracked else ", clear"
        groups.setdefault((case.kind, case.size, mark), []).append(one)
    for (kind, size, mark), mine in groups.items():
        n, counts = len(mine), Counter(one.verdict for one in mine)
        ungated_crack = sum(one.ungated == "crack" for one in mine)
        shown = (counts["rejected"], counts["crack"], ungated_crack, counts["unsure"], counts["uncracked"])
        cells = (f"{k} ({100 * k / n:.1f} %)" if n >= 30 else str(k) for k in shown)
        print(f"| {kind}{mark} | {size} | {n} | " + " | ".join(cells) + " |", flush=True)


def cross_validated(cases: Sequence[Case], crops: Fitting, network: StoredNetwork, card: Card, own: Gate) -> None:
    """Judge the images of each fold by a gate that was fitted to the other folds, and print shares over all folds."""
    judged: list[Case] = []
    said: list[Answer] = []
    for fold in range(FOLDS):
        network.material, gate = fitted(crops.part(crops.fold != fold), network.plane, own)
        mine = [case for case in cases if case.fold == fold]
        judged += mine
        said += answers(mine, network, card.model_copy(update={"gate": gate}))
    order = sorted(range(len(judged)), key=lambda i: (not judged[i].concrete, judged[i].kind))
    print_table([judged[i] for i in order], [said[i] for i in order])
    network.save()


# Bundles


def with_gate(bundle: Bundle, plane: Plane, material: Material, gate: Gate) -> Bundle:
    """Give a bundle the gate; its trunk, head and calibrations stay."""
    graph = regated(onnx.load_model_from_string(bundle.content).graph, plane, material)
    model = make_model(graph).SerializeToString(deterministic=True)
    return with_card(Bundle(model, bundle.card, bundle.name), bundle.card.model_copy(update={"gate": gate}))


def shares_of(gate: Gate, network: StoredNetwork, given: argparse.Namespace, patch_px: int) -> dict[str, float]:
    """Shares of the validation patches of each label that are not concrete to the gate, for the card."""
    foreign: dict[str, list[bool]] = {label: [] for label in LABELS}
    for index in read_sets(given.metu, given.sdnet2018, given.reserved).values():
        for patch in part_of(index, "val").patches:
            signs = network.signs(resize_patch(index.read_pixels(patch.path), patch_px=patch_px))
            foreign[patch.label].append(gate.reason(signs.novelty, 1.0, signs.concrete) is not None)
    return {f"not_concrete_{label}": float(np.mean(found)) for label, found in foreign.items()}


def val_patches(given: argparse.Namespace) -> list[np.ndarray]:
    """Patches that the limits of the int8 bundle are matched on."""
    sets = read_sets(given.metu, given.sdnet2018, given.reserved)
    chosen = [(index, patch) for index in sets.values() for patch in spread_patches(part_of(index, "val").patches, 150)]
    return [index.read_pixels(patch.path) for index, patch in chosen]


def main() -> None:
    """Fit and write the gate, or judge it on what it was not fitted to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--metu", "--sdnet2018", "--reserved"):
        parser.add_argument(name, required=True)
    for name in ("--grid", "--scenes", "--photos", "--traced", "--tunnel", "--parts", "--pictures", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--bundle", type=Path, nargs="*", help="fp32 bundle, and the int8 bundle made of it")
    parser.add_argument("--test", action="store_true", help="judge the test parts; nothing is fitted")
    parser.add_argument(
        "--pictures-part",
        choices=("test", "last"),
        default="test",
        metavar="PART",
        help="part of PICTURES that --test judges: test (the default) or last",
    )
    given = parser.parse_args()
    if given.pictures_part != "test" and not given.test:
        parser.error("--pictures-part chooses what --test judges. Add --test.")
    given.work.mkdir(parents=True, exist_ok=True)
    places = given.bundle or [default_bundle("fp32"), default_bundle("int8")]
    exact = read_bundle(places[0])
    own = exact.card.gate
    if own is None:
        parser.error(f"{places[0]} has no gate, and so no plane.")
    network = StoredNetwork(exact, given.work / f"store-{exact.card.backbone.sha256[:12]}.pkl")
    if given.test:
        graph = onnx.load_model_from_string(exact.content).graph
        network.material = material_of(graph)
        cases = [*rows_of_parts(given, "test"), *pictures(given, given.pictures_part)]
        print_table(cases, answers(cases, network, exact.card))
        return
    cases = fitting_cases(given)
    crops = gathered(cases, network, exact.card)
    cross_validated([case for case in cases if case.size != "patch"], crops, network, exact.card, own)
    material, gate = fitted(crops, network.plane, own)
    n = Counter(crops.concrete.tolist())
    told = f"{own.fitted_on}; limits of concrete: {n[True]:,} crops of concrete and {n[False]:,} of other things"
    network.material = material
    shares = shares_of(gate, network, given, exact.card.patch_px)
    gate = gate.model_copy(update={"fitted_on": told} | shares)
    bundles = [with_gate(read_bundle(place), network.plane, material, gate) for place in places]
    bundles[1:] = [match_gate(one, bundles[0], val_patches(given)) for one in bundles[1:]]
    for place, bundle in zip(places, bundles, strict=True):
        print(bundle.card.gate)
        with new_file(place, overwrite=True) as part:
            part.write_bytes(bundle.content)


if __name__ == "__main__":
    main()
