"""Write one bundle of this folder, and what it answers, by the code that PYTHONPATH points at: any version's.

    git worktree add --detach ../old COMMIT
    PYTHONPATH=../old/src python tests/bundles/make_bundle.py COMMIT-WORD [--int8]

The card says all that its version could say: what was seen, photo calibration, verdict, pool and gate are filled in
where the version knows them.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).parent
CHANNELS = (3, 4, 4, 4, 4, 8)
INNER = ("r1", "r0")  # inner maps of strides 4 and 2
CHAPTERS = ("", "model.", "scanning.", "data.")


def module(name: str) -> Any:
    """A module of ours, in whatever chapter this version keeps it."""
    for chapter in CHAPTERS:
        try:
            return importlib.import_module(f"crackscope.{chapter}{name}")
        except ModuleNotFoundError as error:
            if not f"crackscope.{chapter}{name}".startswith(str(error.name)):
                raise
    return None


def read_images(kind: str) -> list[Any]:
    """Pixels, RGB, of the drawn images that lie beside."""
    files = sorted((FOLDER / "images").glob(f"{kind}*.png"))
    return [cv2.cvtColor(np.asarray(cv2.imread(str(file))), cv2.COLOR_BGR2RGB) for file in files]


def trunk(also: tuple[str, ...] = ()) -> onnx.GraphProto:
    """Five stride-2 convolutions with fixed (0, 1) padding and random weights: 8 features at stride 32.

    A decoder takes the inner maps that are named.
    """
    rng = np.random.default_rng(0)
    nodes, constants, source = [], [], "x"
    for i, (inner, outer) in enumerate(itertools.pairwise(CHANNELS)):
        weight = rng.normal(0, (2 / (9 * inner)) ** 0.5, (outer, inner, 3, 3)).astype(np.float32)
        bias = rng.normal(0, 0.1, outer).astype(np.float32)
        constants += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        conv = helper.make_node("Conv", [source, f"w{i}", f"b{i}"], [f"c{i}"], strides=[2, 2], pads=[0, 0, 1, 1])
        nodes += [conv, helper.make_node("Relu", [f"c{i}"], [f"r{i}"])]
        source = f"r{i}"
    value = helper.make_tensor_value_info
    inputs = [value("x", TensorProto.FLOAT, ["n", 3, "H", "W"])]
    outputs = [value(name, TensorProto.FLOAT, ["n", "d", "h", "w"]) for name in (source, *also)]
    return helper.make_graph(nodes, "tiny", inputs, outputs, initializer=constants)


def training_data() -> Any:
    """What is said of training on the drawn patches, had the first two been of a published set."""
    patches = module("patches")
    files = sorted((FOLDER / "images").glob("patch*.png"))
    described = [
        patches.Patch(file.name, ("crack", "uncracked")[i % 2], f"D-{i}", "train", "sdnet2018-D" if i < 2 else "folder")
        for i, file in enumerate(files)
    ]
    archives = module("archives") or importlib.import_module("crackscope.files.archives")
    index = patches.PatchIndex("walls", tuple(described), archives.open_files(FOLDER / "images"))
    digests = [patches.content_digest(file.read_bytes()) for file in files]
    return module("provenance").describe_training_data(index, digests)


def make_card() -> Any:
    """All that this version's card can say."""
    card = module("card")
    knows = card.Card.model_fields
    fields: dict[str, Any] = {}
    calibration = {"temperature": 2.0, "threshold": 0.72, "unsure_low": 0.67, "unsure_high": 0.72}
    if "seen" in card.TrainingData.model_fields:
        fields["training_data"] = training_data()
    if "verdict" in knows:
        fields["photo"] = card.Calibration(temperature=1.5, threshold=0.5, unsure_low=0.45, unsure_high=0.55, shift=0.2)
        verdict: dict[str, Any] = {
            "threshold": 0.6,
            "unsure_low": 0.4,
            "stretch_px": 256,
            "n_clean": 9,
            "false_alarm_rate": 0.1,
        }
        if "measured_on" in card.Verdict.model_fields:
            verdict["measured_on"] = "walls, test"
        fields["verdict"] = card.Verdict(**verdict, n_cracked=9, missed_rate=0.1)
    if hasattr(card, "Pool"):
        fields["pool"] = "logsumexp"
    if "gate" in knows:
        shares = ("not_concrete_crack", "not_concrete_uncracked", "blurred_crack", "blurred_uncracked")
        limits = {"max_novelty": 2.67, "min_clarity": 0.45, "rank": 2, "n_crack": 300, "n_uncracked": 300}
        fields["gate"] = card.Gate(**limits, **dict.fromkeys(shares, 0.01))
    if "fine_map" in knows:
        fields["fine_map"] = card.FineMapCard(stride_px=2, temperature=1.5, threshold=0.5)
    made_with = f"crackscope {importlib.import_module('crackscope').__version__}"
    patch = card.Calibration(**calibration)
    return card.Card(
        **{"name": "tiny", "made_with": made_with, "patch_px": 64, "source_px": 100, "patch": patch},
        backbone=backbone_card(),
        **fields,
    )


