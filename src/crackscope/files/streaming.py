"""Streaming: work on many files at once, in order, within a thread budget, holding only a few results at a time.

Decoding, resizing and ONNX Runtime all let go of Python's global lock, so threads are enough. A thread that decodes its
own images and runs its own small batch on one core beats two cores working on one batch.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from crackscope.errors import CrackscopeError
from crackscope.files.cores import available_cores

__all__ = ["Progress", "chunked", "default_threads", "ordered_map"]

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on; a total of 0 means that it is not known."""

_MOST_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_threads() -> int:
    """Number of threads where none is asked for: one for each core that this process may use, at most 8.

    The environment variable ``CRACKSCOPE_THREADS`` overrides it. More than 8 threads hardly make work on images faster,
    but take memory.

    Raises:
        CrackscopeError: If ``CRACKSCOPE_THREADS`` is no whole number from 1.
    """
    if setting := os.environ.get("CRACKSCOPE_THREADS", "").strip():
        if not setting.isdecimal() or int(setting) < 1:
            raise CrackscopeError(
                f"CRACKSCOPE_THREADS is '{setting}'; it must be a whole number from 1. Correct it, or unset it."
            )
        return int(setting)
    return min(_MOST_THREADS, available_cores())


def chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Cut a stream into lists of ``size`` items; the last may be shorter.

    Example:
        >>> list(chunked("abcde", 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int | None = None
) -> Iterator[Result]:
    """Like `map`, on several threads; results come in the order of the items.

    At most two items a thread are under way, so an endless stream of large photos needs little memory. When an item
    arrives, whatever is ready is given before the one after it is waited for. When the consumer stops, or an item
    raises, what has not begun is dropped.

    Args:
        function: Called on several threads at once.
        items: Taken as they are needed, on the consumer's thread.
        threads: Thread budget; `default_threads` where left out.

    Yields:
        What the function returned. What it raised is raised here, in its place.
    """
    threads = threads or default_threads()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="crackscope") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                while waiting and (len(waiting) >= 2 * threads or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
