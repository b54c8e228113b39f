"""A fine map is that of the whole photo at once, however it is cut and wherever it is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.errors import BundleError, DataError
from crackscope.model import fine_windows
from crackscope.model.bundle import Bundle, read_bundle, write_model
from crackscope.model.fine_windows import FineNetwork
from crackscope.model.sessions import Network
from shared.models import fine_bundle
from shared.pictures import noise


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with a fine map whose trunk sees beyond its cells."""
    place = tmp_path_factory.mktemp("wide") / "wide.onnx"
    write_model(fine_bundle(wide=True), place)
    return read_bundle(place)


@pytest.fixture(scope="module")
def network(wide: Bundle) -> FineNetwork:
    return FineNetwork(wide, Network(wide, threads=2))


@pytest.fixture(scope="module")
def whole(wide: Bundle) -> Any:
    """What anybody with ONNX Runtime gets of the whole picture: logits and fine map."""
    session = onnxruntime.InferenceSession(wide.content)

    def both(pixels: Any) -> list[Any]:
        return [found[0, 0] for found in session.run(["logit_map", "fine_map"], {"pixels": pixels[None]})]

    return both


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 11), st.sampled_from([32, 64, 256]))
def test_windows_and_blocks_equal_one_pass(
    network: FineNetwork, whole: Any, height: int, width: int, cells: int, block_px: int
) -> None:
    pixels = noise((height, width))
    network._block_px = block_px
    rng = np.random.default_rng(height)
    # Above all logits but a few, so that some blocks are computed at once and others are asked for later.
    logits, fine = network.maps(pixels, likely_from=float(rng.normal(0, 2)), window_px=32 * cells)
    expected_logits, expected = whole(pixels)
    np.testing.assert_allclose(logits, expected_logits, atol=1e-5)
    wanted = rng.random(logits.shape) < rng.random()
    found = network.completed(fine, pixels, wanted)
    assert found.shape == (16 * logits.shape[0], 16 * logits.shape[1])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected * np.kron(wanted, np.ones((16, 16))), atol=1e-5)


def test_what_is_likely_is_computed_at_once_and_nothing_else(
    network: FineNetwork, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = noise((320, 480))
    network._block_px = 32
    logits, _ = whole(pixels)
    least = float(np.sort(logits.ravel())[-3])
    _, fine = network.maps(pixels, likely_from=least, window_px=160)
    np.testing.assert_array_equal(fine.computed, logits >= least)
    _, near = network.maps(pixels, likely_from=least, reach_cells=1, window_px=4096)
    rows, columns = np.nonzero(logits >= least)
    for row, column in zip(rows, columns, strict=True):
        assert near.computed[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].all()
    assert not network.maps(pixels, likely_from=np.inf)[1].computed.any()
    assert network.maps(pixels, likely_from=-np.inf)[1].computed.all()


def test_a_complete_map_is_not_computed_again(network: FineNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise((200, 200))
    logits, fine = network.maps(pixels, likely_from=-np.inf)

    def no_window(*_: Any) -> Any:
        raise AssertionError("a window was computed again")

    monkeypatch.setattr(fine_windows, "window_pixels", no_window)
    assert network.completed(fine, pixels, np.ones(logits.shape, np.bool_)).all()


def test_the_halo_covers_both_maps(wide: Bundle) -> None:
    plain = Network(wide, threads=1)
    field = FineNetwork(wide, plain).field
    assert field.stride_px == plain.field.stride_px
    assert field.halo_px >= plain.field.halo_px


def test_a_window_that_is_no_multiple_of_the_stride_is_refused(network: FineNetwork) -> None:
    with pytest.raises(DataError, match="multiple of 32"):
        network.maps(noise((64, 64)), likely_from=0.0, window_px=48)


def test_a_bundle_without_a_fine_map_is_refused(bundle_file: Path) -> None:
    bundle = read_bundle(bundle_file)
    with pytest.raises(BundleError, match=r"tiny\.onnx: the model has no fine map"):
        FineNetwork(bundle, Network(bundle, threads=1))
