"""Comparison: training runs side by side, how good, how large, how fast, and whether they differ by more than chance.

A run folder holds ``model.onnx``, ``run.json`` and ``evaluation/``, which a recipe or ``crackscope evaluate`` wrote.
Figures and intervals are those of ``evaluation/metrics.json``, so they are the same as in the run's own report; what is
compared patch by patch is ``evaluation/predictions.csv``. Both are checked against each other and the model. Speed is
measured here, all models in turn in one process, because numbers from other days and machines do not compare.
"""

from __future__ import annotations

import itertools
import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from crackscope.data.patches import LABELS
from crackscope.drawing.walls import draw_patch
from crackscope.errors import DataError
from crackscope.files.html import html_table
from crackscope.files.tables import TableForm, read_table
from crackscope.measuring.estimates import Estimate, few_text
from crackscope.measuring.metrics import always_crack
from crackscope.measuring.paired import Answers, PairedTest, compare_pair
from crackscope.measuring.run_document import RunDocument, Stated, read_document, read_run_document
from crackscope.measuring.wording import FIGURES, LEAKY, figure_text, number_text
from crackscope.model.bundle import Bundle, read_bundle
from crackscope.scanning.loaded_model import Model

__all__ = ["SHOWN", "Comparison", "RunSummary", "Speed", "compare"]

SHOWN = ("accuracy", "f1_crack", "log_loss")
"""The figures that are compared; they are named as in `crackscope.measuring.metrics`."""

