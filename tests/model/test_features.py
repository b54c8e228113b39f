from pathlib import Path

import numpy as np
import pytest

from crackscope.data.patches import PatchIndex, read_patches
from crackscope.files.images import read_image
from crackscope.model.bundle import make_backbone, read_backbone, write_model
from crackscope.model.features import extract_features
from crackscope.model.sessions import open_session, run_patches
from shared.models import tiny_backbone_card, tiny_trunk


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def index(drawn: Path) -> PatchIndex:
    whole = read_patches(drawn)
    return whole.select(whole.patches[:20])


def test_features_are_those_of_the_graph(index: PatchIndex, drawn: Path, backbone_file: Path) -> None:
    rows = extract_features(index, read_backbone(backbone_file), patch_px=64, threads=2)
    images = [read_image(drawn.parent / path).pixels for path in index.paths]
    expected = run_patches(open_session(backbone_file.read_bytes()), images, "features", patch_px=64)
    assert rows.values.shape == (20, 16)
    assert rows.values == pytest.approx(expected, abs=1e-5)
    assert rows.n_computed == 20
    assert rows.refused == {}


def test_the_second_time_nothing_is_computed(index: PatchIndex, backbone_file: Path, bundle_file: Path) -> None:
    first = extract_features(index, read_backbone(backbone_file), patch_px=64, threads=2)
    again = extract_features(index, read_backbone(backbone_file), patch_px=64, threads=1)
    of_bundle = extract_features(index, read_backbone(bundle_file), patch_px=64)
    assert (first.n_computed, again.n_computed, of_bundle.n_computed) == (20, 0, 0)
    assert np.array_equal(first.values, again.values)
    assert np.array_equal(first.values, of_bundle.values)


def test_another_size_is_another_row(index: PatchIndex, backbone_file: Path) -> None:
    backbone = read_backbone(backbone_file)
    at_64 = extract_features(index, backbone, patch_px=64)
    at_96 = extract_features(index, backbone, patch_px=96)
    assert at_96.n_computed == 20
    assert not np.allclose(at_64.values, at_96.values)


def test_another_graph_under_a_copied_card_is_another_row(
    index: PatchIndex, backbone_file: Path, tmp_path: Path
) -> None:
    backbone = read_backbone(backbone_file)
    write_model(make_backbone(tiny_trunk(seed=5), tiny_backbone_card()), tmp_path / "other.onnx")
    other = read_backbone(tmp_path / "other.onnx")
    extract_features(index, backbone, patch_px=64)
    assert extract_features(index, type(other)(other.graph, backbone.card), patch_px=64).n_computed == 20


def test_an_unreadable_patch_has_a_reason(index: PatchIndex, drawn: Path, backbone_file: Path) -> None:
    missing = type(index.patches[0])(**{**vars(index.patches[0]), "path": "gone.png"})
    rows = extract_features(index.select([*index.patches[:3], missing]), read_backbone(backbone_file), patch_px=64)
    assert rows.refused == {3: "cannot be read: No such file or directory"}
    assert not rows.values[3].any()
