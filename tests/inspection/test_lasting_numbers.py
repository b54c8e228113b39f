"""Numbers last in a large sample of drawn cracks, traced again in ways that scans and models do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from crackscope.arrays import Float64Array
from crackscope.geometry.cracks import Crack
from crackscope.inspection.decisions import Decision
from crackscope.inspection.findings import Findings
from crackscope.inspection.numbering import findings_of
from crackscope.inspection.review import apply_decisions
from shared.drawn_cracks import crack_along, moved, network, photo_of

N_PHOTOS, N_CRACKS = 60, 12
Rng = np.random.Generator


def direction(rng: Rng) -> Float64Array:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def all_aside(own: list[Crack], rng: Rng) -> list[list[Crack]]:
    by = tuple(3 * direction(rng))
    return [[moved(one, by)] for one in own]


def each_aside(own: list[Crack], rng: Rng) -> list[list[Crack]]:
    return [[moved(one, tuple(rng.uniform(0, 3) * direction(rng)))] for one in own]


def dropped_and_new(own: list[Crack], rng: Rng) -> list[list[Crack]]:
    kept = [[moved(one, tuple(2 * direction(rng)))] if rng.random() < 0.8 else [] for one in own]
    return [*kept, *([one] for one in network(rng, 4, beside=own))]


def other_model(own: list[Crack], rng: Rng) -> list[list[Crack]]:
    """Lines wobble by 1 px, are cut or drawn out at their ends, and every tenth one is split."""
    found = []
    for one in own:
        paths = [wobbled(path, rng) for path in one.path_xy]
        if len(paths[0]) > 80 and rng.random() < 0.1:
            cut = int(rng.uniform(0.2, 0.8) * len(paths[0]))
            parts = [crack_along(paths[0][: cut - 5]), crack_along(paths[0][cut + 5 :], *paths[1:])]
            found.append(sorted(parts, key=lambda part: -part.length_px))
        else:
            found.append([crack_along(*paths)])
    return found


def wobbled(path: Float64Array, rng: Rng) -> Float64Array:
    noise = np.repeat(rng.normal(0, 1, (len(path) // 8 + 2, 2)), 8, axis=0)[: len(path)]
    first, last = rng.integers(0, 1 + min(15, len(path) // 6), 2)
    return (path + noise)[first : len(path) - last]


WAYS: list[Callable[[list[Crack], Rng], list[list[Crack]]]] = [all_aside, each_aside, dropped_and_new, other_model]


def scanned(photos: list[list[Crack]], previous: Findings | None = None) -> Findings:
    names = [f"{i}.jpg" for i in range(len(photos))]
    return findings_of(map(photo_of, names, photos), previous, sha256s=names)


@pytest.fixture(scope="module")
def drawn() -> tuple[list[list[Crack]], Findings, dict[tuple[str, str], int]]:
    """Photos, their findings with a decision each, and the number of each crack."""
    rng = np.random.default_rng(26)
    photos = [network(rng, N_CRACKS) for _ in range(N_PHOTOS)]
    found = scanned(photos)
    numbers = {(one.photo, one.crack.id): one.number for one in found}
    kinds = ("accept", "reject", None)
    decisions = [Decision(one.number, kinds[one.number % 3], note=f"{one.photo} {one.crack.id}") for one in found]  # type: ignore[arg-type]
    return photos, apply_decisions(found, decisions), numbers


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_numbers_last_and_decisions_stay(
    drawn: tuple[list[list[Crack]], Findings, dict[tuple[str, str], int]],
    way: Callable[[list[Crack], Rng], list[list[Crack]]],
) -> None:
    photos, before, numbers = drawn
    rng = np.random.default_rng(1)
    now = [way(own, rng) for own in photos]
    after = scanned([[part for parts in own for part in parts] for own in now], before)
    every = [*after, *(gone.finding for gone in after.retired if gone.reason == "rejected")]
    by_crack = {(one.photo, one.crack.id): one for one in every}
    n_seen = n_kept = n_moved = 0
    for i, (own, cracks) in enumerate(zip(now, photos, strict=True)):
        for k, parts in enumerate(own):
            found = [by_crack[f"{i}.jpg", part.id] for part in parts]
            if not found:
                continue
            if k < len(cracks):  # one that was there before; the longer piece counts
                n_seen += 1
                n_kept += found[0].number == numbers[f"{i}.jpg", cracks[k].id]
            expected = f"{i}.jpg {cracks[k].id}" if k < len(cracks) else ""
            n_moved += sum(one.decision is not None and one.decision.note != expected for one in found)
    print(
        f"{way.__name__}: {n_kept} of {n_seen} kept ({n_kept / n_seen:.2%}), {n_moved} decisions moved, "
        f"{len(after.set_aside)} set aside"
    )
    assert n_kept >= 0.99 * n_seen
    assert n_moved == 0
    assert len(after.set_aside) <= 0.01 * n_seen
    assert len(after.decisions) == len(before.decisions)
