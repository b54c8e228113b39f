"""Drawn patches and a tiny random model, made once a session; every test has a cache of its own session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from crackscope.data.patches import read_patches
from crackscope.data.splits import split, write_split
from crackscope.drawing.walls import draw_dataset
from crackscope.model.bundle import compose, make_backbone, read_backbone, write_model
from shared.command import Result, Run
from shared.command import run as run_command
from shared.models import (
    SMALL_CONFIGS,
    fine_bundle,
    tiny_backbone_card,
    tiny_card,
    tiny_head,
    tiny_trunk,
    write_model_folder,
)
from shared.world import World

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REAL_DATA = os.environ.get("CRACKSCOPE_TEST_DATA")

# In CI the same examples each time, so that what turns it red is the change; elsewhere new ones each time.
settings.register_profile("crackscope-ci", settings.get_profile("default"), derandomize=True, deadline=None)
if os.environ.get("CRACKSCOPE_CI"):
    settings.load_profile("crackscope-ci")


@pytest.fixture(autouse=True, scope="session")
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["CRACKSCOPE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; without it the test is skipped, and pytest prints why."""
    if not REAL_DATA:
        pytest.skip("CRACKSCOPE_TEST_DATA is not set: no real images")
    return Path(REAL_DATA)


@pytest.fixture(scope="session")
def real_weights(real_data: Path) -> Path:
    """A real MobileNetV2 in the layout of the hub."""
    folder = real_data.parent / "weights" / "mobilenet_v2_1.0_224"
    if not folder.is_dir():
        pytest.skip(f"{folder.name} does not lie beside CRACKSCOPE_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set of 12 walls: its labels.csv."""
    return draw_dataset(tmp_path_factory.mktemp("drawn") / "walls", n_photos=12, patches_per_photo=9, side_px=96)


@pytest.fixture(scope="session")
def split_file(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn data set split by photo: a half to train on, a quarter each for val and test."""
    path = tmp_path_factory.mktemp("split") / "walls.csv"
    write_split(split(read_patches(drawn), by="photo", val=0.25, test=0.25), path)
    return path


@pytest.fixture(scope="session")
def backbone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone without a head."""
    path = tmp_path_factory.mktemp("backbone") / "tiny-backbone.onnx"
    write_model(make_backbone(tiny_trunk(), tiny_backbone_card()), path)
    return path


@pytest.fixture(scope="session")
def bundle_file(tmp_path_factory: pytest.TempPathFactory, backbone_file: Path) -> Path:
    """A whole bundle with random weights; its answers mean nothing."""
    path = tmp_path_factory.mktemp("bundle") / "tiny.onnx"
    write_model(compose(read_backbone(backbone_file), tiny_head(), tiny_card()), path)
    return path


@pytest.fixture(scope="session")
def fine_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a fine map of stride 2 and random weights; its answers mean nothing."""
    path = tmp_path_factory.mktemp("fine") / "fine.onnx"
    write_model(fine_bundle(), path)
    return path


@pytest.fixture(scope="session")
def world(
    drawn: Path, split_file: Path, backbone_file: Path, bundle_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> World:
    """What every command works on, and what each of them leaves."""
    return World(tmp_path_factory.mktemp("world"), drawn, split_file, backbone_file, bundle_file)


@pytest.fixture(scope="session")
def resnet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of a tiny ResNet with basic blocks: stem and four blocks, 24 features."""
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    return write_model_folder(tmp_path_factory.mktemp("models") / "resnet", SMALL_CONFIGS["resnet-basic"])


@pytest.fixture(scope="session")
def mobilenet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of a narrow MobileNetV2: 18 blocks, 320 features."""
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    return write_model_folder(tmp_path_factory.mktemp("models") / "mobilenet", SMALL_CONFIGS["mobilenet_v2"])


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls a command in this process, and tells how it ended and what it wrote."""

    def call(*words: object) -> Result:
        capfd.readouterr()
        code = run_command(monkeypatch, *words)
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, one a module: while it is open no other loop of asyncio runs, and notebooks need one."""
    from shared.pages import open_browser

    with open_browser() as opened:
        yield opened
