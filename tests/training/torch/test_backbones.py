"""The contract of every family of backbones, on small random configurations, and on real weights where they are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch

import crackscope
from crackscope.data.cache import cache_folder
from crackscope.errors import DataError
from crackscope.model.bundle import Head, compose, read_backbone, read_bundle, write_model
from crackscope.model.card import BackboneCard, Calibration, Card
from crackscope.model.sessions import open_session
from crackscope.training.conversion import convert_backbone, require_convertible
from crackscope.training.recipes import SCRATCH_CNN, HeadSettings
from crackscope.training.sources import MODEL_TYPES
from crackscope.training.torch.backbones import FAMILIES, FeatureMap, feature_dim, load_backbone
from crackscope.training.torch.export import export_backbone, torch_features
from crackscope.training.torch.network import HeadLayers, fast_convolutions, plane_logits
from crackscope.training.torch.scratch_cnn import build_scratch_cnn
from shared.models import SMALL_CONFIGS, statistics_of, write_model_folder

N_BLOCKS = {"mobilenet_v2": 18, "resnet": 6, "resnet-basic": 5, "scratch-cnn": 5}
SIZES_HW = [(31, 31), (160, 160), (227, 227), (1000, 801), (1040, 1024)]


def random_pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=[*sorted(SMALL_CONFIGS), SCRATCH_CNN])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def source(kind: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model folder of each kind, or the name of the network that has none."""
    if kind == SCRATCH_CNN:
        return SCRATCH_CNN
    return str(write_model_folder(tmp_path_factory.mktemp(kind), SMALL_CONFIGS[kind]))


def loaded(source: str) -> tuple[FeatureMap, BackboneCard]:
    if source != SCRATCH_CNN:
        return load_backbone(source)
    torch.manual_seed(0)
    module, card = build_scratch_cnn()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            mean, variance = statistics_of(layer)
            mean.normal_(0, 0.1)
            variance.uniform_(0.5, 1.5)
    return module.eval(), card


