"""The main job on real images: the METU and SDNET2018 samples, and the default bundle."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import crackscope
from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid
from crackscope.data.patches import Patch, PatchIndex, content_digest
from crackscope.data.splits import apply_split, split, write_split
from crackscope.errors import SplitError
from crackscope.files.tables import TableForm, read_table
from crackscope.measuring.scanned_photos import scan_labelled
from crackscope.measuring.transfer_sets import read_photo_list, without_photos
from crackscope.model.preprocessing import resize_photo
from crackscope.model.provenance import count_seen, find_seen
from crackscope.scanning.scanner import network_scale_of
from shared.memory_files import MemoryFiles
from shared.real_photos import photos_with_masks

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
    assert not len(crackscope.check_split(apply_split(index, split=assigned)))
    write_split(assigned, tmp_path / "split.csv")
    runs = [
        crackscope.train(data, out=tmp_path / name, split=tmp_path / "split.csv", backbone=str(real_weights))
        for name in ("one", "two")
    ]
    digests = {hashlib.sha256((run.folder / "model.onnx").read_bytes()).hexdigest() for run in runs}
    assert len(digests) == 1
    assert runs[1].document.n_computed == 0
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


def test_sdnet_by_scene_separates_no_overlapping_pair(real_data: Path) -> None:
    index = without_photos(
        crackscope.read_patches(real_data / "sdnet2018_sample.tar"),
        read_photo_list(real_data / "sdnet2018_reserved.csv"),
    )
    assert len({patch.photo for patch in index.patches}) == 18
    parts = {patch.photo: patch.part for patch in split(index, by="scene").patches}
    form = TableForm(("surface", "photo_a", "photo_b"))
    for row in read_table(real_data / "sdnet2018_overlaps.csv", form):
        one, other = (f"{row['surface']}-{row[name]}" for name in ("photo_a", "photo_b"))
        assert one not in parts or other not in parts or parts[one] == parts[other]


def test_the_default_bundle_states_itself_and_holds_on_real_patches(real_data: Path) -> None:
    bundle = crackscope.read_bundle()
    assert len(bundle.content) <= 10_000_000
    card = bundle.card
    assert {data.name: data.licence for data in card.training_data} == {
        "METU": "CC BY 4.0",
        "SDNET2018": "CC BY 4.0",
        "Cracks Synthetic Dataset": "CC BY 4.0",
        "surface-crack-detection": "MIT",
    }
    index = crackscope.read_patches(real_data / "sdnet2018_sample.tar")
    chosen = index.select(index.patches[::8])
    with pytest.raises(SplitError, match=r"trained on .* photos [DPW]-\d+, .* --allow-leakage"):
        crackscope.evaluate(chosen, crackscope.load())
    evaluation = crackscope.evaluate(chosen, crackscope.load(), allow_leakage=True)
    assert evaluation.metrics["auroc"].value > 0.85
    assert evaluation.leaky  # photos of the sample are among those it was trained on, and it says so
    assert 0 < evaluation.n_seen <= len(chosen)
    assert evaluation.photo_kind == "scenes"


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


def test_the_default_bundle_was_trained_on_no_reserved_photo(real_data: Path) -> None:
    """Its card marks each photo it was trained on, and each file; both are compared with the list."""
    data = crackscope.read_bundle().card.training_data
    reserved, every = (read_photo_list(real_data / f"sdnet2018_{name}.csv") for name in ("reserved", "grid"))
    assert (len(reserved), len(every)) == (48, 230)

    def seen(photo: str) -> bool:
        alone = PatchIndex("a photo", (Patch("?", "crack", photo, dataset=f"sdnet2018-{photo[0]}"),), MemoryFiles({}))
        return bool(find_seen(alone, [b""], data).photos)

    trained_on = {photo for photo in every if seen(photo)}
    assert len(trained_on) == next(one.n_photos for one in data if one.name == "SDNET2018") == 128
    assert not trained_on & reserved

    # Marks of files say the same as marks of photos: all patches of a photo were trained on, or none.
    sample = crackscope.read_patches(real_data / "sdnet2018_sample.tar")
    for photo in {patch.photo for patch in sample.patches}:
        files = [replace(patch, photo=None) for patch in sample.patches if patch.photo == photo]
        digests = [content_digest(sample.files.read(patch.path)) for patch in files]
        assert count_seen(sample.select(files), digests, data) == (len(files) if photo in trained_on else 0), photo


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
    together = [row.crack_probability for row in model.predict(arrays)]
    session = onnxruntime.InferenceSession(str(default_bundle()))
    card = json.loads(session.get_modelmeta().custom_metadata_map["crackscope.card"])
    plain, squares = [], []
    for file in files:
        levels = cv2.imread(str(file))
        assert levels is not None
        pixels = cv2.resize(levels[..., ::-1], (card["patch_px"],) * 2, interpolation=cv2.INTER_LINEAR)
        plain.append(session.run(["probability"], {"pixels": pixels[None]})[0][0, 0])
        squares.append(pixels)
    at_once = session.run(["probability"], {"pixels": np.stack(squares)})[0][:, 0]
    assert len(at_once) == 32
    for other in (alone, together, plain, at_once):
        np.testing.assert_allclose(np.asarray(other), np.array(from_files, float), atol=1e-4)


# Whole photos


@pytest.fixture(scope="module")
def deck(real_data: Path) -> LabelledPhoto:
    """A photo of a deck, 4608×3584 px, laid together from its tiles."""
    index = crackscope.read_patches(real_data / "sdnet2018_sample.tar")
    photos = photos_by_grid(index, real_data / "sdnet2018_grid.csv")
    assert len(photos) == 24
    return next(photo for photo in photos if photo.name.startswith("D-"))


def test_the_map_of_a_real_photo_does_not_depend_on_windows_or_threads(deck: LabelledPhoto) -> None:
    model = crackscope.load()
    pixels = resize_photo(deck.load()[0], network_scale_of(model.card, (3584, 4608)))
    whole = model.network.logit_map(pixels)
    assert whole.shape == (140, 180)
    for window_px in (256, 512, 1024, 4096):
        assert np.abs(model.network.logit_map(pixels, window_px=window_px) - whole).max() <= 1e-3
    assert np.abs(crackscope.load(threads=1).network.logit_map(pixels) - whole).max() <= 1e-3


def test_the_halo_is_the_smallest_that_gives_the_unbroken_map(deck: LabelledPhoto) -> None:
    model = crackscope.load()
    network, field = model.network, model.network.field
    pixels = resize_photo(deck.load()[0], network_scale_of(model.card, (3584, 4608)))[:1536, :1536]
    whole = network.logit_map(pixels, window_px=1536)
    assert field.halo_px == 144
    # What a cell sees is cut short by a stride: then the halo is, too.
    less = replace(field, before_px=field.before_px - 32, after_px=field.after_px - 32)
    assert less.halo_px == 112
    network.field = less
    assert np.abs(network.logit_map(pixels, window_px=256) - whole).max() > 1e-3


def test_tiles_read_from_a_real_photo_agree_with_patches(real_data: Path, deck: LabelledPhoto) -> None:
    model = crackscope.load()
    ((scanned,), refused) = scan_labelled([deck], model)
    assert not refused
    index = crackscope.read_patches(real_data / "sdnet2018_sample.tar")
    alone = model.probabilities([index.read_pixels(path) for path in deck.tiles]) >= model.card.patch.threshold
    inside = scanned.probabilities >= model.card.map_calibration.threshold
    assert (alone != inside).mean() <= 0.08
    assert model.card.photo is not None
    assert model.card.verdict is not None


def test_photos_with_masks_are_told_apart(real_data: Path, tmp_path: Path) -> None:
    photos = photos_with_masks(real_data, tmp_path / "kept", parts=("test",))
    found = crackscope.evaluate_photos(photos / "images", masks=photos / "masks", n_resamples=50)
    assert found.tiles.metrics["auroc"].value >= 0.95
    assert found.tiles.metrics["average_precision"].value >= 0.9
    assert found.figures.pointing_accuracy.value >= 0.95
    learnt = photos_with_masks(real_data, tmp_path / "learnt", parts=("train",))
    with pytest.raises(SplitError, match="The model was trained on"):
        crackscope.evaluate_photos(learnt / "images", masks=learnt / "masks", n_resamples=50)
