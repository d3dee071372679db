"""Threads that hand jobs over keep no compute threads of their own."""

from __future__ import annotations

import os
import threading

import pytest
import torch

from swapnet_core import openmp
from swapnet_core.scheduler import Scheduler


def _compute() -> None:
    """Run an operator that is large enough for several threads."""
    torch.rand(4_000_000).add_(1.0)


def _count_threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.fixture(autouse=True)
def several_threads() -> None:
    if openmp._libgomp() is None or torch.get_num_threads() < 2:
        pytest.skip("torch computes on one thread here, or not with libgomp")


def test_a_pool_is_given_back_and_made_anew() -> None:
    _compute()
    with_pool = _count_threads()
    openmp.release_pool()
    assert _count_threads() == with_pool - (torch.get_num_threads() - 1)
    openmp.release_pool()
    _compute()
    assert _count_threads() == with_pool


def test_who_hands_a_job_over_keeps_no_pool() -> None:
    scheduler = Scheduler()
    try:
        scheduler.run(_compute)
        alone = _count_threads()
        _compute()
        scheduler.run(_compute)
        assert _count_threads() <= alone
    finally:
        scheduler.close()


def test_a_thread_can_compute_alone() -> None:
    counts: list[int] = []

    def work() -> None:
        openmp.use_one_thread()
        before = _count_threads()
        _compute()
        counts.append(_count_threads() - before)

    threads = torch.get_num_threads()
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert counts == [0]
    assert torch.get_num_threads() == threads
