"""Compare `crackscope train` with the original training in Keras, for one recipe on the same patches.

    pip install tensorflow-cpu          # for the Keras side only
    python benchmarks/training.py [DATA] --backbone MODEL_FOLDER [--case frozen|top10|full] [--patches 4000]
        [--rounds 1] [--rates 1] [--keras-python PYTHON]

DATA is METU's folder with Positive/ and Negative/, or other labelled patches; if it is left out, patches are drawn. A
seeded subset with as many patches of each label is copied into class folders below train/, val/ and test/. The parts
are random, 72:8:20 as published, and both programs read them. Both start from the ImageNet weights in MODEL_FOLDER
(google/mobilenet_v2_1.0_224 as on the hub). Keras' feature map of one image is checked against PyTorch's. All cases run
without augmentation and early stopping, and BatchNorm uses its stored statistics:

    frozen   160 px, batch 16: frozen backbone, softmax, Adam 1e-4, 10 epochs
    top10    256 px, batch 128: frozen backbone, dropout 0.2, sigmoid, Adam 1e-5, 15 epochs, then base.layers[144:],
             the last ten, are trained too, RMSprop 1e-5, 10 epochs
    full     160 px, batch 32: every layer, softmax, Adam 1e-4, 2 epochs

A subset takes so few steps that a head at a rate of 1e-5 learns nothing. --rates 20 multiplies all learning rates by
20, for both programs. With a twentieth of the patches, rate times steps is then the same as on all of METU.

The programs take turns, each in a new process, on all cores that it is given (`taskset -c 0,1 python ...` holds for
both), from image files to the model on disk.

- crackscope is timed from process start to exit, with imports, conversion of the backbone, leak checks and figures on
  test. Nothing was cached before. It fine-tunes in bfloat16 if the recipe asks for it and the processor can, and keeps
  the best epoch.
- Keras trains in float32 with image_dataset_from_directory and fit, and validates after each epoch. It is timed from
  reading the folder to the saved model. Interpreter start, imports, building the backbone, loading its weights and
  predictions on test are not counted. The autotune thread of tf.data is off, which favours Keras: with TensorFlow 2.21
  it often delays the end of a fit by seconds, and reads no faster.

The program prints the median seconds of both, their ratio, and the median accuracy of each on test with its 95 %
interval (`crackscope.measuring.metrics.measure`, patches resampled). Keras uses a threshold of 0.5, crackscope its
threshold from val. The rounds differ only in the seed of the training.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SHARES = {"train": 0.72, "val": 0.08, "test": 0.2}
FOLDERS = {"uncracked": "Negative", "crack": "Positive"}  # in the order of their index, in Keras too: alphabetical


class Phase(NamedTuple):
    """One call of ``fit``. It trains the layers of the backbone from ``first_trained`` on, or none if it is None."""

    name: str
    epochs: int
    optimiser: str
    rate: float
    first_trained: int | None


class Case(NamedTuple):
    """Settings of the training in both programs; the head is a dropout and a sigmoid, or a softmax."""

    recipe: str
    patch_px: int
    batch: int
    sigmoid: bool
    phases: list[Phase]


FROZEN = [Phase("frozen", 10, "Adam", 1e-4, None)]
TOP10 = [Phase("frozen", 15, "Adam", 1e-5, None), Phase("finetuning", 10, "RMSprop", 1e-5, 144)]
FULL = [Phase("finetuning", 2, "Adam", 1e-4, 0)]
CASES = {
    "frozen": Case("mobilenetv2-frozen", 160, 16, False, FROZEN),
    "top10": Case("mobilenetv2-top10", 256, 128, True, TOP10),
    "full": Case("mobilenetv2-full", 160, 32, False, FULL),
}


def keras_training(
    case: Case, *, folder: str, backbone: str, feature_map: str, epochs: int | None, rates: float, seed: int
) -> dict[str, Any]:
    """Train in this process, by a Python that has TensorFlow and may lack crackscope."""
    import tensorflow as tf

    keras = tf.keras
    keras.utils.set_random_seed(seed)
    side = (case.patch_px, case.patch_px)
    base = keras.applications.MobileNetV2((*side, 3), include_top=False, weights=None)
    load_weights(base, Path(backbone) / "model.safetensors")
    known = np.load(feature_map)
    found = base(known["normalised"], training=False).numpy()
    np.testing.assert_allclose(found, known["feature_map"], rtol=1e-3, atol=1e-4)

    def images(part: str, *, shuffle: bool = True) -> tf.data.Dataset:
        options = {"label_mode": "binary" if case.sigmoid else "int", "image_size": side, "batch_size": case.batch}
        patches = keras.utils.image_dataset_from_directory(Path(folder) / part, shuffle=shuffle, **options)
        quick = tf.data.Options()
        quick.autotune.enabled = False  # its thread misses wake-ups, which delays the end of a fit by seconds
        return patches.prefetch(tf.data.AUTOTUNE).with_options(quick)

    norms = [layer for layer in base.layers if isinstance(layer, keras.layers.BatchNormalization)]
    stored = [norm.moving_mean.numpy() for norm in norms]
    start = time.perf_counter()
    train, val = images("train"), images("val")
    pixels = keras.Input((*side, 3))
    features = by_stored_statistics(base)(keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels))
    features = keras.layers.GlobalAveragePooling2D()(features)
    if case.sigmoid:
        output = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Dropout(0.2)(features))
    else:
        output = keras.layers.Dense(2, activation="softmax")(features)
    model = keras.Model(pixels, output)
    for phase in case.phases:
        base.trainable = phase.first_trained is not None
        for layer in base.layers[: phase.first_trained or 0]:
            layer.trainable = False
        optimiser = getattr(keras.optimizers, phase.optimiser)(rates * phase.rate)
        loss = "binary_crossentropy" if case.sigmoid else "sparse_categorical_crossentropy"
        model.compile(optimiser, loss, metrics=["accuracy"])
        model.fit(train, validation_data=val, epochs=epochs or phase.epochs, verbose=0)
    for before, norm in zip(stored, norms, strict=True):
        np.testing.assert_array_equal(before, norm.moving_mean.numpy())
    with tempfile.TemporaryDirectory() as place:
        model.save(Path(place) / "model.keras")
        seconds = time.perf_counter() - start
    test = images("test", shuffle=False)
    labels = np.concatenate([labels for _, labels in test]).ravel()
    probabilities = model.predict(test, verbose=0)[:, -1]
    return {"seconds": seconds, "labels": labels.tolist(), "probabilities": probabilities.tolist()}


def by_stored_statistics(base: Any) -> Any:
    """A layer that keeps the backbone in inference mode: Keras 3 overrides ``base(x, training=False)`` in a fit."""
    import keras

    class Inference(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.base = base

        def call(self, planes: Any) -> Any:
            return self.base(planes, training=False)

    return Inference()


def load_weights(base: Any, file: Path) -> None:
    """Copy a MobileNetV2 from the hub's layout into Keras, whose layers come in the same order."""
    content = file.read_bytes()
    body = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:body])

    def tensor(name: str) -> np.ndarray:
        shape, (first, _) = header[name]["shape"], header[name]["data_offsets"]
        values = np.frombuffer(content, "<f4", count=int(np.prod(shape)), offset=body + first)
        return np.reshape(values, shape)

    names = [f"conv_stem.{name}" for name in ("first_conv", "conv_3x3", "reduce_1x1")]
    names += [f"layer.{i}.{name}" for i in range(16) for name in ("expand_1x1", "conv_3x3", "reduce_1x1")] + [
        "conv_1x1"
    ]
    layers = [layer for layer in base.layers if layer.weights]  # a convolution and its BatchNorm by turns
    for name, convolution, norm in zip(names, layers[::2], layers[1::2], strict=True):
        # torch (out, in, h, w) to Keras (h, w, in, out); depthwise (channels, 1, h, w) to (h, w, channels, 1)
        axes = (2, 3, 0, 1) if name.endswith("conv_3x3") else (2, 3, 1, 0)
        convolution.set_weights([tensor(f"{name}.convolution.weight").transpose(axes)])
        parts = ("weight", "bias", "running_mean", "running_var")
        norm.set_weights([tensor(f"{name}.normalization.{part}") for part in parts])


