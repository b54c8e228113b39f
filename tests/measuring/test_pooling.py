"""Pooled folds: every patch keeps the answer of its fold's model."""

from __future__ import annotations

import numpy as np
import pytest

from crackscope.data.patches import PatchIndex
from crackscope.measuring.evaluation import Evaluation, evaluate_predictions, metrics_document
from crackscope.measuring.metrics import measure
from crackscope.measuring.pooling import BY_PROBABILITY, pool_evaluations


def fold(number: int, threshold: float, band: tuple[float, float]) -> Evaluation:
    rng = np.random.default_rng(number)
    labels = np.arange(20) % 2
    return evaluate_predictions(
        labels,
        np.clip(0.5 + 0.3 * (labels - 0.5) + rng.normal(0, 0.2, 20), 0.01, 0.99),
        paths=[f"{number}-{i}.jpg" for i in range(20)],
        photos=[f"s{number}-{i // 5}" for i in range(20)],
        photo_kind="scenes",
        threshold=threshold,
        unsure_band=band,
        dataset="walls",
        part="test",
        model="m",
        model_sha256="",
        refused=[(f"{number}.jpg", "empty")],
        n_seen=number,
        n_resamples=20,
    )


def test_answers_follow_the_threshold_of_each_fold() -> None:
    folds = [fold(0, 0.4, (0.3, 0.5)), fold(1, 0.6, (0.55, 0.65))]
    index = PatchIndex("walls", (), files=None)  # type: ignore[arg-type]
    found = pool_evaluations(folds, index, model="kept", n_resamples=50)
    labels = np.concatenate([one.labels for one in folds])
    said = np.concatenate([one.probabilities >= one.threshold for one in folds])
    assert found.predictions.tolist() == said.astype(int).tolist()
    assert found.metrics["accuracy"].value == pytest.approx((said == labels).mean())
    assert found.metrics["recall_crack"].value == pytest.approx(said[labels == 1].mean())
    assert found.confusion_counts.sum() == 40
    assert found.unsure.tolist() == [doubt for one in folds for doubt in one.unsure.tolist()]
    assert (found.part, found.photo_kind, found.n_photos, found.n_seen) == ("folds", "scenes", 8, 1)
    assert found.threshold == pytest.approx(0.5)
    assert [path for path, _ in found.refused] == ["0.jpg", "1.jpg"]
    plain = measure(labels, found.probabilities, threshold=0.5, photos=found.photos, n_resamples=50)
    for name in BY_PROBABILITY:
        assert found.metrics[name] == plain[name]
    assert metrics_document(found)["resampled"] == "scenes"
    assert list(found.metrics) == list(plain)
