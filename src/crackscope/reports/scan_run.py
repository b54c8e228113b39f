"""Many photos scanned into a folder: a map and an overlay each, a ranked table, regions, a page.

A photo is done wholly or not at all: its row goes into a journal once its pictures are there. All is written beside the
folder, which appears at the end; a run that was killed is taken up by the same command, and gives the same bytes as one
without a break.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crackscope.errors import DataError, OutputError, reason_of
from crackscope.files.images import MAX_MEGAPIXELS, Image, decode_image, image_size
from crackscope.files.inputs import ImageFile
from crackscope.files.journal import Journal
from crackscope.files.output import new_file, require_free_folder, resumable_folder, write_text
from crackscope.files.streaming import Progress, default_threads, ordered_map
from crackscope.reports.page import picture_bytes
from crackscope.reports.scan_report import write_scan_report
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.overlay import shrunk
from crackscope.scanning.prediction import bytes_of
from crackscope.scanning.scanner import SMALL_PX, Scanner, scale_of

__all__ = ["FILES", "PHOTO_COLUMNS", "ScanSummary", "scan_to_folder"]


FILES = ("maps", "overlays", "photos.csv", "regions.json", "report.html", ".photos.journal")
"""What `scan_to_folder` writes."""

PHOTO_COLUMNS = (
    *("rank", "path", "verdict", "reason", "crack_probability", "share_cracked", "n_regions"),
    *("width_px", "height_px", "scale", "map", "overlay", "taken_at", "latitude_deg", "longitude_deg", "error"),
)
_OVERLAY_PX = 1600
_LARGE_MEGAPIXELS = 40
_one_large_photo = threading.Lock()  # decoded at a time: each takes up to six bytes a pixel while it is turned upright
_JPEG_QUALITY = 88
_NAME_BYTES = 200  # file systems take 255, for the number and the ending too


@dataclass(frozen=True)
class ScanSummary:
    """What a run did.

    Attributes:
        n_photos: Photos asked for.
        n_refused: Those that could not be scanned.
        n_resumed: Those taken over from an interrupted run.
        verdicts: Number of photos of each verdict.
        first_error: Path and reason of the first refused one; None where there is none.
    """

    n_photos: int
    n_refused: int
    n_resumed: int
    verdicts: dict[str, int]
    first_error: tuple[str, str] | None


def scan_to_folder(
    images: Sequence[ImageFile],
    scanner: Scanner,
    out: str | Path,
    *,
    scale: float | None = None,
    mm_per_px: float | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    progress: Progress | None = None,
) -> ScanSummary:
    """Scan photos and write what was found.

    Args:
        images: From `crackscope.files.inputs.list_images`. What lies in `out`, an older scan's pictures, is passed by.
        scanner: The model.
        out: The folder.
        scale: Of all photos; see `crackscope.scanning.scanner`.
        mm_per_px: Of all photos, in place of a scale.
        threads: Photos that are read, drawn and written at the same time; all cores where left out.
        overwrite: Replace a folder that holds nothing but an older scan.
        max_megapixels: A larger photo is refused.
        progress: Called with (done, total).

    Raises:
        BundleError: If the network gives something that is not a number, or `mm_per_px` is given and the model does
            not know its own.
        DataError: If both scales are given, one is not above 0, or no photo lies outside of `out`.
        OutputError: If `out` is taken, or cannot be written, or another run is writing it.
    """
    out = Path(out)
    scale_of(scanner.card, (SMALL_PX, SMALL_PX), scale=scale, mm_per_px=mm_per_px)  # a wrong one fails before any work
    asked, images = images, [image for image in images if not _lies_in(image[0], out)]
    paths = [path for path, _ in images]
    names = picture_names(paths)
    task = json.dumps([scanner.name, scale, mm_per_px, max_megapixels, *PHOTO_COLUMNS])
    require_free_folder(out, ours=FILES, overwrite=overwrite)
    _require_own_pictures(out)
    if asked and not images:
        raise DataError(f"{out}: all photos lie in this folder, which is to be written. Choose another --out.")
    with (
        resumable_folder(out, ours=FILES, overwrite=overwrite) as folder,
        Journal(folder / "photos", task=task, paths=paths) as journal,
    ):
        n_resumed = journal.n_rows
        if not n_resumed:
            _clear(folder)

        def work(i: int) -> dict[str, Any]:
            return _scanned(images[i], names[i], folder, scanner, scale, mm_per_px, max_megapixels)

        for row in ordered_map(work, range(n_resumed, len(images)), threads=threads or default_threads()):
            journal.append(row)
            if progress:
                progress(journal.n_rows, len(images))
        rows = list(journal.rows())
        # Under the journal's lock: another run would take a folder that is being finished for its own.
        ranked = rank(rows)
        write_text(folder / "photos.csv", _table(ranked), overwrite=True)
        write_text(folder / "regions.json", _regions_document(ranked, scanner), overwrite=True)
        readers = dict(images)
        write_scan_report(
            ranked,
            folder,
            scanner,
            read_photo=lambda path: (
                decode_image(bytes_of(readers[path]), path=path, max_megapixels=max_megapixels).pixels
            ),
        )
        _tidy(folder, rows)
    (out / ".photos.journal").unlink(missing_ok=True)
    return _summary(rows, n_resumed)


def _lies_in(path: str, folder: Path) -> bool:
    try:
        return Path(path).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # a name that no disk takes, inside an archive
        return False


def rank(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in the order in which to look at them, numbered from 1: the likeliest crack first.

    After them come the rejected, in the same order among themselves, and last what could not be read. Of photos that
    are equally likely, the one with more of its surface cracked comes first.
    """
    order = sorted(
        rows,
        key=lambda row: (
            bool(row["error"]),
            row["reason"] is not None,
            -(row["crack_probability"] or 0),
            -(row["share_cracked"] or 0),
        ),
    )
    return [{**row, "rank": i} for i, row in enumerate(order, start=1)]


