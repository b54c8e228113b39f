"""Summaries: counts of what a run over many images did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["BatchSummary", "summarise"]


@dataclass(frozen=True)
class BatchSummary:
    """Counts of what `crackscope.write_predictions` or `crackscope.write_scan` wrote.

    Attributes:
        n_images: Number of images in the source.
        n_refused: Number of images that could not be read.
        n_resumed: Number of images taken over from an interrupted run.
        answers: Number of images by label; in a scan, by verdict.
        first_error: Path and reason of the first refused image; None if no image was refused.
    """

    n_images: int
    n_refused: int
    n_resumed: int
    answers: dict[str, int]
    first_error: tuple[str, str] | None


def summarise(rows: Iterable[tuple[str, str | None, str | None]], n_resumed: int) -> BatchSummary:
    """Count images, refused images and answers.

    Args:
        rows: Path, label or verdict, and error of each image.
        n_resumed: Number of images taken over from an interrupted run.

    Example:
        >>> summarise([("a.jpg", "crack", None), ("b.jpg", None, "empty")], 0)
        BatchSummary(n_images=2, n_refused=1, n_resumed=0, answers={'crack': 1}, first_error=('b.jpg', 'empty'))
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
