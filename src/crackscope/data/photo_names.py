"""Photo names: the photo that a patch was made from, as its file name tells it.

Programs that augment and export data name each copy after its source. Copies of one source must stay in one part of a
split, so the source counts as their photo where the layout of the data names none. These names are known:

- Roboflow's ``NAME_jpg.rf.HASH.jpg`` and Augmentor's ``CLASS_original_NAME.jpg_UUID.jpg``;
- names that end in what was done, such as ``NAME_aug_3``, ``NAME_flip``, ``NAME_rot90``, ``NAME - Copy (2)``;
- numbered copies such as ``NAME (2)``, where ``NAME`` lies beside them.

The last two count only if they lead at least two files to the same source, and at most `MOST_COPIES`: more are a
numbered list. A number alone, as in METU's ``00001_1`` and SDNET2018's ``7001-115``, names no copy. Sources in folders
of different classes differ, and those in the folders of the parts of a split do not.

For any other names, the user gives a regular expression with one group (`PhotoPattern`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from crackscope.data.class_names import shown_name
from crackscope.errors import DataError

__all__ = ["MOST_COPIES", "PhotoPattern", "sources_of"]


MOST_COPIES = 50
"""Greatest number of files that are taken for copies of one source by their endings."""

_IMAGE = r"(?:jpe?g|png|bmp|tiff?|webp|gif|heic)"
_EXPORTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(.+)_{_IMAGE}\.rf\.[0-9a-z]{{8,}}",
        rf".*?_original_(.+)\.{_IMAGE}_[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}",
    )
)
_DONE = (
    r"aug|augment(?:ed|ation)?|[hv]?flip(?:ped|lr|ud)?|[hv]?mirror(?:ed)?|rot(?:ated?|ation)?|transposed?|zoom(?:ed)?|"
    r"shear(?:ed)?|noisy?|noise|blur(?:red)?|bright(?:er|ness)?|dark(?:er)?|contrast|gamma|jitter(?:ed)?|copy|kopie"
)
_ENDING = re.compile(rf"(.+?)(?:[ _.-]+(?:{_DONE})(?:[ _]*-?\d{{1,4}}(?:deg)?)?(?: ?\(\d{{1,3}}\))?)+", re.IGNORECASE)
_NUMBERED = re.compile(r"(.+?) ?\(\d{1,3}\)")


@dataclass(frozen=True)
class PhotoPattern:
    """A regular expression that takes the photo from the path of a patch.

    Attributes:
        pattern: The expression, with one group: the name of the photo. It is searched for anywhere in the path relative
            to the data, with forward slashes.

    Raises:
        DataError: If it is no regular expression with exactly one group.

    Example:
        >>> PhotoPattern(r"(IMG_[0-9]+)").photo_of("crack/IMG_0012_tile7.jpg")
        'IMG_0012'
    """

    pattern: str

    def __post_init__(self) -> None:
        try:
            n_groups = re.compile(self.pattern).groups
        except re.error as error:
            raise DataError(f"--photo-from '{self.pattern}' is no regular expression ({error}). Correct it.") from error
        if n_groups != 1:
            raise DataError(
                f"--photo-from '{self.pattern}' has {n_groups} groups. Put parentheses around the photo's name alone."
            )

    def photo_of(self, path: str) -> str:
        """Take the photo from a path.

        Raises:
            DataError: If the path does not match.
        """
        found = re.search(self.pattern, path)
        if not found or not found[1]:
            raise DataError(
                f"--photo-from '{self.pattern}' finds no photo in '{shown_name(path)}'. Write it so that it fits all "
                "names."
            )
        return found[1]


def sources_of(
    paths: Sequence[str], *, is_class: Callable[[str], bool], is_part: Callable[[str], bool]
) -> list[str | None]:
    """Name the source of each copy that an export made, by the rules at the top of this module.

    Args:
        paths: Paths of all patches, with forward slashes.
        is_class: Function that tells whether a name means a class: ``crack_aug_3`` is no copy of ``crack``.
        is_part: Function that tells whether a folder is a part of a split, such as ``train``.

    Returns:
        The source of each path: folders, but those of parts, and a name. It is None where no other file is known to be
        of the same source and the name is no export's.

    Example:
        >>> sources_of(["a/w_flip.jpg", "a/w.jpg", "a/v.jpg"], is_class=lambda _: False, is_part=lambda _: False)
        ['a/w', 'a/w', None]
    """
    folders = [_folder_of(path, is_part) for path in paths]
    exported = [_exported(PurePosixPath(path).stem) for path in paths]
    stems = [name or PurePosixPath(path).stem for name, path in zip(exported, paths, strict=True)]
    present = set(zip(folders, stems, strict=True))
    sources = []
    for folder, stem in zip(folders, stems, strict=True):
        ending, numbered = _ENDING.fullmatch(stem), _NUMBERED.fullmatch(stem)
        source = ending[1] if ending else stem
        if not ending and numbered and (folder, numbered[1]) in present:
            source = numbered[1]
        sources.append((folder, stem if is_class(source) else source))
    n_files = Counter(sources)
    copied = {source for source, stem in zip(sources, stems, strict=True) if source[1] != stem}
    found: list[str | None] = []
    for source, folder, stem, export in zip(sources, folders, stems, exported, strict=True):
        if source in copied and 2 <= n_files[source] <= MOST_COPIES:
            found.append("/".join(filter(None, source)))
        else:
            found.append("/".join(filter(None, (folder, stem))) if export else None)
    return found


def _folder_of(path: str, is_part: Callable[[str], bool]) -> str:
    return "/".join(folder for folder in PurePosixPath(path).parts[:-1] if not is_part(folder))


def _exported(stem: str) -> str | None:
    """Name of the source in the name of an export; None where it is none."""
    return next((found[1] for pattern in _EXPORTS if (found := pattern.fullmatch(stem))), None)