def backbone_card() -> Any:
    scale, shift = (2 / 255,) * 3, (-1.0,) * 3
    name = {"name": "tiny", "origin": "random numbers"}
    return module("card").BackboneCard(**name, feature_dim=CHANNELS[-1], pixel_scale=scale, pixel_shift=shift)


def decoder() -> Any:
    """A decoder of a fine map: the maps of strides 4 and 2, brought to one channel, repeated and summed."""
    rng = np.random.default_rng(2)
    nodes, constants = [], [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")]
    for name in INNER:
        weight = rng.normal(0, 0.5, (1, 4, 3, 3)).astype(np.float32)
        constants.append(numpy_helper.from_array(weight, f"weight {name}"))
        nodes.append(
            helper.make_node("Conv", [f"trunk/{name}", f"weight {name}"], [f"lateral {name}"], pads=[1, 1, 1, 1])
        )
    rule = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes.append(helper.make_node("Resize", ["lateral r1", "", "scales"], ["repeated"], **rule))
    nodes.append(helper.make_node("Add", ["repeated", "lateral r0"], ["logits"]))
    value = helper.make_tensor_value_info
    inputs = [value(f"trunk/{name}", TensorProto.FLOAT, ["n", 4, "h", "w"]) for name in INNER]
    outputs = [value("logits", TensorProto.FLOAT, ["n", 1, "h", "w"])]
    graph = helper.make_graph(nodes, "decoder", inputs, outputs, initializer=constants)
    return module("bundle").FineDecoder(graph, 1.5)


def make_bundle(path: Path, *, int8: bool) -> None:
    """Compose and write it as this version does."""
    bundle, card = module("bundle"), make_card()
    fine = {"decoder": decoder()} if getattr(card, "fine_map", None) else {}
    with tempfile.TemporaryDirectory() as folder:
        backbone_file = Path(folder) / "backbone.onnx"
        bundle.write_model(bundle.make_backbone(trunk(INNER if fine else ()), backbone_card()), backbone_file)
        backbone = bundle.read_backbone(backbone_file)
    rng = np.random.default_rng(1)
    weight = rng.normal(0, 8, (1, CHANNELS[-1])).astype(np.float32)
    head = bundle.Head(weight, np.array([-0.8], np.float32), temperature=2.0)
    planes = []
    if getattr(card, "gate", None):
        axes = np.linalg.qr(rng.normal(0, 1, (CHANNELS[-1], 2)))[0].T.astype(np.float32)
        planes = [module("graphs").Plane(np.full(CHANNELS[-1], 0.2, np.float32), axes, 0.05)]
    path.unlink(missing_ok=True)
    bundle.write_model(bundle.compose(backbone, head, card, *planes, **fine), path)
    if int8:
        rounded = module("quantisation").quantise(bundle.read_bundle(path), read_images("patch"))
        path.write_bytes(rounded.content)


def answers_of(path: Path) -> dict[str, Any]:
    """What this version says of the drawn images by that bundle."""
    model = (module("loaded_model") or module("prediction")).load(path, threads=1)
    said = [model.classify(pixels) for pixels in read_images("patch")]
    patches = [
        {"label": one.label, "crack_probability": one.crack_probability, "reason": getattr(one, "reason", None)}
        for one in said
    ]
    return {"patches": patches} | _photo_answers(path, model, read_images("photo")[0])


def _photo_answers(path: Path, model: Any, pixels: Any) -> dict[str, Any]:
    """Verdict, peak and map of a photo that the network sees in its own size; nothing of a version that scans none."""
    fine = None
    if hasattr(model, "scan"):
        result = model.scan(pixels, network_scale=1.0)
        verdict, found = result.verdict, result.map
        if getattr(model.card, "fine_map", None):
            fine = model.scan(pixels, network_scale=1.0, fine="everywhere").map.fine.probability
    elif scanning := module("scanner") or module("scanning"):
        if not hasattr(scanning, "Scanner"):
            return {}
        scanner = scanning.Scanner(path, threads=1)
        found = scanner.scan(pixels, scale=1.0)
        verdict = scanner.label_of(found)
    else:
        return {}
    logits = [[round(float(value), 6) for value in row] for row in found.logits]
    answers = {"verdict": verdict, "peak_probability": found.peak_probability, "logits": logits}
    if fine is not None:
        answers["fine"] = [[round(float(value), 4) for value in row] for row in fine[::8, ::8]]
    return {"photo": answers}


if __name__ == "__main__":
    place = FOLDER / f"{sys.argv[1]}.onnx"
    make_bundle(place, int8="--int8" in sys.argv)
    place.with_suffix(".json").write_text(json.dumps(answers_of(place)) + "\n")
