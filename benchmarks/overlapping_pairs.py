"""Pairs of SDNET2018's photos that show the same concrete, and their traced cracks; for benchmarks that need both."""

from __future__ import annotations

import argparse
import csv
import pickle
from pathlib import Path

import numpy as np

import crackscope
from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid
from crackscope.measuring.transfer_sets import read_photo_list

LEAST_OVERLAP = 0.4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that all benchmarks on pairs of photos take."""
    parser.add_argument("sdnet2018")
    for name in ("--grid", "--pairs", "--reserved"):
        parser.add_argument(name, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--most", type=int, help="number of pairs, spread over the list; all if left out")


def pairs_of(given: argparse.Namespace) -> list[tuple[LabelledPhoto, LabelledPhoto]]:
    """The pairs that are judged: without a reserved photo, and with enough overlap."""
    reserved = read_photo_list(given.reserved)
    photos = {photo.name: photo for photo in photos_by_grid(given.sdnet2018, given.grid)}
    found = []
    for row in csv.DictReader(Path(given.pairs).read_text(encoding="utf-8").splitlines()):
        names = [f"{row['surface']}-{row[key]}" for key in ("photo_a", "photo_b")]
        if float(row["overlap_share_of_a"]) >= LEAST_OVERLAP and not reserved.intersection(names):
            found.append((photos[names[0]], photos[names[1]]))
    return found[:: max(1, len(found) // given.most)] if given.most else found


def traced(photo: LabelledPhoto, pixels: np.ndarray, model: crackscope.Model, work: Path) -> crackscope.Tracing:
    """Trace a photo, or read how it was traced before."""
    place = work / f"{model.sha256[:12]}-{photo.name}.pkl"
    if not place.exists():
        place.write_bytes(pickle.dumps(model.trace(pixels)))
    tracing: crackscope.Tracing = pickle.loads(place.read_bytes())
    return tracing
