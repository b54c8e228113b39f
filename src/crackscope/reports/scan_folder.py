"""Scan folders: many photos scanned into a folder, with a map and an overlay each, a ranked table, regions, a page.

A photo is done wholly or not at all: its row goes into a journal once its pictures are there. All is written beside the
folder, which appears at the end; a run that was killed is taken up by the same command, and gives the same bytes as one
without a break.
"""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError, OutputError, reason_of
from crackscope.files.images import MAX_MEGAPIXELS
from crackscope.files.journal import Journal
from crackscope.files.output import new_file, require_free_folder, resumable_folder, write_text
from crackscope.files.pictures import picture_bytes
from crackscope.files.sources import Source, SourceImage, all_images_of, run_mark
from crackscope.files.streaming import Progress, ordered_map
from crackscope.files.tables import TableForm, read_table
from crackscope.files.watched import WatchedImage
from crackscope.geometry.scale_sources import AnyScale, sources_of
from crackscope.reports.crack_tables import crack_table, cracks_document
from crackscope.reports.scan_report import write_scan_report
from crackscope.reports.scanned_rows import PHOTO_COLUMNS, ScannedRow, cells_name, photo_table, rank, thumb_name
from crackscope.scanning.crack_drawing import draw_cracks
from crackscope.scanning.fine_map import Fine
from crackscope.scanning.loaded_model import AnyModel, Model, load, scan_prepared
from crackscope.scanning.overlay import shrunk
from crackscope.scanning.photo_scan import ScanSettings, Trace, prepare
from crackscope.scanning.prediction import Unit
from crackscope.scanning.results import SCHEMA_VERSION, PhotoResult, refused
from crackscope.scanning.scanner import NetworkScale
from crackscope.scanning.summary import BatchSummary, summarise, summarise_cracks, summarise_scales

__all__ = ["FILES", "MAP_KINDS", "write_scan"]

FILES = (
    *("maps", "cells", "overlays", "thumbs", "photos.csv", "cracks.csv", "cracks.json", "regions.json", "report.html"),
    ".photos.journal",
)
"""What `write_scan` writes."""

MAP_KINDS = ("png", "npz")
"""Forms of the maps in the folder; ``npz`` is written beside ``png``, which the page is made of."""

THUMB_PX = 160
"""Longer side of a thumbnail, in pixels."""

_PICTURES = ("maps", "cells", "overlays", "thumbs")
_OVERLAY_PX = 1600
_JPEG_QUALITY = 88
_THUMB_QUALITY = 80
_NAME_BYTES = 200  # file systems take 255, for the number and the ending too