def picture_names(paths: Sequence[str]) -> list[str]:
    """A file name for each photo, without ending: its own where it has no namesake, else numbered in order.

    Example:
        >>> picture_names(["a/north face.JPG", "b/north face.jpg", "b/c.png"])
        ['north face', 'north face-2', 'c']
    """
    taken: set[str] = set()
    names = []
    for path in paths:
        stem = re.sub(r'[<>:"/\\|?*\x00-\x1f\ud800-\udfff]', "_", path.replace("\\", "/").rpartition("/")[2])
        stem = (stem.rpartition(".")[0] or stem).strip(". ")[:80]
        stem = stem.encode()[:_NAME_BYTES].decode(errors="ignore") or "photo"
        name, number = stem, 2
        while _sameness(name) in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(_sameness(name))
        names.append(name)
    return names


def _sameness(name: str) -> str:
    """Equal for names that some file system takes for one: macOS ignores case, and how an accent is put together."""
    return unicodedata.normalize("NFKD", name.casefold())


def _scanned(
    image: ImageFile,
    name: str,
    folder: Path,
    scanner: Scanner,
    scale: float | None,
    mm_per_px: float | None,
    max_megapixels: float,
) -> dict[str, Any]:
    """The row of one photo, whose pictures are then written."""
    path, read = image
    row: dict[str, Any] = dict.fromkeys(PHOTO_COLUMNS) | {"path": path, "regions": []}
    try:
        content = bytes_of(read)
        with _one_large_photo if _is_large(content) else nullcontext():
            photo = decode_image(content, path=path, max_megapixels=max_megapixels)
            del content
            prepared = scanner.prepare(photo, scale=scale, mm_per_px=mm_per_px)
            facts, picture = _facts(photo), shrunk(photo.pixels, _OVERLAY_PX)
            del photo  # its pixels are not held while the network runs
        found = scanner.map_of(prepared)
    except (OSError, DataError) as error:
        return {**row, "error": reason_of(error)}
    overlay = found.overlay(picture)
    row |= facts | _findings(found, scanner)
    row |= {"map": f"maps/{name}.png", "overlay": f"overlays/{name}.jpg"}
    levels = np.round(255 * found.probabilities).astype(np.uint8)
    _write_picture(folder / row["map"], picture_bytes(levels, ".png"))
    _write_picture(folder / row["overlay"], picture_bytes(overlay, ".jpg", quality=_JPEG_QUALITY))
    return row


