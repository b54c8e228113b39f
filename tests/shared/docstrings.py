"""Docstrings: their sections, and whether what they say stands alone."""

from __future__ import annotations

import re

__all__ = ["begins_well", "entries", "stands_alone"]

_LEANING = ("Of ", "As ", "From ", "Those ", "The others", "The other ones", "The same two", "None of them")
"""Beginnings that lean on another text: on the name of an argument, or on the entry before."""


def begins_well(text: str) -> bool:
    """Whether a text does not lean on another one: "Seed of the bootstrap.", never "Of the bootstrap."."""
    return not text.startswith(_LEANING)


def stands_alone(text: str) -> bool:
    """Whether an entry is a phrase or sentences of its own, from its first letter to its full stop."""
    return (text[:1].isupper() or text.startswith("``")) and text.endswith(".") and begins_well(text)


def entries(doc: str, section: str) -> dict[str, str]:
    """Entries of a Google section, such as ``Args``, by their names."""
    match = re.search(rf"^{section}:\n((?:[ ]{{4}}.*\n|\n)*)", doc + "\n", re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in (match[1] if match else "").splitlines():
        if entry := re.match(r" {4}(\*{0,2}\w+): (.*)", line):
            name = entry[1].lstrip("*")
            found[name] = entry[2]
        elif name:
            found[name] += " " + line.strip()
    return {name: text.strip() for name, text in found.items()}