_TRUTH_AND_ANSWER = ("true_label", "label")
"""Columns of a table that `write_evaluation` wrote: the label of the data, and what the model says."""
_OLD_TRUTH_AND_ANSWER = ("label", "predicted")
"""Older names of these columns."""
_FLOATS = frozenset(getattr(onnx.TensorProto, name) for name in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE"))
_SPEED_SECONDS = 2.0  # for all models together
_LEAST_ROUNDS = 3  # however slow the models are
_TURN_PATCHES = 4  # short turns, many rounds: a busy moment of the machine then touches few of them
_SPEED_MAX_PX = 4096  # a card may say more, but no patch that size is drawn in reasonable time


@dataclass(frozen=True)
class Speed:
    """Images per second, over many short rounds.

    Attributes:
        median: Median over the rounds.
        low: Lower quartile over the rounds; far below the median where the machine was busy with other things.
        high: Upper quartile over the rounds.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class RunSummary:
    """One training run, as a comparison shows it.

    Attributes:
        name: Name of the folder, or its path where another run's folder has the same name.
        folder: Path of the folder, as it was given.
        recipe: Name of the recipe that the run was trained with.
        dataset: Name of the data that the run was judged on.
        part: Part that was judged, ``train``, ``val`` or ``test``; None for all patches.
        split_sha256: Digest of the split that the run was trained on; empty where it is not stated.
        leaky: Whether training has seen some of what was judged.
        n_patches: Number of patches that were judged.
        n_photos: Number of photos, or groups that look alike, that the patches come from; None where each stands alone.
        resampled: What the intervals resample: ``photos``, ``similarity groups`` or ``patches``.
        metrics: Accuracy, F1 of crack and log loss by name, with 95 % intervals.
        always_crack: The same figures for calling every patch crack, without intervals.
        train_seconds: Wall-clock time of the training in seconds; None where it is not stated.
        n_parameters: Number of float numbers stored in the graph. A batch norm that export folded away is not among
            them.
        n_trainable: Number of parameters that training changed; None where it is not stated.
        model_mb: Size of ``model.onnx`` in millions of bytes.
        images_per_s: Patches of the model's own source size per second on one thread, resize included, decoding not;
            None where it was not measured.
        n_clusters_crack: Number of photos, or groups, that hold a cracked patch; None where it is not stated.
        n_clusters_uncracked: Number of photos, or groups, that hold an uncracked patch; None where it is not stated.
    """

    name: str
    folder: str
    recipe: str
    dataset: str
    part: str | None
    split_sha256: str
    leaky: bool
    n_patches: int
    n_photos: int | None
    resampled: str
    metrics: dict[str, Estimate]
    always_crack: dict[str, float]
    train_seconds: float | None
    n_parameters: int
    n_trainable: int | None
    model_mb: float
    images_per_s: Speed | None
    n_clusters_crack: int | None = None
    n_clusters_uncracked: int | None = None

    @property
    def few(self) -> str:
        """What is said beside intervals where a label comes from too few photos or groups; empty where not."""
        return few_text(self.n_clusters_crack, self.n_clusters_uncracked, self.resampled)


@dataclass(frozen=True)
class Comparison:
    """Training runs side by side.

    Attributes:
        runs: Runs in the order given; the first is the reference.
        pairs: Test of every pair of runs, the earlier run first; those with the reference come first.
        warnings: Reasons why figures may not stand on the same footing, one sentence each.
    """

    runs: tuple[RunSummary, ...]
    pairs: tuple[PairedTest, ...]
    warnings: tuple[str, ...]

    def _repr_html_(self) -> str:
        tests: list[PairedTest | None] = [None, *self.against_reference]
        return html_table(
            f"Runs compared with {self.reference.name}",
            ("Run", *(FIGURES[name].title for name in SHOWN), "McNemar p"),
            [
                (
                    f"{run.name} ({LEAKY})" if run.leaky else run.name,
                    *(figure_text(run.metrics[name]) for name in SHOWN),
                    "reference" if test is None else test.note or number_text(test.p),
                )
                for run, test in zip(self.runs, tests, strict=True)
            ]
            + [
                (f"always crack, on {names}", *(number_text(figures[name]) for name in SHOWN), "")
                for names, figures in self.baselines
            ],
        )

    @property
    def baselines(self) -> tuple[tuple[str, dict[str, float]], ...]:
        """Figures of calling every patch crack, with the names of the runs whose patches they are of."""
        found: list[tuple[list[str], dict[str, float]]] = []
        for run in self.runs:
            same = next((names for names, figures in found if figures == run.always_crack), None)
            if same is None:
                found.append(([run.name], run.always_crack))
            else:
                same.append(run.name)
        if len(found) == 1:
            return (("the patches of all runs", found[0][1]),)
        return tuple((f"the patches of {' and '.join(names)}", figures) for names, figures in found)

    @property
    def few(self) -> tuple[str, ...]:
        """What is said beside intervals: labels from too few photos or groups, and evaluations by an older version."""
        told: dict[str, list[str]] = {}
        for run in self.runs:
            told.setdefault(run.few, []).append(run.name)
        lines = [f"{' and '.join(names)}: {few}." for few, names in told.items() if few]
        older = [run.name for run in self.runs if run.n_clusters_crack is None]
        if older:
            names = " and ".join(older)
            lines.append(f"{names}: evaluated by an older version, so every interval is a bootstrap. Evaluate again.")
        return tuple(lines)

    @property
    def reference(self) -> RunSummary:
        """The run that the others are tested against."""
        return self.runs[0]

    @property
    def against_reference(self) -> tuple[PairedTest, ...]:
        """Tests of the reference against each other run, in the order of the runs."""
        return self.pairs[: len(self.runs) - 1]


def compare(
    runs: Sequence[str | Path], *, measure_speed: bool = True, n_resamples: int = 1000, seed: int = 0
) -> Comparison:
    """Compare training runs; the first is the reference.

    Args:
        runs: Paths of at least two run folders, as `crackscope.train` writes them; each needs an evaluation.
        measure_speed: Whether images per second are measured here and now, in about 2 seconds for all models together.
        n_resamples: Number of bootstrap resamples behind the interval of each accuracy gain.
        seed: Seed of the bootstrap resamples.

    Returns:
        The comparison. `crackscope.write_comparison` writes it into a folder.

    Raises:
        BundleError: If a ``model.onnx`` is no bundle.
        DataError: If there are fewer than two runs, a folder is given twice, a file in it is missing or damaged, an
            evaluation is of another model, or two runs disagree on the label of a patch.
    """
    folders = [Path(run) for run in runs]
    names = _names(folders)
    found = [_read_run(folder, name) for folder, name in zip(folders, names, strict=True)]
    pairs = tuple(
        compare_pair(first.answers, second.answers, n_resamples=n_resamples, seed=seed)
        for first, second in itertools.combinations(found, 2)
    )
    speeds: Sequence[Speed | None] = (
        _images_per_s([run.bundle for run in found]) if measure_speed else [None] * len(found)
    )
    summaries = tuple(_summary(run, speed) for run, speed in zip(found, speeds, strict=True))
    return Comparison(summaries, pairs, tuple(_warnings(summaries, pairs[: len(found) - 1])))


# Reading a run folder


class _Figure(Stated):
    value: float | None
    low: float | None
    high: float | None

    @property
    def estimate(self) -> Estimate:
        """With NaN where JSON has null."""
        value, low, high = (math.nan if number is None else number for number in (self.value, self.low, self.high))
        return Estimate(value, low, high)


class _MetricsFile(Stated):
    """What is compared of ``metrics.json``, see `crackscope.measuring.evaluation.metrics_document`."""

    accuracy: _Figure
    f1_crack: _Figure
    log_loss: _Figure
    n_patches: int
    n_photos: int | None
    dataset: str
    part: str | None
    model_sha256: str
    resampled: str
    leaky: bool
    n_clusters_crack: int | None = None
    n_clusters_uncracked: int | None = None


@dataclass(frozen=True, eq=False)
class _FoundRun:
    """A run folder, read and checked."""

    folder: Path
    bundle: Bundle
    about: RunDocument
    figures: _MetricsFile
    answers: Answers


def _names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder, all different."""
    if len(folders) < 2:
        raise DataError(f"{len(folders)} run folders to compare. Give at least two.")
    resolved = [folder.resolve() for folder in folders]
    for i, place in enumerate(resolved):
        if place in resolved[:i]:
            raise DataError(f"{folders[i]}: given twice. Give each run folder once.")
    short = [place.name for place in resolved]
    return [name if short.count(name) == 1 else str(folder) for name, folder in zip(short, folders, strict=True)]


def _read_run(folder: Path, name: str) -> _FoundRun:
    if not folder.is_dir():
        found = "a file, not a run folder" if folder.is_file() else "no such folder"
        raise DataError(f"{folder}: {found}. Give a folder that `crackscope train` wrote.")
    about = read_run_document(folder / "run.json", remedy="Give a folder that `crackscope train` wrote.")
    bundle = read_bundle(folder / "model.onnx")
    remedy = _how_to_evaluate(folder)
    figures = read_document(folder / "evaluation" / "metrics.json", _MetricsFile, remedy=remedy)
    answers = _read_answers(folder / "evaluation" / "predictions.csv", name, figures.dataset, remedy)
    if figures.model_sha256 not in ("", bundle.sha256):
        raise DataError(
            f"{folder / 'evaluation'}: of a model with SHA-256 {figures.model_sha256[:12]}…, but model.onnx has "
            f"{bundle.sha256[:12]}…. {remedy}"
        )
    accuracy = 1 - float(answers.wrong.mean())
    said = math.nan if figures.accuracy.value is None else figures.accuracy.value
    if figures.n_patches != len(answers.paths) or not math.isclose(accuracy, said, abs_tol=1e-9):
        raise DataError(
            f"{folder / 'evaluation'}: metrics.json has an accuracy of {said:.6g} on {figures.n_patches} patches, "
            f"predictions.csv of {accuracy:.6g} on {len(answers.paths)}. {remedy}"
        )
    return _FoundRun(folder, bundle, about, figures, answers)


def _how_to_evaluate(folder: Path) -> str:
    """The command that writes ``evaluation/``, to end an error with."""
    split = shlex.quote(str(folder / "split.csv")) if (folder / "split.csv").is_file() else "SPLIT"
    model, out = shlex.quote(str(folder / "model.onnx")), shlex.quote(str(folder / "evaluation"))
    again = " --overwrite" if (folder / "evaluation").exists() else ""
    return f"Run: crackscope evaluate DATA --model {model} --split {split} --out {out}{again}"


def _read_bytes(place: Path, remedy: str) -> bytes:
    try:
        return place.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{place}: no such file. {remedy}") from error
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror or error}). {remedy}") from error


