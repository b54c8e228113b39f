"""Cores: how many of the machine's cores this process may use, by affinity and by a container's quota."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

__all__ = ["available_cores"]

_SYSTEM = Path("/")


def available_cores(system: Path = _SYSTEM) -> int:
    """Tell how many cores this process may use: the smaller of its affinity and its quota, rounded up.

    A container that was started with a limit, such as ``--cpus 1.5``, still sees all cores of the machine. Its limit is
    the quota of a control group (cgroup), of version 1 or 2, and it may stand in any group above the process.

    Args:
        system: Folder that holds ``proc`` and ``sys``.

    Returns:
        Number of cores, at least 1.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(math.ceil(quota) for quota in _quotas(system))]))


def _quotas(system: Path) -> Iterator[float]:
    """Cores that each control group of this process allows, where it sets a limit."""
    for line in _text(system / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2) if line.count(":") >= 2 else ("", "", "/")
        if not controllers:
            yield from _quotas_of(system / "sys/fs/cgroup", group, _quota_v2)
        elif "cpu" in controllers.split(","):
            for name in (controllers, "cpu"):
                yield from _quotas_of(system / "sys/fs/cgroup" / name, group, _quota_v1)


def _quotas_of(root: Path, group: str, read: Callable[[Path], float | None]) -> Iterator[float]:
    path = PurePosixPath("/", group)
    for parent in (path, *path.parents):  # a container may see its own group as the root
        quota = read(root / str(parent).lstrip("/"))
        if quota is not None:
            yield quota


def _quota_v2(folder: Path) -> float | None:
    return _ratio(*[*_text(folder / "cpu.max").split(), "", ""][:2])


def _quota_v1(folder: Path) -> float | None:
    return _ratio(*(_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")))


def _ratio(quota: str, period: str) -> float | None:
    """Cores of a quota in a period; None for no limit, which is ``max`` or -1."""
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) and int(quota) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
