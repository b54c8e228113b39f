"""Compare `crackscope scan` with overlapping tiles in Keras and with bare ONNX Runtime, and measure its memory.

    pip install tensorflow-cpu          # for the Keras side only
    python benchmarks/scanning.py [PHOTO] [--rounds 3] [--keras-python PYTHON]

PHOTO may have any size; if it is left out, one of 4608×3584 px is drawn. The programs take turns, each in a process of
its own, on all cores that it is given, after a warm-up on a small piece. All use the weights of the default bundle:

- crackscope: from the JPEG on disk to the probabilities of the map, with decoding and resizing;
- Keras: `model.predict` with batch 32 over tiles of 160 px. The photo is decoded, and resized as crackscope does it,
  before the clock starts. One run takes a tile every 16 px, the stride of crackscope's map, on a strip of the photo,
  since the whole photo would take an hour. Another run takes a tile every 80 px, so that tiles overlap by half; its map
  has a twenty-fifth as many cells. Keras' MobileNetV2 ends where that of the bundle does, and must give the same logit;
- bare ONNX Runtime: the same windows with their halo, cut out before the clock starts.

The program prints medians and their ratios. It also prints the peak resident memory of a process that scans a folder
with one JPEG of 100 megapixels, a repeated drawn photo that must be turned upright. This includes the report, ONNX
Runtime and imports.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

TILE, STRIDE, HALF = 160, 16, 80
STRIP = 640  # height in pixels of the strip that Keras covers at the map's stride
LAST = "block_13_expand_relu"  # where the default bundle's MobileNetV2 ends
SHAPE_100_MEGAPIXELS = (10_000, 10_000)


def crackscope_seconds(work: Path) -> list[float]:
    import crackscope

    model = crackscope.load()
    model.scan(crackscope.read_image(work / "photo.jpg").pixels[:640, :640])
    start = time.perf_counter()
    found = model.scan(work / "photo.jpg", trace=None).map  # tracing is compared in tracing_speed.py
    assert found is not None
    found.probabilities.max()
    return [time.perf_counter() - start]


def bare_seconds(work: Path) -> list[float]:
    import onnx
    import onnxruntime

    from crackscope.model.bundle import read_bundle
    from crackscope.model.fine_graph import without_decoder
    from crackscope.model.graphs import make_model
    from crackscope.model.sessions import Network
    from crackscope.model.windows import cut_windows

    network, pixels = Network(read_bundle()), np.load(work / "pixels.npy")
    windows = [
        np.ascontiguousarray(pixels[slice(*window.y), slice(*window.x)])[None]
        for window in cut_windows(pixels.shape[:2], network.field, network.window_hw(pixels.shape[:2]))
    ]
    graph = without_decoder(onnx.load_model_from_string(read_bundle().content).graph)  # a scan does not run it either
    content = make_model(graph).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    session.run(["logit_map"], {"pixels": windows[0][:, :640, :640]})
    start = time.perf_counter()
    for window in windows:
        session.run(["logit_map"], {"pixels": window})
    return [time.perf_counter() - start]


def keras_seconds(work: Path) -> list[float]:
    import tensorflow as tf

    model = keras_model(tf, np.load(work / "weights.npz"))
    pixels, known = np.load(work / "pixels.npy"), np.load(work / "known.npz")
    np.testing.assert_allclose(model.predict(known["tile"], verbose=0)[0, 0], known["logit"], rtol=1e-2, atol=1e-2)
    whole, strip = (len(range(0, height - TILE + 1, STRIDE)) for height in (len(pixels), STRIP))
    return [tiles_seconds(tf, model, pixels[:STRIP], STRIDE) * whole / strip, tiles_seconds(tf, model, pixels, HALF)]


def tiles_seconds(tf: Any, model: Any, pixels: np.ndarray, stride: int) -> float:
    places = [
        (y, x)
        for y in range(0, pixels.shape[0] - TILE + 1, stride)
        for x in range(0, pixels.shape[1] - TILE + 1, stride)
    ]

    def tiles() -> Iterator[np.ndarray]:
        for y, x in places:
            yield pixels[y : y + TILE, x : x + TILE]

    shape = tf.TensorSpec((TILE, TILE, 3), tf.uint8)
    batches = tf.data.Dataset.from_generator(tiles, output_signature=shape).batch(32).prefetch(2)
    model.predict(batches.take(2), verbose=0)
    start = time.perf_counter()
    model.predict(batches, verbose=0)
    return time.perf_counter() - start


def keras_model(tf: Any, weights: Mapping[str, np.ndarray]) -> Any:
    """Build MobileNetV2 with the bundle's weights, whose convolutions have a bias in place of batch normalisation."""
    keras = tf.keras
    base = keras.applications.MobileNetV2((TILE, TILE, 3), include_top=False, weights=None)
    base = keras.Model(base.input, base.get_layer(LAST).output)
    layers = [layer for layer in base.layers if layer.weights]  # a convolution and its BatchNorm by turns
    for i, (convolution, norm) in enumerate(zip(layers[::2], layers[1::2], strict=True)):
        kernel, bias = weights[f"kernel{i}"], weights[f"bias{i}"]
        depthwise = "epthwise" in type(convolution).__name__
        convolution.set_weights([kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))])
        one = np.ones_like(bias)
        norm.set_weights([one * np.sqrt(1 + norm.epsilon), bias, 0 * one, one])
    pixels = keras.Input((TILE, TILE, 3), dtype="uint8")
    features = base(keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels), training=False)
    head = keras.layers.Dense(1)
    cells = head(features)  # of which the bundle's pool takes the logarithm of the mean of exp
    model = keras.Model(pixels, keras.ops.log(keras.ops.mean(keras.ops.exp(cells), axis=(1, 2))))
    head.set_weights([weights["head"].T, weights["head_bias"]])
    return model


