"""Cores: the smaller of affinity and quota, as the kernel's files say it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crackscope.files.cores import available_cores

V2, V1 = "0::{}\n", "5:cpu,cpuacct:{}\n3:memory:/other\n"


def lay(system: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        place = system / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 16),
        ({"proc/self/cgroup": "nonsense\n"}, 16),
        ({"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": "max 100000\n"}, 16),
        ({"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
        ({"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": "6400000 100000\n"}, 16),
        ({"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": "damaged"}, 16),
        ({"proc/self/cgroup": V2.format("/a/b"), "sys/fs/cgroup/a/cpu.max": "300000 100000\n"}, 3),
        (
            {
                "proc/self/cgroup": V2.format("/a/b"),
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "500000 100000\n",
            },
            3,
        ),
        ({"proc/self/cgroup": V2.format("/unseen"), "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        ({"proc/self/cgroup": V1.format("/"), **v1("sys/fs/cgroup/cpu,cpuacct", 250_000)}, 3),
        ({"proc/self/cgroup": V1.format("/docker/x"), **v1("sys/fs/cgroup/cpu/docker/x", 50_000, 25_000)}, 2),
        ({"proc/self/cgroup": V1.format("/docker/x"), **v1("sys/fs/cgroup/cpu", 100_000)}, 1),
        ({"proc/self/cgroup": V1.format("/"), **v1("sys/fs/cgroup/cpu", -1)}, 16),
        ({"proc/self/cgroup": V1.format("/"), **v1("sys/fs/cgroup/cpu", 0)}, 16),
    ],
)
def test_cores_are_the_smaller_of_affinity_and_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)
    lay(tmp_path, files)
    assert available_cores(tmp_path) == expected


def test_affinity_counts_where_it_is_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(2), raising=False)
    lay(tmp_path, {"proc/self/cgroup": V2.format("/"), "sys/fs/cgroup/cpu.max": "800000 100000\n"})
    assert available_cores(tmp_path) == 2


def test_this_machine_has_a_core() -> None:
    assert available_cores() >= 1
