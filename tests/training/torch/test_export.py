"""A bundle is compared with torch: probabilities everywhere, labels where rounding cannot decide them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

from crackscope.errors import BundleError
from crackscope.measuring.evaluation import evaluate_predictions
from crackscope.training.torch.export import check_bundle


def check(probabilities: list[float], of_torch: list[float], *, threshold: float) -> int:
    """Number of labels that changed; the second of the patches is cracked."""
    said = evaluate_predictions(
        np.array([0, 1, 0]),
        np.array(probabilities),
        paths=["a.jpg", "b.jpg", "c.jpg"],
        photos=None,
        threshold=threshold,
        unsure_band=(threshold, threshold),
        dataset="walls",
        model="tiny",
        model_sha256="",
        n_resamples=0,
    )
    expected = np.array(of_torch)
    return check_bundle(said, np.log(expected / (1 - expected)) * 2.0, temperature=2.0).n_labels_changed


@pytest.mark.parametrize(
    ("second", "n_changed"), [((0.9, 0.9), 0), ((0.5, 0.49999), 1), ((0.4995, 0.5004), 1), ((0.4996, 0.4991), 0)]
)
def test_a_label_that_rounding_turns_stops_no_training(second: tuple[float, float], n_changed: int) -> None:
    assert check([0.1, second[0], 0.2], [0.1, second[1], 0.2], threshold=0.5) == n_changed


@pytest.mark.parametrize(("second", "n_labels"), [((0.499, 0.5021), 1), ((0.9, 0.902), 0), ((0.4995, 0.6), 1)])
def test_a_difference_beyond_the_tolerance_does_and_names_the_worst_file(
    second: tuple[float, float], n_labels: int
) -> None:
    with pytest.raises(BundleError, match=rf"b\.jpg: .* and in {n_labels} labels: it was not written"):
        check([0.1, second[0], 0.2], [0.1, second[1], 0.2], threshold=0.5)
