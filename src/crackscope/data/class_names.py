"""Class names: the one list of names that class folders and the labels in tables go by.

Case, blanks, hyphens, underscores and dots in a name do not matter. Numbers (``0``, ``1``) are no class names, since
they may just as well count shards or folds. `ClassNames` adds names of the user's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from crackscope.errors import DataError

__all__ = ["CRACK_NAMES", "LABELS", "UNCRACKED_NAMES", "ClassNames", "listed", "remedy", "shown_name"]


LABELS = ("uncracked", "crack")
"""Labels in the order of their index inside arrays: 0 is ``uncracked``, 1 is ``crack``."""

CRACK_NAMES = ("crack", "with crack", "positive", "CD", "CP", "CW")
"""Names that mean ``crack``; the last three are SDNET2018's. In place of *crack*, *cracks* and *cracked* will do."""

UNCRACKED_NAMES = (
    *("uncracked", "no crack", "non-crack", "not cracked", "without crack", "crack-free", "intact", "negative"),
    *("UD", "UP", "UW"),
)
"""Names that mean ``uncracked``; the last three are SDNET2018's."""

_SHORTEST = 5  # letters of a name that a slip is looked for in: of CD and UD, either would be one of the other


@dataclass(frozen=True)
class ClassNames:
    """Names of the user's own for the two labels, beside the names that are always known.

    A name that is given here means what is said here, whatever it would mean otherwise.

    Attributes:
        crack: Names of class folders, or labels in a table, that mean ``crack``.
        uncracked: Names that mean ``uncracked``.

    Raises:
        DataError: If a name is empty, or is given for both labels.

    Example:
        >>> names = ClassNames(crack=("Riss",), uncracked=("0",))
        >>> names.label_of("riss"), names.label_of("0"), names.label_of("Non-Crack"), names.label_of("spalling")
        ('crack', 'uncracked', 'uncracked', None)
    """

    crack: tuple[str, ...] = ()
    uncracked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        both = {*map(_plain, self.crack)} & {*map(_plain, self.uncracked)}
        for name in chain(self.crack, self.uncracked):
            if not _plain(name):
                raise DataError(f"class name '{name}' has no letters and no digits. Name the folder or label.")
            if _plain(name) in both:
                raise DataError(f"class name '{name}' is given for both labels. Give it for one.")

    def label_of(self, name: str) -> str | None:
        """Tell the label that a name stands for.

        Args:
            name: Name of a folder, or a label in a table.

        Returns:
            ``crack``, ``uncracked``, or None where it stands for neither.
        """
        plain = _plain(name)
        if plain in map(_plain, self.crack):
            return "crack"
        if plain in map(_plain, self.uncracked):
            return "uncracked"
        return _LABEL_OF.get(plain)

    def suggestion(self, name: str) -> str:
        """Offer the label of which a name is a misspelling. It is never the opposite of what the name means.

        Args:
            name: Name that stands for no label.

        Returns:
            The end of a sentence, with a blank in front; empty where the name is no misspelling of a known one.

        Example:
            >>> ClassNames().suggestion("crak"), ClassNames().suggestion("concrete_crack")
            (" Did you mean 'crack'?", '')
        """
        plain = _plain(name)
        if any(plain.startswith(known) for known in _LABEL_OF if len(known) >= _SHORTEST):
            return ""  # crack0, crack_no: what was added may turn the meaning round
        near = {label for known, label in _LABEL_OF.items() if _is_slip(plain, known)}
        return f" Did you mean '{near.pop()}'?" if len(near) == 1 else ""


def remedy(names: Iterable[str]) -> str:
    """Sentence that says what to do about class names that stand for neither label.

    Example:
        >>> remedy(["spalling"])
        "Say what it means: --crack 'spalling' or --uncracked 'spalling'."
    """
    found = [*names]
    if len(found) == 1:
        return f"Say what it means: --crack '{found[0]}' or --uncracked '{found[0]}'."
    return f"Say what each means: --crack '{found[0]}', or --uncracked '{found[0]}', and so on."


def listed(names: Sequence[str], n: int = 6) -> str:
    """Names in quotes for a message, each on one line; of many, the first and how many more there are."""
    shown = ", ".join(f"'{shown_name(name)}'" for name in names[:n])
    return shown + (f" and {len(names) - n} more" if len(names) > n else "")


def shown_name(text: str) -> str:
    """A name for a message: on one line, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:77] + "..."


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-.]", "", name.lower())


def _forms(name: str) -> tuple[str, ...]:
    plain = _plain(name)
    stem = plain.removesuffix("ed")
    if stem.endswith("crack"):
        return stem, f"{stem}s", f"{stem}ed"
    return (plain, f"{plain}s") if plain.endswith("ive") else (plain,)


_LABEL_OF = {
    form: label
    for label, names in (("crack", CRACK_NAMES), ("uncracked", UNCRACKED_NAMES))
    for name in names
    for form in _forms(name)
}


def _is_slip(word: str, known: str) -> bool:
    """Whether a word is a known name with one letter missing, doubled, wrong or swapped with its neighbour.

    The first letter must be right, since one in front may turn the meaning round.
    """
    if min(len(word), len(known)) < _SHORTEST - 1 or len(known) < _SHORTEST or word[0] != known[0]:
        return False
    if len(word) == len(known) - 1:
        return any(word == known[:i] + known[i + 1 :] for i in range(len(known)))
    if len(word) == len(known) + 1:
        return any(word == known[:i] + known[i] + known[i:] for i in range(len(known)))
    if len(word) != len(known):
        return False
    differ = [i for i, (one, other) in enumerate(zip(word, known, strict=True)) if one != other]
    swapped = len(differ) == 2 and differ[1] == differ[0] + 1 and word[differ[0]] == known[differ[1]]
    return len(differ) == 1 or (swapped and word[differ[1]] == known[differ[0]])
