"""What a run over many images did, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["BatchSummary", "summarise"]


@dataclass(frozen=True)
class BatchSummary:
    """What `crackscope.write_predictions` or `crackscope.write_scan` wrote.

    Attributes:
        n_images: Number of images asked for.
        n_refused: Number of images that could not be read.
        n_resumed: Number of images taken over from an interrupted run.
        answers: Number of images of each label; of a scan, of each verdict.
        first_error: Path and reason of the first refused image; None where there is none.
    """

    n_images: int
    n_refused: int
    n_resumed: int
    answers: dict[str, int]
    first_error: tuple[str, str] | None


def summarise(rows: Iterable[tuple[str, str | None, str | None]], n_resumed: int) -> BatchSummary:
    """Count rows.

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
