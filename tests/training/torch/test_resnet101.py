"""ResNet-101 itself: its forward against one written from the paper, and the recipe run on it from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch
import transformers

import crackscope
from crackscope.measuring.run_document import RunParameters
from crackscope.model.bundle import read_bundle
from crackscope.training.torch.backbones import load_backbone

pytestmark = pytest.mark.slow
DEPTHS = (3, 4, 23, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-101 with fixed random weights, as the hub lays it out; its weights mean nothing."""
    place = tmp_path_factory.mktemp("weights") / "resnet-101"
    torch.manual_seed(0)
    from_config: Any = transformers.AutoModel.from_config
    model = from_config(transformers.ResNetConfig(depths=list(DEPTHS)))
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    model.save_pretrained(place)
    return place


def norm(weights: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    return torch.nn.functional.batch_norm(x, mean, var, weights[f"{name}.weight"], weights[f"{name}.bias"])


def unit(weights: dict[str, torch.Tensor], name: str, x: torch.Tensor, *, stride: int = 1) -> torch.Tensor:
    kernel = weights[f"{name}.convolution.weight"]
    x = torch.nn.functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
    return norm(weights, f"{name}.normalization", x)


def resnet_101(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """He et al. 2016, table 1 and figure 5 right, with the stride in the 3×3 convolution (v1.5)."""
    x = torch.relu(unit(weights, "embedder.embedder", x, stride=2))
    x = torch.nn.functional.max_pool2d(x, 3, stride=2, padding=1)
    for stage, depth in enumerate(DEPTHS):
        for block in range(depth):
            name = f"encoder.stages.{stage}.layers.{block}"
            stride = 2 if stage and not block else 1
            inner = torch.relu(unit(weights, f"{name}.layer.0", x))
            inner = torch.relu(unit(weights, f"{name}.layer.1", inner, stride=stride))
            inner = unit(weights, f"{name}.layer.2", inner)
            x = torch.relu(inner + (x if block else unit(weights, f"{name}.shortcut", x, stride=stride)))
    return x


def test_its_forward_is_that_of_the_paper_and_of_the_reference_implementation(folder: Path) -> None:
    reference = transformers.AutoModel.from_pretrained(folder).eval()
    module, card = load_backbone(str(folder))
    pixels = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = module(pixels)
        own = resnet_101(dict(reference.state_dict()), pixels)
        torch.testing.assert_close(found, reference(pixels).last_hidden_state, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found, own, rtol=1e-3, atol=1e-3 * float(own.abs().max()))
    assert card.feature_dim == 2048
    assert sum(p.numel() for p in module.parameters()) == 42_500_160


def test_the_recipe_runs_on_it_from_end_to_end(folder: Path, drawn: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.csv"
    crackscope.write_split(crackscope.split(crackscope.read_patches(drawn), by="photo", val=0.25, test=0.25), split)
    changes = ("patch_px=64", "frozen.epochs=3")
    run = crackscope.train(
        drawn, out=tmp_path / "run", recipe="resnet101", changes=changes, backbone=folder, split=split
    )
    assert run.evaluation.part == "test"
    agreement = run.document.agreement_with_torch
    assert agreement is not None
    assert agreement.greatest is not None
    assert agreement.greatest <= 1e-3
    assert run.document.parameters == RunParameters(total=42_500_160 + 557_698, trainable=557_698)
    assert read_bundle(tmp_path / "run" / "model.onnx").card.map == "approximate"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]["head"]["hidden"] == [256, 128]
