"""The main job on real images: the METU and SDNET2018 samples, and the default bundle."""

from __future__ import annotations

import hashlib
import itertools
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import crackscope
from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid
from crackscope.data.splits import apply_split, split, write_split
from crackscope.measuring.photo_evaluation import scan_labelled
from crackscope.model.preprocessing import resize_photo
from crackscope.scanning.scanner import Scanner, scale_of

pytestmark = pytest.mark.slow


def test_the_samples_are_read_as_published(real_data: Path) -> None:
    metu = crackscope.read_patches(real_data / "metu_sample.tar")
    assert metu.counts() == {"uncracked": 3000, "crack": 3000}
    assert {patch.dataset for patch in metu.patches} == {"metu"}
    assert not metu.knows_photos
    sdnet = crackscope.read_patches(real_data / "sdnet2018_sample.tar")
    assert len({patch.photo for patch in sdnet.patches}) == 24
    assert {patch.dataset for patch in sdnet.patches} == {"sdnet2018-D", "sdnet2018-P", "sdnet2018-W"}


def test_metu_by_similarity_reaches_its_figure_without_a_leak(
    real_data: Path, real_weights: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    data = real_data / "metu_sample.tar"
    index = crackscope.read_patches(data)
    assigned = split(index, by="similarity")
    assert not len(crackscope.check_split(apply_split(index, assigned)))
    write_split(assigned, tmp_path / "split.csv")
    runs = [
        crackscope.train(data, tmp_path / name, split=tmp_path / "split.csv", backbone=str(real_weights))
        for name in ("one", "two")
    ]
    digests = {hashlib.sha256((run.folder / "model.onnx").read_bytes()).hexdigest() for run in runs}
    assert len(digests) == 1
    assert runs[1].document["n_computed"] == 0
    model = crackscope.load(runs[0].folder / "model.onnx")
    evaluation = crackscope.evaluate(data, model, split=tmp_path / "split.csv")
    assert not evaluation.leaky
    assert evaluation.metrics["accuracy"].value >= 0.995


def test_neighbouring_numbers_of_metu_mostly_share_a_group(real_data: Path) -> None:
    """Neighbouring Positive numbers share a photo, which the names do not tell; the groups find it far above chance."""
    index = crackscope.read_patches(real_data / "metu_sample.tar")
    group = {patch.path: patch.photo for patch in split(index, by="similarity").patches}
    cracks = [patch.path for patch in index.patches if patch.label == "crack"]
    together = sum(group[a] == group[b] for a, b in itertools.pairwise(cracks)) / len(cracks)
    apart = sum(group[a] == group[b] for a, b in zip(cracks, cracks[500:], strict=False)) / len(cracks)
    assert together > 0.35
    assert together > 3 * apart


def test_sdnet_by_photo_keeps_photos_together(real_data: Path) -> None:
    index = crackscope.read_patches(real_data / "sdnet2018_sample.tar")
    assigned = split(index, by="photo")
    sides: dict[str | None, set[str | None]] = {}
    for patch in assigned.patches:
        sides.setdefault(patch.photo, set()).add(patch.part)
    assert all(len(parts) == 1 for parts in sides.values())
    assert {len({p.photo for p in assigned.patches if p.part == part}) > 1 for part in ("val", "test")} == {True}


def test_the_default_bundle_states_itself_and_holds_on_real_patches(real_data: Path) -> None:
    bundle = crackscope.read_bundle()
    assert len(bundle.content) <= 10_000_000
    card = bundle.card
    assert {data.name for data in card.training_data} == {"METU", "SDNET2018"}
    assert {data.licence for data in card.training_data} == {"CC BY 4.0"}
    index = crackscope.read_patches(real_data / "sdnet2018_sample.tar")
    chosen = index.select(index.patches[::8])
    evaluation = crackscope.evaluate(chosen, crackscope.load())
    assert evaluation.metrics["auroc"].value > 0.85
    assert evaluation.leaky  # photos of the sample are among those it was trained on, and it says so
    assert 0 < evaluation.n_seen < len(chosen)


def test_the_default_bundle_holds_no_layer_that_others_trained(real_weights: Path) -> None:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    import onnx

    from crackscope.training.torch.backbones import load_backbone
    from crackscope.training.torch.export import export_backbone

    def weights(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
        tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        return {node.name: tensors[node.input[1]] for node in graph.node if node.op_type == "Conv"}

    blocks, card = load_backbone(str(real_weights), until="block_13.expand_1x1")
    theirs = weights(export_backbone(blocks, card).graph)
    ours = weights(onnx.load_model_from_string(crackscope.read_bundle().content).graph)
    assert len(theirs) == 40
    assert theirs.keys() <= ours.keys()
    for name, values in theirs.items():
        assert values.shape == ours[name].shape
        assert np.mean(values == ours[name]) < 0.01, name


def test_the_default_bundle_has_seen_no_reserved_photo(real_data: Path) -> None:
    """Its card counts the photos it was trained on; those and the reserved ones cannot both fit into the set."""
    reserved = (real_data / "sdnet2018_reserved.csv").read_text().splitlines()[1:]
    sdnet = next(data for data in crackscope.read_bundle().card.training_data if data.name == "SDNET2018")
    assert sdnet.n_photos is not None
    assert sdnet.n_photos + len(reserved) <= 230


def test_one_image_four_ways(real_data: Path, tmp_path: Path) -> None:
    """From the file, from the array alone, in a batch of 32, and through plain ONNX Runtime."""
    import cv2
    import numpy as np
    import onnxruntime

    from crackscope.model.bundle import default_bundle

    index = crackscope.read_patches(real_data / "sdnet2018_sample.tar")
    for i, patch in enumerate(index.patches[::185]):
        (tmp_path / f"{i:02}.jpg").write_bytes(index.files.read(patch.path))
    files = sorted(tmp_path.glob("*.jpg"))[:32]
    model = crackscope.load()
    arrays = [crackscope.read_image(file).pixels for file in files]
    from_files = [row.crack_probability for row in crackscope.predict(files, model)]
    alone = [model.classify(pixels).crack_probability for pixels in arrays]
    together = [said.crack_probability for said in model.classify_batch(arrays)]
    session = onnxruntime.InferenceSession(str(default_bundle()))
    card = json.loads(session.get_modelmeta().custom_metadata_map["crackscope.card"])
    plain, squares = [], []
    for file in files:
        pixels = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        pixels = cv2.resize(pixels, (card["patch_px"],) * 2, interpolation=cv2.INTER_LINEAR)
        plain.append(session.run(["probability"], {"pixels": pixels[None]})[0][0, 0])
        squares.append(pixels)
    at_once = session.run(["probability"], {"pixels": np.stack(squares)})[0][:, 0]
    assert len(at_once) == 32
    for other in (alone, together, plain, at_once):
        np.testing.assert_allclose(other, from_files, atol=1e-4)


# Whole photos


@pytest.fixture(scope="module")
def deck(real_data: Path) -> LabelledPhoto:
    """A photo of a deck, 4608×3584 px, laid together from its tiles."""
    index = crackscope.read_patches(real_data / "sdnet2018_sample.tar")
    photos = photos_by_grid(index, real_data / "sdnet2018_grid.csv")
    assert len(photos) == 24
    return next(photo for photo in photos if photo.name.startswith("D-"))


def test_the_map_of_a_real_photo_does_not_depend_on_windows_or_threads(deck: LabelledPhoto) -> None:
    scanner = Scanner()
    pixels = resize_photo(deck.load()[0], scale_of(scanner.card, (3584, 4608)))
    whole = scanner.logit_map(pixels)
    assert whole.shape == (140, 180)
    for window_px in (256, 512, 1024, 4096):
        assert np.abs(scanner.logit_map(pixels, window_px=window_px) - whole).max() <= 1e-3
    assert np.abs(Scanner(threads=1).logit_map(pixels) - whole).max() <= 1e-3


def test_the_halo_is_the_smallest_that_gives_the_unbroken_map(deck: LabelledPhoto) -> None:
    scanner = Scanner()
    pixels = resize_photo(deck.load()[0], scale_of(scanner.card, (3584, 4608)))[:1536, :1536]
    whole = scanner.logit_map(pixels, window_px=1536)
    assert scanner.field.halo_px == 144
    # What a cell sees is cut short by a stride: then the halo is, too.
    less = replace(scanner.field, before_px=scanner.field.before_px - 32, after_px=scanner.field.after_px - 32)
    assert less.halo_px == 112
    scanner.field = less
    assert np.abs(scanner.logit_map(pixels, window_px=256) - whole).max() > 1e-3


def test_tiles_read_from_a_real_photo_agree_with_patches(real_data: Path, deck: LabelledPhoto) -> None:
    scanner, model = Scanner(), crackscope.load()
    ((scanned,), refused) = scan_labelled([deck], scanner)
    assert not refused
    index = crackscope.read_patches(real_data / "sdnet2018_sample.tar")
    alone = model.probabilities([index.read_pixels(path) for path in deck.tiles]) >= model.card.patch.threshold
    inside = scanned.probabilities >= scanner.calibration.threshold
    assert (alone != inside).mean() <= 0.08
    assert scanner.card.photo is not None
    assert scanner.card.verdict is not None


def test_photos_with_masks_are_told_apart(real_data: Path, tmp_path: Path) -> None:
    with tarfile.open(real_data / "photos_with_masks.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    photos = tmp_path / "photos"
    found = crackscope.evaluate_photos(photos / "images", masks=photos / "masks", n_resamples=50)
    assert found.tiles.metrics["auroc"].value >= 0.95
    assert found.tiles.metrics["average_precision"].value >= 0.9
    assert found.figures.pointing_accuracy.value >= 0.95
