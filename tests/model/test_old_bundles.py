"""A bundle that an old version wrote loads, and answers as it did then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crackscope
from bundles.make_bundle import FOLDER, answers_of, make_bundle
from crackscope.data.patches import content_digest, read_patches
from crackscope.errors import BundleError
from crackscope.model.provenance import count_seen

REFUSED = "71f9e5d-first"
STORED = sorted(file.stem for file in FOLDER.glob("*.onnx"))
LOADED = [name for name in STORED if name != REFUSED]
TODAY = ["today", "today-int8"]


@pytest.fixture
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A bundle, and what the code that wrote it answered; those of today are written now."""
    name = str(request.param)
    if name in TODAY:
        make_bundle(tmp_path / f"{name}.onnx", int8=name.endswith("int8"))
        return tmp_path / f"{name}.onnx", answers_of(tmp_path / f"{name}.onnx")
    return FOLDER / f"{name}.onnx", json.loads((FOLDER / f"{name}.json").read_text())


def tolerance_of(place: Path) -> float:
    """How far a probability may be off: the products of int8 are added up otherwise on other processors."""
    return 0.02 if "int8" in place.stem else 1e-5


@pytest.mark.parametrize("bundle", [*LOADED, *TODAY], indirect=True)
def test_patches_get_the_answers_that_they_got(bundle: tuple[Path, dict[str, Any]]) -> None:
    place, answers = bundle
    said = answers_of(place)["patches"]
    files = sorted((FOLDER / "images").glob("patch*.png"))
    rows = list(crackscope.predict(files, crackscope.load(place, threads=1)))
    assert len(rows) == 3
    for one, row, expected in zip(said, rows, answers["patches"], strict=True):
        assert one["crack_probability"] == pytest.approx(expected["crack_probability"], abs=tolerance_of(place))
        assert row.crack_probability == pytest.approx(one["crack_probability"], abs=1e-6)
        assert (one["label"], one["reason"]) == (row.label, row.reason) == (expected["label"], expected["reason"])


@pytest.mark.parametrize("bundle", [*LOADED, *TODAY], indirect=True)
def test_a_photo_gets_the_map_that_it_got(bundle: tuple[Path, dict[str, Any]]) -> None:
    place, answers = bundle
    found, expected = answers_of(place)["photo"], answers.get("photo")
    assert np.shape(found["logits"]) == (4, 7)
    if expected is not None:  # the first versions scanned no photos; their bundles are scanned today
        # A photo is rejected by today's rule; which crops decided was another matter in older versions.
        assert found["verdict"] in (expected["verdict"], *(["rejected"] if "-gate" in place.name else []))
        assert found["peak_probability"] == pytest.approx(expected["peak_probability"], abs=tolerance_of(place))
        np.testing.assert_allclose(found["logits"], expected["logits"], atol=10 * tolerance_of(place))
        if "fine" in expected:
            assert np.shape(found["fine"]) == (8, 14)
            np.testing.assert_allclose(found["fine"], expected["fine"], atol=max(1e-4, 5 * tolerance_of(place)))


@pytest.mark.parametrize("bundle", ["104db10-seen", "b80235a-gate-int8", "today"], indirect=True)
def test_what_it_was_trained_on_is_known_still(bundle: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """The first two patches and their photos by name, the third by its file alone."""
    data = crackscope.read_bundle(bundle[0]).card.training_data
    for i, file in enumerate(sorted((FOLDER / "images").glob("*.png"))):
        (tmp_path / "walls" / "crack").mkdir(parents=True, exist_ok=True)
        (tmp_path / "walls" / "crack" / f"{i}.png").write_bytes(file.read_bytes())
    index = read_patches(tmp_path / "walls")
    digests = [content_digest(index.files.read(path)) for path in index.paths]
    assert count_seen(index, digests, data) == 3  # all but the photo
    assert {one.name: one.n_crack + one.n_uncracked for one in data} == {"SDNET2018": 2, "own patches": 1}


def test_the_first_bundle_of_all_is_refused_for_its_resize() -> None:
    with pytest.raises(BundleError) as caught:
        crackscope.load(FOLDER / f"{REFUSED}.onnx")
    assert "resize" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_bundle_has_its_answers_and_its_line() -> None:
    told = (FOLDER / "README.md").read_text()
    assert {file.stem for file in FOLDER.glob("*.json")} == set(STORED)
    assert all(f"| `{name}` |" in told for name in STORED)