@pytest.fixture(scope="module")
def exported(source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a backbone was exported to, once."""
    path = tmp_path_factory.mktemp("exported") / "backbone.onnx"
    write_model(export_backbone(*loaded(source)), path)
    return path


def planes(height: int, width: int, n: int = 2) -> torch.Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(height)) * 2 - 1


def test_every_family_has_a_small_configuration_here() -> None:
    assert {config["model_type"] for config in SMALL_CONFIGS.values()} == set(FAMILIES)
    for name, family in FAMILIES.items():
        assert family.model_type == name


def test_a_family_builds_from_pixels_to_features_at_stride_32(source: str, kind: str) -> None:
    module, card = loaded(source)
    assert len(module.blocks) == N_BLOCKS[kind]
    assert not module.training
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
    with torch.inference_mode():
        assert module(planes(64, 96)).shape == (2, card.feature_dim, 2, 3)
    assert card.sha256 == ""
    assert card.trained_on == ()
    again, _ = loaded(source)
    assert all(torch.equal(one, two) for one, two in zip(module.parameters(), again.parameters(), strict=True))


def test_the_scratch_network_is_as_small_as_it_says() -> None:
    module, card = build_scratch_cnn()
    n_weights = sum(parameter.numel() for parameter in module.parameters()) + 2 * (card.feature_dim + 1)
    assert round(n_weights / 1e6, 2) == 0.33
    torch.manual_seed(1)
    one = build_scratch_cnn()[0]
    torch.manual_seed(1)
    two = build_scratch_cnn()[0]
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_cut_anywhere_trunk_and_tail_are_the_whole_and_share_its_weights(source: str) -> None:
    module, card = loaded(source)
    x = planes(64, 96)
    with torch.inference_mode():
        whole = module(x)
        for at in range(len(module.blocks)):
            trunk, tail = module.cut(at)
            assert torch.equal(tail(trunk(x)), whole)
            assert [*trunk.blocks, *tail.blocks] == list(module.blocks)
            own = {id(parameter) for parameter in module.parameters()}
            assert {id(parameter) for part in (trunk, tail) for parameter in part.parameters()} == own
            if at:
                assert feature_dim(trunk) == trunk(x).shape[1]
    assert feature_dim(module) == card.feature_dim
    for at in (-1, len(module.blocks), 1000):
        with pytest.raises(DataError, match=rf"no block {at} to train from: this backbone has 0 to"):
            module.cut(at)


def test_freezing_and_a_step_of_training(source: str) -> None:
    """What is frozen stays to the last bit, and what learns moves, whichever block it begins with."""
    module, card = loaded(source)
    for at in (0, len(module.blocks) // 2, len(module.blocks) - 1):
        trunk, tail = module.requires_grad_(False).cut(at)
        tail.requires_grad_(True)
        head = HeadLayers(card.feature_dim, HeadSettings())
        before = {name: value.clone() for name, value in module.state_dict().items()}
        optimiser = torch.optim.SGD([*tail.parameters(), *head.parameters()], 0.1)
        with fast_convolutions(module):
            loss: Any = plane_logits(tail, head, trunk(planes(64, 64, n=4))).sum()
            loss.backward()
        optimiser.step()
        moved = {
            name.split(".")[1] for name, value in module.state_dict().items() if not torch.equal(value, before[name])
        }
        assert moved == set(tail.blocks)
        assert all(parameter.grad is None for parameter in trunk.parameters())
        for parameter in module.parameters():
            parameter.grad = None


@pytest.mark.slow
@pytest.mark.parametrize("hw", SIZES_HW)
def test_a_family_exports_reloads_and_agrees_with_torch(source: str, exported: Path, hw: tuple[int, int]) -> None:
    module, card = loaded(source)
    backbone = read_backbone(exported)
    assert backbone.card.name == card.name
    assert backbone.card.feature_dim == card.feature_dim
    pixels = random_pixels(*hw)
    found, feature_map = open_session(exported.read_bytes()).run(["features", "feature_map"], {"pixels": pixels})
    expected = torch_features(module, card, pixels)
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, float(expected.abs().max())))
    assert feature_map.shape == (1, card.feature_dim, -(-hw[0] // 32), -(-hw[1] // 32))


@pytest.mark.slow
def test_a_trained_tail_on_an_exported_trunk_is_the_exported_whole(source: str, kind: str, exported: Path) -> None:
    """As a finetuning sees it: the trunk by ONNX Runtime, the tail in torch, sizes as they come."""
    if kind == SCRATCH_CNN:
        pytest.skip("nothing of it is ever frozen")
    module, _ = loaded(source)
    whole = open_session(exported.read_bytes())
    at = len(module.blocks) // 2
    trunk = open_session(convert_backbone(source, n_blocks=at).read_bytes())
    assert read_backbone(convert_backbone(source, n_blocks=at)).card.feature_dim == feature_dim(module.cut(at)[0])
    for height, width in SIZES_HW[:3]:
        pixels = random_pixels(height, width)
        maps = torch.from_numpy(trunk.run(["feature_map"], {"pixels": pixels})[0])
        with torch.inference_mode():
            found = module.cut(at)[1](maps).mean((2, 3))
        expected = whole.run(["features"], {"pixels": pixels})[0]
        np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, float(np.abs(expected).max())))


@pytest.mark.slow
def test_the_graph_holds_no_trace_of_where_it_was_made(source: str, exported: Path) -> None:
    one, two = exported.read_bytes(), export_backbone(*loaded(source)).SerializeToString(deterministic=True)
    assert one == two
    for trace in (b"/site-packages/", b'File "', str(Path.cwd()).encode(), b"stack_trace"):
        assert trace not in one


# Folders that are not what they should be


def replaced(path: Path, content: bytes) -> None:
    """Write beside and rename: weights are mapped into memory, and must not change under a module of another test."""
    beside = path.with_name("beside")
    beside.write_bytes(content)
    beside.replace(path)


@pytest.fixture
def broken_folder(resnet_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(resnet_folder, tmp_path / "model")
    return tmp_path / "model"


def test_weights_that_are_missing_are_never_drawn_at_random(
    broken_folder: Path, mobilenet_folder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    weights = broken_folder / "model.safetensors"
    content = weights.read_bytes()
    state = load_file(weights)
    name = next(name for name in state if "stages.3" in name and name.endswith("weight"))
    save_file({key: value for key, value in state.items() if key != name}, tmp_path / "less", {"format": "pt"})
    replaced(weights, (tmp_path / "less").read_bytes())
    with pytest.raises(DataError, match=rf"1 weights are missing, among them '{name}'"):
        load_backbone(str(broken_folder))
    replaced(weights, (mobilenet_folder / "model.safetensors").read_bytes())
    with pytest.raises(DataError, match="weights are missing"):
        load_backbone(str(broken_folder))
    save_file({**state, name: torch.zeros(3, 3)}, tmp_path / "shape", {"format": "pt"})
    replaced(weights, (tmp_path / "shape").read_bytes())
    for damaged in (content[: len(content) // 2], b"", (tmp_path / "shape").read_bytes()):
        replaced(weights, damaged)
        with pytest.raises(DataError, match=r"weights cannot be loaded: .* Fetch model.safetensors again"):
            load_backbone(str(broken_folder))
    weights.unlink()
    with pytest.raises(DataError, match=r"weights cannot be loaded: .*no file named model.safetensors"):
        load_backbone(str(broken_folder))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model_type": "resnet", "hidden_sizes": "x"}'])
def test_a_damaged_configuration_is_one_clear_line(broken_folder: Path, text: str) -> None:
    (broken_folder / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config.json cannot be used: .* Fetch it again"):
        load_backbone(str(broken_folder))


def test_pixels_are_normalised_as_the_folder_says_or_as_the_family_does(broken_folder: Path) -> None:
    path = broken_folder / "preprocessor_config.json"
    assert load_backbone(str(broken_folder))[1].pixel_shift[0] == pytest.approx(-0.485 / 0.229)
    path.write_text('{"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.25, 1]}')
    card = load_backbone(str(broken_folder))[1]
    assert card.pixel_scale == pytest.approx((2 / 255, 4 / 255, 1 / 255))
    assert card.pixel_shift == pytest.approx((-0.2, -0.8, -0.3))
    for text in (
        "{",
        "[]",
        '{"image_mean": null}',
        '{"image_mean": [1], "image_std": [1]}',
        '{"image_std": [0, 0, 0]}',
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=r"preprocessor_config.json: image_mean and image_std"):
            load_backbone(str(broken_folder))


@pytest.mark.slow
def test_a_folder_is_known_by_its_content(resnet_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(resnet_folder, copy)
    (copy / "README.md").write_text("not part of it")
    first = convert_backbone(str(resnet_folder))
    assert convert_backbone(str(copy)) == first
    assert convert_backbone(str(copy), n_blocks=2) != first
    assert convert_backbone(str(copy), n_blocks=2) == convert_backbone(str(resnet_folder), n_blocks=2)
    (copy / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}')
    assert convert_backbone(str(copy)) != first


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


# Told before any weights are fetched


def refuse_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks for weights, or for a network, fails the test."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("weights were asked for")

    monkeypatch.setattr("transformers.AutoModel.from_pretrained", never)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("resnet-50", "no such folder, and no hub id, which has the form owner/name"),
        ("/nowhere/model", "no such folder, and no hub id"),
        ("../models/resnet", "no such folder, and no hub id"),
        ("my models/resnet", "no such folder, and no hub id"),
        ("microsoft/resnet-50/main", "no such folder, and no hub id"),
        ("FILE", "a file. Give a model folder or a hub id"),
        ("VIT", "'vit' are not known; known are mobilenet_v2, resnet"),
        ("RESNETT", "'resnett' are not known; .* Did you mean 'resnet'"),
        ("EMPTY", "names no model_type"),
    ],
)
def test_an_unsupported_backbone_is_told_before_the_network_is_asked(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_weights(monkeypatch)
    monkeypatch.setattr("transformers.PretrainedConfig.get_config_dict", None)
    if source.isupper():
        place = tmp_path / "model"
        if source == "FILE":
            place.write_bytes(b"not a folder")
        else:
            place.mkdir()
            content = "{}" if source == "EMPTY" else json.dumps({"model_type": source.lower()})
            (place / "config.json").write_text(content)
        source = str(place)
    with pytest.raises(DataError, match=message):
        require_convertible(source)
    with pytest.raises(DataError, match=message):
        crackscope.train("no data", out=tmp_path / "run", recipe="mobilenetv2-frozen", backbone=source)


def test_the_configuration_of_a_hub_id_is_asked_for_first_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_weights(monkeypatch)
    asked = []

    def config_of(source: str, *, local_files_only: bool) -> tuple[dict[str, str], dict[str, str]]:
        asked.append((source, local_files_only))
        if local_files_only:
            raise OSError("not in the cache")
        return {"model_type": "vit"}, {}

    monkeypatch.setattr("transformers.PretrainedConfig.get_config_dict", config_of)
    with pytest.raises(DataError, match="google/vit: backbones of type 'vit' are not known"):
        convert_backbone("google/vit")
    assert asked == [("google/vit", True), ("google/vit", False)]


def test_the_kinds_that_are_named_without_torch_are_those_that_it_knows() -> None:
    assert tuple(FAMILIES) == MODEL_TYPES


@pytest.mark.slow
def test_real_weights_agree_with_torch_and_with_the_published_padding(real_weights: Path) -> None:
    from transformers import AutoModel

    module, card = load_backbone(str(real_weights))
    session = open_session(convert_backbone(str(real_weights)).read_bytes())
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
    session = open_session(convert_backbone(str(folder)).read_bytes())
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
    backbone = read_backbone(convert_backbone(str(real_weights)))
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
    first = convert_backbone(str(real_weights))
    assert first.is_relative_to(cache_folder())
    monkeypatch.setitem(sys.modules, "crackscope.training.torch.export", None)
    assert convert_backbone(str(real_weights)) == first


def test_without_the_extra_the_error_names_it() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from crackscope.training.conversion import convert_backbone\n"
        "convert_backbone('some/model')"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs torch, which is not installed. In the repository's folder: pip install torch" in found.stderr


# A backbone that ends earlier


def test_a_backbone_may_end_after_any_block_or_the_first_layer_of_one(source: str) -> None:
    module, _ = loaded(source)
    x = planes(64, 96)
    value = x
    with torch.inference_mode():
        for name, block in module.blocks.items():
            ended = module.ending(name)
            layer = next((own for own, _ in block.named_children()), None)
            if layer is not None and layer != "0":
                first = module.ending(f"{name}.{layer}")
                assert torch.equal(first(x), getattr(block, layer)(value))
                assert list(first.blocks)[-1] == f"{name}_{layer}"
            value = block(value)
            assert torch.equal(ended(x), value)
            assert list(ended.blocks)[-1] == name
    with pytest.raises(DataError, match=r"no block 'blok_3'.*It has "):
        module.ending("blok_3")
    last = list(module.blocks)[-1]
    with pytest.raises(DataError, match=rf"until: block '{last}' begins with .*, not 'nothing'"):
        module.ending(f"{last}.nothing")


def test_a_backbone_that_ends_earlier_exports_and_says_so(mobilenet_folder: Path) -> None:
    module, card = load_backbone(str(mobilenet_folder), until="block_13.expand_1x1")
    assert card.name == "mobilenet_v2 until block_13.expand_1x1"
    assert card.feature_dim == feature_dim(module)
    path = convert_backbone(str(mobilenet_folder), until="block_13.expand_1x1")
    assert path != convert_backbone(str(mobilenet_folder))
    assert convert_backbone(str(mobilenet_folder), n_blocks=3) == convert_backbone(
        str(mobilenet_folder), n_blocks=3, until="block_13.expand_1x1"
    )  # the first blocks are the same, wherever it ends
    pixels = random_pixels(100, 131)
    found, feature_map = open_session(path.read_bytes()).run(["features", "feature_map"], {"pixels": pixels})
    np.testing.assert_allclose(found, torch_features(module, card, pixels), atol=1e-4)
    assert feature_map.shape[2:] == (128 // 16, 160 // 16)  # padded to 32, cells of 16
