"""Labelled patches: however they are laid out, they become one `PatchIndex`.

These layouts are read: METU/Kaggle (``Positive/``, ``Negative/``), SDNET2018 (``D/CD/7001-115.jpg``,
``Decks/Cracked/7001-115.jpg``), class folders, ``train/val/test`` folders of these, a CSV
(``path,label[,photo][,part][,scene]``), and a ``.tar`` or ``.zip`` of any.

The nearest folder below DATA whose name is a known class name (`crackscope.data.class_names`) tells the label. An image
below no such folder is left out and counted. So is an image beside folders of the other label, as in
``cracks/uncracked/``, since it is unclear what the outer name means.

Where the layout names no photo, the names of augmented exports do (`crackscope.data.photo_names`), or a pattern that
the user gives. The scenes of SDNET2018's photos are known (`crackscope.data.scenes`).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from crackscope.arrays import Int64Array, UInt8Array
from crackscope.data.class_names import LABELS, ClassNames, listed, remedy
from crackscope.data.class_names import shown_name as _shown
from crackscope.data.photo_names import PhotoPattern, sources_of
from crackscope.data.scenes import SceneOfPhoto, sdnet2018_scenes
from crackscope.errors import DataError, SplitError, did_you_mean
from crackscope.files.archives import Files, open_files
from crackscope.files.images import IMAGE_SUFFIXES, MAX_MEGAPIXELS, Image, decode_image
from crackscope.files.streaming import Progress, chunked, ordered_map
from crackscope.files.tables import TableForm, TableRow, read_table

__all__ = ["LABELS", "PARTS", "Patch", "PatchFile", "PatchIndex", "content_digest", "read_patches"]


PARTS = ("train", "val", "test")

_FORM = TableForm(
    ("path", "label"),
    ("photo", "part", "scene"),
    columns_remedy="The first line must name path,label[,photo][,part][,scene], with commas between.",
)

_PART_OF_FOLDER = {
    **{"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
_SDNET_FOLDERS = {"CD", "UD", "CP", "UP", "CW", "UW"}
_SDNET_NAME = re.compile(r"(\d+)-\d+")
# Kaggle's copy: Decks/Cracked/7001-115.jpg. Its folders are everyday words, so its photo numbers are asked too.
_SDNET_SURFACES = {"Decks": "D", "Pavements": "P", "Walls": "W"}
_SDNET_KAGGLE_NAME = re.compile(r"(7\d{3})-\d{1,3}(_\d+)?")
_METU_FOLDERS = {"Positive", "Negative"}
_METU_NAME = re.compile(r"\d{5}(_\d+)?")
_TABLE = "labels.csv"
_FILES_A_CHUNK = 8


@dataclass(frozen=True)
class Patch:
    """One labelled patch: a crop of a photo, with the label ``crack`` or ``uncracked``.

    Attributes:
        path: Path relative to the data, with forward slashes.
        label: Label, ``crack`` or ``uncracked``.
        photo: Name of the photo that the patch was cut from, unique within the data; None where it is not known.
        part: Part of a split, ``train``, ``val`` or ``test``; None where no split or folder names it.
        dataset: Name of the data set: ``metu``, ``sdnet2018-D``, ``sdnet2018-P``, ``sdnet2018-W`` or ``folder``.
        scene: Name of the scene, that is, of all photos that show the same place; None where it is not known.
    """

    path: str
    label: str
    photo: str | None = None
    part: str | None = None
    dataset: str = "folder"
    scene: str | None = None


@dataclass(frozen=True)
class PatchFile:
    """The image file of one patch.

    Attributes:
        path: Path relative to the data, as in `Patch`.
        files: Folder or archive that holds the file.
    """

    path: str
    files: Files = field(repr=False, compare=False)

    def read(self) -> bytes:
        """Bytes of the file.

        Raises:
            OSError: If it cannot be read.
        """
        return self.files.read(self.path)

    def load(self, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
        """Read and decode the image.

        Args:
            max_megapixels: Limit in megapixels; a larger image is refused.

        Raises:
            OSError: If the file cannot be read.
            ImageError: If it is no whole image within the limit.
        """
        return decode_image(self.read(), path=self.path, max_megapixels=max_megapixels)


@dataclass(frozen=True)
class PatchIndex:
    """The labelled patches of one data set, and the files that they are read from.

    Attributes:
        name: Last part of the data's path, for reports.
        patches: Patches in the order of their paths; those of a CSV in the order of its rows.
        files: Folder or archive that holds the image files.
        ignored: Names of images that no folder labels.
    """

    name: str
    patches: tuple[Patch, ...]
    files: Files = field(repr=False, compare=False)
    ignored: tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.patches)

    @property
    def paths(self) -> list[str]:
        """Path of each patch, in order."""
        return [patch.path for patch in self.patches]

    @property
    def labels(self) -> Int64Array:
        """Label of each patch, shape (n,): 1 for crack, 0 for uncracked."""
        return np.array([patch.label == "crack" for patch in self.patches], np.int64)

    @property
    def knows_photos(self) -> bool:
        """Whether the photo of every patch is known."""
        return all(patch.photo is not None for patch in self.patches)

    @property
    def knows_scenes(self) -> bool:
        """Whether the scene of some patch is known, and of every other patch at least the photo."""
        return any(patch.scene is not None for patch in self.patches) and all(
            patch.scene is not None or patch.photo is not None for patch in self.patches
        )

    def counts(self) -> dict[str, int]:
        """Count the patches of each label; both labels are always there."""
        found = Counter(patch.label for patch in self.patches)
        return {label: found[label] for label in LABELS}

    def select(self, patches: Sequence[Patch]) -> PatchIndex:
        """Make an index of the same data with other patches, such as some of its own.

        Args:
            patches: Patches of the new index, in order.
        """
        return replace(self, patches=tuple(patches))

    def images(self) -> Iterator[PatchFile]:
        """Give the file of each patch, in order, ready to be read."""
        return (PatchFile(patch.path, self.files) for patch in self.patches)

    def part(self, *names: str) -> PatchIndex:
        """Make an index of the patches in one part or several; it is empty where no patch lies in them.

        Args:
            names: Names of the parts: ``train``, ``val`` or ``test``.

        Raises:
            SplitError: If a name is none of these.
        """
        for name in names:
            if name not in PARTS:
                raise SplitError(f"part '{name}' is none of {', '.join(PARTS)}.{did_you_mean(name, PARTS)}")
        return self.select([patch for patch in self.patches if patch.part in names])

    def digests(self, *, threads: int | None = None, progress: Progress | None = None) -> tuple[bytes, ...]:
        """Compute the SHA-256 of each file, 32 bytes; no image is decoded.

        Args:
            threads: Number of threads; all cores if left out.
            progress: Called with (done, total) as files are read.

        Returns:
            A digest for each patch; it is empty where the file cannot be read.
        """
        found: list[bytes] = []
        for chunk in ordered_map(self._digests_of, chunked(self.paths, _FILES_A_CHUNK), threads=threads):
            found += chunk
            if progress:
                progress(len(found), len(self))
        return tuple(found)

    def _digests_of(self, paths: Sequence[str]) -> list[bytes]:
        return [self._digest_of(path) for path in paths]

    def _digest_of(self, path: str) -> bytes:
        try:
            return content_digest(self.files.read(path))
        except (OSError, KeyError, ValueError):
            return b""

    def read_pixels(self, path: str) -> UInt8Array:
        """Read the pixels of one patch: RGB, uint8, shape (H, W, 3).

        Args:
            path: Path of the patch, as in `Patch`.

        Raises:
            OSError: If the file cannot be read.
            ImageError: If it is no whole image.
        """
        return decode_image(self.files.read(path), path=path).pixels

    def what_is_ignored(self) -> str:
        """Sentence that says which images no folder labels, and what to do; empty where there are none."""
        if not self.ignored:
            return ""
        others = _folders_of(self.ignored)
        where = f"in folders that name no label ({listed(others)})" if others else "in no folder"
        todo = f" {remedy(map(_shown, others))}" if others else ""
        lie = "image lies" if len(self.ignored) == 1 else "images lie"
        return f"{len(self.ignored):,} {lie} {where}, such as {self.ignored[0]}: left out.{todo}"

    def require_both_labels(self, purpose: str) -> None:
        """Refuse an index in which one of the two labels is missing.

        Args:
            purpose: What needs both labels, for the message, such as ``"a split"``.

        Raises:
            DataError: If a label is missing; the message tells the counts.
        """
        counts = self.counts()
        missing = [label for label in LABELS if not counts[label]]
        if missing:
            found = f"found {counts['crack']} crack and {counts['uncracked']} uncracked"
            todo = f"Add patches labelled '{missing[0]}'."
            if others := _folders_of(self.ignored):
                found += f"; folders that name no label are left out ({listed(others)})"
                todo = remedy(map(_shown, others))
            raise DataError(f"{self.name}: {purpose} needs both labels; {found}. {todo}")


def content_digest(content: bytes) -> bytes:
    """SHA-256 of a file's bytes, 32 bytes: what tells two files apart everywhere in this package."""
    return hashlib.sha256(content).digest()