def _read_answers(place: Path, run: str, dataset: str, remedy: str) -> Answers:
    """The table that `crackscope.reports.evaluation_report.write_evaluation` wrote."""
    content = _read_bytes(place, remedy)
    paths: dict[str, None] = {}
    photos, labels, wrong = [], [], []
    header = content.partition(b"\n")[0].decode("utf-8", "replace").split(",")
    columns = _OLD_TRUTH_AND_ANSWER if "predicted" in header else _TRUTH_AND_ANSWER
    form = TableForm(("path", "photo", "crack_probability", *columns), complete=True, remedy=remedy)
    for row in read_table(content, form, name=str(place)):
        path, label, answer = row["path"], *(row[column] for column in columns)
        for word in (label, answer):
            if word not in LABELS:
                raise DataError(f"{row.where}: label {word!r:.40} is neither {' nor '.join(LABELS)}. {remedy}")
        if path in paths:
            raise DataError(f"{row.where}: {path} stands there twice. {remedy}")
        paths[path] = None
        photos.append(row["photo"])
        labels.append(LABELS.index(label))
        wrong.append(label != answer)
    if not paths:
        raise DataError(f"{place}: no rows. {remedy}")
    known = tuple(photos) if all(photos) else None
    return Answers(run, dataset, tuple(paths), known, np.array(labels, np.int64), np.array(wrong, np.bool_))


