"""The contract of every family of backbones, on small random configurations, and on real weights where they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from crackscope.bundle import Head, compose, read_backbone, read_bundle, write_model  # noqa: E402
from crackscope.cache import cache_folder  # noqa: E402
from crackscope.card import Calibration, Card  # noqa: E402
from crackscope.errors import DataError  # noqa: E402
from crackscope.prediction import open_session  # noqa: E402
from crackscope.training.backbones import FAMILIES, load_backbone  # noqa: E402
from crackscope.training.conversion import backbone_file  # noqa: E402
from crackscope.training.export import export_backbone, torch_features  # noqa: E402

SMALL = {
    "mobilenet_v2": {"model_type": "mobilenet_v2", "depth_multiplier": 0.25, "finegrained_output": False},
    "resnet": {
        **{"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16, 16, 32]},
        **{"depths": [1, 2, 1, 1], "layer_type": "bottleneck"},
    },
}
SIZES_HW = [(31, 31), (160, 160), (227, 227), (1000, 801), (1040, 1024)]


def random_pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "config.json").write_text(json.dumps(SMALL[request.param]))
    return folder


@pytest.mark.slow
def test_a_family_builds_exports_and_agrees_with_torch(family_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, card = load_backbone(str(family_folder), random_weights=True)
    write_model(export_backbone(module, card), tmp_path / "backbone.onnx")
    assert read_backbone(tmp_path / "backbone.onnx").card.name == card.name
    session = open_session((tmp_path / "backbone.onnx").read_bytes())
    for height, width in SIZES_HW:
        pixels = random_pixels(height, width)
        found = session.run(["features"], {"pixels": pixels})[0]
        np.testing.assert_allclose(found, torch_features(module, card, pixels), atol=1e-4)


@pytest.mark.slow
def test_the_graph_holds_no_trace_of_where_it_was_made(family_folder: Path) -> None:
    torch.manual_seed(0)
    module, card = load_backbone(str(family_folder), random_weights=True)
    one, two = (export_backbone(module, card).SerializeToString(deterministic=True) for _ in range(2))
    assert one == two
    for trace in (b"/site-packages/", b'File "', str(Path.cwd()).encode(), b"stack_trace"):
        assert trace not in one


def test_an_unknown_family_and_a_folder_without_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(DataError, match="'vit' are not known; known are mobilenet_v2, resnet"):
        load_backbone(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(DataError, match=r"no config\.json"):
        load_backbone(str(tmp_path))


def test_a_hub_that_cannot_be_reached_names_the_folder_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="give that folder"):
        load_backbone("nobody/no-such-model")


@pytest.mark.slow
def test_real_weights_agree_with_torch_and_with_the_published_padding(real_weights: Path) -> None:
    from transformers import AutoModel

    module, card = load_backbone(str(real_weights))
    session = open_session(backbone_file(str(real_weights)).read_bytes())
    head = torch.nn.Linear(card.feature_dim, 1)
    for height, width in SIZES_HW:
        pixels = random_pixels(height, width)
        found = torch.from_numpy(session.run(["features"], {"pixels": pixels})[0])
        with torch.inference_mode():
            np.testing.assert_allclose(head(found), head(torch_features(module, card, pixels)), atol=1e-4)
    published = AutoModel.from_pretrained(str(real_weights)).eval()  # with TensorFlow's padding, at an even size
    pixels = random_pixels(160, 192)
    with torch.inference_mode():
        planes = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
        expected = published(planes).last_hidden_state.mean((2, 3))
    np.testing.assert_allclose(session.run(["features"], {"pixels": pixels})[0], expected, atol=1e-4)


@pytest.mark.slow
def test_real_resnet_weights_agree_with_torch_and_with_the_published_model(real_weights: Path) -> None:
    from transformers import AutoModel

    folder = real_weights.parent / "resnet-50-pruned"
    if not folder.is_dir():
        pytest.skip(f"{folder.name} does not lie beside CRACKSCOPE_TEST_DATA")
    module, card = load_backbone(str(folder))
    assert card.feature_dim == 2048
    session = open_session(backbone_file(str(folder)).read_bytes())
    for height, width in SIZES_HW[:3]:
        pixels = random_pixels(height, width)
        found = session.run(["features"], {"pixels": pixels})[0]
        np.testing.assert_allclose(found, torch_features(module, card, pixels), atol=1e-4)
    published = AutoModel.from_pretrained(str(folder), dtype=torch.float32).eval()
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    mean, std = (torch.tensor(settings[key]).view(1, 3, 1, 1) for key in ("image_mean", "image_std"))
    pixels = random_pixels(160, 192)
    with torch.inference_mode():
        planes = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
        expected = published(planes).pooler_output[:, :, 0, 0]
    np.testing.assert_allclose(session.run(["features"], {"pixels": pixels})[0], expected, atol=1e-4)


@pytest.mark.slow
def test_logits_of_a_whole_bundle_agree_with_torch_at_every_size(real_weights: Path, tmp_path: Path) -> None:
    module, card = load_backbone(str(real_weights))
    backbone = read_backbone(backbone_file(str(real_weights)))
    rng = np.random.default_rng(0)
    head = Head(rng.normal(0, 0.1, (1, card.feature_dim)).astype(np.float32), np.zeros(1, np.float32))
    calibration = Calibration(temperature=1, threshold=0.5, unsure_low=0.5, unsure_high=0.5)
    written = Card(name="x", made_with="test", patch_px=160, source_px=256, patch=calibration, backbone=backbone.card)
    write_model(compose(backbone, head, written), tmp_path / "model.onnx")
    session = open_session(read_bundle(tmp_path / "model.onnx").content)
    for height, width in SIZES_HW:
        pixels = random_pixels(height, width)
        logits, logit_map = session.run(["logits", "logit_map"], {"pixels": pixels})
        expected = torch_features(module, card, pixels).numpy() @ head.weight.T
        np.testing.assert_allclose(logits, expected, atol=1e-4)
        assert logit_map.shape == (1, 1, -(-height // 32), -(-width // 32))


@pytest.mark.slow
def test_a_folder_is_turned_into_onnx_once_and_then_without_torch(
    real_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = backbone_file(str(real_weights))
    assert first.is_relative_to(cache_folder())
    monkeypatch.setitem(sys.modules, "crackscope.training.export", None)
    assert backbone_file(str(real_weights)) == first


def test_without_the_extra_the_error_names_it() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from crackscope.training.conversion import backbone_file\n"
        "backbone_file('some/model')"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs torch, which is not installed. Try: pip install 'crackscope[train]'" in found.stderr