def write_scan(
    source: Source,
    model: AnyModel = None,
    *,
    out: str | Path,
    network_scale: NetworkScale = "auto",
    scale: AnyScale = None,
    unit: Unit = "auto",
    fine: Fine = False,
    trace: Trace = "found",
    maps: str = "png",
    threads: int | None = None,
    overwrite: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    progress: Progress | None = None,
) -> BatchSummary:
    """Scan photos and write maps, overlays, tables and a page into a folder. Called again, a stopped run goes on.

    Args:
        source: Photos in any of the forms that `Model.predict` takes; all are listed before the first is read. An older
            scan's pictures in `out` are left out.
        model: A model from `crackscope.load`, a bundle, or the path of a bundle; the default bundle if left out.
        out: Path of the folder.
        network_scale: Pixels of the network per pixel of all photos, a number above 0; ``auto`` chooses, as in
            `crackscope.scan`.
        scale: Millimetres per pixel of all photos, or sources that may tell those of each photo; they do not change
            what the network sees.
        unit: What images are taken for: ``patch``, ``photo``, or ``auto`` for what their size says. Where a network
            scale is given, ``auto`` means ``photo``.
        fine: Whether the overlays show the lines of cracks in place of strong cells: True computes the fine map in the
            regions of each map, ``everywhere`` in the whole photo. With ``npz``, the map's file holds it, too.
        trace: Photos in which the lines of cracks are traced and measured: ``found``, those that are ``crack`` or
            ``unsure``; ``all``; or None, which is faster.
        maps: ``png`` writes a picture of the probabilities of each photo; ``npz`` also the map itself, for
            `CrackMap.load`.
        threads: Number of photos that are read, drawn and written at the same time; all cores if left out.
        overwrite: Whether an older scan is replaced; a folder that holds anything else never is.
        max_megapixels: Limit in megapixels; a larger photo is refused.
        progress: Called with (done, total) as photos are scanned.

    Returns:
        How many photos were scanned, and with which verdicts.

    Raises:
        BundleError: If the model is no bundle of this version, the network gives something that is not a number, or a
            fine map is wanted and the model has none.
        DataError: If something in the source is no image, there is no image behind any path of it, `network_scale`,
            `scale`, `unit`, `fine`, `trace` or `maps` is not as above, the sources of `scale` do not fit the photos, or
            no photo lies outside of `out`.
        OutputError: If `out` is taken, cannot be written, or another run is writing it.
    """
    out, loaded = Path(out), load(model, threads=threads)
    if maps not in MAP_KINDS:
        raise DataError(f"maps is '{maps}'; it must be {' or '.join(MAP_KINDS)}.")
    sources_of_scale = sources_of(scale)
    chosen = ScanSettings(network_scale, sources_of_scale, unit, fine, trace)
    chosen.require(loaded.card)  # wrong ones fail before any work
    asked = all_images_of(source, require_one=True)
    sources = [image for image in asked if not _lies_in(image.path, out)]
    images = [WatchedImage(image) for image in sources]
    paths = [image.path for image in images]
    names = picture_names(paths)
    known = sources_of_scale.to_dict()
    settings = [str(network_scale), known, unit, maps, max_megapixels, run_mark(sources)]
    settings += [fine, trace]
    task = json.dumps([loaded.name, *settings, SCHEMA_VERSION, *PHOTO_COLUMNS])
    require_free_folder(out, ours=FILES, overwrite=overwrite)
    _require_own_pictures(out)
    if asked and not images:
        raise DataError(f"{out}: all photos lie in this folder, which is to be written. Choose another --out.")
    sources_of_scale.require_fit(paths)
    with (
        resumable_folder(out, ours=FILES, overwrite=overwrite) as folder,
        Journal(
            folder / "photos", task=task, paths=paths, unchanged=lambda i, noted: images[i].is_unchanged(noted)
        ) as journal,
    ):
        n_resumed = journal.n_rows
        if not n_resumed:
            _clear(folder)
        scanning = _Scanning(loaded, folder, chosen, maps, max_megapixels)

        def work(i: int) -> ScannedRow:
            return scanning.row(images[i], names[i])

        left = range(n_resumed, len(images))
        with threadpool_limits(1, "blas"):  # the photos share the cores already
            for i, row in zip(left, ordered_map(work, left, threads=threads or loaded.threads), strict=True):
                state = images[i].state
                journal.append(row.to_dict(), state=state.to_dict() if state else None)
                if progress:
                    progress(journal.n_rows, len(images))
        rows = [ScannedRow.from_dict(row) for row in journal.rows()]
        # Under the journal's lock: another run would take a folder that is being finished for its own.
        ranked = rank(rows, by_regions=trace is None)
        write_text(folder / "photos.csv", photo_table(ranked), overwrite=True)
        write_text(folder / "regions.json", _regions_document(ranked, loaded), overwrite=True)
        if trace is not None:
            _write_cracks(ranked, folder, loaded)
        by_map = {_map_name(name): image for name, image in zip(names, images, strict=True)}  # paths may be alike
        write_scan_report(
            ranked,
            folder,
            loaded,
            read_photo=lambda row: _as_scanned(row, by_map[row.map or ""].image, max_megapixels),
            trace=trace,
        )
        _tidy(folder, rows)
    (out / ".photos.journal").unlink(missing_ok=True)
    found = [row.result for row in rows]
    counted = summarise(((one.path, one.verdict, one.error) for one in found), n_resumed)
    scales, n_warnings, first = summarise_scales(found)
    counted = replace(counted, scales=scales, n_scale_warnings=n_warnings, first_scale_warning=first)
    if trace is None:
        return counted
    n_cracks, length_px, length_mm = summarise_cracks(found)
    return replace(counted, n_cracks=n_cracks, crack_length_px=length_px, crack_length_mm=length_mm)


def _as_scanned(row: ScannedRow, image: SourceImage, max_megapixels: float) -> UInt8Array:
    """Pixels of a photo, read again.

    Raises:
        OSError: If the file cannot be read.
        DataError: If it is no longer the photo that was scanned.
    """
    again = WatchedImage(image)
    pixels = again.load(max_megapixels=max_megapixels).pixels
    if row.sha256 and again.state is not None and again.state.sha256 != row.sha256:
        raise DataError(f"{image.path}: the file was changed after it was scanned. Scan it again.")
    return pixels


def _lies_in(path: str, folder: Path) -> bool:
    try:
        return Path(path).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # a name that no disk takes, inside an archive
        return False


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


def _map_name(name: str) -> str:
    return f"maps/{name}.png"


def _sameness(name: str) -> str:
    """Equal for names that some file system takes for one: macOS ignores case, and how an accent is put together."""
    return unicodedata.normalize("NFKD", name.casefold())