def read_patches(
    data: str | Path | PatchIndex, *, names: ClassNames | None = None, photo_from: str | None = None
) -> PatchIndex:
    """List the labelled patches of a folder, an archive or a CSV. No image is opened.

    Args:
        data: Path of a folder, a ``.tar``, a ``.zip`` or a ``.csv``. The nearest folder above an image whose name is a
            known word, such as ``Positive`` or ``uncracked``, tells its label. A ``labels.csv`` at the top of a folder
            or an archive, or in its only folder, is used in place of folder names. A CSV has the columns ``path`` and
            ``label``, and may have ``photo``, ``part`` and ``scene``; its paths are relative to it. An index is
            returned as it is.
        names: Names of classes, beside the known ones, in folders and in the column ``label``.
        photo_from: Regular expression with one group, which takes the photo from the path of each patch. If left out,
            the layout or the column ``photo`` names the photos, and where they do not, the names of augmented exports.

    Returns:
        The index of the patches.

    Raises:
        DataError: If nothing is there, no image is labelled, a row of the CSV is wrong, or `photo_from` does not fit
            every path.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import crackscope
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     walls = crackscope.draw_dataset(Path(folder, "walls"), n_photos=2, patches_per_photo=4, side_px=64)
        ...     index = crackscope.read_patches(walls)
        >>> index.knows_photos, sorted(index.counts())
        (True, ['crack', 'uncracked'])
    """
    if isinstance(data, PatchIndex):
        return data
    place, names = Path(data), names or ClassNames()
    pattern = None if photo_from is None else PhotoPattern(photo_from)
    if place.suffix.lower() == ".csv" and not place.is_dir():
        patches = _from_table(_read_bytes(place), place.name, names)
        name = place.resolve().parent.name if place.name == _TABLE else place.stem
        return _index(name, _with_photos(patches, names, pattern), open_files(place.parent))
    files = open_files(place)
    name = place.stem if place.is_file() else place.resolve().name
    if table := _table_of(files):
        folder = table[: -len(_TABLE)]
        found = _from_table(_read_member(files, table, place), f"{place.name}/{table}", names)
        moved = [replace(patch, path=folder + patch.path) for patch in found]
        return _index(name, _with_photos(moved, names, pattern), files)
    images = [path for path in files.names if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
    patches, ignored = _from_folders(images, names)
    if not patches:
        raise DataError(_nothing_labelled(place, images, names))
    return _index(name, _with_photos(patches, names, pattern), files, ignored)


def _with_photos(patches: list[Patch], names: ClassNames, pattern: PhotoPattern | None) -> list[Patch]:
    """Patches with the photo that the pattern takes from their paths, or else that the name of an export tells."""
    if pattern is not None:
        return [replace(patch, photo=pattern.photo_of(patch.path)) for patch in patches]
    if all(patch.photo is not None for patch in patches):
        return patches
    sources = sources_of(
        [patch.path for patch in patches],
        is_class=lambda name: names.label_of(name) is not None,
        is_part=lambda folder: _plain(folder) in _PART_OF_FOLDER,
    )
    return [replace(patch, photo=patch.photo or source) for patch, source in zip(patches, sources, strict=True)]


def _index(name: str, patches: list[Patch], files: Files, ignored: Sequence[str] = ()) -> PatchIndex:
    return PatchIndex(name, tuple(patches), files, tuple(ignored))


def _table_of(files: Files) -> str | None:
    """Name of the ``labels.csv`` at the top, or in the only folder, as an archive of a folder has it."""
    if _TABLE in files.names:
        return _TABLE
    tops = {name.split("/")[0] for name in files.names}
    inner = f"{tops.pop()}/{_TABLE}" if len(tops) == 1 else ""
    return inner if inner in files.names else None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Check the path.") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({why}). Check its permissions.") from error