def memory_mb(work: Path) -> list[float]:
    import crackscope

    crackscope.write_scan(work / "large.jpg", crackscope.load(), out=work / "scan", threads=1, overwrite=True)
    status = Path("/proc/self/status").read_text()
    return [float(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6]


def prepare(work: Path, photo: Path | None) -> None:
    """Write the inputs of all programs: photo, resized pixels, weights, a known logit, a photo of 100 megapixels."""
    import cv2
    import onnx
    from PIL import ExifTags, Image

    import crackscope
    from crackscope.drawing.walls import draw_photo
    from crackscope.model.bundle import read_bundle
    from crackscope.model.preprocessing import resize_photo
    from crackscope.scanning.scanner import network_scale_of

    drawn = draw_photo(seed=0).pixels
    pixels = crackscope.read_image(photo).pixels if photo else laid(drawn, (3584, 4608))
    cv2.imwrite(str(work / "photo.jpg"), pixels[..., ::-1])
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6  # as a phone held upright writes it
    Image.fromarray(laid(drawn, SHAPE_100_MEGAPIXELS)).save(work / "large.jpg", exif=turned, quality=90)
    bundle = read_bundle()
    pixels = crackscope.read_image(work / "photo.jpg").pixels
    np.save(work / "pixels.npy", resize_photo(pixels, network_scale_of(bundle.card, pixels.shape[:2])))
    graph = onnx.load_model_from_string(bundle.content).graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv" and not node.name.startswith("head/")]
    weights: dict[str, Any] = {f"kernel{i}": values[node.input[1]] for i, node in enumerate(convolutions)}
    weights |= {f"bias{i}": values[node.input[2]] for i, node in enumerate(convolutions)}
    weights |= {"head": values["head/weight"][:, :, 0, 0], "head_bias": values["head/bias"]}
    np.savez(work / "weights.npz", **weights)
    tile = np.load(work / "pixels.npy")[None, :TILE, :TILE]
    import onnxruntime

    session = onnxruntime.InferenceSession(bundle.content, providers=["CPUExecutionProvider"])
    np.savez(work / "known.npz", tile=tile, logit=session.run(["logits"], {"pixels": tile})[0][0, 0])


def laid(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    times = [-(-wanted // there) for wanted, there in zip(shape, pixels.shape[:2], strict=True)]
    return np.tile(pixels, (*times, 1))[: shape[0], : shape[1]]


SIDES = {"crackscope": crackscope_seconds, "keras": keras_seconds, "bare": bare_seconds, "memory": memory_mb}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keras-python", default=sys.executable, help="a Python that has TensorFlow")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(SIDES[given.side](given.work)))
        return
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        prepare(work, given.photo)

        def measured(side: str) -> list[float]:
            python = given.keras_python if side == "keras" else sys.executable
            command = [python, __file__, "--side", side, "--work", place]
            found = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            seconds: list[float] = json.loads(found.stdout.splitlines()[-1])
            return seconds

        rounds = [{side: measured(side) for side in ("crackscope", "keras", "bare")} for _ in range(given.rounds)]
        shape = np.load(work / "pixels.npy", mmap_mode="r").shape
        peak_mb = measured("memory")[0]
    ours, bare = (statistics.median(one[side][0] for one in rounds) for side in ("crackscope", "bare"))
    dense, half = (statistics.median(one["keras"][i] for one in rounds) for i in (0, 1))
    print(f"{shape[1]}×{shape[0]} px for the network, {given.rounds} rounds, medians:")
    print(f"crackscope {ours:.2f} s   Keras, every 16 px {dense:.1f} s   every 80 px {half:.1f} s   bare {bare:.2f} s")
    print(f"Keras, same map stride / crackscope:      {dense / ours:.1f}")
    print(f"Keras, half overlapping / crackscope:     {half / ours:.1f}")
    print(f"crackscope's speed / bare ONNX Runtime's: {bare / ours:.2f}")
    print(f"100 megapixels: {peak_mb:.0f} MB resident at most")


if __name__ == "__main__":
    main()
