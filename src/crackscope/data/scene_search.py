"""Search for scenes: photos that show the same place, wholly or in part, are brought together.

Photos are not compared all with all. Each has at most `crackscope.data.pair_choice.MOST_PAIRS` candidates: photos taken
near it, soon after it or listed beside it, and those that hold the most alike points (`crackscope.data.likeness`). Each
candidate is registered (`crackscope.data.registration`). Where a photo overlaps two others, it is worked out whether
these should overlap, and they are compared too. Photos that are linked by matches are one scene, even if two of them
show different ends of it.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from crackscope.arrays import Float32Array, Float64Array, UInt8Array
from crackscope.data.likeness import POINTS_A_PHOTO, votes_between
from crackscope.data.pair_choice import near_by_camera, within_limit
from crackscope.data.pair_geometry import overlap_of, overlap_share
from crackscope.data.photo_features import PhotoFeatures, features_of, grey_of, shrunk
from crackscope.data.registration import Registration, register_features
from crackscope.errors import DataError, reason_of
from crackscope.files.images import Image
from crackscope.files.journal import Journal
from crackscope.files.pictures import picture_bytes
from crackscope.files.pixels import decode_jpeg
from crackscope.files.streaming import Progress, ordered_map

__all__ = ["PhotoPair", "ScenePhoto", "SceneSearch", "find_scenes"]


_BY_LIKENESS, _BY_ORDER, _BY_CAMERA = 14, 4, 8  # candidates a photo: by votes, on each side in order, by time or place
_LEAST_EXPECTED = 0.03  # share of a photo that two neighbours of a third one are expected to share
_MOST_ROUNDS = 4
_PICTURE_PX, _OVERLAY_PX, _QUALITY = 900, 640, 80
_ROOM = 0.08  # about the overlap in its picture, as a share of the longer side
_VERSION = "scenes-2"
_FIGURES = "n_inliers", "spread", "texture_share", "overlap_share_a", "overlap_share_b", "residual_px"
_HELD = 96  # photos whose features are kept in memory


Row: TypeAlias = dict[str, Any]
Compared: TypeAlias = Mapping[tuple[int, int], Row]


@dataclass(frozen=True, eq=False)
class ScenePhoto:
    """A photo that is searched for its scene.

    Attributes:
        name: Name of the photo, unique among all of them.
        load: Function that reads it. It raises an OSError or a DataError with the reason if it cannot be read.
        state: Function that gives the state of its file or files, ready for JSON, to tell whether it has changed since
            an interrupted run.
    """

    name: str
    load: Callable[[], Image]
    state: Callable[[], Any] = field(default=lambda: None)


@dataclass(frozen=True)
class PhotoPair:
    """Two photos of one place.

    Attributes:
        photo_a: Name of the first photo.
        photo_b: Name of the second photo.
        n_inliers: Number of points that agree.
        spread: Share of the overlap, in cells of a grid, that holds one of them.
        texture_share: Share of small patches of the overlap whose fine detail is found again.
        overlap_share_a: Share of the first photo that the second one shows too.
        overlap_share_b: Share of the second photo that the first one shows too.
        residual_px: Median distance of the points from where they are expected, in pixels of the second photo.
        homography: Entries of the homography from the first photo to the second one in full pixels, row by row.
        picture: The two laid over each other, a JPEG.
    """

    photo_a: str
    photo_b: str
    n_inliers: int
    spread: float
    texture_share: float
    overlap_share_a: float
    overlap_share_b: float
    residual_px: float
    homography: tuple[float, ...]
    picture: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True)
class SceneSearch:
    """What a search for scenes found.

    Attributes:
        photos: Names of the photos that could be read, in order.
        refused: Name and reason of each photo that could not be read.
        pairs: Pairs of photos that match, in the order of the photos.
        n_compared: Number of pairs that were compared.
        by_names: Whether the order of the photos was used to choose pairs.
    """

    photos: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    pairs: tuple[PhotoPair, ...]
    n_compared: int
    by_names: bool = True

    @property
    def scenes(self) -> dict[str, str]:
        """Scene of each photo, numbered from ``S001`` in the order of their first photos."""
        number = {name: i for i, name in enumerate(self.photos)}
        links = [(number[pair.photo_a], number[pair.photo_b]) for pair in self.pairs]
        roots = _joined(len(self.photos), links)
        scene = {root: f"S{i:03d}" for i, root in enumerate(dict.fromkeys(roots), start=1)}
        return {name: scene[root] for name, root in zip(self.photos, roots, strict=True)}


def find_scenes(
    photos: Sequence[ScenePhoto],
    *,
    by_names: bool = True,
    folder: Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> SceneSearch:
    """Find which photos show the same place.

    Args:
        photos: Photos, in the order in which they were taken as far as that is known.
        by_names: Whether photos that stand near each other in this order are compared first. Without it only pixels,
            and the time and place that the cameras noted, choose the pairs.
        folder: Folder for what is kept until the run ends, so that an interrupted one goes on. If left out, nothing is
            kept.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total), first over photos and then over each round of pairs.

    Raises:
        DataError: If two photos have one name.
    """
    names = [photo.name for photo in photos]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DataError(f"{twice}: two photos have this name. Name each once.")
    with ExitStack() as stack:
        place = folder if folder is not None else Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(threadpool_limits(1, "blas"))
        return _Search(photos, place, by_names, threads, progress).found()


class _Search:
    """One search, with what it keeps on disk."""

    def __init__(
        self,
        photos: Sequence[ScenePhoto],
        folder: Path,
        by_names: bool,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        self._photos, self._folder, self._by_names = photos, folder, by_names
        self._threads, self._progress = threads, progress
        self._kept = folder / "kept"
        self._kept.mkdir(exist_ok=True)
        self._features = lru_cache(_HELD)(self._read)

    def found(self) -> SceneSearch:
        photos = self._photos

        def unchanged(i: int, state: Any) -> bool:
            return self._place(i).exists() and photos[i].state() == state

        # Held open to the end: its lock keeps another run away from what is kept.
        paths = [photo.name for photo in photos]
        with Journal(self._folder / "photos", task=_VERSION, paths=paths, unchanged=unchanged) as journal:
            return self._found(self._prepared(journal))

    def _found(self, rows: list[Row]) -> SceneSearch:
        there = [i for i, row in enumerate(rows) if row["error"] is None]
        compared: dict[tuple[int, int], Row] = {}
        wanted = self._candidates(rows, there)
        for number in range(_MOST_ROUNDS):
            if not wanted:
                break
            compared |= zip(wanted, self._compared(wanted, number, rows), strict=True)
            wanted = self._missing(compared, rows)
        pairs = [self._pair(i, j, row) for (i, j), row in sorted(compared.items()) if row["matches"]]
        return SceneSearch(
            tuple(self._photos[i].name for i in there),
            tuple((row["path"], row["error"]) for row in rows if row["error"] is not None),
            tuple(pairs),
            len(compared),
            self._by_names,
        )

    # Photos

    def _prepared(self, journal: Journal) -> list[Row]:
        """Facts of each photo; its features are kept on disk."""
        left = range(journal.n_rows, len(self._photos))
        for i, (row, state) in zip(left, ordered_map(self._look, left, threads=self._threads), strict=True):
            journal.append({"path": self._photos[i].name, **row}, state=state)
            self._tell(i + 1, len(self._photos))
        return [*journal.rows()]

    def _look(self, i: int) -> tuple[Row, Any]:
        photo = self._photos[i]
        state: Any = None
        try:
            state = photo.state()
            image = photo.load()
        except (OSError, DataError) as error:
            self._place(i).write_bytes(b"")
            return {"error": reason_of(error)}, state
        found = features_of(grey_of(image.pixels))
        picture = picture_bytes(shrunk(image.pixels, _PICTURE_PX / max(found.photo_hw)), ".jpg", quality=_QUALITY)
        arrays: dict[str, Any] = {
            "photo_hw": np.array(found.photo_hw),
            "scale": np.array(found.scale),
            "grey": found.grey,
            "points_xy": found.points_xy,
            "sizes_px": found.sizes_px,
            "descriptors": found.descriptors,
            "picture": np.frombuffer(picture, np.uint8),
        }
        with self._place(i).open("wb") as file:
            np.savez(file, **arrays)
        taken = image.taken_at.replace(tzinfo=None).isoformat() if image.taken_at else None
        digest = hashlib.sha256(found.grey.tobytes()).hexdigest()
        place = None if image.latitude_deg is None else [image.latitude_deg, image.longitude_deg]
        return {"error": None, "taken_at": taken, "place": place, "digest": digest, "hw": found.photo_hw}, state

    def _place(self, i: int) -> Path:
        return self._kept / f"photo-{i}.npz"

    def _read(self, i: int) -> PhotoFeatures:
        with np.load(self._place(i)) as kept:
            height, width = kept["photo_hw"].tolist()
            arrays = kept["grey"], kept["points_xy"], kept["sizes_px"], kept["descriptors"]
            return PhotoFeatures((height, width), float(kept["scale"]), *arrays)

    def _picture(self, i: int) -> UInt8Array:
        with np.load(self._place(i)) as kept:
            return decode_jpeg(kept["picture"].tobytes())

    # Pairs

    def _candidates(self, rows: list[Row], there: list[int]) -> list[tuple[int, int]]:
        """Pairs to compare first, in order."""
        votes = votes_between([self._coarse(i) for i in there])
        near = near_by_camera([rows[i] for i in there])
        ranks: dict[tuple[int, int], int] = {}
        for own in range(len(there)):
            hinted = near[own][:_BY_CAMERA]
            if self._by_names:
                hinted += [k for step in range(1, _BY_ORDER + 1) for k in (own - step, own + step)]
            likely = [k for k in np.argsort(-votes[own], kind="stable").tolist() if votes[own, k] > 0]
            for rank, k in enumerate(dict.fromkeys([*hinted, *likely[:_BY_LIKENESS]])):
                if 0 <= k < len(there) and k != own:
                    pair = min(there[own], there[k]), max(there[own], there[k])
                    ranks[pair] = min(rank, ranks.get(pair, rank))
        return within_limit(sorted(ranks, key=lambda pair: (ranks[pair], pair)), {})

    def _coarse(self, i: int) -> Float32Array:
        features = self._features(i)
        order = np.argsort(-features.sizes_px, kind="stable")[:POINTS_A_PHOTO]
        return features.unit_descriptors()[order]

    def _missing(self, compared: dict[tuple[int, int], dict[str, Any]], rows: list[Row]) -> list[tuple[int, int]]:
        """Pairs that were not compared though both overlap a third photo, and should overlap each other by that."""
        matched: defaultdict[int, dict[int, Float64Array]] = defaultdict(dict)
        n_pairs: defaultdict[int, int] = defaultdict(int)
        for (i, j), row in compared.items():
            n_pairs[i] += 1
            n_pairs[j] += 1
            if row["matches"]:
                homography = np.array(row["homography"]).reshape(3, 3)
                matched[i][j], matched[j][i] = homography, np.linalg.inv(homography)
        expected: dict[tuple[int, int], float] = {}
        for middle, neighbours in matched.items():
            for i in neighbours:
                for j in neighbours:
                    if i < j and (i, j) not in compared:
                        way = matched[middle][j] @ matched[i][middle]
                        corners = overlap_of(way / way[2, 2], tuple(rows[i]["hw"]), tuple(rows[j]["hw"]))
                        share = overlap_share(corners, tuple(rows[i]["hw"]))
                        expected[i, j] = max(share, expected.get((i, j), 0.0))
        likely = [pair for pair, share in expected.items() if share >= _LEAST_EXPECTED]
        return within_limit(sorted(likely, key=lambda pair: (-expected[pair], pair)), n_pairs)

    def _compared(self, pairs: list[tuple[int, int]], number: int, rows: list[Row]) -> list[Row]:
        """Register pairs; what an interrupted run has done is taken over."""
        paths = [f"{i} {j}" for i, j in pairs]
        task = json.dumps([_VERSION, [row.get("digest") for row in rows], paths])
        task = hashlib.sha256(task.encode()).hexdigest()
        with Journal(self._folder / f"pairs-{number}", task=task, paths=paths, unchanged=lambda *_: True) as journal:
            left = range(journal.n_rows, len(pairs))
            work = ordered_map(lambda k: self._row(*pairs[k]), left, threads=self._threads)
            for k, row in zip(left, work, strict=True):
                journal.append({"path": paths[k], **row}, state=None)
                self._tell(k + 1, len(pairs))
            return [*journal.rows()]

    def _row(self, i: int, j: int) -> Row:
        found = register_features(self._features(i), self._features(j))
        row = found.document()
        del row["overlap_xy"]
        if found.matches:
            overlay = _around(found, found.overlay(self._picture(i), self._picture(j), side_px=_PICTURE_PX))
            self._picture_place(i, j).write_bytes(picture_bytes(overlay, ".jpg", quality=_QUALITY))
        return row

    def _picture_place(self, i: int, j: int) -> Path:
        return self._kept / f"pair-{i}-{j}.jpg"

    def _pair(self, i: int, j: int, row: Row) -> PhotoPair:
        names = self._photos[i].name, self._photos[j].name
        figures: dict[str, Any] = {name: row[name] for name in _FIGURES}
        picture = self._picture_place(i, j).read_bytes()
        return PhotoPair(*names, homography=tuple(row["homography"]), picture=picture, **figures)

    def _tell(self, done: int, total: int) -> None:
        if self._progress:
            self._progress(done, total)


def _around(found: Registration, overlay: UInt8Array) -> UInt8Array:
    """The overlap in an overlay, with some room about it."""
    scale = overlay.shape[1] / found.photo_hw_a[1]
    low, high = found.overlap_xy.min(0) * scale, found.overlap_xy.max(0) * scale
    room = _ROOM * max(overlay.shape[:2])
    left, top = np.maximum(0, low - room).astype(np.int64).tolist()
    right, bottom = np.ceil(high + room).astype(np.int64).tolist()
    cut = overlay[top : bottom + 1, left : right + 1]
    return shrunk(np.ascontiguousarray(cut), _OVERLAY_PX / max(cut.shape[:2]))


def _joined(n: int, links: Sequence[tuple[int, int]]) -> list[int]:
    """Smallest number of the group of each of `n` items that links hold together."""
    root = list(range(n))

    def of(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i, j in links:
        low, high = sorted((of(i), of(j)))
        root[high] = low
    return [of(i) for i in range(n)]
