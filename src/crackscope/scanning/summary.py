"""Summaries: counts of what a run over many images did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from crackscope.scanning.results import PhotoResult

__all__ = ["BatchSummary", "summarise", "summarise_cracks", "summarise_scales"]


@dataclass(frozen=True)
class BatchSummary:
    """Counts of what `crackscope.write_predictions` or `crackscope.write_scan` wrote.

    Attributes:
        n_images: Number of images in the source.
        n_refused: Number of images that could not be read.
        n_resumed: Number of images taken over from an interrupted run.
        answers: Number of images by label; in a scan, by verdict.
        first_error: Path and reason of the first refused image; None if no image was refused.
        scales: Number of scanned photos by the source of their scale; ``none`` are photos without one.
        n_scale_warnings: Number of photos where a source that was asked for gives no scale, or two sources disagree.
        first_scale_warning: Path and note of the first of these photos; None if there is none.
        n_cracks: Number of cracks that count, in all photos of a scan; None if no lines were traced.
        crack_length_px: Their total length, in pixels; None if no lines were traced.
        crack_length_mm: Their total length, in mm; None unless each of them has one.
    """

    n_images: int
    n_refused: int
    n_resumed: int
    answers: dict[str, int]
    first_error: tuple[str, str] | None
    scales: dict[str, int] = field(default_factory=dict)
    n_scale_warnings: int = 0
    first_scale_warning: tuple[str, str] | None = None
    n_cracks: int | None = None
    crack_length_px: float | None = None
    crack_length_mm: float | None = None


def summarise(rows: Iterable[tuple[str, str | None, str | None]], n_resumed: int) -> BatchSummary:
    """Count images, refused images and answers.

    Args:
        rows: Path, label or verdict, and error of each image.
        n_resumed: Number of images taken over from an interrupted run.

    Example:
        >>> counts = summarise([("a.jpg", "crack", None), ("b.jpg", None, "empty")], 0)
        >>> counts.n_images, counts.n_refused, counts.answers, counts.first_error
        (2, 1, {'crack': 1}, ('b.jpg', 'empty'))
    """
    answers: Counter[str] = Counter()
    n_images, n_refused, first_error = 0, 0, None
    for path, answer, error in rows:
        n_images += 1
        if error is not None:
            n_refused += 1
            first_error = first_error or (path, error)
        elif answer is not None:
            answers[answer] += 1
    return BatchSummary(n_images, n_refused, n_resumed, dict(sorted(answers.items())), first_error)


def summarise_scales(results: Iterable[PhotoResult]) -> tuple[dict[str, int], int, tuple[str, str] | None]:
    """Count the sources of scales of photos that were scanned, and the photos whose scale needs a look.

    Args:
        results: Results of a scan.

    Returns:
        Number of photos by source; number of photos with a warning; and path and note of the first of them.
    """
    scales: Counter[str] = Counter()
    warned: list[tuple[str, str]] = []
    for result in results:
        if result.error is not None:
            continue
        scales[result.scale.source if result.scale else "none"] += 1
        warnings = [note.text for note in result.scale_notes if note.is_warning]
        warned += [(result.path, warnings[0])] if warnings else []
    return dict(sorted(scales.items())), len(warned), warned[0] if warned else None


def summarise_cracks(results: Iterable[PhotoResult]) -> tuple[int, float, float | None]:
    """Count the cracks that count, and add up their lengths.

    Args:
        results: Results of a scan that traced lines.

    Returns:
        Number of cracks; their total length in pixels; and in mm, or None unless each of them has a length in mm.
    """
    cracks = [crack for result in results for crack in result.counted_cracks]
    in_mm = [crack.mm.length_mm for crack in cracks if crack.mm is not None]
    length_px = sum(crack.length_px for crack in cracks)
    return len(cracks), float(length_px), float(sum(in_mm)) if cracks and len(in_mm) == len(cracks) else None