def _is_large(content: bytes) -> bool:
    height, width = image_size(content)
    return height * width > _LARGE_MEGAPIXELS * 1e6


def _facts(photo: Image) -> dict[str, Any]:
    return {
        "height_px": photo.pixels.shape[0],
        "width_px": photo.pixels.shape[1],
        "taken_at": photo.taken_at.isoformat() if photo.taken_at else None,
        "latitude_deg": photo.latitude_deg,
        "longitude_deg": photo.longitude_deg,
    }


def _findings(found: CrackMap, scanner: Scanner) -> dict[str, Any]:
    regions = found.regions()
    return {
        "verdict": scanner.label_of(found),
        "reason": found.reason,
        "crack_probability": found.peak_probability,
        "share_cracked": found.share_cracked(),
        "n_regions": len(regions),
        "scale": found.scale,
        "regions": [asdict(region) for region in regions],
    }


def _write_picture(place: Path, content: bytes) -> None:
    with new_file(place, overwrite=True) as part:
        part.write_bytes(content)


def _clear(folder: Path) -> None:
    """Take away what an older run of another task has left."""
    for name in FILES[:-1]:
        place = folder / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _tidy(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Take away what kills have left: halves of files, and pictures of photos that are no longer asked for."""
    for half in folder.glob(".*.part.*"):
        half.unlink()
    named = {row[kind] for row in rows for kind in ("map", "overlay")}
    for pictures in (folder / "maps", folder / "overlays"):
        if pictures.is_dir():
            for picture in pictures.iterdir():
                if f"{pictures.name}/{picture.name}" not in named:
                    picture.unlink()
            if not any(pictures.iterdir()):
                pictures.rmdir()


def _require_own_pictures(out: Path) -> None:
    """Refuse to replace a folder where somebody has laid pictures of their own beside ours.

    Raises:
        OutputError: If ``maps`` or ``overlays`` hold what ``photos.csv`` does not name.
    """
    named: set[str | None] = set()
    with suppress(OSError, ValueError, csv.Error), (out / "photos.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            named |= {row.get("map"), row.get("overlay")}
    for pictures in (out / "maps", out / "overlays"):
        for place in sorted(pictures.rglob("[!.]*")):  # hidden ones are the desktop's own
            name = place.relative_to(out).as_posix()
            if name not in named:
                raise OutputError(
                    f"{out} holds '{name}', which was not written by this command, so --overwrite does not replace it. "
                    "Choose another --out."
                )


def _table(ranked: Sequence[dict[str, Any]]) -> str:
    return "".join(
        _line(cells)
        for cells in (PHOTO_COLUMNS, *([_cell(name, row[name]) for name in PHOTO_COLUMNS] for row in ranked))
    )


def _line(cells: Sequence[Any]) -> str:
    """A line of CSV. Told to end it in a line feed, `csv` before Python 3.13 leaves a carriage return unquoted."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\r\n").writerow(cells)
    return stream.getvalue().removesuffix("\r\n") + "\n"


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.7f}" if name.endswith("_deg") else f"{value:.6g}"
    return value


def _regions_document(ranked: Sequence[dict[str, Any]], scanner: Scanner) -> str:
    columns = ("path", "width_px", "height_px", "scale", "regions")
    photos: Iterator[dict[str, Any]] = ({name: row[name] for name in columns} for row in ranked if not row["error"])
    document = {"model": scanner.name, "threshold": scanner.calibration.threshold, "photos": list(photos)}
    return json.dumps(document, indent=1) + "\n"


def _summary(rows: Sequence[dict[str, Any]], n_resumed: int) -> ScanSummary:
    refused = [(row["path"], row["error"]) for row in rows if row["error"]]
    verdicts = Counter(row["verdict"] for row in rows if not row["error"])
    return ScanSummary(
        len(rows), len(refused), n_resumed, dict(sorted(verdicts.items())), refused[0] if refused else None
    )
