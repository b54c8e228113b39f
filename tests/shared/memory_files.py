"""Files in memory, which take the place of a folder or an archive in tests."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["MemoryFiles"]


class MemoryFiles:
    """Files like `crackscope.files.archives.Files`, which note the names that were read."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self.contents = dict(contents)
        self.read_names: list[str] = []

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.contents))

    def read(self, name: str) -> bytes:
        self.read_names.append(name)
        return self.contents[name]