def _read_member(files: Files, name: str, place: Path) -> bytes:
    try:
        return files.read(name)
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{place}: {name} cannot be read ({why}). Fetch or unpack it again.") from error


# From the names of folders


def _from_folders(images: Sequence[str], names: ClassNames) -> tuple[list[Patch], list[str]]:
    """Patches, and the images that no folder labels."""
    # For each folder with images, the folders named like a class on the way to it with their labels, the nearest last.
    ways = {folder: _class_folders(folder, names) for folder in {path.rpartition("/")[0] for path in images}}
    # A folder named like a class that holds folders of the other label does not say what lies beside them.
    unclear = {above for way in ways.values() for above, label in way[:-1] if label != way[-1][1]}
    patches, ignored = [], []
    for path in images:
        way = ways[path.rpartition("/")[0]]
        if way and way[-1][0] not in unclear:
            patches.append(_from_path(path, *way[-1]))
        else:
            ignored.append(path)
    return patches, ignored


def _class_folders(folder: str, names: ClassNames) -> list[tuple[PurePosixPath, str]]:
    way = [*reversed(PurePosixPath(folder).parents), PurePosixPath(folder)]
    labelled = ((above, names.label_of(above.name)) for above in way)
    return [(above, label) for above, label in labelled if label is not None]


