"""Train the first default bundle: MobileNetV2, every layer fine-tuned on METU and SDNET2018.

    python benchmarks/first_default.py --metu METU --sdnet2018 SDNET2018 --reserved RESERVED.csv \
        --backbone MODEL_FOLDER --work WORK --out src/crackscope/assets/default.onnx

Both folders hold the full sets; photos in RESERVED.csv (surface,photo) are never read. METU is split by similarity,
SDNET2018 by photo, seed 0, 70:15:15. A round takes 6,000 METU patches, all cracked and twice as many uncracked SDNET
patches. Killed, it goes on from the last round in WORK. At the end it prints the figures on the test parts.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

import crackscope
from crackscope.bundle import Head, compose, read_backbone, write_model
from crackscope.calibration import fit_calibration, fit_shift
from crackscope.card import Card
from crackscope.evaluation import metrics_document
from crackscope.features import extract_features
from crackscope.images import decode_photo
from crackscope.metrics import METRICS
from crackscope.patches import Patch, PatchIndex, read_patches
from crackscope.preprocessing import resize_patch
from crackscope.provenance import describe_training_data
from crackscope.similarity import fingerprints
from crackscope.splits import apply_split, split
from crackscope.streaming import chunked, ordered_map
from crackscope.training.augmentation import augment_patch
from crackscope.training.backbones import load_backbone
from crackscope.training.export import export_backbone

PATCH_PX, BATCH, ROUNDS, PEAK_RATE, WARM_UP, EMA = 160, 64, 8, 4e-4, 100, 0.998
SMOOTHING = 0.05  # SDNET2018's labels are noisy: cracks at tile edges, cracks hardly to be seen


def part_of(index: PatchIndex, part: str) -> PatchIndex:
    return index.select([patch for patch in index.patches if patch.part == part])


def a_round(metu: PatchIndex, sdnet: PatchIndex, number: int) -> list[tuple[PatchIndex, Patch]]:
    rng = np.random.default_rng([0, number])
    cracks, others = ([p for p in sdnet.patches if p.label == label] for label in ("crack", "uncracked"))
    chosen = [(metu, metu.patches[i]) for i in rng.choice(len(metu), 6000, replace=False)]
    chosen += [(sdnet, patch) for patch in cracks]
    chosen += [(sdnet, others[i]) for i in rng.choice(len(others), 2 * len(cracks), replace=False)]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def batches(metu: PatchIndex, sdnet: PatchIndex, number: int):  # yields pixels (n, H, W, 3) and targets (n,)
    def load(items: list[tuple[int, tuple[PatchIndex, Patch]]]) -> tuple[torch.Tensor, torch.Tensor]:
        images = [(i, decode_photo(index.files.read(patch.path)).pixels) for i, (index, patch) in items]
        views = [augment_patch(pixels, np.random.default_rng([1, number, i])) for i, pixels in images]
        targets = [SMOOTHING / 2 + (1 - SMOOTHING) * (patch.label == "crack") for _, (_, patch) in items]
        return torch.from_numpy(np.stack([resize_patch(view, patch_px=PATCH_PX) for view in views])), torch.tensor(
            targets, dtype=torch.float32
        )

    return ordered_map(load, chunked(enumerate(a_round(metu, sdnet, number)), BATCH), threads=2)


def train(source: str, checkpoint: Path, metu: PatchIndex, sdnet: PatchIndex) -> nn.ModuleDict:
    torch.manual_seed(0)
    backbone, card = load_backbone(source)
    network = nn.ModuleDict({"backbone": backbone, "head": nn.Linear(card.feature_dim, 1)})
    network.to(memory_format=torch.channels_last)
    mean = torch.optim.swa_utils.get_ema_multi_avg_fn(EMA)
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=mean, use_buffers=True)
    steps = ROUNDS * len(list(chunked(a_round(metu, sdnet, 0), BATCH)))
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, steps, pct_start=WARM_UP / steps)
    state = {"network": network, "average": average, "optimiser": optimiser, "schedule": schedule}
    saved = torch.load(checkpoint) if checkpoint.exists() else {"round": -1}
    for name in state.keys() & saved.keys():
        state[name].load_state_dict(saved[name])
    scale, shift = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.pixel_scale, card.pixel_shift))
    for number in range(saved["round"] + 1, ROUNDS):
        network.train()
        for step, (pixels, targets) in enumerate(batches(metu, sdnet, number)):
            planes = (pixels.permute(0, 3, 1, 2).float() * scale + shift).contiguous(memory_format=torch.channels_last)
            logits = network["head"](network["backbone"](planes).mean((2, 3)))[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(network)
            if step % 25 == 0:
                print(f"round {number + 1}/{ROUNDS} step {step} loss {loss.item():.3f}", flush=True)
        torch.save({"round": number, **{name: part.state_dict() for name, part in state.items()}}, f"{checkpoint}.part")
        Path(f"{checkpoint}.part").replace(checkpoint)
    return average.module.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--metu", "--sdnet2018", "--reserved", "--backbone", "--work", "--out"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    (work := Path(given.work)).mkdir(parents=True, exist_ok=True)
    with Path(given.reserved).open(newline="") as file:
        reserved = {f"{row['surface']}-{row['photo']}" for row in csv.DictReader(file)}
    metu, full = read_patches(given.metu), read_patches(given.sdnet2018)
    sdnet = full.select([patch for patch in full.patches if patch.photo not in reserved])
    metu, sdnet = apply_split(metu, split(metu, by="similarity")), apply_split(sdnet, split(sdnet, by="photo"))
    trained = [part_of(index, "train") for index in (metu, sdnet)]
    network = train(given.backbone, work / "checkpoint.pt", *trained)

    data = tuple(line for index in trained for line in describe_training_data(index, fingerprints(index).digests))
    own = load_backbone(given.backbone)[1].model_copy(update={"name": "mobilenet_v2"})
    write_model(export_backbone(network["backbone"], own), work / "backbone.onnx", overwrite=True)
    backbone = read_backbone(work / "backbone.onnx")
    weight, bias = (tensor.detach().numpy() for tensor in network["head"].parameters())
    validated = [part_of(index, "val") for index in (metu, sdnet)]
    features = np.concatenate([extract_features(index, backbone, patch_px=PATCH_PX).values for index in validated])
    labels = np.array([patch.label == "crack" for index in validated for patch in index.patches], np.int64)
    logits = np.asarray(features @ weight[0] + bias[0], np.float64)
    shift = fit_shift(logits, labels)  # a round holds more cracks than a photo does
    calibration = fit_calibration(logits + shift, labels, fitted_on="part val of METU and SDNET2018")
    card = Card(
        name="default",
        made_with=f"crackscope {crackscope.__version__}",
        patch_px=PATCH_PX,
        source_px=256,
        patch=calibration,
        backbone=backbone.card,
        training_data=data,
        recipe={"name": "first_default", "rounds": ROUNDS, "batch": BATCH, "peak_rate": PEAK_RATE, "ema": EMA},
        split={"metu": "similarity, seed 0, 70:15:15", "sdnet2018": "photo, seed 0, 70:15:15", "leaky": False},
    )
    head = Head(weight, np.float32(bias + shift), calibration.temperature)
    write_model(compose(backbone, head, card), given.out, overwrite=True)
    surfaces = [sdnet.select([p for p in sdnet.patches if p.dataset.endswith(surface)]) for surface in "DPW"]
    figures = {}
    for name, index in zip(("METU", "SDNET2018", "decks", "pavements", "walls"), (metu, sdnet, *surfaces), strict=True):
        found = metrics_document(crackscope.evaluate(index, crackscope.load(given.out), part="test"))
        figures[f"{name}, test"] = {key: found[key] for key in (*METRICS, "n_patches", "n_photos", "n_crack")}
    write_model(compose(backbone, head, card.model_copy(update={"figures": figures})), given.out, overwrite=True)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
