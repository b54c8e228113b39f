"""A lock that a fork does not take along."""

from __future__ import annotations

import os
import threading

import pytest

from crackscope.files.fork_lock import ForkLock


def test_only_one_thread_holds_it() -> None:
    lock, order = ForkLock(), list[str]()

    def other() -> None:
        with lock:
            order.append("other")

    with lock:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join(10)
    assert order == ["first", "other"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_is_forked_while_it_is_held_begins_with_a_free_one() -> None:
    lock = ForkLock()
    with lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if lock._lock.acquire(timeout=5) else 1)
        unharmed = os.fork()
        if unharmed == 0:
            lock.__exit__(None, None, None)  # the thread that forked leaves the block in the child, too
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(unharmed, 0)[1]) == 0
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert lock._lock.locked()  # the parent's own is still held