def _summary(run: _FoundRun, images_per_s: Speed | None) -> RunSummary:
    figures, about = run.figures, run.about
    baseline = always_crack(run.answers.labels, n_resamples=0)
    return RunSummary(
        name=run.answers.run,
        folder=str(run.folder),
        recipe=about.settings.recipe,
        dataset=figures.dataset,
        part=figures.part,
        split_sha256=about.split.sha256,
        leaky=figures.leaky,
        n_patches=figures.n_patches,
        n_photos=figures.n_photos,
        resampled=figures.resampled,
        metrics={name: getattr(figures, name).estimate for name in SHOWN},
        always_crack={name: baseline[name].value for name in SHOWN},
        train_seconds=about.seconds.total,
        n_parameters=_count_parameters(run.bundle),
        n_trainable=about.parameters.trainable,
        model_mb=len(run.bundle.content) / 1e6,
        images_per_s=images_per_s,
        n_clusters_crack=figures.n_clusters_crack,
        n_clusters_uncracked=figures.n_clusters_uncracked,
    )


def _count_parameters(bundle: Bundle) -> int:
    """Float numbers among the graph's initializers, and those that int8 stands for; its scales are none."""
    graph = onnx.load_model_from_string(bundle.content).graph
    rounding = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    scales = {name for node in rounding for name in node.input[1:]}
    rounded = {node.input[0] for node in rounding}
    counted = [t for t in graph.initializer if t.name not in scales and (t.data_type in _FLOATS or t.name in rounded)]
    return sum(math.prod(tensor.dims) for tensor in counted)


def _images_per_s(bundles: Sequence[Bundle]) -> list[Speed]:
    """Speed of each model over rounds in which all take their turn, so that a busy moment meets them all."""
    models = [Model(bundle, threads=1) for bundle in bundles]
    sides = [min(bundle.card.source_px, _SPEED_MAX_PX) for bundle in bundles]
    drawn = {side: [draw_patch(seed, side_px=side).pixels for seed in range(_TURN_PATCHES)] for side in set(sides)}
    seconds: list[list[float]] = [[] for _ in bundles]
    end = time.perf_counter() + _SPEED_SECONDS
    while len(seconds[-1]) < _LEAST_ROUNDS or time.perf_counter() < end:
        for model, side, mine in zip(models, sides, seconds, strict=True):
            model.probabilities(drawn[side][:1])  # brings the weights back into the cache, as in a long run
            start = time.perf_counter()
            model.probabilities(drawn[side])
            mine.append(time.perf_counter() - start)
    quartiles = [np.quantile(_TURN_PATCHES / np.maximum(mine, 1e-6), (0.5, 0.25, 0.75)).tolist() for mine in seconds]
    return [Speed(*three) for three in quartiles]


# What a reader must know before comparing


def _warnings(runs: Sequence[RunSummary], against_reference: Sequence[PairedTest]) -> list[str]:
    found = []
    others = [run for run in runs if run.split_sha256 != runs[0].split_sha256]
    if others:
        first, *digests = (f"{run.name} ({run.split_sha256[:12] or 'not stated'})" for run in (runs[0], *others))
        found.append(f"Not trained on the split of {first}: {', '.join(digests)}. Part of a gain may be the split's.")
    for run in runs:
        if run.leaky:
            found.append(f"{run.name} is leaky: training has seen what it was judged on, so its figures flatter.")
        if run.part in ("train", "val"):
            found.append(f"{run.name} was judged on part {run.part}, which its training has used. Judge it on test.")
    sizes = {run.name: run.n_patches for run in runs}
    for pair in against_reference:
        if pair.note:
            found.append(f"{pair.second} cannot be tested against {pair.first}: {pair.note}.")
        elif {pair.n_common} != {sizes[pair.first], sizes[pair.second]}:
            found.append(
                f"{pair.first} was judged on {sizes[pair.first]} patches and {pair.second} on {sizes[pair.second]}; "
                f"McNemar's test is on the {pair.n_common} that are common."
            )
    return found
