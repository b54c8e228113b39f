"""Provenance: which data a model was trained on, as its card states it, and which patches it has seen.

A card holds marks of the training files, and of their photos where the data set is published. A patch counts as seen if
the model was trained on its file, on its photo, or on a photo of its scene. Scenes need no marks of their own: the
table of SDNET2018's scenes tells which other photos show the same place. So it is known of older bundles too.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from crackscope.data.grouping import is_group
from crackscope.data.patches import Patch, PatchIndex
from crackscope.data.scenes import sdnet2018_scenes
from crackscope.model.card import TrainingData

__all__ = ["Seen", "count_seen", "describe_pictures", "describe_training_data", "find_seen"]

_PUBLISHED = {
    "metu": (
        "METU",
        "CC BY 4.0",
        "Ç. F. Özgenel, Concrete Crack Images for Classification, Mendeley Data V2, doi 10.17632/5y9wdsg2zt.2",
    ),
    "sdnet2018": (
        "SDNET2018",
        "CC BY 4.0",
        "M. Maguire, S. Dorafshan, R. J. Thomas, SDNET2018, Utah State University, doi 10.15142/T3TD19",
    ),
}
_SHOWN = 3  # photos that a sentence names
_MARK_BYTES = 6  # with 100,000 training files, one foreign file in three thousand million is taken for a known one


def describe_training_data(index: PatchIndex, digests: Sequence[bytes]) -> tuple[TrainingData, ...]:
    """Describe the training patches, one entry per data set.

    Args:
        index: Training patches.
        digests: SHA-256 of each patch's file, in the order of the index.
    """
    members: dict[str, list[tuple[Patch, bytes]]] = {}
    for patch, digest in zip(index.patches, digests, strict=True):
        members.setdefault(_set_of(patch), []).append((patch, digest))
    return tuple(_describe(dataset, pairs) for dataset, pairs in sorted(members.items()))


@dataclass(frozen=True)
class Seen:
    """What of some patches a model was trained on.

    Attributes:
        n: Number of patches that it was trained on, or on whose photo, or on a photo of whose scene.
        photos: Photos of patches that it was trained on, or whose photo it was trained on.
        files: Paths of patches that it was trained on, and whose photo is not known.
        scenes: For each photo that it was not trained on, but whose scene it was: the photos of the scene that it was
            trained on.
    """

    n: int = 0
    photos: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    scenes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def sentence(self) -> str:
        """Name the first of what it was trained on, the photos above all.

        Example:
            >>> Seen(4, photos=("D-7001",), scenes={"D-7003": ("D-7001", "D-7002")}).sentence()
            'photo D-7001; photo D-7003, which shows the same place as D-7001, D-7002'
        """
        told = [f"photo{'s' if len(self.photos) > 1 else ''} {_listed(self.photos)}"] if self.photos else []
        told += [
            f"photo {photo}, which shows the same place as {_listed(others)}"
            for photo, others in list(self.scenes.items())[:_SHOWN]
        ]
        if len(self.scenes) > _SHOWN:
            n_more = len(self.scenes) - _SHOWN
            told.append(f"{n_more} more {'photo' if n_more == 1 else 'photos'} of such scenes")
        return "; ".join(told) or f"such as {_listed(self.files)}"


def describe_pictures(name: str, digests: Sequence[bytes], *, licence: str, attribution: str) -> TrainingData:
    """Describe pictures of cracks that a model was trained on, which are no labelled patches; each counts as cracked.

    Args:
        name: Name of the data set.
        digests: SHA-256 of each file.
        licence: Licence of the images.
        attribution: Names to give credit to.
    """
    return TrainingData(
        name=name,
        n_crack=len(digests),
        n_uncracked=0,
        n_photos=len(digests),
        licence=licence,
        attribution=attribution,
        sha256=hashlib.sha256(b"".join(sorted(digests))).hexdigest(),
        seen=base64.b64encode(b"".join(sorted({digest[:_MARK_BYTES] for digest in digests}))).decode(),
    )


def find_seen(index: PatchIndex, digests: Sequence[bytes], training_data: Sequence[TrainingData]) -> Seen:
    """Find the patches that a model was trained on, or whose photo or scene it was trained on.

    Photos and scenes are recognised only in published data sets, where their names are known.

    Args:
        index: Patches to be judged.
        digests: SHA-256 of each patch's file, in the order of the index.
        training_data: Training data from the card of the model, including that of its backbone.
    """
    marks = _marks_in(training_data)
    n, files = 0, []
    photos: set[str] = set()
    scenes: dict[str, tuple[str, ...]] = {}
    trained: dict[tuple[str, str], tuple[str, ...]] = {}  # photos of its scene that were trained on, for each photo
    for patch, digest in zip(index.patches, digests, strict=True):
        others: tuple[str, ...] = ()
        if _is_named(patch) and patch.photo:
            key = (patch.dataset, patch.photo)
            if key not in trained:
                trained[key] = tuple(
                    name for name in _photos_of_scene(patch.photo) if _photo_mark(patch.dataset, name) in marks
                )
            others = trained[key]
        by_file = digest[:_MARK_BYTES] in marks if digest else False
        n += bool(by_file or others)
        if patch.photo and patch.photo in others:
            photos.add(patch.photo)
        elif patch.photo and others:
            scenes[patch.photo] = others
        elif by_file and patch.photo and not is_group(patch.photo):
            photos.add(patch.photo)
        elif by_file:
            files.append(patch.path)
    return Seen(n, tuple(sorted(photos)), tuple(files), dict(sorted(scenes.items())))


def count_seen(index: PatchIndex, digests: Sequence[bytes], training_data: Sequence[TrainingData]) -> int:
    """Count the patches that a model was trained on, or whose photo or scene it was trained on; see `find_seen`.

    Args:
        index: Patches to be judged.
        digests: SHA-256 of each patch's file, in the order of the index.
        training_data: Training data from the card of the model, including that of its backbone.
    """
    return find_seen(index, digests, training_data).n


def _marks_in(training_data: Sequence[TrainingData]) -> set[bytes]:
    """All marks that a card holds."""
    found: set[bytes] = set()
    for data in training_data:
        marks = base64.b64decode(data.seen)
        found.update(marks[i : i + _MARK_BYTES] for i in range(0, len(marks), _MARK_BYTES))
    return found


@cache
def _photos_of_scene(photo: str) -> tuple[str, ...]:
    """A photo of SDNET2018, and all others of its scene; any other photo alone."""
    scenes = sdnet2018_scenes()
    scene = scenes.get(photo)
    return (photo,) if scene is None else tuple(name for name, own in scenes.items() if own == scene)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _set_of(patch: Patch) -> str:
    return patch.dataset.split("-")[0]


def _marks(patch: Patch, digest: bytes) -> Iterator[bytes]:
    """Marks that a patch leaves in a card: one for its file, and one for its photo if the data set is published."""
    if digest:
        yield digest[:_MARK_BYTES]
    if _is_named(patch) and patch.photo:
        yield _photo_mark(patch.dataset, patch.photo)


def _is_named(patch: Patch) -> bool:
    """Whether the publisher of the data set names the photo of a patch."""
    return _set_of(patch) in _PUBLISHED and patch.photo is not None and not is_group(patch.photo)


def _photo_mark(dataset: str, photo: str) -> bytes:
    return hashlib.sha256(f"{dataset}/{photo}".encode()).digest()[:_MARK_BYTES]


def _describe(dataset: str, pairs: Sequence[tuple[Patch, bytes]]) -> TrainingData:
    name, licence, attribution = _PUBLISHED.get(dataset, ("own patches", "not stated", ""))
    n_crack = sum(patch.label == "crack" for patch, _ in pairs)
    # Groups of patches that look alike are not photos, so no number of photos is given for them.
    photos = {None if is_group(patch.photo or "") else patch.photo for patch, _ in pairs}
    content = hashlib.sha256()
    for row in sorted(digest + patch.label.encode() for patch, digest in pairs):
        content.update(row)
    marks = sorted({mark for patch, digest in pairs for mark in _marks(patch, digest)})
    return TrainingData(
        name=name,
        n_crack=n_crack,
        n_uncracked=len(pairs) - n_crack,
        n_photos=None if None in photos else len(photos),
        licence=licence,
        attribution=attribution,
        sha256=content.hexdigest(),
        seen=base64.b64encode(b"".join(marks)).decode(),
    )