def _plain(folder: str) -> str:
    return re.sub(r"[\s_\-.]", "", folder.lower())


def _from_path(path: str, folder: PurePosixPath, label: str) -> Patch:
    """Read photo, part and data set from the names above an image, whose label a folder tells."""
    pure = PurePosixPath(path)
    parts = [_PART_OF_FOLDER[word] for word in map(_plain, pure.parts[:-1]) if word in _PART_OF_FOLDER]
    photo, dataset = None, "folder"
    surface = _SDNET_SURFACES.get(folder.parent.name)
    if folder.name.upper() in _SDNET_FOLDERS and (match := _SDNET_NAME.match(pure.stem)):
        surface = folder.name[1].upper()
        photo, dataset = f"{surface}-{match[1]}", f"sdnet2018-{surface}"
    elif surface and (match := _SDNET_KAGGLE_NAME.fullmatch(pure.stem)):
        photo, dataset = f"{surface}-{match[1]}", f"sdnet2018-{surface}"
    elif folder.name in _METU_FOLDERS and _METU_NAME.fullmatch(pure.stem):
        dataset = "metu"
    scene = sdnet2018_scenes().get(photo) if photo else None
    return Patch(path, label, photo, parts[-1] if parts else None, dataset, scene)


def _nothing_labelled(place: Path, images: Sequence[str], names: ClassNames) -> str:
    if not images:
        return f"{place}: no images found. Give a folder of class folders, or a CSV with path,label."
    found = _folders_of(images)
    table = "or give a CSV with path,label."
    if not found:
        return (
            f"{place}: {len(images)} images, but no folder names a label (they lie at the top). "
            f"Move them into folders crack and uncracked, {table}"
        )
    many = f", {len(found)} classes where there are two labels" if len(found) > 2 else ""
    hint = names.suggestion(found[0]) if len(found) == 1 else ""
    return (
        f"{place}: {len(images)} images, but no folder names a label (found {listed(found)}{many}).{hint} "
        f"{remedy(found)} Or name the folders crack and uncracked, {table}"
    )


def _folders_of(images: Sequence[str]) -> list[str]:
    """Names of the folders that images lie in, each once; none where they lie at the top."""
    return sorted({folder for path in images if (folder := PurePosixPath(path).parent.name)})


# From a table


def _from_table(content: bytes, name: str, names: ClassNames) -> list[Patch]:
    found: dict[str, tuple[int, Patch]] = {}
    scenes = SceneOfPhoto(DataError)
    rows = [*read_table(content, _FORM, name=name)]
    for row in rows:
        patch = _from_row(row, names.label_of(row["label"]))
        if patch is None:
            raise DataError(_unknown_label(row, rows, names))
        if patch.path in found:
            first = found[patch.path][0]
            raise DataError(
                f"{row.where}: '{_shown(patch.path)}' is listed twice, first in row {first}. Keep one row a patch."
            )
        scenes.require_same(patch.photo, patch.scene, row.where)
        found[patch.path] = (row.number, patch)
    if not found:
        raise DataError(f"{name}: no rows. List one patch a line: path,label.")
    return [patch for _, patch in found.values()]


def _from_row(row: TableRow, label: str | None) -> Patch | None:
    """The patch of a row with its label; None where it has none."""
    path, photo, part, scene = (row[column].strip() for column in ("path", "photo", "part", "scene"))
    if not path:
        raise DataError(f"{row.where}: the path is empty. Name the image, or delete the row.")
    if part and part not in PARTS:
        raise DataError(f"{row.where}: part '{_shown(part)}' is none of {', '.join(PARTS)}.{did_you_mean(part, PARTS)}")
    if label is None:
        return None
    return Patch(str(PurePosixPath(path.replace("\\", "/"))), label, photo or None, part or None, scene=scene or None)


def _unknown_label(row: TableRow, rows: Sequence[TableRow], names: ClassNames) -> str:
    """Message for the first row whose label is no class name; it names all such labels of the table."""
    label = row["label"].strip()
    start = f"{row.where}: label '{_shown(label)}' is neither 'crack' nor 'uncracked'"
    if not label:
        return f"{start}. Fill it in, or delete the row."
    unknown = [*dict.fromkeys(one for each in rows if (one := each["label"].strip()) and not names.label_of(one))]
    more = f", nor {'is' if len(unknown) == 2 else 'are'} {listed(unknown[1:])}" if len(unknown) > 1 else ""
    classes = {each["label"].strip() for each in rows} - {""}
    many = f"; {len(classes)} classes, where there are two labels" if len(classes) > 2 else ""
    hint = names.suggestion(label) if len(unknown) == 1 else ""
    return f"{start}{more}{many}.{hint} {remedy(map(_shown, unknown))} Or delete such rows."
