"""An evaluation holds everything a figure needs beside it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from crackscope.errors import DataError
from crackscope.measuring.evaluation import (
    Evaluation,
    evaluate_predictions,
    least_certain,
    metrics_document,
    resampling_text,
    worst_mistakes,
)
from crackscope.measuring.metrics import METRICS
from crackscope.measuring.wording import HEADLINES

LABELS = np.array([0, 0, 0, 1, 1, 1])
PROBABILITIES = np.array([0.1, 0.45, 0.9, 0.02, 0.55, 0.97])


def evaluation(**changes: object) -> Evaluation:
    settings: dict[str, object] = {
        "labels": LABELS,
        "probabilities": PROBABILITIES,
        "paths": [f"D/{i}.jpg" for i in range(6)],
        "photos": ["a", "a", "b", "b", "c", "c"],
        "threshold": 0.5,
        "unsure_band": (0.4, 0.6),
        "dataset": "walls",
        "part": "test",
        "split": "split.csv",
        "model": "model.onnx",
        "model_sha256": "ab" * 32,
        "n_resamples": 50,
    }
    return evaluate_predictions(**{**settings, **changes})  # type: ignore[arg-type]


def test_counts_and_answers() -> None:
    result = evaluation()
    assert (result.n_patches, result.n_photos, result.n_crack) == (6, 3, 3)
    assert result.predictions.tolist() == [0, 0, 1, 0, 1, 1]
    assert result.confusion_counts.tolist() == [[2, 1], [1, 2]]
    assert result.unsure.tolist() == [False, True, False, False, True, False]
    assert result.unsure_share == pytest.approx(1 / 3)
    assert result.accuracy_decided == pytest.approx(0.5)
    assert not result.leaky


def test_a_notebook_shows_figures_beside_the_baseline_and_marks_leaky_ones() -> None:
    text = evaluation(dataset="<walls>")._repr_html_()
    counts = resampling_text(evaluation())
    assert f"<caption>model.onnx on &lt;walls&gt; · split.csv · test · {counts}</caption>" in text
    assert "<th>Always “crack”</th>" in text
    found = evaluation().metrics["recall_crack"]
    assert f"<tr><th>Recall of crack</th><td>{found.value:.3f}</td><td>" in text
    assert "leaky" not in text
    assert evaluation(n_seen=1)._repr_html_().count("(leaky)") == 1 + len(HEADLINES)


def test_the_threshold_says_crack_and_an_empty_band_is_never_unsure() -> None:
    result = evaluation(probabilities=np.full(6, 0.5), unsure_band=(0.5, 0.5))
    assert result.predictions.tolist() == [1] * 6
    assert not result.unsure.any()


def test_document_holds_figures_and_what_belongs_beside_them() -> None:
    document = metrics_document(evaluation(n_leaks=2, refused=[("D/x.jpg", "empty file")]))
    assert tuple(document)[: len(METRICS)] == METRICS
    assert document["accuracy"]["value"] == pytest.approx(4 / 6)  # type: ignore[index]
    assert set(document["accuracy"]) == {"value", "low", "high"}  # type: ignore[call-overload]
    assert document["confusion_matrix"] == {"labels": ["uncracked", "crack"], "counts": [[2, 1], [1, 2]]}
    assert document["unsure"] == {
        "band": [0.4, 0.6],
        "share": pytest.approx(1 / 3),
        "accuracy_decided": pytest.approx(0.5),
    }
    assert tuple(document["baseline_always_crack"]) == METRICS  # type: ignore[arg-type]
    assert (document["leaky"], document["n_leaks"], document["n_refused"]) == (True, 2, 1)
    assert (document["dataset"], document["split"], document["part"]) == ("walls", "split.csv", "test")
    assert document["resampled"] == "photos"


def test_document_is_strict_json_even_where_figures_are_not_defined() -> None:
    result = evaluation(labels=np.zeros(6, dtype=np.int64), unsure_band=(0.0, 1.1))
    document = json.loads(json.dumps(metrics_document(result), allow_nan=False))
    assert document["auroc"] == {"value": None, "low": None, "high": None}
    assert document["unsure"]["accuracy_decided"] is None
    assert math.isnan(result.accuracy_decided)


def test_without_photos_patches_are_resampled() -> None:
    result = evaluation(photos=None)
    assert (result.photo_kind, result.n_photos) == ("patches", None)
    assert metrics_document(result)["n_photos"] is None


def test_too_few_photos_for_the_intervals_are_told() -> None:
    text = resampling_text(evaluation())
    assert text == "6 patches from 3 photos (2 photos of each label: read this as an anecdote, without intervals)"
    n = 32
    many = evaluation(
        labels=np.arange(n) % 2,
        probabilities=np.linspace(0, 1, n),
        paths=[f"D/{i}.jpg" for i in range(n)],
        photos=[f"photo {i % 16}" for i in range(n)],
    )
    assert resampling_text(many) == "32 patches from 16 photos"
    alone = evaluation(photos=None)
    assert resampling_text(alone) == "6 patches (3 patches of each label: read this as an anecdote)"
    assert (alone.n_clusters(1), metrics_document(alone)["n_clusters_uncracked"]) == (3, 3)


def test_worst_mistakes_come_most_confident_first() -> None:
    assert worst_mistakes(evaluation()).tolist() == [3, 2]
    assert worst_mistakes(evaluation(), limit=1).tolist() == [3]
    tied = evaluation(probabilities=np.array([0.1, 0.9, 0.9, 0.9, 0.9, 0.9]), paths=list("fedcba"))
    assert worst_mistakes(tied).tolist() == [2, 1]  # by path


def test_least_certain_come_nearest_to_the_threshold_first() -> None:
    assert least_certain(evaluation(threshold=0.46), limit=2).tolist() == [1, 4]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        (
            {"labels": np.array([]), "probabilities": np.array([]), "paths": [], "photos": []},
            "no labelled patch",
        ),
        (
            {
                "labels": [],
                "probabilities": [],
                "paths": [],
                "photos": [],
                "refused": [("x.jpg", "empty file")],
            },
            "none of 1 images can be read; x.jpg: empty file",
        ),
        ({"paths": ["a"]}, "1 paths for 6 patches"),
        ({"photo_kind": "walls"}, "photo_kind 'walls' is none of scenes, photos, similarity groups, patches"),
    ],
)
def test_refuses_what_does_not_fit(changes: dict[str, Any], part: str) -> None:
    with pytest.raises(DataError, match=part):
        evaluation(**changes)


def test_needs_neither_a_runtime_nor_plots() -> None:
    foreign = ("onnxruntime", "torch", "matplotlib")
    code = f"import sys, crackscope.measuring.evaluation; print([m for m in {foreign} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