def keras_side(given: argparse.Namespace, folder: Path, seed: int) -> tuple[float, dict[str, Any]]:
    from crackscope.measuring.metrics import measure

    request = {"folder": str(folder), "backbone": given.backbone, "feature_map": str(folder.parent / "feature_map.npz")}
    request |= {"epochs": given.epochs, "rates": given.rates, "seed": seed}
    command = [given.keras_python, __file__, "--case", given.case, "--keras-training", json.dumps(request)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    answer = json.loads(found.stdout.splitlines()[-1])
    labels, probabilities = np.array(answer["labels"], dtype=np.int64), np.array(answer["probabilities"])
    return answer["seconds"], measure(labels, probabilities, threshold=0.5)["accuracy"].document()


def crackscope_side(given: argparse.Namespace, folder: Path, seed: int) -> tuple[float, dict[str, Any]]:
    case = CASES[given.case]
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        command = [sys.executable, "-m", "crackscope", "train", str(folder), "--recipe", case.recipe]
        command += ["--backbone", given.backbone, "--out", str(run), "--allow-leakage", "--seed", str(seed)]
        if given.case == "full":  # the recipe trains the head alone first; the original in Keras does not
            command += ["--set", "frozen=none"]
        for phase in case.phases:
            own = {"epochs": given.epochs or phase.epochs, "optimiser": phase.optimiser.lower(), "early_stop": 0}
            own |= {
                "learning_rate": given.rates * phase.rate,
                "schedule": "constant",
                "average": 0,
            }  # names as in the original
            command += [part for key, value in own.items() for part in ("--set", f"{phase.name}.{key}={value}")]
        environment = {**os.environ, "CRACKSCOPE_CACHE": str(Path(place) / "cache")}
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        seconds = time.perf_counter() - start
        figures = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    if figures["part"] != "test":
        raise SystemExit(f"The run's metrics.json is of part {figures['part']}, not of test.")
    return seconds, figures["accuracy"]


SIDES = {"Keras": keras_side, "crackscope": crackscope_side}


def copy_subset(data: Path, folder: Path, n_patches: int) -> dict[str, int]:
    """Copy a random subset into class folders below train, val and test; return the patches of each part."""
    from crackscope.data.patches import read_patches

    index = read_patches(data)
    counts = dict.fromkeys(SHARES, 0)
    for label, name in FOLDERS.items():
        paths = [patch.path for patch in index.patches if patch.label == label]
        chosen = np.random.default_rng(0).permutation(len(paths))[: n_patches // 2]
        ends = np.round(np.cumsum(list(SHARES.values())) * len(chosen)).astype(int)
        for part, members in zip(SHARES, np.split(chosen, ends[:-1]), strict=True):
            place = folder / part / name
            place.mkdir(parents=True)
            for i in members:
                (place / f"{i + 1:05d}{Path(paths[i]).suffix}").write_bytes(index.files.read(paths[i]))
            counts[part] += len(members)
    return counts


def write_feature_map(backbone: str, patch_px: int, file: Path) -> None:
    """Compute the feature map of one image of noise with PyTorch, to check Keras against it."""
    import torch

    from crackscope.training.torch.backbones import load_backbone

    normalised = np.random.default_rng(0).uniform(-1, 1, (1, patch_px, patch_px, 3)).astype(np.float32)
    with torch.inference_mode():
        feature_map = load_backbone(backbone)[0](torch.from_numpy(normalised.transpose(0, 3, 1, 2))).numpy()
    np.savez(file, normalised=normalised, feature_map=feature_map.transpose(0, 2, 3, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="labelled patches; drawn if left out")
    parser.add_argument("--backbone", help="folder with config.json and model.safetensors of a MobileNetV2")
    parser.add_argument("--case", choices=CASES, default="frozen")
    parser.add_argument("--patches", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rates", type=float, default=1, help="factor of every learning rate")
    parser.add_argument("--keras-python", default=sys.executable, help="a Python that has TensorFlow")
    parser.add_argument("--only", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=int, help=argparse.SUPPRESS)  # of every phase, to try the script
    parser.add_argument("--keras-training", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    case = CASES[given.case]
    if given.keras_training:
        print(json.dumps(keras_training(case, **given.keras_training)))
        return
    if not given.backbone:
        parser.error("--backbone is missing: both sides start from its weights.")
    results: dict[str, list[tuple[float, dict[str, Any]]]] = {side: [] for side in SIDES if given.only in (None, side)}
    with tempfile.TemporaryDirectory() as place:
        from crackscope.drawing.walls import draw_dataset

        folder = Path(place) / "patches"
        data = given.data or draw_dataset(Path(place) / "drawn", n_photos=-(-given.patches // 12)).parent
        counts = copy_subset(data, folder, given.patches)
        write_feature_map(given.backbone, case.patch_px, Path(place) / "feature_map.npz")
        for seed in range(given.rounds):
            for side, found in results.items():
                found.append(SIDES[side](given, folder, seed))
                print(f"round {seed + 1}: {side} {found[-1][0]:.1f} s", file=sys.stderr)
    parts = ", ".join(f"{n} {part}" for part, n in counts.items())
    print(f"{case.recipe}, {data.resolve().name} ({parts}), {given.rounds} rounds, rates × {given.rates:g}, medians:")
    for side, found in results.items():
        accuracy = sorted((accuracy for _, accuracy in found), key=lambda it: it["value"])[len(found) // 2]
        interval = f"{accuracy['value']:.4f} [{accuracy['low']:.4f}, {accuracy['high']:.4f}]"
        print(f"{side:12}{statistics.median(seconds for seconds, _ in found):9.1f} s   accuracy {interval}")
    if not given.only:
        keras, ours = (statistics.median(seconds for seconds, _ in results[side]) for side in SIDES)
        print(f"Keras / crackscope: {keras / ours:.2f}")


if __name__ == "__main__":
    main()
