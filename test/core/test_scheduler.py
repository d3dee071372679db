"""One thread, one job at a time; order, errors and closing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swapnet_core.errors import DeadlineMissedError, RuntimeClosedError
from swapnet_core.scheduler import Scheduler


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    scheduler = Scheduler()
    yield scheduler
    scheduler.close()


def _hold(scheduler: Scheduler) -> threading.Event:
    """Keep the thread busy until the event is set."""
    entered, opened = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        opened.wait(10)

    scheduler.submit(wait)
    assert entered.wait(10)
    return opened


def test_jobs_run_on_the_inference_thread(scheduler: Scheduler) -> None:
    assert scheduler.run(lambda: threading.current_thread().name) == "swapnet-infer"


def test_a_job_may_run_another_one_at_once(scheduler: Scheduler) -> None:
    assert scheduler.run(lambda: scheduler.run(lambda: 5)) == 5


_jobs = st.lists(st.tuples(st.integers(-2, 2), st.none() | st.integers(100, 105)), max_size=12)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_jobs)
def test_priority_then_deadline_then_age_decide(
    scheduler: Scheduler, jobs: list[tuple[int, int | None]]
) -> None:
    opened, order = _hold(scheduler), []
    futures = [
        scheduler.submit(lambda n=number: order.append(n), priority=priority, deadline_s=deadline)
        for number, (priority, deadline) in enumerate(jobs)
    ]
    first = threading.Thread(target=lambda: scheduler.run_exclusive(lambda: order.append(-1)))
    first.start()
    while repr(scheduler) != f"<Scheduler {len(jobs) + 1} jobs queued>":
        threading.Event().wait(0.001)
    opened.set()
    for future in futures:
        future.result(10)
    first.join(10)
    wanted = sorted(range(len(jobs)), key=lambda n: (-jobs[n][0], jobs[n][1] or 10**9, n))
    assert order == [-1, *wanted]


def test_what_a_job_raises_is_the_callers_and_the_thread_lives(scheduler: Scheduler) -> None:
    def fail() -> None:
        raise SystemExit("not ours to obey")

    with pytest.raises(SystemExit):
        scheduler.run(fail)
    assert scheduler.run(lambda: 1) == 1


def test_a_deadline_that_passed_is_told_with_its_lateness(scheduler: Scheduler) -> None:
    opened = _hold(scheduler)
    future = scheduler.submit(lambda: 1, deadline_s=-1.0)
    opened.set()
    with pytest.raises(DeadlineMissedError) as refused:
        future.result(10)
    assert refused.value.late_s >= 1.0


def test_closing_refuses_what_is_queued_and_what_comes() -> None:
    scheduler = Scheduler()
    opened = _hold(scheduler)
    queued = scheduler.submit(lambda: 1)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    with pytest.raises(RuntimeClosedError):
        queued.result(10)
    opened.set()
    closing.join(10)
    scheduler.close()
    with pytest.raises(RuntimeClosedError):
        scheduler.run(lambda: 1)