@dataclass(frozen=True)
class _Scanning:
    """One run: a photo becomes a row, and its pictures are written."""

    model: Model
    folder: Path
    settings: ScanSettings
    maps: str
    max_megapixels: float

    def row(self, image: WatchedImage, name: str) -> ScannedRow:
        try:
            photo = image.load(max_megapixels=self.max_megapixels)
            prepared = prepare(photo, self.model.card, self.settings)
            picture = shrunk(photo.pixels, _OVERLAY_PX)
            del photo  # its pixels are not held while the network runs
            result = scan_prepared(prepared, self.model, self.settings)
        except (OSError, DataError) as error:
            return ScannedRow(refused(image.path, self.model.name, reason_of(error)))
        self._write_pictures(name, result, picture)
        digest = image.state.sha256 if image.state else None
        return ScannedRow(replace(result, map=None), _map_name(name), f"overlays/{name}.jpg", digest)

    def _write_pictures(self, name: str, result: PhotoResult, picture: UInt8Array) -> None:
        found, cracks = result.map, result.drawn_cracks
        assert found is not None  # only a refused photo has none
        for kind, values in (("maps", found.probabilities), ("cells", found.strengths)):
            levels = np.round(255 * values).astype(np.uint8)
            _write_picture(self.folder / kind / f"{name}.png", picture_bytes(levels, ".png"))
        if self.maps == "npz":
            found.save(self.folder / "maps" / f"{name}.npz", overwrite=True)
        overlay = picture_bytes(found.overlay(picture, cracks=cracks), ".jpg", quality=_JPEG_QUALITY)
        _write_picture(self.folder / "overlays" / f"{name}.jpg", overlay)
        thumb = shrunk(picture, THUMB_PX).copy()
        draw_cracks(thumb, cracks, found.photo_hw, labels=False)
        content = picture_bytes(thumb, ".jpg", quality=_THUMB_QUALITY)
        _write_picture(self.folder / thumb_name(f"overlays/{name}.jpg"), content)


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


def _tidy(folder: Path, rows: Iterable[ScannedRow]) -> None:
    """Take away what kills have left: halves of files, and pictures of photos that are no longer asked for."""
    for half in folder.glob(".*.part.*"):
        half.unlink()
    named = {name for row in rows for name in _pictures(row.map, row.overlay)}
    for pictures in (folder / kind for kind in _PICTURES):
        if pictures.is_dir():
            for picture in pictures.iterdir():
                if f"{pictures.name}/{picture.name}" not in named:
                    picture.unlink()
            if not any(pictures.iterdir()):
                pictures.rmdir()


def _pictures(map_name: str | None, overlay: str | None) -> list[str]:
    """Names of the files of a photo: beside map and overlay its cells, and the map as an ``.npz``."""
    kept = [f"{map_name.removesuffix('.png')}.npz", cells_name(map_name)] if map_name else []
    kept += [thumb_name(overlay)] if overlay else []
    return [name for name in (map_name, overlay, *kept) if name]


def _require_own_pictures(out: Path) -> None:
    """Refuse to replace a folder where somebody has laid pictures of their own beside ours.

    Raises:
        OutputError: If one of the folders of pictures holds what ``photos.csv`` does not name.
    """
    named: set[str] = set()
    with suppress(DataError):
        for row in read_table(out / "photos.csv", TableForm(("map", "overlay"))):
            named |= {*_pictures(row["map"], row["overlay"])}
    for pictures in (out / kind for kind in _PICTURES):
        for place in sorted(pictures.rglob("[!.]*")):  # hidden ones are the desktop's own
            name = place.relative_to(out).as_posix()
            if name not in named:
                raise OutputError(
                    f"{out} holds '{name}', which was not written by this command, so --overwrite does not replace it. "
                    "Choose another --out."
                )


def _regions_document(ranked: Sequence[ScannedRow], model: Model) -> str:
    photos = [replace(row.result, cracks=()).to_dict() for row in ranked]
    for photo in photos:
        del photo["cracks"]  # they have a document of their own
    threshold = model.card.map_calibration.threshold
    document = {"schema_version": SCHEMA_VERSION, "model": model.name, "threshold": threshold, "photos": photos}
    return json.dumps(document, indent=1) + "\n"


def _write_cracks(ranked: Sequence[ScannedRow], folder: Path, model: Model) -> None:
    """Write both files of cracks, piece by piece."""
    found = [row.result for row in ranked]
    for name, pieces in (("cracks.csv", crack_table(found)), ("cracks.json", cracks_document(found, model.name))):
        with new_file(folder / name, overwrite=True) as part, part.open("wb") as file:
            file.writelines(piece.encode("utf-8", "backslashreplace") for piece in pieces)
