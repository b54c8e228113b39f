"""Process-wide settings of torch, its threads and its random numbers, set for a while and put back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

__all__ = ["own_generator", "own_threads"]


@contextlib.contextmanager
def own_threads(n_threads: int | None = None) -> Iterator[None]:
    """Torch computes on so many threads inside, and on as many as before afterwards, whatever was set meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def own_generator(seed: int) -> Iterator[None]:
    """Torch draws random numbers from a seed inside, on every device, and goes on where it stood afterwards."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
