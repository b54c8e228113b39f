"""Compare `crackscope predict` with Keras and with bare ONNX Runtime, on the same patches, in one run.

    pip install tensorflow-cpu          # for the Keras side only
    python benchmarks/prediction.py [--patches 2000] [--rounds 5] [--keras-python PYTHON] [--sides SIDE ...]

The patches are drawn JPEG files of 227 px in class folders. The programs take turns, each in a process of its own,
after a warm-up. Loading the model is not counted.

- crackscope: from the folder to the written CSV, with decoding; the default bundle (MobileNetV2 to block 13, 160 px),
  in fp32 and in int8.
- Keras: `model.predict` over `image_dataset_from_directory`, with the same layers.
- Bare ONNX Runtime: the same bundles on arrays that were decoded and resized before, on all cores, with the fastest of
  the batch sizes 1, 8 and 32.

The program prints the median images per second and their ratios. --sides runs only the named programs, since Keras
takes long.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

PATCH_PX = 160


def crackscope_rate(folder: Path, precision: str) -> float:
    import crackscope
    from crackscope.files.inputs import list_images
    from crackscope.scanning.prediction_table import write_predictions

    model = crackscope.load(precision=precision)
    images = list_images([folder])
    list(model.predict(images[:64]))
    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        write_predictions(images, model, out=Path(place) / "predictions.csv")
        return len(images) / (time.perf_counter() - start)


def keras_rate(folder: Path) -> float:
    import tensorflow as tf

    def dataset() -> tf.data.Dataset:
        return tf.keras.utils.image_dataset_from_directory(
            folder, image_size=(PATCH_PX, PATCH_PX), batch_size=32, shuffle=False, verbose=False
        )

    base = tf.keras.applications.MobileNetV2((PATCH_PX, PATCH_PX, 3), include_top=False, weights=None)
    base = tf.keras.Model(base.input, base.get_layer("block_13_expand_relu").output)
    pixels = tf.keras.Input((PATCH_PX, PATCH_PX, 3))
    scaled = tf.keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    pooled = tf.keras.layers.GlobalAveragePooling2D()(base(scaled))
    model = tf.keras.Model(pixels, tf.keras.layers.Dense(2, activation="softmax")(pooled))
    images = dataset().prefetch(tf.data.AUTOTUNE)
    model.predict(images.take(2), verbose=0)
    n = len(dataset().file_paths)
    start = time.perf_counter()
    model.predict(images, verbose=0)
    return n / (time.perf_counter() - start)


def bare_rate(folder: Path, precision: str) -> float:
    import numpy as np
    import onnxruntime

    import crackscope
    from crackscope.model.bundle import default_bundle
    from crackscope.model.preprocessing import resize_patch

    files = sorted(folder.rglob("*.jpg"))
    arrays = np.stack([resize_patch(crackscope.read_image(file).pixels, patch_px=PATCH_PX) for file in files])
    session = onnxruntime.InferenceSession(str(default_bundle(precision)), providers=["CPUExecutionProvider"])
    rates = []
    for batch in (1, 8, 32):
        session.run(["probability"], {"pixels": arrays[:batch]})
        start = time.perf_counter()
        for first in range(0, len(arrays), batch):
            session.run(["probability"], {"pixels": arrays[first : first + batch]})
        rates.append(len(arrays) / (time.perf_counter() - start))
    return max(rates)


SIDES: dict[str, Callable[[Path], float]] = {
    "crackscope": partial(crackscope_rate, precision="fp32"),
    "crackscope-int8": partial(crackscope_rate, precision="int8"),
    "keras": keras_rate,
    "bare": partial(bare_rate, precision="fp32"),
    "bare-int8": partial(bare_rate, precision="int8"),
}
RATIOS = {
    ("crackscope", "keras"): "crackscope / Keras predict",
    ("crackscope", "bare"): "crackscope / bare ONNX Runtime",
    ("crackscope-int8", "bare-int8"): "the same, int8",
    ("crackscope-int8", "crackscope"): "crackscope, int8 / fp32",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keras-python", default=sys.executable, help="a Python that has TensorFlow")
    parser.add_argument("--sides", choices=SIDES, nargs="+", default=list(SIDES), help="all if left out")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(SIDES[given.side](given.folder)))
        return
    with tempfile.TemporaryDirectory() as place:
        from crackscope.drawing.walls import draw_dataset

        folder = draw_dataset(Path(place) / "patches", n_photos=-(-given.patches // 14), patches_per_photo=16).parent
        (folder / "labels.csv").unlink()
        rates: dict[str, list[float]] = {side: [] for side in given.sides}
        for _ in range(given.rounds):
            for side in given.sides:
                python = given.keras_python if side == "keras" else sys.executable
                command = [python, __file__, "--side", side, "--folder", str(folder)]
                found = subprocess.run(
                    command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
                rates[side].append(json.loads(found.stdout.splitlines()[-1]))
        n = len(list(folder.rglob("*.jpg")))
    median = {side: statistics.median(values) for side, values in rates.items()}
    print(f"{n} drawn patches, {given.rounds} rounds, medians in images/s:")
    print("  ".join(f"{side} {rate:.0f}" for side, rate in median.items()))
    for (one, other), name in RATIOS.items():
        if {one, other} <= set(median):
            print(f"{name + ':':34}{median[one] / median[other]:.2f}")


if __name__ == "__main__":
    main()
