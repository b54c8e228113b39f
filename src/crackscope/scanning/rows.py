"""Image files become rows of a table: a patch is classified, a photo is scanned, and what cannot be read says why.

A photo's label is its verdict, its probability the greatest of any patch's footprint inside it (see
`crackscope.scanning.scanner`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from crackscope.files.images import MAX_MEGAPIXELS, Image
from crackscope.files.inputs import list_images
from crackscope.model.bundle import Bundle
from crackscope.scanning.prediction import Classifier, Prediction, PredictionRow, load
from crackscope.scanning.scanner import scanner_of

__all__ = ["photo_reader", "predict"]


def predict(
    paths: str | Path | Sequence[str | Path],
    model: Classifier | Bundle | str | Path | None = None,
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Iterator[PredictionRow]:
    """Predict files, folders, globs, CSV lists and archives, a row an image.

    Args:
        paths: One or several, see `crackscope.files.inputs.list_images`.
        model: From `crackscope.load`, or what it takes; the default bundle where left out.
        max_megapixels: A larger image is refused.

    Returns:
        Rows as they come, in the order of the inputs; what cannot be read is a row with its reason.

    Raises:
        DataError: If a folder or archive holds no image.
    """
    images = list_images([paths] if isinstance(paths, (str, Path)) else paths)
    classifier = model if isinstance(model, Classifier) else load(model)
    return classifier.predict_files(images, max_megapixels=max_megapixels, on_photo=photo_reader(classifier))


def photo_reader(classifier: Classifier) -> Callable[[Image], Prediction]:
    """Says what a photo is, by scanning it with the classifier's own bundle."""

    def read(photo: Image) -> Prediction:
        scanner = scanner_of(classifier)
        found = scanner.scan(photo)
        return Prediction(scanner.label_of(found), found.peak_probability, scanner.threshold, found.reason)

    return read
