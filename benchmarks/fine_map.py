"""Measure what a fine map costs: a scan with and without it, and a patch with a decoder in the file.

    python benchmarks/fine_map.py [--precision int8] [--rounds 3] [--channels 16]

A decoder with random weights (`crackscope.training.torch.fine_head`) is put on the default bundle. Cells are 2 px wide.
Photos of 16 megapixels are drawn, with 0, 1 and 4 cracks, enlarged, and given grain. The runs take turns, on two
threads. The program prints, for each photo, seconds of processor time (least of the rounds), their ratio to the default
bundle, the share of the map that lies in regions, and the share of blocks that were computed. It needs the extra
`train`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial

import cv2
import numpy as np
import onnx

import crackscope
from crackscope.files.sources import as_image
from crackscope.model.bundle import Bundle, FineDecoder, read_bundle
from crackscope.model.card import FineMapCard
from crackscope.model.fine_graph import with_decoder
from crackscope.model.fine_windows import FineNetwork
from crackscope.model.graphs import make_model
from crackscope.model.quantisation import with_card
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.scanner import prepare_photo
from crackscope.training.torch.fine_head import FineHead, InnerMap
from crackscope.training.torch.translation import decoder_graph

INNER = {"trunk/7": (16, 2), "trunk/18": (24, 4), "trunk/35": (32, 8), "trunk/75": (96, 16)}
"""Maps of the blocks stem, block_2, block_5 and block_12 of the default bundle: channels, and stride in pixels."""

PHOTO_HW, DRAWN_HW = (3456, 4608), (1150, 1530)
PATCHES = 8


def with_fine_map(bundle: Bundle, channels: int) -> Bundle:
    """Give a default bundle a decoder with random weights."""
    graph = onnx.load_model_from_string(bundle.content).graph
    computed = {name for node in graph.node for name in node.output}
    rounded = {name: f"{name}_DequantizeLinear_Output" for name in INNER}
    names = [rounded[name] if rounded[name] in computed else name for name in INNER]
    head = FineHead([InnerMap(name, *of) for name, of in INNER.items()], channels=channels).eval()
    sizes = [(name, *of) for name, of in zip(names, INNER.values(), strict=True)]
    model = make_model(with_decoder(graph, FineDecoder(decoder_graph(head, sizes))))
    told = FineMapCard(stride_px=2, temperature=1.0, threshold=0.5)
    card = bundle.card.model_copy(update={"fine_map": told})
    return with_card(Bundle(model.SerializeToString(), bundle.card, bundle.name), card)


def photo_of(n_cracks: int) -> np.ndarray:
    """Draw a wall, enlarge it to 16 megapixels, and add grain."""
    drawn = crackscope.draw_photo(n_cracks, photo_hw=DRAWN_HW, n_cracks=n_cracks).pixels
    large = cv2.resize(drawn, PHOTO_HW[::-1], interpolation=cv2.INTER_LINEAR).astype(np.int16)
    grain = np.random.default_rng(n_cracks).normal(0, 4, (*PHOTO_HW, 1))
    return np.clip(large + grain, 0, 255).astype(np.uint8)


def seconds(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Least processor time of each run; the runs take turns."""
    found: dict[str, float] = dict.fromkeys(runs, np.inf)
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            found[name] = min(found[name], time.process_time() - start)
    return found


def shares(model: Model, photo: np.ndarray) -> tuple[float, float]:
    """Share of the map that lies in regions, and share of it that was computed at once."""
    found = model.scan(photo).map
    assert found is not None
    prepared = prepare_photo(as_image(photo), model.card)
    network = FineNetwork(model.bundle, model.network)
    likely = found.calibration.logit(found.calibration.threshold)
    _, fine = network.maps(prepared.pixels, likely_from=likely, reach_cells=found.footprint_cells // 2)
    return float(found.fires.mean()), float(fine.computed.mean())


def main() -> None:
    """Print sizes, and the costs of a patch and of photos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="fp32", help="precision of the default bundle, fp32 or int8")
    parser.add_argument("--rounds", type=int, default=3, help="number of runs of each kind")
    parser.add_argument("--channels", type=int, default=16, help="number of channels of the decoder")
    given = parser.parse_args()
    bundle = read_bundle(precision=given.precision)
    fine = with_fine_map(bundle, given.channels)
    print(f"{given.precision}: {len(bundle.content):,} bytes, with a decoder {len(fine.content):,}")
    plain, lines = Model(bundle, threads=2), Model(fine, threads=2)
    patches = [crackscope.draw_patch(seed).pixels for seed in range(PATCHES)]
    found = seconds(
        {"plain": partial(plain.probabilities, patches), "decoder": partial(lines.probabilities, patches)},
        10 * given.rounds,
    )
    print(f"a patch: {1e3 * found['plain'] / PATCHES:.2f} ms, ratio {found['decoder'] / found['plain']:.3f}")
    for n_cracks in (0, 1, 4):
        photo = photo_of(n_cracks)
        runs: dict[str, Callable[[], object]] = {
            "default bundle": partial(plain.scan, photo),
            "no fine map asked for": partial(lines.scan, photo),
            "fine map in regions": partial(lines.scan, photo, fine=True),
            "fine map everywhere": partial(lines.scan, photo, fine="everywhere"),
        }
        found = seconds(runs, given.rounds)
        in_regions, at_once = shares(lines, photo)
        print(f"{n_cracks} cracks: {in_regions:.1%} of the map in regions, {at_once:.1%} computed")
        for name, value in found.items():
            print(f"  {name:22} {value:6.2f} s  ratio {value / found['default bundle']:.2f}")


if __name__ == "__main__":
    main()
