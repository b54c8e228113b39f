"""The run of a transfer: train on each set, and on all but one; test on every set. See `crackscope.measure_transfer`.

Trainings are independent of each other. Each leaves its bundle and its figures beside the output. A run that was killed
takes up those that are whole: it loses one training at most, and its outcome is that of a run without a break.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from crackscope import __version__
from crackscope.data.groups import place_of
from crackscope.data.joined import join_indexes, set_of
from crackscope.data.leaks import leaks_in
from crackscope.data.patches import PARTS, Patch, PatchIndex, content_digest
from crackscope.data.similarity import duplicate_pairs, fingerprints
from crackscope.data.splits import Split
from crackscope.errors import DataError, OutputError, RecipeError
from crackscope.files.output import require_free_folder, resumable_folder, write_text
from crackscope.files.streaming import Progress, default_threads
from crackscope.measuring.evaluation import Evaluation, refused_documents
from crackscope.measuring.judging import judge
from crackscope.measuring.transfer import FIGURES, Transfer, TransferTest, all_but
from crackscope.measuring.transfer_sets import TransferSet, draw, n_to_draw, read_photo_list, read_sets
from crackscope.model.bundle import default_bundle
from crackscope.reports.transfer_report import REPORT_FILES, write_transfer_report
from crackscope.scanning.loaded_model import load
from crackscope.training.conversion import convert_backbone, source_digest
from crackscope.training.recipes import HEAD, Recipe, changed, read_recipe
from crackscope.training.runs import train

__all__ = ["FILES", "LEAST_PER_LABEL", "measure_transfer"]

FILES = ("figures", "models", "trainings", *REPORT_FILES)
"""What `measure_transfer` writes; ``trainings`` is there only until it ends."""

LEAST_PER_LABEL = 10
Say = Callable[[str], None]


@dataclass(frozen=True)
class _Training:
    """One row of the matrix, with one seed."""

    source: str
    sets: tuple[str, ...]
    seed: int

    @property
    def name(self) -> str:
        """Name of the training's files."""
        return f"{self.source.replace(' ', '-')}-{self.seed}"


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What is drawn with one seed: all sets as one index, patches with their parts."""

    index: PatchIndex
    parts: dict[str, Split]  # of each whole set
    n_per_label: dict[str, dict[str, int]]  # by set and part
    leaks: tuple[tuple[str, str], ...]  # path of a training or validation patch, and of a test patch
    shared: tuple[tuple[str, str], ...]  # path of a validation patch of one set, and of a training patch of another
    widest: str = "scene"  # widest group that is kept together

    def training_index(self, training: _Training) -> PatchIndex:
        """What a training learns from and is validated on: of several sets an equal share each, as much as of one."""
        share = {
            part: max(1, max(self.n_per_label[name][part] for name in training.sets) // len(training.sets))
            for part in ("train", "val")
        }
        chosen: set[str] = set()
        for name in training.sets:
            n_per_label = {part: min(n, self.n_per_label[name][part]) for part, n in share.items()}
            mine = draw(self.parts[name], n_per_label, seed=training.seed)
            chosen.update(f"{name}/{patch.path}" for patch in mine.patches)
        chosen -= {val for val, trained in self.shared if trained in chosen}  # what was learnt validates nothing
        patches = [patch for patch in self.index.patches if patch.path in chosen]
        learnt = {self.name_of(patch) for patch in patches if patch.part == "train"} - {None}
        patches = [patch for patch in patches if patch.part == "train" or self.name_of(patch) not in learnt]
        return replace(self.index.select(patches), name=training.source)

    def test_index(self, target: str) -> PatchIndex:
        """The test part of a set."""
        test = self.index.part("test")
        return replace(test.select([patch for patch in test.patches if set_of(patch.path) == target]), name=target)

    def grouped_by(self, names: Sequence[str]) -> str:
        """What was kept together in these sets."""
        ways = {self.parts[name].grouped_by for name in names}
        return next((way for way in ("scene", "photo") if way in ways), "similarity")

    def name_of(self, patch: Patch) -> Hashable:
        """What a patch stays together with: its scene where sets are split by scene, else its photo."""
        return place_of(patch) if self.widest == "scene" else patch.photo


def measure_transfer(
    data: Sequence[str | Path | PatchIndex],
    *,
    out: str | Path,
    recipe: str | Recipe = HEAD,
    changes: Sequence[str] = (),
    backbone: str | Path | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    per_label: int = 2000,
    without: str | Path | None = None,
    by: str = "scene",
    n_resamples: int = 1000,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    say: Say = lambda _: None,
) -> Transfer:
    """Train a recipe on each set, and on all sets but one where there are three; test every model on every set.

    Each set is split 70:15:15 with each seed, by scene where scenes are known, else by photo, else into groups that
    look alike. A model is chosen and calibrated on validation patches of what it was trained on, and so is its
    threshold: the set that it is tested on decides nothing. A training on several sets has as many patches in all as a
    training on one, an equal share of each set.

    Args:
        data: Sets of labelled patches, each a path that `crackscope.read_patches` takes, or the index that it returns.
            Data that holds several published sets, such as the three surfaces of SDNET2018, is divided into them.
        out: Path of the folder for figures, report and every bundle.
        recipe: ``head``, one of `crackscope.recipe_names`, or a recipe of your own.
        changes: Settings of the recipe to change, each ``key=value``.
        backbone: Path of a model folder, or a hub id; for ``head`` also the path of a bundle. If left out, the recipe's
            own. The default bundle was trained on published sets; tests on these are marked leaky.
        seeds: Seeds; each is a split, a draw and a training of its own.
        per_label: Number of patches of either label that are drawn from each set, over all parts, at least 10; fewer
            where it has fewer.
        without: Path of a CSV of photos that take no part, with a column ``photo``, or the columns ``surface,photo``.
        by: What stays together: ``scene``, where scenes are known; or ``photo``, to compare with figures that were
            measured so. Tests are then marked leaky where photos overlap.
        n_resamples: Number of bootstrap resamples behind each 95 % interval.
        threads: Number of threads; all cores if left out.
        overwrite: Whether an existing folder is replaced, and what an interrupted run with other settings left.
        progress: Called with (done, total) as work goes on.
        say: Called with a line of text as each step begins.

    Returns:
        The figures of every test. They are in `out` already; `crackscope.write_transfer` writes them elsewhere.

    Raises:
        DataError: If there are fewer than two sets, a set lacks a label, data or `without` cannot be read, or a seed or
            `per_label` is not allowed.
        SplitError: If a part of a set would have no patch of a label.
        RecipeError: If there is no such recipe or setting.
        BundleError: If the backbone is none.
        OutputError: If `out` is taken, or cannot be written.
        MissingExtraError: If the recipe needs the extra ``train`` and it is not installed.
    """
    out, seeds = Path(out), tuple(seeds)
    changes = (changes,) if isinstance(changes, str) else tuple(changes)
    require_free_folder(out, ours=FILES, overwrite=overwrite)
    _check_numbers(seeds, per_label)
    if by not in ("scene", "photo"):
        raise DataError(f"by '{by}' is none of scene, photo. Say what stays together in one part.")
    settings = _settings(recipe, changes, backbone)
    reserved = read_photo_list(without) if without is not None else frozenset[str]()
    say("reading the sets")
    sets = read_sets(data, without=reserved, widest=by, threads=threads, progress=progress)
    if unknown := reserved.difference(*(one.without for one in sets)):
        found_none = f"{without}: {len(unknown)} of its {len(reserved)} photos, such as {min(unknown)}, are in no set."
        if len(unknown) == len(reserved):
            raise DataError(f"{found_none} Name photos as `crackscope split` writes them, such as D-7001.")
        say(found_none)
    settings |= {
        "by": by,
        "per_label": per_label,
        "n_resamples": n_resamples,
        "sets": {one.name: one.sha256() for one in sets},
    }
    identity = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    trainings = _trainings([one.name for one in sets], seeds)
    with resumable_folder(out, ours=FILES, overwrite=overwrite) as folder:
        _require_same(folder, identity, out, overwrite)
        tests: list[TransferTest] = []
        refused = {path: why for one in sets for path, why in one.refused}
        missing = [one for one in trainings if _done(folder, one, identity) is None]
        if len(missing) < len(trainings):
            say(f"{len(trainings) - len(missing)} of {len(trainings)} trainings are there already")
        drawn: tuple[int, _Drawn] | None = None
        begun = time.monotonic()
        for number, training in enumerate(trainings, start=1):
            if training in missing:
                if drawn is None or drawn[0] != training.seed:
                    say(f"splitting and drawing, seed {training.seed}")
                    drawn = training.seed, _drawn(sets, training.seed, per_label, by, threads, progress)
                left = _time_left(missing.index(training), len(missing), time.monotonic() - begun)
                say(f"training {number} of {len(trainings)}: {training.source}, seed {training.seed}{left}")
                _train_and_test(
                    training,
                    drawn[1],
                    folder,
                    identity,
                    recipe=recipe,
                    changes=changes,
                    backbone=backbone,
                    n_resamples=n_resamples,
                    threads=threads,
                    progress=progress,
                )
            document = _done(folder, training, identity)
            assert document is not None
            tests += [TransferTest.of_document(one) for one in document["tests"]]
            refused |= {one["path"]: one["reason"] for one in document["refused"]}
        found = Transfer(
            recipe=recipe if isinstance(recipe, str) else recipe.name,
            changes=changes,
            backbone=str(backbone) if backbone is not None else None,
            per_label=per_label,
            seeds=seeds,
            sets=tuple(one.document() for one in sets),
            tests=tuple(tests),
            refused=tuple(refused.items()),
        )
        _tidy(folder, {one.name for one in trainings})
        write_transfer_report(found, folder)
    return found


def _check_numbers(seeds: Sequence[int], per_label: int) -> None:
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        given = ",".join(map(str, seeds)) or "none"
        raise DataError(f"seeds {given}: give different numbers from 0, such as 0,1,2.")
    if per_label < LEAST_PER_LABEL:
        raise DataError(f"{per_label} patches a label leave a part empty. Ask for at least {LEAST_PER_LABEL}.")


def _settings(recipe: str | Recipe, changes: Sequence[str], backbone: str | Path | None) -> dict[str, Any]:
    """What decides a training besides data and seed; a wrong recipe or backbone fails before any image is read."""
    found: dict[str, Any] = {"crackscope": __version__, "changes": list(changes)}
    if recipe == HEAD:
        if changes:
            raise RecipeError(f"--set {changes[0]}: the recipe 'head' has no settings. Choose another with --recipe.")
        path = default_bundle() if backbone is None else Path(backbone)
        if not path.is_file():
            path = convert_backbone(str(backbone))
        return found | {"recipe": HEAD, "backbone": content_digest(path.read_bytes()).hex()}
    chosen = changed(read_recipe(recipe) if isinstance(recipe, str) else recipe, list(changes))
    source = str(backbone) if backbone is not None else chosen.backbone
    return found | {"recipe": chosen.model_dump(mode="json"), "backbone": source_digest(source)}


def _trainings(names: Sequence[str], seeds: Sequence[int]) -> list[_Training]:
    """Seed by seed: each set, then all but one, where that is more than one."""
    rows: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in names]
    if len(names) > 2:
        rows += [(all_but(name), tuple(one for one in names if one != name)) for name in names]
    return [_Training(source, sets, seed) for seed in seeds for source, sets in rows]


def _drawn(
    sets: Sequence[TransferSet], seed: int, per_label: int, by: str, threads: int | None, progress: Progress | None
) -> _Drawn:
    parts = {one.name: one.parts(seed, threads=threads) for one in sets}
    numbers = {name: n_to_draw(assigned, per_label) for name, assigned in parts.items()}
    index = join_indexes(
        {one.name: one.index.select(draw(parts[one.name], numbers[one.name], seed=seed).patches) for one in sets}
    )
    rows = fingerprints(index, threads=threads, progress=progress)
    leaks: list[tuple[str, str]] = []
    shared: list[tuple[str, str]] = []
    for leak in leaks_in(index, rows.digests, duplicate_pairs(rows, threads=threads)):
        train, val, test = ([index.paths[i] for i in leak.places if index.patches[i].part == part] for part in PARTS)
        leaks += product([*train, *val], test)
        shared += product(val, train) if leak.kind != "scene" else ()  # by photo, scenes are shared on purpose
    return _Drawn(index, parts, numbers, tuple(leaks), tuple(shared), by)


def _train_and_test(
    training: _Training,
    drawn: _Drawn,
    folder: Path,
    identity: str,
    *,
    recipe: str | Recipe,
    changes: Sequence[str],
    backbone: str | Path | None,
    n_resamples: int,
    threads: int | None,
    progress: Progress | None,
) -> None:
    """Train one model, test it on every set, and leave both; the figures come last, and say that it is done."""
    # A checkpoint of other settings, or of another number of threads, could not go on.
    run_folder = folder / "trainings" / f"{training.name}-{identity[:12]}-{threads or default_threads()}"
    index = drawn.training_index(training)
    goes_on = recipe != HEAD
    run = train(
        index,
        out=run_folder,
        recipe=recipe,
        changes=changes,
        split=Split(index.patches, drawn.grouped_by(training.sets)),
        allow_leakage=drawn.widest == "photo",
        backbone=backbone,
        seed=training.seed,
        resume=goes_on,
        threads=threads,
        overwrite=not goes_on,
        progress=progress,
    )
    model = load(run.model, threads=threads)
    learnt = set(index.paths)
    numbers = {f"n_{part}": len(index.part(part)) for part in ("train", "val")}
    tests, refused = [], dict(run.refused)
    for target in drawn.parts:
        judged = judge(
            drawn.test_index(target),
            model,
            part="test",
            split=None,
            n_leaks=sum(one in learnt and set_of(other) == target for one, other in drawn.leaks),
            unit="patch",  # another set may have larger patches than those that the model learnt
            n_resamples=n_resamples,
            seed=training.seed,
            threads=threads,
            progress=progress,
        )
        tests.append(_test(training, target, judged, **numbers).document())
        refused |= dict(judged.refused)
    (folder / "models").mkdir(exist_ok=True)
    run.model.replace(folder / "models" / f"{training.name}.onnx")
    (folder / "figures").mkdir(exist_ok=True)
    document = {
        "identity": identity,
        "source": training.source,
        "trained_on": list(training.sets),
        "seed": training.seed,
        "tests": tests,
        "refused": refused_documents(sorted(refused.items())),
        "run": run.document.to_dict(),
    }
    place = folder / "figures" / f"{training.name}.json"
    write_text(place, json.dumps(document, indent=2) + "\n", overwrite=True)
    shutil.rmtree(run_folder, ignore_errors=True)


def _test(training: _Training, target: str, judged: Evaluation, *, n_train: int, n_val: int) -> TransferTest:
    return TransferTest(
        seed=training.seed,
        source=training.source,
        trained_on=training.sets,
        target=target,
        n_train=n_train,
        n_val=n_val,
        n_patches=judged.n_patches,
        n_photos=judged.n_photos,
        photo_kind=judged.photo_kind,
        threshold=judged.threshold,
        figures={name: judged.metrics[name] for name in FIGURES},
        always_crack_f1=judged.baseline["f1_crack"].value,
        n_leaks=judged.n_leaks,
        n_seen=judged.n_seen,
        model_sha256=judged.model_sha256,
        n_clusters_crack=judged.n_clusters(1),
        n_clusters_uncracked=judged.n_clusters(0),
    )


# What an interrupted run left


def _done(folder: Path, training: _Training, identity: str) -> dict[str, Any] | None:
    """The figures of a training that is whole and of these settings, its bundle unchanged beside them."""
    found = _document(folder / "figures" / f"{training.name}.json")
    if found is None or found.get("identity") != identity:
        return None
    try:
        digest = content_digest((folder / "models" / f"{training.name}.onnx").read_bytes()).hex()
    except OSError:
        return None
    return found if all(test["model_sha256"] == digest for test in found["tests"]) else None


def _document(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _require_same(folder: Path, identity: str, out: Path, overwrite: bool) -> None:
    """Refuse to mix with, or to throw away unasked, what a run of other data or settings has trained."""
    left = [_document(path) for path in sorted((folder / "figures").glob("*.json"))]
    others = [one for one in left if one is not None and one.get("identity") != identity]
    if not others:
        return
    if not overwrite:
        raise OutputError(
            f"{out}: {len(others)} trainings of other data or settings, from a run that was interrupted, lie in "
            f"{folder}. Choose another --out, or say --overwrite to give them up."
        )
    for name in FILES:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).unlink(missing_ok=True)


def _tidy(folder: Path, names: set[str]) -> None:
    """Take away what belongs to no training of this run: of other seeds, or half done."""
    shutil.rmtree(folder / "trainings", ignore_errors=True)
    for path in (*(folder / "figures").iterdir(), *(folder / "models").iterdir()):
        if path.stem not in names:
            path.unlink()
    for name in REPORT_FILES:
        (folder / name).unlink(missing_ok=True)


def _time_left(n_done: int, n_trainings: int, seconds: float) -> str:
    """How long the rest takes, if it goes on as before.

    Example:
        >>> _time_left(2, 8, 40.0), _time_left(1, 8, 600.0), _time_left(0, 8, 0.0)
        ('; about 2 min left', '; about 1 h 10 min left', '')
    """
    if not n_done:
        return ""
    minutes = max(1, round(seconds / n_done * (n_trainings - n_done) / 60))
    return f"; about {f'{minutes // 60} h ' if minutes >= 60 else ''}{minutes % 60} min left"
